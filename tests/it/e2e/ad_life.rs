//! The life of devices on a real domain controller: created, changed, disabled, taken over, deleted, and left alone.

use serde_json::json;

use device_writeback_tests::LabError;
use device_writeback_tests::samba::{BASE, DEVICES, SERVICE, SambaSchema};

use crate::ad_support::{
    LEVELS, Objects, Site, action, actions, alternative_id, device, device_octets, device_with, dn,
    line, listed, modify, named, object, object_id, value, values,
};
use crate::product::Said;

/// Attributes that came with the schema of 2016 and that something is planned for.
const NEWER: [&str; 3] = [
    "msDS-IsCompliant",
    "msDS-DeviceTrustType",
    "msDS-ComputerSID",
];

/// A second container, with an object that has everything an object of ours has except its place.
const ELSEWHERE: &str = "CN=OtherDevices,DC=contoso,DC=test";

/// What others have in the domain before we come, and what they keep.
fn others(site: &Site) -> Vec<String> {
    let adfs = format!("CN=a2f4c1d0-7b1e-4a55-9d0c-5e6f7a8b9c0d,{DEVICES}");
    let same_id = format!("CN=Registered by AD FS,{DEVICES}");
    let elsewhere = format!("CN=elsewhere,{ELSEWHERE}");
    let mark = line(
        "msDS-CloudAnchor",
        format!("Device_{}", object_id(1)).as_bytes(),
    );
    site.edit(&format!(
        "{}{}{}dn: {ELSEWHERE}\nchangetype: add\nobjectClass: msDS-DeviceContainer\n\n{}",
        object(
            &adfs,
            90,
            "description:  kept  \nmsDS-DeviceOSType: Windows\nmsDS-CloudIsManaged: FALSE\n"
        ),
        object(
            &same_id,
            5,
            "msDS-DeviceOSVersion: 6.3\ndescription: kept\n"
        ),
        object(&dn(6), 6, "msDS-DevicePhysicalIDs: [OLD]:6\n"),
        object(&elsewhere, 1, &mark),
    ));
    vec![adfs, same_id, dn(6), elsewhere]
}

fn assert_same(objects: &Objects, before: &Objects, names: &[String]) {
    for name in names {
        assert_eq!(objects.get(name), before.get(name), "{name}");
    }
}

fn life(schema: SambaSchema) {
    let site = Site::start(schema);
    let others = others(&site);
    let at_first = site.everything();
    let missing = match schema {
        SambaSchema::Windows2012R2 => json!(NEWER),
        SambaSchema::Windows2016 => json!([]),
    };

    // Four devices are new; two have an object that is somebody else's.
    let known: Vec<_> = (1..=6).map(device).collect();
    site.tell(&known);
    let (plan, objects) = site.round(&[]);
    let new = (1..=4).map(|number| action("create", number, "new_device"));
    assert_eq!(actions(&plan), new.collect::<Vec<_>>());
    let conflicts = [named("foreign_object", 5), named("foreign_object", 6)];
    assert_eq!(listed(&plan, "conflicts"), conflicts);
    assert_eq!(plan["summary"]["missing_attributes"], missing);
    assert_eq!(plan["container"], DEVICES);
    assert_same(&site.everything(), &at_first, &others);
    for number in 1..=4 {
        let value = |name| value(&objects, &dn(number), name);
        assert_eq!(value("displayName"), format!("DESKTOP-{number:04}"));
        assert_eq!(value("altSecurityIdentities"), alternative_id(number));
        assert_eq!(value("msDS-IsEnabled"), "TRUE");
        assert_eq!(
            value("msDS-CloudAnchor"),
            format!("Device_{}", object_id(number))
        );
        let id = values(&objects, &dn(number), "msDS-DeviceID");
        assert_eq!(id, [device_octets(number)]);
        for name in NEWER.iter().take(2) {
            let has_it = schema == SambaSchema::Windows2016;
            assert_eq!(
                !values(&objects, &dn(number), name).is_empty(),
                has_it,
                "{name}"
            );
        }
    }

    // What somebody adds to an object of ours stays through all that follows.
    let note = format!(
        "add: description\n{}",
        line("description", b" kept \xc3\xbc ")
    );
    site.edit(&modify(&dn(1), &note));
    // One is changed in every syntax, one disabled, one gone, one soft-deleted, one new.
    let changed = json!({
        "displayName": "LAPTOP-0001",
        "operatingSystemVersion": "10.0.27000.1",
        "physicalIds": ["[GID]:g:1", "[ORDER]:9"],
        "deviceVersion": 3,
        "isManaged": false,
        "isCompliant": null,
        "approximateLastSignInDateTime": "2026-05-30T00:00:00Z",
        "trustType": "Workplace",
    });
    let removed =
        |number, reason: &str| json!({"id": object_id(number), "@removed": {"reason": reason}});
    let source = [
        device_with(1, changed),
        device_with(2, json!({"accountEnabled": false})),
        removed(4, "changed"),
        device(7),
        device(6),
    ];
    site.tell(&source);
    let (plan, objects) = site.round(&[]);
    let expected = [
        action("disable", 2, "disabled_in_cloud"),
        action("disable", 4, "soft_deleted"),
        action("update", 1, "attributes_differ"),
        action("create", 7, "new_device"),
        action("delete", 3, "gone_absent"),
    ];
    assert_eq!(actions(&plan), expected);
    assert_eq!(listed(&plan, "conflicts"), [named("foreign_object", 6)]);
    assert_eq!(value(&objects, &dn(1), "displayName"), "LAPTOP-0001");
    let physical = [b"[GID]:g:1".to_vec(), b"[ORDER]:9".to_vec()];
    assert_eq!(values(&objects, &dn(1), "msDS-DevicePhysicalIDs"), physical);
    assert_eq!(value(&objects, &dn(1), "msDS-DeviceObjectVersion"), "3");
    assert_eq!(value(&objects, &dn(1), "msDS-IsManaged"), "FALSE");
    assert_eq!(
        values(&objects, &dn(1), "msDS-IsCompliant"),
        [] as [Vec<u8>; 0]
    );
    assert_eq!(
        values(&objects, &dn(1), "description"),
        [b" kept \xc3\xbc ".to_vec()]
    );
    for number in [2, 4] {
        assert_eq!(value(&objects, &dn(number), "msDS-IsEnabled"), "FALSE");
    }
    assert_same(&site.everything(), &at_first, &others);

    // The soft-deleted one is gone for good; the disabled one is enabled again.
    site.tell(&[
        source[0].clone(),
        device(2),
        removed(4, "deleted"),
        device(7),
    ]);
    let (plan, objects) = site.round(&[]);
    let expected = [
        action("update", 2, "attributes_differ"),
        action("delete", 4, "gone_removed"),
    ];
    assert_eq!(actions(&plan), expected);
    assert_eq!(value(&objects, &dn(2), "msDS-IsEnabled"), "TRUE");
    assert_same(&site.everything(), &at_first, &others);

    // Asked to, the program makes the others' objects of its devices its own; their names and other values stay.
    site.configure_rules("adopt = \"same-device-id\"");
    site.tell(&[
        source[0].clone(),
        device(2),
        device(5),
        device(6),
        device(7),
    ]);
    let (plan, objects) = site.round(&[]);
    let expected = [
        action("update", 5, "adopted"),
        action("update", 6, "adopted"),
    ];
    assert_eq!(actions(&plan), expected);
    assert_eq!(listed(&plan, "conflicts"), []);
    let same_id = &others[1];
    assert_eq!(value(&objects, same_id, "description"), "kept");
    assert_eq!(
        value(&objects, same_id, "msDS-DeviceOSVersion"),
        "10.0.26100.4061"
    );
    assert_eq!(
        value(&objects, same_id, "msDS-CloudAnchor"),
        format!("Device_{}", object_id(5))
    );
    assert!(!objects.contains_key(&dn(5)));
    assert_same(
        &site.everything(),
        &at_first,
        &[others[0].clone(), others[3].clone()],
    );

    // Ours for good: it goes with its device, and the rule need not be there any more.
    site.configure_rules("");
    site.tell(&[source[0].clone(), device(2), device(6), device(7)]);
    let (plan, objects) = site.round(&[]);
    assert_eq!(actions(&plan), [action("delete", 5, "gone_absent")]);
    assert!(!objects.contains_key(same_id));
    assert!(site.everything().contains_key(BASE));
}

#[test]
fn devices_live_and_die_on_a_domain_controller_of_2012_r2() {
    life(LEVELS[0]);
}

#[test]
fn devices_live_and_die_on_a_domain_controller_of_2016() {
    life(LEVELS[1]);
}

/// The change records of `plan --format ldif`, in the hands of somebody with `ldapmodify`.
#[test]
fn the_ldif_of_a_plan_does_what_the_program_does() {
    for schema in LEVELS {
        let site = Site::start(schema);
        let all: Vec<_> = (1..=5).map(device).collect();
        site.tell(&all);
        let apply = |ldif: &Said| site.dc.ldapmodify_as(&SERVICE, ldif.out.as_bytes());
        let ldif = || site.run(["plan", "--format", "ldif"]).expect(2);
        let before = site.everything();
        let plan = site.plan(&[]);
        apply(&ldif()).unwrap();
        site.assert_written(&plan, &before, &site.everything());
        site.assert_nothing_to_do(&[]);

        let changed = json!({"displayName": "Büro", "deviceVersion": 3, "physicalIds": ["x"], "isManaged": null});
        let disabled = json!({"accountEnabled": false});
        site.tell(&[
            device_with(1, changed),
            device_with(2, disabled),
            device(3),
            device(6),
        ]);
        let before = site.everything();
        let plan = site.plan(&[]);
        let second = ldif();
        apply(&second).unwrap();
        site.assert_written(&plan, &before, &site.everything());
        site.assert_nothing_to_do(&[]);
        // A second time the old values are not there any more: noSuchAttribute, [RFC 4511] 4.1.9.
        let before = site.devices();
        let outcome = apply(&second);
        assert!(
            matches!(outcome, Err(LabError::Failed { code: Some(16), .. })),
            "{outcome:?}"
        );
        assert_eq!(site.devices(), before);
    }
}

/// Two objects of one device, two devices with one certificate, a name that is taken: a person has to settle it.
#[test]
fn what_is_ambiguous_in_the_directory_is_a_conflict() {
    let site = Site::start(SambaSchema::Windows2016);
    let mark = |number| {
        line(
            "msDS-CloudAnchor",
            format!("Device_{}", object_id(number)).as_bytes(),
        )
    };
    let copy = format!("CN=copy,{DEVICES}");
    let squatter = dn(2);
    // The same certificate as that of another device, on somebody else's object of no device of ours.
    let thief = object(&format!("CN=thief,{DEVICES}"), 70, "")
        .replace(&alternative_id(70), &alternative_id(3));
    site.tell(&[device(1), device(4)]);
    site.round(&[]);
    site.edit(&format!(
        "{}{}{thief}",
        object(&copy, 1, &mark(1)),
        object(&squatter, 902, "")
    ));
    let before = site.everything();
    let mut renamed = device_with(1, json!({"displayName": "renamed"}));
    site.tell(&[renamed.clone(), device(2), device(3), device(4)]);
    let plan = site.plan(&[]);
    let expected = [
        named("duplicate_alternative_security_id", 3),
        named("duplicate_in_directory", 1),
        named("name_taken", 2),
    ];
    assert_eq!(listed(&plan, "conflicts"), expected);
    assert_eq!(actions(&plan), []);
    site.assert_nothing_to_do(&[]);
    assert_eq!(site.everything(), before);
    // Settled by hand, all goes its way.
    for dn in [copy, squatter, format!("CN=thief,{DEVICES}")] {
        site.edit(&format!("dn: {dn}\nchangetype: delete\n\n"));
    }
    renamed["accountEnabled"] = json!(false);
    site.tell(&[renamed, device(2), device(3), device(4)]);
    let (plan, _) = site.round(&[]);
    let expected = [
        action("disable", 1, "disabled_in_cloud"),
        action("create", 2, "new_device"),
        action("create", 3, "new_device"),
    ];
    assert_eq!(actions(&plan), expected);
}
