//! Devices, a directory and the ports of these tests.

mod ports;
mod waiting;

use std::collections::BTreeMap;

use device_writeback_core::alt_security_id::AltSecurityId;
use device_writeback_core::cloud_anchor::{self, CloudAnchorEncoding};
use device_writeback_core::directory::device_dn;
use device_writeback_core::dn::Dn;
use device_writeback_core::filetime::FileTime;
use device_writeback_core::graph::{
    AlternativeSecurityIds, CloudDevice, CloudItem, CloudRecord, Field, LinkedObject,
};
use device_writeback_core::guid::{DeviceId, ObjectId};
use device_writeback_core::plan::{Completeness, MemorySpool, Plan};
use device_writeback_core::rules::PrincipalFacts;
use device_writeback_core::schema::{Attribute, VERSION_2016};
use device_writeback_core::sid::Sid;
use device_writeback_engine::memory::{MemoryDirectory, MemoryState};
use device_writeback_engine::ports::DirectoryFacts;
use device_writeback_engine::{Control, Engine, Error, Options, Planned, Report, SyncEnd};

pub(crate) use ports::{Act, Event, Lab, LabDirectory, LabSource, LabState, Shared};
pub(crate) use waiting::finish;

pub(crate) type LabEngine = Engine<Shared<LabSource>, Shared<LabDirectory>, Shared<LabState>>;

pub(crate) fn device_id(number: u32) -> DeviceId {
    format!("{number:08x}-1111-4222-8333-444455556666")
        .parse()
        .unwrap()
}

pub(crate) fn object_id(number: u32) -> ObjectId {
    format!("{number:08x}-aaaa-4bbb-8ccc-ddddeeeeffff")
        .parse()
        .unwrap()
}

pub(crate) fn container() -> Dn {
    Dn::parse("CN=RegisteredDevices,DC=contoso,DC=com").unwrap()
}

pub(crate) fn dn(number: u32) -> Dn {
    device_dn(device_id(number), &container())
}

pub(crate) fn time(text: &str) -> FileTime {
    FileTime::parse_rfc3339(text).unwrap()
}

/// Noon of the day that the tests call today.
pub(crate) fn today() -> FileTime {
    time("2026-03-01T12:00:00Z")
}

/// A device that is in scope.
pub(crate) fn device(number: u32) -> CloudDevice {
    let key = "k2vB1W6Jr1u6gkIQ0pEsD9lB0wTr4mB1lH1n1pG0S0c=";
    let alt_id = AltSecurityId::parse(&format!("X509:<SHA1-TP-PUBKEY>{number:040X}{key}")).unwrap();
    let mut device = CloudDevice::new(object_id(number));
    device.device_id = Some(device_id(number));
    device.account_enabled = Field::Value(true);
    device.display_name = Field::Value(format!("PC {number}").into());
    device.alternative_security_ids = Field::Value(AlternativeSecurityIds {
        usable: vec![alt_id],
        unusable: 0,
    });
    device.approximate_last_sign_in = Field::Value(today().minus_days(2));
    device
}

/// The same with changes.
pub(crate) fn device_with(number: u32, set: impl FnOnce(&mut CloudDevice)) -> CloudDevice {
    let mut device = device(number);
    set(&mut device);
    device
}

pub(crate) fn user_sid(rid: u32) -> Sid {
    format!("S-1-5-21-10-20-30-{rid}").parse().unwrap()
}

pub(crate) fn owned_by(number: u32, rid: u32) -> CloudDevice {
    device_with(number, |device| {
        device.registered_owners = Field::Value(vec![LinkedObject {
            id: object_id(0xFFFF_0000 + rid),
            other_kind: false,
            sid: Field::Value(user_sid(rid)),
        }]);
    })
}

pub(crate) fn records(devices: impl IntoIterator<Item = CloudDevice>) -> Vec<CloudRecord> {
    devices
        .into_iter()
        .enumerate()
        .map(|(number, device)| CloudRecord {
            sequence: number as u64 * 10,
            item: CloudItem::Device(Box::new(device)),
        })
        .collect()
}

pub(crate) fn facts() -> DirectoryFacts {
    DirectoryFacts {
        domain_guid: Some("99999999-8888-4777-8666-555544443333".parse().unwrap()),
        base: Dn::parse("DC=contoso,DC=com").unwrap(),
        container: container(),
        container_exists: true,
        schema: Attribute::available(VERSION_2016),
        domain_sids: vec!["S-1-5-21-10-20-30".parse().unwrap()],
        inactivity_days: None,
    }
}

pub(crate) fn users() -> Vec<(Sid, PrincipalFacts)> {
    (1100..1110)
        .map(|rid| (user_sid(rid), PrincipalFacts::User { protected: false }))
        .collect()
}

/// Ports around these devices, an empty directory and an empty state.
pub(crate) fn lab(devices: impl IntoIterator<Item = CloudDevice>) -> Lab {
    Lab::new(
        records(devices),
        MemoryDirectory::new(facts(), users()),
        MemoryState::new(),
    )
}

pub(crate) fn options(now: FileTime) -> Options {
    let tenant = "11111111-2222-4333-8444-555566667777".parse().unwrap();
    Options::new(tenant, now)
}

impl Lab {
    pub(crate) fn engine(&self) -> LabEngine {
        self.engine_at(today(), |_| {})
    }

    pub(crate) fn engine_at(&self, now: FileTime, set: impl FnOnce(&mut Options)) -> LabEngine {
        let mut options = options(now);
        set(&mut options);
        Engine::new(
            self.source.clone(),
            self.directory.clone(),
            self.state.clone(),
            options,
        )
    }

    /// Replaces what the source has.
    pub(crate) fn now_has(&self, devices: impl IntoIterator<Item = CloudDevice>) {
        self.source.set_records(records(devices));
    }

    /// The first value of an attribute, as text.
    pub(crate) fn value(&self, number: u32, name: &str) -> Option<String> {
        let values = self.directory.memory().values(&dn(number))?;
        let value = values.get(name)?.first()?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    pub(crate) fn has(&self, number: u32) -> bool {
        self.directory.memory().values(&dn(number)).is_some()
    }

    /// Puts an object there as another writeback would have, one that knows the least.
    pub(crate) fn insert_marked(&self, number: u32) {
        let octets = |text: &str| text.as_bytes().to_vec();
        let values = [
            ("displayName", octets(&format!("PC {number}"))),
            ("msDS-DeviceID", device_id(number).to_le_bytes().to_vec()),
            ("msDS-IsEnabled", octets("TRUE")),
            (
                "msDS-CloudAnchor",
                cloud_anchor::encode(object_id(number), CloudAnchorEncoding::Text),
            ),
            ("objectGUID", vec![u8::try_from(number).unwrap(); 16]),
        ];
        self.directory.memory().insert(
            dn(number),
            values.map(|(name, value)| (name.to_owned(), value)),
        );
    }
}

pub(crate) fn spool() -> Box<MemorySpool> {
    Box::default()
}

pub(crate) fn plan(engine: &LabEngine) -> Result<Planned, Error> {
    finish(engine.plan(spool(), &Control::new()))
}

pub(crate) fn try_sync(engine: &LabEngine) -> Result<SyncEnd, Error> {
    finish(engine.sync(spool(), &Control::new()))
}

/// A run that must be applied.
pub(crate) fn sync(engine: &LabEngine) -> (Box<Plan>, Report) {
    match try_sync(engine).unwrap() {
        SyncEnd::Applied(plan, report) => (plan, report),
        other => panic!("{other:?}"),
    }
}

/// A run in which every change is done.
pub(crate) fn sync_all(engine: &LabEngine) -> Box<Plan> {
    let (plan, report) = sync(engine);
    assert!(report.is_complete(), "{report:?}");
    plan
}

/// Counts by reason code.
pub(crate) fn reasons(plan: &Plan) -> BTreeMap<&str, u64> {
    plan.summary()
        .reasons
        .iter()
        .map(|(code, count)| (code.as_str(), *count))
        .collect()
}

pub(crate) fn full() -> Completeness {
    Completeness::Full
}
