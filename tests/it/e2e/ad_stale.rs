//! Between plan and apply somebody else changes objects on the domain controller: they win, whatever the syntax.

use device_writeback_tests::samba::{DEVICES, SambaSchema, Scope};
use serde_json::{Value, json};

use crate::ad_support::{
    LEVELS, Objects, Site, alternative_id, device, device_id, device_octets, device_with, dn, line,
    modify, object, object_id, people, text, value, values,
};

const ELSEWHERE: &str = "CN=OtherDevices,DC=contoso,DC=test";

/// What somebody does to an object between plan and apply.
struct Edit {
    number: u32,
    /// What the cloud says now, which is what the plan wants to write; `null` for a device that is gone.
    cloud: Value,
    /// LDIF.
    ldif: String,
    /// What has to be left of the change.
    expected: &'static str,
    /// What the editor wrote: an attribute and its values, which have to be there afterwards.
    kept: (&'static str, Vec<Vec<u8>>),
}

fn edits(site: &Site) -> Vec<Edit> {
    let mut edits = Vec::new();
    let sid = |user: usize| site.dc.users()[user].sid.clone();
    let mut edit = |cloud: Value, expected, lines: &str, name, kept: &[&[u8]]| {
        let number = u32::try_from(edits.len()).unwrap() + 1;
        let kept = kept.iter().map(|value| value.to_vec()).collect();
        edits.push(Edit {
            number,
            cloud,
            ldif: modify(&dn(number), &lines.replace("{n}", &number.to_string())),
            expected,
            kept: (name, kept),
        });
    };
    let replace = |name: &str, value: &[u8]| format!("replace: {name}\n{}", line(name, value));

    // Unicode, one value: another text, another case.
    let name = json!({"displayName": "new name"});
    edit(
        name.clone(),
        "stale",
        &replace("displayName", b"theirs \xc3\xbc"),
        "displayName",
        &[b"theirs \xc3\xbc"],
    );
    edit(
        name.clone(),
        "stale",
        &replace("displayName", b"desktop-0002"),
        "displayName",
        &[b"desktop-0002"],
    );
    // Unicode, several values: one more, one less, one in another case.
    let ids = json!({"physicalIds": ["[NEW]:1"]});
    let (one, two) = ("[HWID]:h:", "[GID]:g:");
    let name_of_ids = "msDS-DevicePhysicalIDs";
    edit(
        ids.clone(),
        "stale",
        &format!("add: {name_of_ids}\n{name_of_ids}: theirs"),
        name_of_ids,
        &[
            format!("{two}3").as_bytes(),
            format!("{one}3").as_bytes(),
            b"theirs",
        ],
    );
    edit(
        ids.clone(),
        "stale",
        &format!("delete: {name_of_ids}\n{name_of_ids}: {two}{{n}}"),
        name_of_ids,
        &[format!("{one}4").as_bytes()],
    );
    edit(
        ids,
        "stale",
        &format!(
            "delete: {name_of_ids}\n{name_of_ids}: {one}{{n}}\n-\nadd: {name_of_ids}\n{name_of_ids}: [hwid]:H:{{n}}"
        ),
        name_of_ids,
        &[format!("{two}5").as_bytes(), b"[hwid]:H:5"],
    );
    let key =
        json!({"alternativeSecurityIds": [crate::ad_support::graph_key(&alternative_id(1006))]});
    edit(
        key,
        "stale",
        "add: altSecurityIdentities\naltSecurityIdentities: theirs",
        "altSecurityIdentities",
        &[alternative_id(6).as_bytes(), b"theirs"],
    );
    // Boolean: taken away; and set to what the plan wants, which is no quarrel.
    edit(
        json!({"isManaged": false}),
        "stale",
        "delete: msDS-IsManaged",
        "msDS-IsManaged",
        &[],
    );
    edit(
        json!({"accountEnabled": false}),
        "done",
        &replace("msDS-IsEnabled", b"FALSE"),
        "msDS-IsEnabled",
        &[b"FALSE"],
    );
    // Integer.
    edit(
        json!({"deviceVersion": 3}),
        "stale",
        &replace("msDS-DeviceObjectVersion", b"7"),
        "msDS-DeviceObjectVersion",
        &[b"7"],
    );
    // LargeInteger: a little later, and later than what the plan wants, which stays.
    let raised = json!({"approximateLastSignInDateTime": "2026-05-31T00:00:00Z"});
    let logon = "msDS-ApproximateLastLogonTimeStamp";
    edit(
        raised.clone(),
        "stale",
        &replace(logon, b"134230000000000000"),
        logon,
        &[b"134230000000000000"],
    );
    edit(
        raised,
        "done",
        &replace(logon, b"134300000000000000"),
        logon,
        &[b"134300000000000000"],
    );
    // Octets: the owner, the users, the mark, which is asserted whatever the change is about.
    let owner = "msDS-RegisteredOwner";
    edit(
        json!({"registeredOwners": people(&[2])}),
        "stale",
        &replace(owner, sid(2).as_bytes()),
        owner,
        &[sid(2).as_bytes()],
    );
    let users = "msDS-RegisteredUsers";
    edit(
        json!({"registeredUsers": people(&[1, 2])}),
        "stale",
        &format!("add: {users}\n{}", line(users, sid(2).as_bytes())),
        users,
        &[sid(0).as_bytes(), sid(2).as_bytes()],
    );
    let theirs = format!("Device_{}", object_id(999));
    edit(
        json!({"deviceVersion": 3}),
        "stale",
        &replace("msDS-CloudAnchor", theirs.as_bytes()),
        "msDS-CloudAnchor",
        &[theirs.as_bytes()],
    );
    edit(
        json!({"displayName": "new"}),
        "stale",
        "delete: msDS-CloudAnchor",
        "msDS-CloudAnchor",
        &[],
    );
    edit(
        Value::Null,
        "stale",
        "delete: msDS-CloudAnchor",
        "msDS-CloudAnchor",
        &[],
    );
    edit(
        json!({"deviceVersion": 3}),
        "stale",
        &replace("msDS-DeviceID", &device_octets(999)),
        "msDS-DeviceID",
        &[&device_octets(999)],
    );
    // Not what the plan is about, in a change that is read and in one that is not.
    let note: &[u8] = b" theirs ";
    edit(
        name.clone(),
        "done",
        &replace("description", note),
        "description",
        &[note],
    );
    edit(
        json!({"deviceVersion": 3}),
        "done",
        &replace("description", note),
        "description",
        &[note],
    );
    edit(
        json!({"accountEnabled": false}),
        "done",
        &replace("displayName", note),
        "displayName",
        &[note],
    );
    edit(
        Value::Null,
        "deleted",
        &replace("description", note),
        "description",
        &[],
    );
    let other = device_octets(998);
    edit(
        Value::Null,
        "stale",
        &replace("msDS-DeviceID", &other),
        "msDS-DeviceID",
        &[&other],
    );
    if site.schema == SambaSchema::Windows2016 {
        let computer: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
        edit(
            json!({"onPremisesSecurityIdentifier": sid(3)}),
            "stale",
            &replace("msDS-ComputerSID", computer),
            "msDS-ComputerSID",
            &[computer],
        );
        edit(
            json!({"trustType": "Workplace"}),
            "stale",
            &replace("msDS-DeviceTrustType", b"2"),
            "msDS-DeviceTrustType",
            &[b"2"],
        );
        // A key keeps its object from being deleted, and is nobody's business otherwise.
        let link = "msDS-KeyCredentialLink";
        for (cloud, expected) in [(Value::Null, "stale"), (name, "done")] {
            let number = u32::try_from(edits.len()).unwrap() + 1;
            let key = format!("B:8:00020000:{}", dn(number));
            edits.push(Edit {
                number,
                cloud,
                ldif: modify(&dn(number), &format!("add: {link}\n{link}: {key}")),
                expected,
                kept: (link, vec![key.into_bytes()]),
            });
        }
    }
    edits
}

fn names_of(report: &Value) -> Vec<(String, String)> {
    let failures = report["result"]["failures"].as_array().unwrap().iter();
    let mut names: Vec<_> = failures
        .map(|failure| (text(&failure["verdict"]), text(&failure["device_id"])))
        .collect();
    names.sort_unstable();
    names
}

/// A tenant of these devices, each with an owner and a user, written; then what the cloud says of them is another thing.
fn prepare(site: &Site, clouds: &[(u32, Value)]) -> Value {
    let sids: Vec<_> = site
        .dc
        .users()
        .iter()
        .map(|user| user.sid.clone())
        .collect();
    let users: Vec<_> = (1..)
        .zip(&sids)
        .take(3)
        .map(|(number, sid)| (number, Some(&**sid)))
        .collect();
    site.tell_users(&users);
    let base = || {
        json!({
            "registeredOwners": people(&[1]),
            "registeredUsers": people(&[1]),
            "approximateLastSignInDateTime": "2026-05-01T00:00:00Z",
        })
    };
    let all: Vec<_> = clouds
        .iter()
        .map(|(number, _)| device_with(*number, base()))
        .collect();
    site.tell(&all);
    site.round(&[]);
    let now = clouds
        .iter()
        .filter(|(_, cloud)| !cloud.is_null())
        .map(|(number, cloud)| {
            let mut properties = base();
            for (name, value) in cloud.as_object().unwrap() {
                properties[name] = value.clone();
            }
            device_with(*number, properties)
        });
    site.tell(&now.collect::<Vec<_>>());
    site.save_plan("plan.json")
}

fn without_volatile(objects: &Objects) -> Objects {
    let mut objects = objects.clone();
    for object in objects.values_mut() {
        for name in ["uSNChanged", "whenChanged"] {
            object.remove(name);
        }
    }
    objects
}

fn stale_edits(schema: SambaSchema) {
    let site = Site::start(schema);
    let edits = edits(&site);
    let clouds: Vec<_> = edits
        .iter()
        .map(|edit| (edit.number, edit.cloud.clone()))
        .collect();
    let plan = prepare(&site, &clouds);
    assert_eq!(plan["changes"].as_array().unwrap().len(), edits.len());
    let ldif: String = edits.iter().map(|edit| &*edit.ldif).collect();
    site.edit(&ldif);
    let before = site.devices();

    let report = site.apply("plan.json", 2);
    let of = |expected: &'static str| edits.iter().filter(move |edit| edit.expected == expected);
    let mut stale: Vec<_> = of("stale")
        .map(|edit| ("stale".to_owned(), device_id(edit.number)))
        .collect();
    stale.sort_unstable();
    assert_eq!(names_of(&report), stale, "{report}");
    let result = &report["result"];
    assert_eq!(result["stale"], stale.len());
    assert_eq!(result["done"], edits.len() - stale.len());
    // The flag and the time that somebody else had set.
    assert_eq!(result["already"], 2, "{report}");

    let after = site.devices();
    for edit in &edits {
        let dn = dn(edit.number);
        if edit.expected == "deleted" {
            assert!(!after.contains_key(&dn), "{dn}");
            continue;
        }
        let (name, kept) = &edit.kept;
        assert_eq!(values(&after, &dn, name), kept, "{} {name}", edit.number);
        if edit.expected == "stale" {
            // Not a part of the change was carried out. A delete disables before it deletes, and not even that happened.
            assert_eq!(after.get(&dn), before.get(&dn), "{}", edit.number);
        }
    }
    assert_eq!(value(&after, &dn(18), "displayName"), "new name");
    assert_eq!(value(&after, &dn(19), "msDS-DeviceObjectVersion"), "3");
    assert_eq!(value(&after, &dn(20), "msDS-IsEnabled"), "FALSE");

    // Whoever applies that plan again finds the same.
    let again = site.apply("plan.json", 2);
    assert_eq!(names_of(&again), stale);
    assert_eq!(without_volatile(&site.devices()), without_volatile(&after));
}

#[test]
fn edits_between_plan_and_apply_stay_on_a_domain_controller_of_2012_r2() {
    stale_edits(LEVELS[0]);
}

#[test]
fn edits_between_plan_and_apply_stay_on_a_domain_controller_of_2016() {
    stale_edits(LEVELS[1]);
}

/// Objects of each kind of change that are deleted, replaced by another one of the same name, renamed, moved, left alone.
fn gone_objects(kinds: &[Value]) {
    let site = Site::start(SambaSchema::Windows2016);
    site.edit(&format!(
        "dn: {ELSEWHERE}\nchangetype: add\nobjectClass: msDS-DeviceContainer\n\n"
    ));
    let kind_of = |number: u32| kinds[number as usize % kinds.len()].clone();
    let count = u32::try_from(kinds.len()).unwrap();
    let mut clouds: Vec<_> = (0..5 * count)
        .map(|number| (number, kind_of(number)))
        .collect();
    // Not the last one of its tenant.
    clouds.push((99, json!({})));
    prepare(&site, &clouds);
    let mut ldif = String::new();
    for number in 0..4 * count {
        let dn = dn(number);
        let rename =
            format!("dn: {dn}\nchangetype: modrdn\nnewrdn: CN=of {number}\ndeleteoldrdn: 1\n");
        ldif += &match number / count {
            0 => format!("dn: {dn}\nchangetype: delete\n\n"),
            1 => {
                let mark = format!("Device_{}", object_id(number));
                let mark = line("msDS-CloudAnchor", mark.as_bytes());
                format!(
                    "dn: {dn}\nchangetype: delete\n\n{}",
                    object(&dn, 900 + number, &mark)
                )
            }
            2 => format!("{rename}\n"),
            _ => format!("{rename}newsuperior: {ELSEWHERE}\n\n"),
        };
    }
    site.edit(&ldif);
    let elsewhere = || site.search(ELSEWHERE, Scope::OneLevel, "(objectClass=*)", &[]);
    let (before, before_elsewhere) = (site.devices(), elsewhere());
    assert_eq!(before_elsewhere.len(), kinds.len());

    let report = site.apply("plan.json", 2);
    // To delete what is gone is done.
    let is_done = |number: &u32| *number < 2 * count && kind_of(*number).is_null();
    let stale: Vec<_> = (0..4 * count)
        .filter(|number| !is_done(number))
        .map(|number| ("stale".to_owned(), device_id(number)))
        .collect();
    assert_eq!(names_of(&report), stale, "{report}");
    let done = clouds.len() - 1 - stale.len();
    assert_eq!(report["result"]["done"], done, "{report}");
    assert_eq!(elsewhere(), before_elsewhere);
    let after = site.devices();
    for (dn, object) in &before {
        if (4 * count..5 * count).all(|number| *dn != self::dn(number)) {
            assert_eq!(after.get(dn), Some(object), "{dn}");
        }
    }
    for number in 4 * count..5 * count {
        let dn = dn(number);
        match &kind_of(number) {
            Value::Null => assert!(!after.contains_key(&dn)),
            kind if kind["displayName"].is_null() => {
                assert_eq!(value(&after, &dn, "msDS-DeviceObjectVersion"), "3");
            }
            _ => assert_eq!(value(&after, &dn, "displayName"), "new"),
        }
    }
}

#[test]
fn objects_that_are_gone_when_their_change_is_applied_are_left_alone() {
    // A change that is read before it is written, and one that is not.
    gone_objects(&[json!({"displayName": "new"}), json!({"deviceVersion": 3})]);
}

#[test]
fn objects_that_are_gone_when_they_are_to_be_deleted_are_left_alone() {
    gone_objects(&[Value::Null]);
}

/// Somebody made the object that the plan wants to make: with our device it is done or stale, of another device it is stale.
#[test]
fn objects_that_others_made_between_plan_and_apply_are_theirs() {
    let site = Site::start(SambaSchema::Windows2016);
    let devices: Vec<_> = (1..=4).map(device).collect();
    site.tell(&devices);
    site.save_plan("plan.json");
    let mark = line(
        "msDS-CloudAnchor",
        format!("Device_{}", object_id(3)).as_bytes(),
    );
    site.edit(&format!(
        "{}{}{}",
        object(&dn(1), 1, ""),
        object(&dn(2), 902, ""),
        object(&dn(3), 3, &mark)
    ));
    let before = site.devices();
    let report = site.apply("plan.json", 2);
    let stale = [1, 2, 3].map(|number| ("stale".to_owned(), device_id(number)));
    assert_eq!(names_of(&report), stale, "{report}");
    let after = site.devices();
    assert_eq!(after.len(), 4);
    for (dn, object) in &before {
        assert_eq!(after.get(dn), Some(object), "{dn}");
    }
    assert!(after.contains_key(&format!("CN={},{DEVICES}", device_id(4))));
    // What was made stays made: the same plan finds it done.
    let again = site.apply("plan.json", 2);
    assert_eq!(names_of(&again), stale);
    assert_eq!(again["result"]["already"], 1);
    assert_eq!(site.devices(), after);
}
