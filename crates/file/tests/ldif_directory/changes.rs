//! Modifies and deletes: what is refused, and what is not.

use device_writeback_core::apply::{Operation, ResultCode};
use device_writeback_core::guid::ObjectGuid;
use device_writeback_core::schema::Attribute;

use device_writeback_file::LdifDirectory;

use crate::support::*;

fn change(modifications: &[(char, &'static str, &[&[u8]])]) -> Operation {
    modify(by_dn(&device_name(DEVICE)), modifications)
}

fn nobody() -> ObjectGuid {
    ObjectGuid::from_bytes([9; 16])
}

#[test]
fn modifications() {
    use ResultCode as R;
    let lab = Lab::new(DOMAIN);
    let missing = device_name(NEW);
    let users = "CN=Users,DC=contoso,DC=com";
    let physical = "msDS-DevicePhysicalIDs";
    let cases: Vec<(&str, Operation, ResultCode)> = vec![
        (
            "missing object",
            modify(by_dn(&missing), &[('+', "msDS-IsManaged", &[b"TRUE"])]),
            R::NO_SUCH_OBJECT,
        ),
        (
            "missing GUID",
            modify(by_guid(nobody()), &[('+', "msDS-IsManaged", &[b"TRUE"])]),
            R::NO_SUCH_OBJECT,
        ),
        ("no modification", change(&[]), R::UNWILLING_TO_PERFORM),
        (
            "another class",
            modify(by_dn(users), &[('+', "displayName", &[b"x"])]),
            R::UNWILLING_TO_PERFORM,
        ),
        (
            "the container",
            modify(by_dn(CONTAINER), &[('+', "displayName", &[b"x"])]),
            R::UNWILLING_TO_PERFORM,
        ),
        (
            "second value",
            change(&[('+', "displayName", &[b"two"])]),
            R::ATTRIBUTE_OR_VALUE_EXISTS,
        ),
        (
            "value is there",
            change(&[('+', physical, &[b"[GID]:g:1"])]),
            R::ATTRIBUTE_OR_VALUE_EXISTS,
        ),
        (
            "value is there in other case",
            change(&[('+', physical, &[b"[gid]:G:1"])]),
            R::ATTRIBUTE_OR_VALUE_EXISTS,
        ),
        (
            "value twice",
            change(&[('+', physical, &[b"q", b"q"])]),
            R::ATTRIBUTE_OR_VALUE_EXISTS,
        ),
        (
            "delete a missing value",
            change(&[('-', physical, &[b"none"])]),
            R::NO_SUCH_ATTRIBUTE,
        ),
        (
            "delete another value",
            change(&[('-', "displayName", &[b"two"])]),
            R::NO_SUCH_ATTRIBUTE,
        ),
        (
            "delete a missing attribute",
            change(&[('-', "msDS-CloudAnchor", &[b"x"])]),
            R::NO_SUCH_ATTRIBUTE,
        ),
        (
            "delete all of a missing attribute",
            change(&[('-', "msDS-CloudAnchor", &[])]),
            R::NO_SUCH_ATTRIBUTE,
        ),
        (
            "delete twice",
            change(&[
                ('-', physical, &[b"[GID]:g:1"]),
                ('-', physical, &[b"[GID]:g:1"]),
            ]),
            R::NO_SUCH_ATTRIBUTE,
        ),
        (
            "mandatory removed",
            change(&[('-', "displayName", &[b"one"])]),
            R::OBJECT_CLASS_VIOLATION,
        ),
        (
            "mandatory removed as a whole",
            change(&[('-', "altSecurityIdentities", &[])]),
            R::OBJECT_CLASS_VIOLATION,
        ),
        ("cn", change(&[('+', "cn", &[b"x"])]), R::NOT_ALLOWED_ON_RDN),
        (
            "name",
            change(&[('-', "name", &[b"x"])]),
            R::NOT_ALLOWED_ON_RDN,
        ),
        (
            "distinguishedName",
            change(&[('+', "distinguishedName", &[b"x"])]),
            R::CONSTRAINT_VIOLATION,
        ),
        (
            "objectGUID",
            change(&[('+', "objectGUID", &[&[1; 16]])]),
            R::CONSTRAINT_VIOLATION,
        ),
        (
            "whenCreated",
            change(&[('-', "whenCreated", &[])]),
            R::CONSTRAINT_VIOLATION,
        ),
        (
            "uSNChanged",
            change(&[('+', "uSNChanged", &[b"1"])]),
            R::CONSTRAINT_VIOLATION,
        ),
        (
            "instanceType",
            change(&[('+', "instanceType", &[b"4"])]),
            R::CONSTRAINT_VIOLATION,
        ),
        (
            "isDeleted",
            change(&[('+', "isDeleted", &[b"TRUE"])]),
            R::CONSTRAINT_VIOLATION,
        ),
        (
            "objectSid",
            change(&[('+', "objectSid", &[b"x"])]),
            R::UNWILLING_TO_PERFORM,
        ),
        (
            "objectClass",
            change(&[('+', "objectClass", &[b"container"])]),
            R::OBJECT_CLASS_VIOLATION,
        ),
        (
            "description",
            change(&[('-', "description", &[b"not ours"])]),
            R::UNWILLING_TO_PERFORM,
        ),
        (
            "nTSecurityDescriptor",
            change(&[('+', "nTSecurityDescriptor", &[b"x"])]),
            R::UNWILLING_TO_PERFORM,
        ),
        (
            "unknown attribute",
            change(&[('+', "noSuchAttr", &[b"x"])]),
            R::NO_SUCH_ATTRIBUTE,
        ),
        (
            "attribute of other classes",
            change(&[('+', "operatingSystem", &[b"x"])]),
            R::OBJECT_CLASS_VIOLATION,
        ),
        (
            "boolean yes",
            change(&[('+', "msDS-IsManaged", &[b"yes"])]),
            R::INVALID_ATTRIBUTE_SYNTAX,
        ),
        (
            "OS type of 1025",
            change(&[('+', "msDS-DeviceOSType", &[&[b'z'; 1025]])]),
            R::CONSTRAINT_VIOLATION,
        ),
        (
            "added without a value",
            change(&[('+', "msDS-IsManaged", &[])]),
            R::INVALID_ATTRIBUTE_SYNTAX,
        ),
        (
            "good, then bad",
            change(&[
                ('+', "msDS-IsManaged", &[b"TRUE"]),
                ('+', "msDS-IsManaged", &[b"FALSE"]),
            ]),
            R::ATTRIBUTE_OR_VALUE_EXISTS,
        ),
        (
            "delete of a missing object",
            delete(&missing),
            R::NO_SUCH_OBJECT,
        ),
        (
            "delete of the container",
            delete(CONTAINER),
            R::UNWILLING_TO_PERFORM,
        ),
        (
            "delete of the domain",
            delete(BASE),
            R::UNWILLING_TO_PERFORM,
        ),
        (
            "delete of another GUID",
            Operation::Delete {
                target: by_guid(nobody()),
            },
            R::NO_SUCH_OBJECT,
        ),
    ];
    refused(&lab, &cases);
}

#[test]
fn attributes_of_a_later_schema() {
    let (old, new) = (Lab::new(DOMAIN), Lab::new(DOMAIN));
    let (old, new) = (old.open_2012(), new.open());
    assert_eq!(facts(&old).schema.iter().count(), 14);
    assert_eq!(facts(&new).schema.iter().count(), 19);
    for (name, value) in [
        ("msDS-IsCompliant", &b"TRUE"[..]),
        ("msDS-DeviceTrustType", b"1"),
        ("msDS-ComputerSID", b"\x01\x01\0\0\0\0\0\x05\x12\0\0\0"),
        ("msDS-DeviceMDMStatus", b"x"),
        (
            "msDS-KeyCredentialLink",
            b"B:2:00:CN=Users,DC=contoso,DC=com",
        ),
    ] {
        for operation in [with(name, &[value]), change(&[('+', name, &[value])])] {
            let result = write(&old, &operation);
            assert_eq!(
                result.code,
                ResultCode::NO_SUCH_ATTRIBUTE,
                "{name}: {result}"
            );
        }
        done(&new, &change(&[('+', name, &[value])]));
    }
}

#[test]
fn edges_that_are_accepted() {
    let lab = Lab::new(DOMAIN);
    let directory = lab.open();
    let umlauts = "\u{fc}".repeat(256);
    let name = "n".repeat(64);
    for operation in [
        with("displayName", &[umlauts.as_bytes()]),
        named(&format!("CN={name},{CONTAINER}")),
        // Deleted and added again: a change of case only, and an assertion that changes nothing.
        change(&[
            ('-', "displayName", &[b"ONE"]),
            ('+', "displayName", &[b"ONE"]),
        ]),
        change(&[
            ('-', "msDS-DeviceID", &[&[0x11; 16]]),
            ('+', "msDS-DeviceID", &[&[0x11; 16]]),
        ]),
        change(&[('-', "msDS-DeviceObjectVersion", &[b"02"])]),
        change(&[('+', "msDS-DeviceObjectVersion", &[b"-1"])]),
        change(&[('-', "msDS-DevicePhysicalIDs", &[])]),
        change(&[(
            '+',
            "msDS-KeyCredentialLink",
            &[format!("B:2:00:{}", device_name(DEVICE)).as_bytes()],
        )]),
        change(&[('+', "msDS-RegisteredOwner", &[b"\x01\x02\x03"])]),
    ] {
        done(&directory, &operation);
    }
    let object = read(&directory, &device_name(DEVICE)).unwrap();
    assert_eq!(
        object.values.first(Attribute::DisplayName),
        Some(&b"ONE"[..])
    );
    assert!(!object.values.has(Attribute::DevicePhysicalIds));
}

#[test]
fn a_device_with_objects_below_it_stays_until_they_are_gone() {
    let below = |name: &str, class: &str| {
        format!("\ndn: CN={name},cn={DEVICE}, {CONTAINER}\nobjectClass: {class}\n")
    };
    let stays = |directory: &LdifDirectory| {
        let result = write(directory, &delete(&device_name(DEVICE)));
        assert_eq!(result.code, ResultCode::NOT_ALLOWED_ON_NON_LEAF, "{result}");
        assert!(result.message.starts_with("00002015: "), "{result}");
    };
    let lab = Lab::new(&format!("{DOMAIN}{}", below("a\\,b", "container")));
    stays(&lab.open());

    let lab = Lab::new(&format!(
        "{DOMAIN}{}{}",
        below("x", "msDS-Device"),
        below("y", "msDS-Device")
    ));
    let directory = lab.open();
    for child in ["x", "y"] {
        stays(&directory);
        done(
            &directory,
            &delete(&format!("CN={child},{}", device_name(DEVICE))),
        );
    }
    done(&directory, &delete(&device_name(DEVICE)));
    commit(&directory);
    assert!(import(&directory).is_empty());

    let many: String = (0..20).map(|n| below(&n.to_string(), "leaf")).collect();
    stays(&Lab::new(&format!("{DOMAIN}{many}")).open());
}
