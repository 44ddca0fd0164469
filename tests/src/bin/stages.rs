//! Single stages of a run, for `cargo xtask bench`: prints one line of JSON per measurement.
#![allow(
    clippy::print_stdout,
    reason = "the figures are what this program is for"
)]

use std::process::ExitCode;
use std::time::Instant;

use device_writeback_core::alt_security_id::AltSecurityId;
use device_writeback_core::directory::{DirectoryObject, device_dn};
use device_writeback_core::dn::Dn;
use device_writeback_core::filetime::FileTime;
use device_writeback_core::graph::{
    AlternativeSecurityIds, CloudDevice, CloudItem, CloudRecord, Field, Reader,
};
use device_writeback_core::guid::{DeviceId, Guid, ObjectId, TenantId};
use device_writeback_core::plan::{Completeness, Identity, MemorySpool, Planner, Setup};
use device_writeback_core::rules::{Forest, Judge, Principals, Rules, Verdict};
use device_writeback_core::schema::{Attribute, VERSION_2016};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["map", file] => map(file),
        ["join", devices] => devices
            .parse()
            .map_err(|_| "join takes a number of devices".to_owned())
            .and_then(join),
        _ => Err("usage: stages map FILE | stages join DEVICES".to_owned()),
    };
    match result {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            println!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Graph JSON in memory to records whose attribute values stand ready, on one core.
fn map(file: &str) -> Result<String, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("reading {file}: {error}"))?;
    let (rules, principals) = (Rules::default(), Principals::new());
    let forest = Forest::new(Attribute::available(VERSION_2016));
    let now = FileTime::parse_rfc3339("2026-06-01T08:00:00Z").map_err(|error| error.to_string())?;
    let judge = Judge {
        rules: &rules,
        forest: &forest,
        principals: &principals,
        now,
    };
    let mut desired = Default::default();
    let (mut devices, mut values) = (0_u64, 0_u64);
    let begun = Instant::now();
    let mut reader: Reader<CloudItem> = Reader::new();
    for chunk in bytes.chunks(1 << 20) {
        reader.push(chunk);
        while let Some(element) = reader.next_record() {
            if let CloudItem::Device(device) = &element.record {
                let scope = judge.scope(device);
                if let (Verdict::InScope, Some(id)) = (scope.verdict, scope.device_id) {
                    judge.desired_into(device, id, &mut desired);
                    devices += 1;
                    values += desired.values.iter().count() as u64;
                }
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(format!(
        "{{\"stage\":\"map\",\"seconds\":{seconds:.6},\"bytes\":{},\"devices\":{devices},\"values\":{values}}}",
        bytes.len()
    ))
}

/// The join of `devices` with as many objects, none of which differs, on one core; the feeding is not part of it.
fn join(devices: u64) -> Result<String, String> {
    let now = FileTime::parse_rfc3339("2026-06-01T08:00:00Z").map_err(|error| error.to_string())?;
    let container =
        Dn::parse("CN=RegisteredDevices,DC=contoso,DC=com").map_err(|error| error.to_string())?;
    let identity = Identity {
        tenant_id: TenantId::from(Guid::from_bytes([7; 16])),
        source_id: String::new(),
        directory_id: String::new(),
        domain_guid: None,
        container: container.clone(),
    };
    let forest = Forest::new(Attribute::available(VERSION_2016));
    let rules = Rules::default();
    let principals = Principals::new();
    let mut setup = Setup::new(identity, rules.clone(), forest.clone(), now, [1; 16]);
    setup.keep_whole = 0;
    let judge = Judge {
        rules: &rules,
        forest: &forest,
        principals: &principals,
        now,
    };
    let mut planner = Planner::new(setup, Box::new(MemorySpool::default()));
    for number in 0..devices {
        let device = device(number).map_err(|error| error.to_string())?;
        let id = device.device_id.ok_or("a generated device has no id")?;
        let desired = judge.desired(&device, id);
        planner.directory(DirectoryObject {
            // The other side arrives in another order.
            sequence: number.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            dn: device_dn(id, &container),
            guid: None,
            values: desired.values,
        });
        planner.cloud(CloudRecord {
            sequence: number,
            item: CloudItem::Device(Box::new(device)),
        });
    }
    planner.end_cloud(Completeness::Full);
    planner.end_directory(Completeness::Full);
    let begun = Instant::now();
    let open = planner.unresolved().map_err(|error| error.to_string())?;
    let seconds = begun.elapsed().as_secs_f64();
    let plan = planner.finish().map_err(|error| error.to_string())?;
    if !open.is_empty() || plan.summary().unchanged != devices {
        return Err(format!(
            "the join is wrong: {} of {devices} are unchanged",
            plan.summary().unchanged
        ));
    }
    Ok(format!(
        "{{\"stage\":\"join\",\"seconds\":{seconds:.6},\"devices\":{devices}}}"
    ))
}

fn device(number: u64) -> Result<CloudDevice, device_writeback_core::error::InvalidValue> {
    // A multiplicative hash spreads the ids, as random ids are.
    let spread = (u128::from(number) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let mut device = CloudDevice::new(ObjectId::from(Guid::from_bytes((!spread).to_be_bytes())));
    device.device_id = Some(DeviceId::from(Guid::from_bytes(spread.to_be_bytes())));
    device.account_enabled = Field::Value(true);
    device.display_name = Field::Value(format!("DESKTOP-{number:07}").into());
    device.operating_system = Field::Value("Windows".into());
    device.operating_system_version = Field::Value("10.0.22631.3593".into());
    device.is_managed = Field::Value(true);
    device.is_compliant = Field::Value(true);
    device.device_version = Field::Value(2);
    device.trust_type = Field::Value("AzureAd".into());
    device.physical_ids = Field::Value(vec![format!("[HWID]:h:{number}").into()]);
    device.on_premises_security_identifier = Field::Null;
    device.registered_owners = Field::Value(Vec::new());
    device.registered_users = Field::Value(Vec::new());
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let certificate = AltSecurityId::parse(&format!("X509:<SHA1-TP-PUBKEY>{number:040X}{key}"))?;
    device.alternative_security_ids = Field::Value(AlternativeSecurityIds {
        usable: vec![certificate],
        unusable: 0,
    });
    Ok(device)
}
