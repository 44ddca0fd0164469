//! Plans for tests, made by the planner from records of both sides.

use device_writeback_core::alt_security_id::AltSecurityId;
use device_writeback_core::attributes::AttributeSet;
use device_writeback_core::boolean::ldap_boolean;
use device_writeback_core::cloud_anchor::{self, CloudAnchorEncoding};
use device_writeback_core::directory::{DirectoryObject, device_dn};
use device_writeback_core::dn::Dn;
use device_writeback_core::filetime::FileTime;
use device_writeback_core::graph::{
    AlternativeSecurityIds, BadRecord, CloudDevice, CloudItem, CloudRecord, Field, LinkedObject,
    Removal,
};
use device_writeback_core::guid::{DeviceId, ObjectGuid, ObjectId};
use device_writeback_core::plan::{
    Completeness, Identity, MemorySpool, Plan, Planner, Provenance, Setup,
};
use device_writeback_core::rules::{Forest, PrincipalFacts, Rules};
use device_writeback_core::schema::{Attribute, VERSION_2016};
use device_writeback_core::sid::Sid;

/// Pieces of hostile names as a terminal shows them.
pub(crate) const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    r"\u{1b}[2J\u{1b}]0;owned\u{7}",
    r"x\u{a}dn: CN=evil,DC=contoso,DC=com\u{a}changetype: delete",
    r"Report\u{202e}fdp.exe",
    r"\u{200b}ghost",
    r#"a\" -> \"b"#,
];

/// A device that the helpers number.
pub(crate) fn device(number: u32) -> DeviceId {
    format!("{number:08x}-1111-4222-8333-444455556666")
        .parse()
        .unwrap()
}

fn object(number: u32) -> ObjectId {
    format!("{number:08x}-aaaa-4bbb-8ccc-ddddeeeeffff")
        .parse()
        .unwrap()
}

fn alt_id(number: u32) -> AltSecurityId {
    let key = "k2vB1W6Jr1u6gkIQ0pEsD9lB0wTr4mB1lH1n1pG0S0c=";
    AltSecurityId::parse(&format!("X509:<SHA1-TP-PUBKEY>{number:040X}{key}")).unwrap()
}

fn container() -> Dn {
    Dn::parse("CN=RegisteredDevices,DC=contoso,DC=com").unwrap()
}

fn time(text: &str) -> FileTime {
    FileTime::parse_rfc3339(text).unwrap()
}

fn cloud(number: u32, name: &str) -> CloudDevice {
    let mut cloud = CloudDevice::new(object(number));
    cloud.device_id = Some(device(number));
    cloud.account_enabled = Field::Value(true);
    cloud.alternative_security_ids = Field::Value(AlternativeSecurityIds {
        usable: vec![alt_id(number)],
        unusable: 0,
    });
    cloud.approximate_last_sign_in = Field::Value(time("2026-05-20T06:30:00Z"));
    cloud.device_version = Field::Value(2);
    cloud.display_name = Field::Value(name.into());
    cloud.is_compliant = Field::Value(true);
    cloud.is_managed = Field::Value(true);
    cloud.operating_system = Field::Value("Windows".into());
    cloud.operating_system_version = Field::Value("10.0.26100.4061".into());
    cloud.physical_ids = Field::Value(vec![
        "[GID]:g:6755400000000001".into(),
        "[HWID]:h:6825800000000002".into(),
    ]);
    cloud.registered_owners = Field::Value(Vec::new());
    cloud.registered_users = Field::Value(Vec::new());
    cloud.trust_type = Field::Value("AzureAd".into());
    cloud
}

/// What profile `adfs` writes for [`cloud`].
fn entry(number: u32, name: &str) -> DirectoryObject {
    let mut values = AttributeSet::new();
    values.push(Attribute::DisplayName, name.as_bytes());
    values.push(
        Attribute::AltSecurityIdentities,
        alt_id(number).as_str().as_bytes(),
    );
    values.push(Attribute::DeviceId, &device(number).to_le_bytes());
    values.push(Attribute::IsEnabled, ldap_boolean(true));
    values.push(Attribute::DeviceOsType, b"Windows");
    values.push(Attribute::DeviceOsVersion, b"10.0.26100.4061");
    values.push(Attribute::DevicePhysicalIds, b"[GID]:g:6755400000000001");
    values.push(Attribute::DevicePhysicalIds, b"[HWID]:h:6825800000000002");
    values.push(Attribute::DeviceObjectVersion, b"2");
    values.push(
        Attribute::CloudAnchor,
        &cloud_anchor::encode(object(number), CloudAnchorEncoding::Text),
    );
    values.push(Attribute::IsManaged, ldap_boolean(true));
    values.push(Attribute::CloudIsManaged, ldap_boolean(true));
    values.push(
        Attribute::ApproximateLastLogonTimeStamp,
        time("2026-05-20T06:30:00Z").ticks().to_string().as_bytes(),
    );
    values.push(Attribute::IsCompliant, ldap_boolean(true));
    values.push(Attribute::DeviceTrustType, b"1");
    let guid: ObjectGuid = format!("{number:08x}-0000-4000-8000-000000000000")
        .parse()
        .unwrap();
    DirectoryObject {
        sequence: u64::from(number),
        dn: device_dn(device(number), &container()),
        guid: Some(guid),
        values,
    }
}

/// `object` with the values of `attribute` replaced.
fn with(object: DirectoryObject, attribute: Attribute, new: &[&[u8]]) -> DirectoryObject {
    let mut values = AttributeSet::new();
    for (own, value) in object.values.iter() {
        if own != attribute {
            values.push(own, value);
        }
    }
    for value in new {
        values.push(attribute, value);
    }
    DirectoryObject { values, ..object }
}

fn owner(number: u32, sid: Option<&str>) -> Field<Vec<LinkedObject>> {
    Field::Value(vec![LinkedObject {
        id: object(number),
        other_kind: false,
        sid: sid.map_or(Field::Null, |sid| Field::Value(sid.parse().unwrap())),
    }])
}

fn setup() -> Setup {
    let mut forest = Forest::new(Attribute::available(VERSION_2016));
    forest.domain_sids = vec!["S-1-5-21-1004336348-1177238915-682003330".parse().unwrap()];
    let identity = Identity {
        tenant_id: "72f988bf-86f1-41af-91ab-2d7cd011db47".parse().unwrap(),
        source_id: "contoso".into(),
        directory_id: "contoso.com".into(),
        domain_guid: Some("5a1f9c1e-6d5b-4b57-9d1e-8f1f4f5a6b7c".parse().unwrap()),
        container: container(),
    };
    let now = time("2026-06-01T08:00:00Z");
    Setup::new(identity, Rules::default(), forest, now, [7; 16])
}

fn finish(
    setup: Setup,
    items: Vec<CloudItem>,
    objects: Vec<DirectoryObject>,
    source: Completeness,
) -> Plan {
    let mut planner = Planner::new(setup, Box::new(MemorySpool::default()));
    let user: Sid = "S-1-5-21-1004336348-1177238915-682003330-1107"
        .parse()
        .unwrap();
    planner.principal(user, PrincipalFacts::User { protected: false });
    for (sequence, item) in (0..).zip(items) {
        planner.cloud(CloudRecord { sequence, item });
    }
    for object in objects {
        planner.directory(object);
    }
    planner.end_cloud(source);
    planner.end_directory(Completeness::Full);
    loop {
        let open = planner.unresolved().unwrap();
        if open.is_empty() {
            return planner.finish().unwrap();
        }
        for id in open.provenance {
            // One of the two that are gone without a word was known before.
            let known = id == device(0x32);
            planner.answer_provenance(
                id,
                Provenance {
                    known,
                    disabled_since: None,
                },
            );
        }
    }
}

fn alive(cloud: CloudDevice) -> CloudItem {
    CloudItem::Device(Box::new(cloud))
}

/// Every action and every list.
pub(crate) fn plan() -> Plan {
    let mut owned = cloud(0x12, "x\ndn: CN=evil,DC=contoso,DC=com\nchangetype: delete");
    owned.registered_owners = owner(0x91, Some("S-1-5-21-1004336348-1177238915-682003330-1107"));
    owned.registered_users = owner(0x91, Some("S-1-5-21-1004336348-1177238915-682003330-1107"));
    let mut foreign_owner = cloud(0x13, "a\" -> \"b");
    foreign_owner.registered_owners = owner(0x92, Some("S-1-5-21-1-2-3-1107"));
    foreign_owner.on_premises_security_identifier = Field::Value(
        "S-1-5-21-1004336348-1177238915-682003330-1200"
            .parse()
            .unwrap(),
    );
    foreign_owner.trust_type = Field::Value("ServerAd".into());

    let mut changed = cloud(0x20, "Report\u{202e}fdp.exe");
    changed.is_compliant = Field::Null;
    changed.operating_system_version = Field::Value("10.0.26100.4652".into());
    changed.physical_ids = Field::Value(vec![
        "[GID]:g:6755400000000001".into(),
        "[HWID]:h:6825800000000099".into(),
    ]);
    changed.alternative_security_ids = Field::Value(AlternativeSecurityIds {
        usable: vec![alt_id(0x20), alt_id(0x2020)],
        unusable: 0,
    });
    let mut disabled = cloud(0x30, "KIOSK-04");
    disabled.account_enabled = Field::Value(false);
    let mut nameless = cloud(0x40, "");
    nameless.display_name = Field::Null;
    let mut twin = cloud(0x51, "TWIN-B");
    twin.device_id = Some(device(0x50));

    let items = vec![
        alive(cloud(0x10, "<script>alert(1)</script> 東京-端末-07 مكتب")),
        alive(cloud(0x11, "\u{1b}[2J\u{1b}]0;owned\u{7}")),
        alive(owned),
        alive(foreign_owner),
        alive(changed),
        alive(cloud(0x21, "Müller-Büro & Söhne")),
        alive(disabled),
        CloudItem::Removed {
            id: object(0x31),
            reason: Removal::Deleted,
        },
        alive(nameless),
        CloudItem::Bad(BadRecord {
            id: Some(object(0x41)),
            device_id: Some(device(0x41)),
            detail: "accountEnabled: \"<img src=x>\u{1b}[1m\ndn: CN=evil\" is no boolean".into(),
        }),
        alive(cloud(0x50, "TWIN-A")),
        alive(twin),
        alive(cloud(0x52, "TAKEN")),
        alive(cloud(0x60, "AS-IT-SHOULD-BE")),
    ];

    let mut odd = entry(0x21, "Mueller-Buero & Soehne");
    odd.dn = container().child("CN", "old\ndn: CN=evil <b>");
    let objects = vec![
        with(
            with(
                entry(0x20, "REPORT-01"),
                Attribute::DeviceOsVersion,
                &[b"10.0.26100.4061"],
            ),
            Attribute::RegisteredOwner,
            &[&"S-1-5-21-1004336348-1177238915-682003330-1107"
                .parse::<Sid>()
                .unwrap()
                .to_bytes()],
        ),
        odd,
        entry(0x30, "KIOSK-04"),
        entry(0x31, "\u{200b}ghost"),
        entry(0x32, "RETIRED-ON-SITE"),
        entry(0x33, "NEVER-HEARD-OF"),
        with(entry(0x52, "AD FS's own"), Attribute::CloudAnchor, &[]),
        entry(0x60, "AS-IT-SHOULD-BE"),
    ];
    finish(setup(), items, objects, Completeness::Full)
}

/// A plan of a source that failed half way, with take-over.
pub(crate) fn incomplete_plan() -> Plan {
    let mut setup = setup();
    setup.take_over = true;
    let items = vec![alive(cloud(0x60, "AS-IT-SHOULD-BE"))];
    let objects = vec![entry(0x33, "NEVER-HEARD-OF")];
    let source = Completeness::Incomplete("page 7: \u{1b}[2J<script>alert(1)</script>".into());
    finish(setup, items, objects, source)
}

/// A plan without a change.
pub(crate) fn empty_plan() -> Plan {
    let items = vec![alive(cloud(0x60, "AS-IT-SHOULD-BE"))];
    let objects = vec![entry(0x60, "AS-IT-SHOULD-BE")];
    finish(setup(), items, objects, Completeness::Full)
}
