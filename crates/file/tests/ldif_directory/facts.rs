//! What the directory says about itself, and what it hands over.

use std::fs;
use std::path::Path;

use device_writeback_core::guid::ObjectGuid;
use device_writeback_core::plan::DirectoryKey;
use device_writeback_core::rules::PrincipalFacts;
use device_writeback_core::schema::Attribute;
use device_writeback_core::sid::Sid;
use device_writeback_engine::error::ErrorKind;
use device_writeback_engine::ports::Directory;
use device_writeback_file::{LdifDirectory, LdifOptions};
use futures_executor::block_on;

use crate::support::*;

const QUICKSTART: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../cli/quickstart/directory.ldif"
);

fn quickstart() -> LdifDirectory {
    LdifDirectory::open(LdifOptions::new(Path::new(QUICKSTART), dn(BASE))).unwrap()
}

#[test]
fn the_quickstart() {
    let directory = quickstart();
    let found = facts(&directory);
    assert_eq!(found.base, dn(BASE));
    assert_eq!(found.container, dn(CONTAINER));
    assert!(found.container_exists);
    assert_eq!(found.inactivity_days, Some(90));
    assert!(found.domain_guid.is_some());
    let domain = Sid::parse("S-1-5-21-1463870531-2902573317-874120969").unwrap();
    assert_eq!(found.domain_sids, [domain]);

    let objects = import(&directory);
    assert_eq!(objects.len(), 68);
    assert_eq!(
        objects
            .iter()
            .filter(|one| one.dn.is_replication_conflict())
            .count(),
        1
    );
    assert!(objects.iter().all(|one| one.guid.is_some()));
    assert!(
        objects
            .iter()
            .any(|one| one.values.has(Attribute::KeyCredentialLink))
    );
    let not_marked = objects.iter().filter(|one| !one.is_marked()).count();
    assert_eq!(not_marked, 5);

    let sids: Vec<Sid> = [1104, 1105, 1106, 1110, 500, 512, 9999]
        .iter()
        .map(|rid| Sid::parse(&format!("{domain}-{rid}")).unwrap())
        .chain([Sid::parse("S-1-5-21-1-2-3-1104").unwrap()])
        .collect();
    let user = |protected| PrincipalFacts::User { protected };
    assert_eq!(
        block_on(directory.principals(&sids)).unwrap(),
        [
            user(false),
            user(false),
            user(false),
            user(true),
            user(false),
            PrincipalFacts::NotFound,
            PrincipalFacts::NotFound,
            PrincipalFacts::NotFound,
        ]
    );
}

#[test]
fn objects_are_read_again_by_position_by_guid_and_by_name() {
    let directory = quickstart();
    facts(&directory);
    let objects = import(&directory);
    let mut keys: Vec<DirectoryKey> = objects
        .iter()
        .filter_map(|object| {
            Some(DirectoryKey {
                device_id: object.device_id().ok()?,
                object_guid: object.guid,
                sequence: object.sequence,
            })
        })
        .collect();
    let again = block_on(directory.reread(&keys)).unwrap();
    assert_eq!(again.len(), keys.len());
    for (device, object) in &again {
        assert_eq!(object.device_id().unwrap(), *device);
        assert!(objects.contains(object));
    }
    for object in &objects {
        let found = block_on(directory.read(&by_guid(object.guid.unwrap()))).unwrap();
        assert_eq!(found.as_ref(), Some(object));
        let found = read(&directory, &object.dn.to_string().to_uppercase());
        assert_eq!(found.as_ref(), Some(object));
    }
    // Another object's position is not an answer.
    let other = keys[1].sequence;
    keys[0].sequence = other;
    assert!(block_on(directory.reread(&keys[..1])).unwrap().is_empty());
    let nobody = by_guid(ObjectGuid::from_bytes([3; 16]));
    assert!(block_on(directory.read(&nobody)).unwrap().is_none());
    assert!(read(&directory, "CN=nobody,DC=contoso,DC=com").is_none());
}

#[test]
fn only_direct_children_of_the_container_are_devices() {
    let text = format!(
        "{DOMAIN}
dn: CN=2,cn=REGISTEREDdevices, dc=Contoso,DC=com
OBJECTCLASS:: bXNEUy1EZXZpY2U=
msDS-DeviceID:: IiIiIiIiIiIiIiIiIiIiIg==

dn: CN=3,CN=11111111-1111-1111-1111-111111111111,{CONTAINER}
objectClass: msDS-Device

dn: CN=4,CN=Users,{BASE}
objectClass: msDS-Device

dn: CN=5,{CONTAINER}
objectClass: container
"
    );
    let lab = Lab::new(&text);
    let directory = lab.open();
    let names: Vec<String> = import(&directory)
        .iter()
        .map(|object| object.dn.rdn().unwrap().value().to_owned())
        .collect();
    assert_eq!(names, [DEVICE, "2"]);
}

#[test]
fn pages_hold_every_object() {
    let mut text = DOMAIN.to_owned();
    for number in 0..2345 {
        text += &format!(
            "\ndn: CN=d{number},{CONTAINER}\nobjectClass: msDS-Device\ndisplayName: {number}\n"
        );
    }
    let lab = Lab::new(&text);
    let directory = lab.open();
    assert_eq!(import(&directory).len(), 2346);
    // A reading that nobody finishes stops by itself.
    drop(block_on(directory.import()).unwrap());
    assert_eq!(import(&directory).len(), 2346);
}

#[test]
fn the_registration_service_names_the_container() {
    let service = |name: &str, location: &str, days: &str| {
        format!(
            "\ndn: CN={name},CN=Services,CN=Configuration,{BASE}\nobjectClass: msDS-DeviceRegistrationService\n\
             msDS-DeviceLocation: {location}\nmsDS-MaximumRegistrationInactivityPeriod: {days}\n"
        )
    };
    let elsewhere = format!("CN=Devices,{BASE}");
    let container = |lab: &Lab, configured: Option<&str>| {
        let mut options = lab.options();
        options.container = configured.map(dn);
        let found = facts(&LdifDirectory::open(options).unwrap());
        (
            found.container,
            found.container_exists,
            found.inactivity_days,
        )
    };

    let lab = Lab::new(DOMAIN);
    assert_eq!(container(&lab, None), (dn(CONTAINER), true, None));
    assert_eq!(
        container(&lab, Some(&elsewhere)),
        (dn(&elsewhere), false, None)
    );

    let lab = Lab::new(&format!("{DOMAIN}{}", service("S", &elsewhere, "0")));
    assert_eq!(container(&lab, None), (dn(&elsewhere), false, None));
    assert_eq!(
        container(&lab, Some(CONTAINER)),
        (dn(&elsewhere), false, None)
    );

    let lab = Lab::new(&format!("{DOMAIN}{}", service("S", CONTAINER, "30")));
    assert_eq!(container(&lab, None), (dn(CONTAINER), true, Some(30)));

    let two = service("S", CONTAINER, "30") + &service("T", CONTAINER, "30");
    let lab = Lab::new(&format!("{DOMAIN}{two}"));
    let error = block_on(lab.open().facts()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Directory);
    assert!(error.to_string().contains("lines 33 and 38"), "{error}");
    assert!(error.remedy().is_some());

    let lab = Lab::new(&format!("{DOMAIN}{}", service("S", CONTAINER, "many")));
    let error = block_on(lab.open().facts()).unwrap_err();
    assert!(error.to_string().contains("line 33"), "{error}");
}

#[test]
fn users_are_told_from_computers_and_groups() {
    let account = |name: &str, classes: &[&str], rid: u8, more: &str| {
        let mut text = format!("\ndn: CN={name},CN=Users,{BASE}\n");
        for class in classes {
            text += &format!("objectClass: {class}\n");
        }
        text + &format!("objectSid: S-1-5-21-1-2-3-{rid}\n{more}")
    };
    let text = [
        account("u", &["top", "person", "user"], 1, ""),
        account("c", &["top", "person", "user", "computer"], 2, ""),
        account("g", &["top", "group"], 3, ""),
        account("i", &["inetOrgPerson"], 4, "adminCount: 1\n"),
        account("gone", &["top", "user"], 5, "isDeleted: TRUE\n"),
        account("zero", &["top", "USER"], 6, "adminCount: 0\n"),
    ];
    let lab = Lab::new(&format!("{DOMAIN}{}", text.concat()));
    let sids: Vec<Sid> = (1..=6)
        .map(|rid| Sid::parse(&format!("S-1-5-21-1-2-3-{rid}")).unwrap())
        .collect();
    let user = |protected| PrincipalFacts::User { protected };
    assert_eq!(
        block_on(lab.open().principals(&sids)).unwrap(),
        [
            user(false),
            PrincipalFacts::NotFound,
            PrincipalFacts::NotFound,
            user(true),
            PrincipalFacts::NotFound,
            user(false),
        ]
    );
}

#[test]
fn files_that_are_no_directory_are_refused_with_their_line() {
    for (text, expected) in [
        ("dn: CN=x\nnonsense\n", "line 34: \"nonsense\""),
        ("dn: CN=x\nchangetype: delete\n", "a change; an object"),
        ("dn: nonsense\nobjectClass: msDS-Device\n", "line 33"),
        ("cn: x\n", "line 33: a record starts with"),
    ] {
        let lab = Lab::new(&format!("{DOMAIN}\n{text}"));
        let directory = lab.open();
        let from_facts = block_on(directory.facts()).err();
        let from_read = block_on(directory.read(&by_dn("CN=x,DC=y"))).err();
        for error in from_facts.into_iter().chain(from_read) {
            assert_eq!(error.kind(), ErrorKind::Directory);
            assert!(error.to_string().contains(expected), "{error}");
            assert!(error.to_string().contains("directory.ldif"), "{error}");
            assert!(error.remedy().is_some());
        }
        assert!(
            block_on(directory.read(&by_dn("CN=x,DC=y"))).is_err(),
            "{text:?}"
        );
    }
    // A device that cannot be read ends the import with an error, not early.
    let lab = Lab::new(&DOMAIN.replace("msDS-IsEnabled: TRUE", "msDS-IsEnabled:: %"));
    let directory = lab.open();
    facts(&directory);
    let error = try_import(&directory).unwrap_err();
    assert!(error.to_string().contains("line 26: "), "{error}");
}

#[test]
fn one_name_or_guid_for_two_objects_is_refused() {
    for text in [
        "dn: cn=users,dc=contoso,dc=com\nobjectClass: container\n",
        "dn: CN=y,DC=contoso,DC=com\nobjectGUID:: AAAAAAAAAAAAAAAAAAAAAQ==\n",
    ] {
        let lab = Lab::new(&format!("{DOMAIN}\n{text}"));
        let error = block_on(lab.open().write(&add(DEVICE))).unwrap_err();
        assert!(
            error.to_string().contains("and 33 have the same"),
            "{error}"
        );
    }
}

#[test]
fn paths_that_lead_nowhere() {
    let lab = Lab::empty();
    let open = |path: &Path| LdifDirectory::open(LdifOptions::new(path, dn(BASE)));
    assert_eq!(open(Path::new("")).unwrap_err().kind(), ErrorKind::Config);
    // A folder that is missing comes with the file.
    let path = lab.folder.path().join("none/d.ldif");
    let directory = open(&path).unwrap();
    assert!(import(&directory).is_empty());
    assert!(lab.files().is_empty());
    done(&directory, &add(NEW));
    commit(&directory);
    assert_eq!(import(&open(&path).unwrap()).len(), 1);
    fs::remove_dir_all(lab.folder.path().join("none")).unwrap();

    let directory = open(lab.folder.path()).unwrap();
    let error = block_on(directory.facts()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    fs::create_dir(&lab.path).unwrap();
    assert!(block_on(lab.open().facts()).is_err());
}

#[test]
fn the_base_is_a_domain_of_the_file_and_holds_the_container() {
    let refused = |text: &str, base: &str, expected: &str| {
        let lab = Lab::new(text);
        let options = LdifOptions::new(&lab.path, dn(base));
        let error = block_on(LdifDirectory::open(options).unwrap().facts()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = error.to_string();
        assert!(text.contains(base) && text.contains(expected), "{text}");
        assert!(error.remedy().is_some());
    };
    refused(DOMAIN, "DC=fabrikam,DC=com", BASE);
    refused(DOMAIN, "DC=com", BASE);
    let service = format!(
        "{DOMAIN}\ndn: CN=S,{BASE}\nobjectClass: msDS-DeviceRegistrationService\nmsDS-DeviceLocation: CN=D,CN=Users,{BASE}\n"
    );
    refused(&service, BASE, "CN=D,CN=Users");
}
