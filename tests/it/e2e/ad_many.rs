//! As many devices as an organization has, in one run: more than two pages of a real domain controller's answers.

use device_writeback_tests::samba::SambaSchema;
use serde_json::{Value, json};

use crate::ad_support::{
    Site, device_id, device_octets, device_with, dn, object_id, people, text, value, values,
};

const COUNT: u32 = 2_012;

/// One of many: every eighth is disabled, every third has an owner.
fn device(number: u32) -> Value {
    let owners = match number % 3 {
        0 => people(&[number % 10]),
        _ => json!([]),
    };
    let trust_type = ["AzureAd", "ServerAd", "Workplace"][number as usize % 3];
    device_with(
        number,
        json!({
            "displayName": format!("Gerät {number:05}"),
            "accountEnabled": !number.is_multiple_of(8),
            "registeredOwners": owners,
            "trustType": trust_type,
        }),
    )
}

#[test]
fn two_thousand_and_twelve_devices_in_one_run() {
    let site = Site::start(SambaSchema::Windows2016);
    let sids: Vec<_> = site
        .dc
        .users()
        .iter()
        .map(|user| user.sid.clone())
        .collect();
    let users: Vec<_> = (0..)
        .zip(&sids)
        .take(10)
        .map(|(number, sid)| (number, Some(&**sid)))
        .collect();
    site.tell_users(&users);
    let mut all: Vec<_> = (0..COUNT).map(device).collect();
    site.tell(&all);
    // Planned, done, compared octet by octet, and a second run finds nothing to do and writes nothing.
    let (plan, objects) = site.round(&[]);
    assert_eq!(plan["summary"]["actions"]["create"], COUNT);
    assert_eq!(objects.len(), COUNT as usize);
    for number in 0..COUNT {
        let dn = dn(number);
        assert_eq!(
            value(&objects, &dn, "displayName"),
            format!("Gerät {number:05}")
        );
        assert_eq!(
            values(&objects, &dn, "msDS-DeviceID"),
            [device_octets(number)]
        );
        assert_eq!(
            value(&objects, &dn, "msDS-CloudAnchor"),
            format!("Device_{}", object_id(number))
        );
        let enabled = if number % 8 == 0 { "FALSE" } else { "TRUE" };
        assert_eq!(value(&objects, &dn, "msDS-IsEnabled"), enabled);
        let owner = match number % 3 {
            0 => vec![sids[number as usize % 10].clone().into_bytes()],
            _ => Vec::new(),
        };
        assert_eq!(values(&objects, &dn, "msDS-RegisteredOwner"), owner);
    }

    // One is explained, by its id and by its name.
    for question in [device_id(1_234), "Gerät 01234".to_owned()] {
        let explained = site
            .run(["explain", "--format", "json", &question])
            .expect(0)
            .json();
        assert_eq!(explained["device_ids"], json!([device_id(1_234)]));
        assert_eq!(explained["changes"], json!([]));
        assert_eq!(explained["directory"][0]["dn"], dn(1_234));
    }

    // One in a hundred is gone, as many are new, and one in twenty has another version.
    let part = COUNT / 100;
    all.drain(..part as usize);
    all.extend((COUNT..COUNT + part).map(device));
    for device in all.iter_mut().step_by(20) {
        device["operatingSystemVersion"] = json!("10.0.27000.1");
    }
    site.tell(&all);
    let (plan, after) = site.round(&[]);
    let actions = &plan["summary"]["actions"];
    // Every twentieth of the new ones is new with its version.
    let of_new = (all.len() - part as usize..all.len())
        .filter(|place| place % 20 == 0)
        .count();
    let changed = all.len().div_ceil(20) - of_new;
    assert_eq!(
        *actions,
        json!({"create": part, "delete": part, "disable": 0, "update": changed})
    );
    assert_eq!(after.len(), COUNT as usize);
    let mut gone: Vec<_> = (0..part).map(device_id).collect();
    gone.sort_unstable();
    let deleted: Vec<_> = plan["changes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|change| change["action"] == "delete")
        .map(|change| text(&change["device_id"]))
        .collect();
    assert_eq!(deleted, gone);
    // What nothing was to be done about was not written.
    let written = after
        .iter()
        .filter(|(dn, object)| objects.get(*dn) != Some(object))
        .count();
    assert_eq!(written, part as usize + changed);
}
