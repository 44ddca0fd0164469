//! Values as a real domain controller keeps them: every octet, odd names, long lists, and people that are not written.

use device_writeback_tests::samba::{BASE, SambaDc, SambaSchema, Scope};
use serde_json::{Value, json};

use crate::ad_support::{
    LEVELS, Objects, Site, action, actions, alternative_id, device, device_octets, device_with, dn,
    graph_key, line, listed, modify, named, object, object_id, people, sid_octets, values,
};

#[track_caller]
fn assert_value(objects: &Objects, number: u32, name: &str, expected: &[&[u8]]) {
    let mut expected: Vec<Vec<u8>> = expected.iter().map(|value| value.to_vec()).collect();
    expected.sort_unstable();
    assert_eq!(
        values(objects, &dn(number), name),
        expected,
        "{name} of {number}"
    );
}

/// A device about which everything is known.
fn whole(number: u32, computer: &str) -> Value {
    device_with(
        number,
        json!({
            "alternativeSecurityIds": [graph_key(&alternative_id(number)), graph_key(&alternative_id(1000 + number))],
            "registeredOwners": people(&[1]),
            "registeredUsers": people(&[1, 2]),
            "physicalIds": ["[USER-GID]:a", "[HWID]:b", "[Ünï]:c"],
            "approximateLastSignInDateTime": "2026-05-20T07:30:05.1234567Z",
            "deviceVersion": -3,
            "isManaged": false,
            "trustType": "ServerAd",
            "onPremisesSecurityIdentifier": computer,
        }),
    )
}

fn exact_octets(schema: SambaSchema) {
    let site = Site::start(schema);
    let sids: Vec<String> = site
        .dc
        .users()
        .iter()
        .map(|user| user.sid.clone())
        .collect();
    site.tell_users(&[(1, Some(&sids[0])), (2, Some(&sids[1]))]);
    // A SID of this domain; that of a computer account need not be one that the directory knows.
    let computer = format!("{}-4711", site.dc.domain_sid());
    site.tell(&[whole(1, &computer)]);
    let (_, objects) = site.round(&[]);
    let check = |objects: &Objects, owner: &[u8], other: &[u8], anchor: &[u8]| {
        let of = |name, expected: &[&[u8]]| assert_value(objects, 1, name, expected);
        of("displayName", &[b"DESKTOP-0001"]);
        let ids = [alternative_id(1), alternative_id(1001)];
        of(
            "altSecurityIdentities",
            &[ids[0].as_bytes(), ids[1].as_bytes()],
        );
        of("msDS-DeviceID", &[&device_octets(1)]);
        of("msDS-IsEnabled", &[b"TRUE"]);
        of("msDS-DeviceOSType", &[b"Windows"]);
        of("msDS-DeviceOSVersion", &[b"10.0.26100.4061"]);
        of(
            "msDS-DevicePhysicalIDs",
            &[b"[USER-GID]:a", b"[HWID]:b", "[Ünï]:c".as_bytes()],
        );
        of("msDS-DeviceObjectVersion", &[b"-3"]);
        of("msDS-CloudAnchor", &[anchor]);
        of("msDS-RegisteredOwner", &[owner]);
        of("msDS-RegisteredUsers", &[owner, other]);
        of("msDS-IsManaged", &[b"FALSE"]);
        of("msDS-CloudIsManaged", &[b"FALSE"]);
        // Seconds from 1601 to the sign-in, and seven digits of its fraction.
        of(
            "msDS-ApproximateLastLogonTimeStamp",
            &[b"134237358051234567"],
        );
        let newer = |expected: &[u8]| match schema {
            SambaSchema::Windows2012R2 => Vec::new(),
            SambaSchema::Windows2016 => vec![expected.to_vec()],
        };
        assert_eq!(values(objects, &dn(1), "msDS-IsCompliant"), newer(b"TRUE"));
        assert_eq!(values(objects, &dn(1), "msDS-DeviceTrustType"), newer(b"2"));
        assert_eq!(
            values(objects, &dn(1), "msDS-ComputerSID"),
            newer(&sid_octets(&computer))
        );
        assert_eq!(
            values(objects, &dn(1), "msDS-KeyCredentialLink"),
            [] as [Vec<u8>; 0]
        );
        assert_eq!(
            values(objects, &dn(1), "msDS-DeviceMDMStatus"),
            [] as [Vec<u8>; 0]
        );
    };
    let anchor = format!("Device_{}", object_id(1));
    check(
        &objects,
        sids[0].as_bytes(),
        sids[1].as_bytes(),
        anchor.as_bytes(),
    );

    // The other encodings mean the same: what is there stays, and what is new is written so.
    site.configure_rules("sid_encoding = \"binary\"\ncloud_anchor = \"binary\"");
    site.assert_nothing_to_do(&[]);
    site.edit(&modify(&dn(1), "").replace("changetype: modify", "changetype: delete"));
    let (plan, objects) = site.round(&[]);
    assert_eq!(actions(&plan), [action("create", 1, "new_device")]);
    // object_id(1), its first three fields little-endian.
    let guid = [
        0, 0xc7, 0x1e, 0x0b, 0, 0, 0, 0x40, 0x80, 0, 0, 0, 0, 0, 0, 1,
    ];
    check(
        &objects,
        &sid_octets(&sids[0]),
        &sid_octets(&sids[1]),
        &guid,
    );
    site.configure_rules("");
    site.assert_nothing_to_do(&[]);
}

#[test]
fn octets_are_exact_on_a_domain_controller_of_2012_r2() {
    exact_octets(LEVELS[0]);
}

#[test]
fn octets_are_exact_on_a_domain_controller_of_2016() {
    exact_octets(LEVELS[1]);
}

/// The SID of a user whom the domain had.
fn deleted_user(dc: &SambaDc) -> String {
    let user = dc.users().last().unwrap();
    dc.ldapmodify(format!("dn: {}\nchangetype: delete\n", user.dn).as_bytes())
        .unwrap();
    user.sid.clone()
}

fn notices(plan: &Value) -> Vec<(u64, String, String)> {
    let mut found = Vec::new();
    for (place, change) in (1..).zip(plan["changes"].as_array().unwrap()) {
        for notice in change["notices"].as_array().into_iter().flatten() {
            let text = |name: &str| notice[name].as_str().unwrap().to_owned();
            found.push((place, text("attribute"), text("code")));
        }
    }
    found
}

#[test]
fn owners_that_the_domain_does_not_vouch_for_are_not_written() {
    let site = Site::start(SambaSchema::Windows2016);
    let sid = |user: usize| site.dc.users()[user].sid.clone();
    let admin = format!("{}-500", site.dc.domain_sid());
    let (ordinary, protected, deleted) = (sid(0), sid(1), deleted_user(&site.dc));
    let user_dn = &site.dc.users()[1].dn;
    site.edit(&modify(user_dn, "replace: adminCount\nadminCount: 1"));
    site.edit(&format!(
        "dn: CN=people,CN=Users,{BASE}\nchangetype: add\nobjectClass: group\n\n"
    ));
    let sid_of = |filter: &str| {
        let found = site.search(BASE, Scope::Subtree, filter, &["objectSid"]);
        let rid = found.values().next().unwrap()["objectSid"][0]
            .last_chunk()
            .copied();
        format!(
            "{}-{}",
            site.dc.domain_sid(),
            u32::from_le_bytes(rid.unwrap())
        )
    };
    let (computer, group) = (sid_of("(sAMAccountName=DC1$)"), sid_of("(cn=people)"));
    let foreign = "S-1-5-21-1463870531-2902573317-874120969-1103";
    site.tell_users(&[
        (1, Some(&ordinary)),
        (2, Some(&admin)),
        (3, Some(&protected)),
        (4, Some(&deleted)),
        (5, Some(foreign)),
        (6, Some("S-1-5-18")),
        (7, Some(&computer)),
        (8, Some(&group)),
        (9, None),
    ]);
    let owned =
        |number: u32, user: u32| device_with(number, json!({"registeredOwners": people(&[user])}));
    // The tenth user is in no export: nothing is known of them.
    let all: Vec<_> = (1..=10).map(|number| owned(number, number)).collect();
    site.tell(&all);
    let (plan, objects) = site.round(&[]);
    let expected = [
        (2, "owner_built_in"),
        (3, "owner_protected"),
        (4, "owner_unresolved"),
        (5, "owner_foreign_domain"),
        (6, "owner_foreign_domain"),
        (7, "owner_unresolved"),
        (8, "owner_unresolved"),
        (10, "owner_unknown"),
    ];
    let expected = expected
        .map(|(place, reason)| (place, "msDS-RegisteredOwner".to_owned(), reason.to_owned()));
    assert_eq!(notices(&plan), expected);
    assert_value(&objects, 1, "msDS-RegisteredOwner", &[ordinary.as_bytes()]);
    for number in 2..=10 {
        assert_value(&objects, number, "msDS-RegisteredOwner", &[]);
    }

    // An owner who comes under protection is taken away, one who is unknown is not.
    let mut later = all.clone();
    later[0] = owned(1, 3);
    later[8] = owned(9, 1);
    site.tell(&later);
    let (_, objects) = site.round(&[]);
    assert_value(&objects, 1, "msDS-RegisteredOwner", &[]);
    assert_value(&objects, 9, "msDS-RegisteredOwner", &[ordinary.as_bytes()]);
    later[8] = owned(9, 10);
    site.tell(&later);
    site.assert_nothing_to_do(&[]);

    // The rule lets the protected one through, and nobody else.
    site.configure_rules("allow_protected_owners = true");
    let (plan, objects) = site.round(&[]);
    let expected = [1, 3].map(|number| action("update", number, "attributes_differ"));
    assert_eq!(actions(&plan), expected);
    for number in [1, 3] {
        assert_value(
            &objects,
            number,
            "msDS-RegisteredOwner",
            &[protected.as_bytes()],
        );
    }
    assert_value(&objects, 2, "msDS-RegisteredOwner", &[]);

    // A saved plan is an unsigned order: what the domain says counts when it is applied, not when it was made.
    later[4] = owned(5, 1);
    site.tell(&later);
    site.save_plan("plan.json");
    let user = &site.dc.users()[0].dn;
    site.edit(&format!("dn: {user}\nchangetype: delete\n\n"));
    let before = site.devices();
    let said = site.run(["apply", "plan.json"]).expect(1);
    assert!(said.err.contains(&ordinary), "{}", said.err);
    assert_eq!(site.devices(), before);
}

#[test]
fn odd_names_survive_as_they_are() {
    let emoji = "🦀".repeat(128);
    let names = [
        "Büro-Gerät ÄÖÜß",
        "laptop of 王小明 🦀",
        " leading",
        "trailing ",
        "  both  ",
        "\"quoted\" 'single' `back`",
        r"back\slash, comma+plus=equals;semi<less>more#hash",
        "#hash first",
        "(cn=*)\\2a)(|",
        "tab\tand\nline",
        "CN=Administrator,CN=Users,DC=contoso,DC=test",
        "<script>alert(1)</script>",
        "e\u{301} is not é",
        "\u{202e}right to left",
        // 256 UTF-16 code units, one octet and four octets a character.
        &"x".repeat(256),
        &emoji,
    ];
    for schema in LEVELS {
        let site = Site::start(schema);
        let device_of = |number: u32, name: &str| device_with(number, json!({"displayName": name}));
        let mut all: Vec<_> = (1..)
            .zip(names)
            .map(|(number, name)| device_of(number, name))
            .collect();
        let too_long = [&"x".repeat(257), &format!("{emoji}x"), &"ü".repeat(257)];
        let (first, last) = (101, 103);
        all.extend(
            (first..)
                .zip(too_long)
                .map(|(number, name)| device_of(number, name)),
        );
        site.tell(&all);
        let (plan, objects) = site.round(&[]);
        assert_eq!(objects.len(), names.len());
        for (number, name) in (1..).zip(names) {
            assert_value(&objects, number, "displayName", &[name.as_bytes()]);
        }
        let skipped: Vec<_> = (first..=last)
            .map(|number| named("display_name_too_long", number))
            .collect();
        assert_eq!(listed(&plan, "skipped"), skipped);

        // Renamed to one that is too long: the object is held, but disabled when the device is.
        all[0] = device_with(
            1,
            json!({"displayName": too_long[0], "accountEnabled": false}),
        );
        all[1] = device_of(2, " Laptop of 王小明 🦀");
        site.tell(&all);
        let (plan, objects) = site.round(&[]);
        let expected = [
            action("disable", 1, "disabled_in_cloud"),
            action("update", 2, "attributes_differ"),
        ];
        assert_eq!(actions(&plan), expected);
        assert_eq!(listed(&plan, "held"), [named("held_unusable", 1)]);
        assert_value(&objects, 1, "displayName", &[names[0].as_bytes()]);
        assert_value(&objects, 1, "msDS-IsEnabled", &[b"FALSE"]);
        assert_value(
            &objects,
            2,
            "displayName",
            &[" Laptop of 王小明 🦀".as_bytes()],
        );
        // By its name it is found again.
        let said = site
            .run(["explain", "--format", "json", names[6]])
            .expect(0);
        assert_eq!(
            said.json()["device_ids"][0],
            crate::ad_support::device_id(7)
        );
    }
}

#[test]
fn long_lists_of_values_are_read_whole() {
    const COUNT: usize = 1_700;
    let site = Site::start(SambaSchema::Windows2016);
    let id = |number: usize| format!("[HWID]:h:{number:06}");
    let ids: Vec<String> = (0..COUNT).map(id).collect();
    site.tell(&[device_with(1, json!({"physicalIds": ids})), device(2)]);
    let (_, objects) = site.round(&[]);
    let octets: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes()).collect();
    assert_value(&objects, 1, "msDS-DevicePhysicalIDs", &octets);

    // One of them goes, one comes; the last of them is changed by somebody else before that is applied.
    let mut later = ids.clone();
    later[COUNT / 2] = id(COUNT);
    site.tell(&[device_with(1, json!({"physicalIds": later})), device(2)]);
    site.save_plan("plan.json");
    let name = "msDS-DevicePhysicalIDs";
    let edit = |remove: &str, add: &str| {
        let lines = format!("delete: {name}\n{name}: {remove}\n-\nadd: {name}\n{name}: {add}");
        site.edit(&modify(&dn(1), &lines));
    };
    edit(&id(COUNT - 1), "theirs");
    let report = site.apply("plan.json", 2);
    assert_eq!(report["result"]["stale"], 1, "{report}");
    edit("theirs", &id(COUNT - 1));
    assert_eq!(site.apply("plan.json", 0)["result"]["done"], 1);
    let octets: Vec<&[u8]> = later.iter().map(|id| id.as_bytes()).collect();
    assert_value(&site.devices(), 1, name, &octets);
    site.assert_nothing_to_do(&[]);
}

/// Old values that are no values of the attribute, as somebody else's program may have left them.
#[test]
fn values_that_mean_nothing_are_replaced_and_do_no_harm() {
    let site = Site::start(SambaSchema::Windows2016);
    let anchor = |number: u32| {
        line(
            "msDS-CloudAnchor",
            format!("Device_{}", object_id(number)).as_bytes(),
        )
    };
    let garbage =
        line("msDS-RegisteredOwner", b"\x00\xff\x80") + &line("msDS-ComputerSID", b"\x01\x02");
    site.edit(&object(
        &dn(1),
        1,
        &format!(
            "{}{garbage}msDS-ApproximateLastLogonTimeStamp: -1\n",
            anchor(1)
        ),
    ));
    // A mark that names no cloud object is a mark all the same.
    site.edit(&object(
        &dn(2),
        2,
        &line("msDS-CloudAnchor", b"\xff\x00garbage"),
    ));
    let owner = site.dc.users()[0].sid.clone();
    site.tell_users(&[(1, Some(&owner))]);
    site.tell(&[
        device_with(1, json!({"registeredOwners": people(&[1])})),
        device(2),
    ]);
    let (plan, objects) = site.round(&["--take-over"]);
    let expected = [1, 2].map(|number| action("update", number, "attributes_differ"));
    assert_eq!(actions(&plan), expected);
    assert_value(&objects, 1, "msDS-RegisteredOwner", &[owner.as_bytes()]);
    assert_value(&objects, 1, "msDS-ComputerSID", &[]);
    let anchor = format!("Device_{}", object_id(2));
    assert_value(&objects, 2, "msDS-CloudAnchor", &[anchor.as_bytes()]);
}
