//! `explain`: by device id, object id and name.

use crate::support::{Place, assert_harmless};

#[test]
fn a_device_is_found_by_each_of_its_names() {
    let place = Place::new();
    for name in [
        "01634e75-ec8d-4e0d-8001-fd48c604b476",
        "01634E75-EC8D-4E0D-8001-FD48C604B476",
        "82975627-f8e9-4627-8f36-be003fa40516",
        "LAPTOP-NOWCLOUD",
        "laptop-nowcloud",
    ] {
        let said = place.run(&["explain", name]).expect(0);
        for piece in [
            "Device 01634e75-ec8d-4e0d-8001-fd48c604b476",
            "devices/page-1.json, byte ",
            "in_scope: the rules want it written",
            "Directory: CN=01634e75-ec8d-4e0d-8001-fd48c604b476,CN=RegisteredDevices,DC=contoso,DC=com",
            "yes: its mark names cloud object 82975627-f8e9-4627-8f36-be003fa40516",
            "registeredOwners",
            "differs",
            "- \"S-1-5-21-1463870531-2902573317-874120969-1108\"",
            "update: the cloud says something else than the directory (attributes_differ)",
            "msDS-RegisteredOwner, msDS-RegisteredUsers",
        ] {
            assert!(said.out.contains(piece), "{name}: {piece} in {}", said.out);
        }
    }
    assert!(place.is_untouched());
}

#[test]
fn every_kind_of_decision_is_explained() {
    let place = Place::new();
    for (device, why) in [
        ("LAPTOP-LOST-1", "disabled_in_cloud"),
        ("LAPTOP-SOFTREMOVED", "soft-deleted"),
        ("LAPTOP-SCRAPPED-1", "gone_removed"),
        ("LAPTOP-EXCLUDED", "it is in rules.exclude_devices"),
        ("LAPTOP-STALE", "held_stale"),
        ("LAPTOP-OTHERTENANT-1", "held_unknown"),
        ("LAPTOP-WITHKEY", "held_key"),
        ("676bc9ac-0c43-4664-8c84-43396ce4b93e", "held_unusable"),
        ("42bac19b-e030-4117-bf19-545db9719eb5", "held_bad_record"),
        ("10d4ee2d-cf4b-4f7b-b619-5f1ccd3fecac", "duplicate_in_cloud"),
        ("LAPTOP-DOUBLE", "duplicate_in_directory"),
        ("LAPTOP-REPLICA", "replication_conflict"),
        ("LAPTOP-NAMETAKEN", "name_taken"),
        ("LAPTOP-CLONE-1", "duplicate_alternative_security_id"),
        ("LAPTOP-ZEROID", "no_device_id"),
        ("LAPTOP-NOKEYS", "no_alternative_security_id"),
        ("OWN-1", "the object is not ours"),
        (
            "LAPTOP-SETS",
            "the object is as it should be: nothing to do",
        ),
        ("Kiosk-Printer", "new_device"),
    ] {
        let said = place.run(&["explain", device]);
        assert_eq!(said.code, 0, "{device}: {}", said.err);
        assert!(said.out.contains(why), "{device}: {why} in {}", said.out);
        let short = place.run(&["explain", "-q", device]).expect(0);
        assert_eq!(short.out.lines().count(), 1, "{}", short.out);
    }
}

#[test]
fn a_device_that_nobody_knows_is_an_error() {
    let place = Place::new();
    for name in ["00000000-1111-2222-3333-444444444444", "nobody\u{1b}[31m"] {
        let said = place.run(&["explain", name]).expect(1);
        assert!(
            said.err
                .contains("neither the source nor the directory has a device"),
            "{}",
            said.err
        );
        assert!(said.err.contains("help: give a device id"), "{}", said.err);
        assert_harmless(&said.err);
        assert_eq!(said.out, "");
    }
}
