//! A forest that others have used before: a container as Entra Connect leaves it, a container that is elsewhere, a domain that is
//! another one, and devices that AD FS would clean up.

use std::fs;

use device_writeback_tests::samba::{ADMIN, DEVICES, SERVICE, SambaSchema};
use serde_json::{Value, json};

use crate::ad_support::{
    LEVELS, Setup, Site, action, actions, alternative_id, device, device_id, device_octets,
    device_with, dn, line, listed, named, object, object_id, people, sid_octets, value, values,
};

/// What Graph says of a device that Connect has written.
fn written_by_connect(number: u32) -> Value {
    device_with(
        number,
        json!({
            "registeredOwners": people(&[1]),
            "registeredUsers": people(&[1]),
            "physicalIds": ["[USER-GID]:a", "[HWID]:B"],
        }),
    )
}

/// The object of [`written_by_connect`]: Connect's documented list of attributes and no more. Where sources disagree on an
/// encoding, even numbers have the one and odd numbers the other.
fn object_of_connect(schema: SambaSchema, number: u32, owner: &str) -> String {
    let odd = number % 2 == 1;
    let guid = device_octets_of(&object_id(number));
    let anchor = match odd {
        true => format!("Device_{}", object_id(number)).into_bytes(),
        false => guid,
    };
    let owner = match odd {
        true => owner.as_bytes().to_vec(),
        false => sid_octets(owner),
    };
    // Nobody has seen in a primary source how Connect names its objects.
    let dn = match number % 3 {
        0 => format!("CN={{{}}},{DEVICES}", device_id(number).to_uppercase()),
        _ => dn(number),
    };
    let mut ldif = format!(
        "dn: {dn}\nchangetype: add\nobjectClass: msDS-Device\ndisplayName: DESKTOP-{number:04}\n\
         altSecurityIdentities: {}\nmsDS-IsEnabled: TRUE\nmsDS-IsManaged: TRUE\nmsDS-DeviceObjectVersion: 2\n\
         msDS-DeviceOSType: Windows\nmsDS-DeviceOSVersion: 10.0.26100.4061\n\
         msDS-DevicePhysicalIDs: [HWID]:B\nmsDS-DevicePhysicalIDs: [USER-GID]:a\n{}{}{}",
        alternative_id(number),
        line("msDS-DeviceID", &device_octets(number)),
        line("msDS-CloudAnchor", &anchor),
        line("msDS-RegisteredOwner", &owner),
    );
    if schema == SambaSchema::Windows2016 {
        ldif += "msDS-IsCompliant: TRUE\n\n";
        // In the same write the object that the link names is not there yet.
        ldif += &format!(
            "dn: {dn}\nchangetype: modify\nadd: msDS-KeyCredentialLink\nmsDS-KeyCredentialLink: {}\n",
            key(&dn)
        );
    }
    ldif + "\n"
}

/// A key blob with nothing in it but its version.
fn key(dn: &str) -> String {
    format!("B:8:00020000:{dn}")
}

/// The octets of a GUID as Microsoft stores one.
fn device_octets_of(guid: &str) -> Vec<u8> {
    let digits: String = guid.chars().filter(|c| *c != '-').collect();
    let octets = u128::from_str_radix(&digits, 16).unwrap().to_be_bytes();
    [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
        .map(|place| octets[place])
        .to_vec()
}

fn take_over(schema: SambaSchema) {
    const COUNT: u32 = 6;
    let site = Site::start(schema);
    let owner = site.dc.users()[0].sid.clone();
    site.tell_users(&[(1, Some(&owner))]);
    for number in 1..=COUNT {
        site.edit(&object_of_connect(schema, number, &owner));
    }
    site.configure_rules("profile = \"connect\"");
    let before = site.devices();
    let all: Vec<_> = (1..=COUNT).map(written_by_connect).collect();

    // Nobody is gone: what Connect wrote is what we would have written.
    site.tell(&all);
    for more in [&[][..], &["--take-over"]] {
        let plan = site.plan(more);
        assert_eq!(actions(&plan), []);
        assert_eq!(listed(&plan, "held"), []);
        assert_eq!(plan["summary"]["unchanged"], COUNT);
        assert_eq!(plan["summary"]["our_objects"], COUNT);
    }
    // Two are gone, of which this source has never heard: whose they are nobody knows.
    let (first, second) = (COUNT - 1, COUNT);
    let fewer = &all[..all.len() - 2];
    site.tell(fewer);
    let plan = site.plan(&[]);
    assert_eq!(actions(&plan), []);
    let unknown = [first, second].map(|number| named("held_unknown", number));
    assert_eq!(listed(&plan, "held"), unknown);
    site.assert_nothing_to_do(&[]);
    assert_eq!(site.devices(), before);

    // Taken over they are ours, and go; but no key goes that nobody could write again.
    match schema {
        SambaSchema::Windows2012R2 => {
            let (plan, objects) = site.round(&["--take-over"]);
            let gone = [first, second].map(|number| action("delete", number, "gone_absent"));
            assert_eq!(actions(&plan), gone);
            assert_eq!(objects.len(), before.len() - 2);
        }
        SambaSchema::Windows2016 => {
            let plan = site.plan(&["--take-over"]);
            assert_eq!(actions(&plan), []);
            let held = [first, second].map(|number| named("held_key", number));
            assert_eq!(listed(&plan, "held"), held);
            site.assert_nothing_to_do(&["--take-over"]);
            assert_eq!(site.devices(), before);
        }
    }

    // The profile for AD FS adds what Connect did not write; what both write and the keys stay as they are, octet for octet.
    site.configure_rules("");
    site.tell(&all);
    let (plan, objects) = site.round(&[]);
    for change in plan["changes"].as_array().unwrap() {
        if change["action"] == "create" {
            continue;
        }
        let attributes = change["attributes"].as_array().unwrap().iter();
        let names: Vec<_> = attributes
            .map(|attribute| attribute["name"].as_str().unwrap())
            .collect();
        let mut expected = vec![
            "msDS-RegisteredUsers",
            "msDS-CloudIsManaged",
            "msDS-ApproximateLastLogonTimeStamp",
        ];
        if schema == SambaSchema::Windows2016 {
            expected.push("msDS-DeviceTrustType");
        }
        assert_eq!(names, expected, "{change}");
    }
    assert_eq!(plan["changes"].as_array().unwrap().len(), all.len());
    if schema == SambaSchema::Windows2016 {
        for dn in objects.keys() {
            assert_eq!(
                values(&objects, dn, "msDS-KeyCredentialLink"),
                [key(dn).into_bytes()]
            );
        }
    }
}

#[test]
fn a_container_of_connect_is_taken_over_without_a_change_in_2012_r2() {
    take_over(LEVELS[0]);
}

#[test]
fn a_container_of_connect_is_taken_over_without_a_change_in_2016() {
    take_over(LEVELS[1]);
}

#[test]
fn the_container_is_where_the_registration_service_says() {
    const HERE: &str = "CN=Devices of AD FS,DC=contoso,DC=test";
    let site = Site::start(SambaSchema::Windows2016);
    let top =
        "CN=Device Registration Configuration,CN=Services,CN=Configuration,DC=contoso,DC=test";
    let services = format!("CN=Device Registration Services,{top}");
    let service = format!("CN=9a1e0a4c-52c1-4a3e-8d2f-6d6a3f1b7c05,{services}");
    site.edit(&format!(
        "dn: {HERE}\nchangetype: add\nobjectClass: msDS-DeviceContainer\n\n\
         dn: {top}\nchangetype: add\nobjectClass: container\n\n\
         dn: {services}\nchangetype: add\nobjectClass: msDS-DeviceRegistrationServiceContainer\n\n\
         dn: {service}\nchangetype: add\nobjectClass: msDS-DeviceRegistrationService\n\
         msDS-DeviceLocation: {HERE}\nmsDS-IsEnabled: TRUE\nmsDS-RegistrationQuota: 10\n\
         msDS-MaximumRegistrationInactivityPeriod: 0\n\n",
    ));
    let as_admin = |directory: &str| Setup {
        account: ADMIN,
        directory: directory.to_owned(),
        ..site.setup()
    };
    site.configure(&as_admin(""));
    site.tell(&[device(1)]);
    let (plan, objects) = site.round(&[]);
    assert_eq!(plan["container"], HERE);
    assert!(objects.is_empty(), "nothing in the usual container");
    let dn = format!("CN={},{HERE}", device_id(1));
    let everything = site.everything();
    assert_eq!(value(&everything, &dn, "msDS-IsEnabled"), "TRUE");

    // A container of the configuration that AD FS would not look into: it is said, and not used.
    site.configure(&as_admin(&format!("container = \"{DEVICES}\"")));
    let said = site.run(["plan", "--format", "json"]).expect(0);
    assert_eq!(said.json()["container"], HERE);
    assert!(said.err.contains("names another container"), "{}", said.err);
}

#[test]
fn the_container_is_one_of_the_domain_and_of_its_class() {
    const HERE: &str = "CN=Devices of AD FS,DC=contoso,DC=test";
    let site = Site::start(SambaSchema::Windows2012R2);
    site.edit(&format!(
        "dn: {HERE}\nchangetype: add\nobjectClass: msDS-DeviceContainer\n\n"
    ));
    site.tell(&[device(1)]);
    let configure = |directory: &str| {
        site.configure(&Setup {
            account: ADMIN,
            directory: directory.to_owned(),
            ..site.setup()
        });
    };
    for (line, what) in [
        ("container = \"CN=Users,DC=contoso,DC=test\"", "CN=Users"),
        (
            "container = \"CN=RegisteredDevices,DC=fabrikam,DC=test\"",
            "DC=fabrikam",
        ),
        ("base = \"DC=fabrikam,DC=test\"", "DC=fabrikam"),
    ] {
        configure(line);
        let said = site.run(["plan"]).expect(1);
        assert!(said.err.contains(what), "{}", said.err);
        assert!(said.err.contains("\nhelp: "), "{}", said.err);
    }
    // One that is not there: what would be done can be said, but not done.
    configure("container = \"CN=Nowhere,DC=contoso,DC=test\"");
    assert_eq!(site.plan(&[])["container"], "CN=Nowhere,DC=contoso,DC=test");
    let said = site.run(["sync"]).expect(1);
    assert!(said.err.contains("CN=Nowhere"), "{}", said.err);
    assert!(said.err.contains("\nhelp: "), "{}", said.err);

    configure(&format!("container = \"{HERE}\""));
    let (plan, objects) = site.round(&[]);
    assert_eq!(plan["container"], HERE);
    assert!(objects.is_empty(), "nothing in the usual container");
    let dn = format!("CN={},{HERE}", device_id(1));
    assert_eq!(value(&site.everything(), &dn, "msDS-IsEnabled"), "TRUE");
}

#[test]
fn devices_that_ad_fs_would_clean_up_are_not_made() {
    let site = Site::start(SambaSchema::Windows2012R2);
    // 120 and 60 days before the moment of the run.
    let old = |number| {
        device_with(
            number,
            json!({"approximateLastSignInDateTime": "2026-02-01T08:00:00Z"}),
        )
    };
    let recent = |number| {
        device_with(
            number,
            json!({"approximateLastSignInDateTime": "2026-04-02T08:00:00Z"}),
        )
    };
    let all = [old(1), recent(2)];
    site.tell(&all);
    // Without a service nothing is ever too old, nor is it while the service cleans nothing up.
    let both = [1, 2].map(|number| action("create", number, "new_device"));
    assert_eq!(actions(&site.plan(&[])), both);
    site.dc.prepare_registration_service(0).unwrap();
    assert_eq!(actions(&site.plan(&[])), both);
    site.dc.prepare_registration_service(90).unwrap();
    let (plan, _) = site.round(&[]);
    assert_eq!(actions(&plan), [action("create", 2, "new_device")]);
    assert_eq!(listed(&plan, "skipped"), [named("stale", 1)]);
    // One that is there is left alone, except that it is disabled when its device is.
    site.dc.prepare_registration_service(30).unwrap();
    let mut renamed = recent(2);
    renamed["displayName"] = json!("renamed");
    site.tell(&[old(1), renamed.clone(), device(3)]);
    let (plan, _) = site.round(&[]);
    assert_eq!(actions(&plan), [action("create", 3, "new_device")]);
    assert_eq!(listed(&plan, "held"), [named("held_stale", 2)]);
    renamed["accountEnabled"] = json!(false);
    site.tell(&[old(1), renamed, device(3)]);
    let (plan, objects) = site.round(&[]);
    assert_eq!(actions(&plan), [action("disable", 2, "disabled_in_cloud")]);
    assert_eq!(value(&objects, &dn(2), "displayName"), "DESKTOP-0002");
    site.configure_rules("stale = \"ignore\"");
    let (plan, _) = site.round(&[]);
    assert_eq!(actions(&plan).len(), 2);
}

#[test]
fn a_plan_is_applied_to_its_own_domain_under_its_own_rules_and_in_time() {
    let (one, other) = (
        Site::start(SambaSchema::Windows2016),
        Site::start(SambaSchema::Windows2012R2),
    );
    // Both are called the same; only the GUIDs of their domains tell them apart.
    for site in [&one, &other] {
        site.tell(&[device(1)]);
    }
    let plan = one.save_plan("plan.json");
    fs::copy(one.path("plan.json"), other.path("plan.json")).unwrap();
    let refused = |site: &Site, arguments: &[&str], what: &str| {
        let before = site.devices();
        let said = site
            .run(["apply", "plan.json"].iter().chain(arguments))
            .expect(1);
        assert!(said.err.contains(what), "{what} in {}", said.err);
        assert_eq!(site.devices(), before);
    };
    let domain = plan["domain_guid"].as_str().unwrap();
    refused(&other, &[], &format!("it was made for domain {domain}"));
    one.configure_rules("last_logon_min_days = 7");
    refused(&one, &[], "the rules");
    one.configure_rules("");
    refused(&one, &["--digest", &"0".repeat(64)], "digest");
    // Somebody changed a name in the saved plan.
    let text = fs::read_to_string(one.path("plan.json")).unwrap();
    fs::write(
        one.path("plan.json"),
        text.replace("DESKTOP-0001", "DESKTOP-0002"),
    )
    .unwrap();
    refused(&one, &[], "plan.json");
    fs::write(one.path("plan.json"), text).unwrap();
    assert_eq!(one.apply("plan.json", 0)["result"]["done"], 1);
    // Again it is found to be done, without a write.
    let before = one.devices();
    assert_eq!(one.apply("plan.json", 0)["result"]["already"], 1);
    assert_eq!(one.devices(), before);
}

/// As Connect still running has it, or another tenant: marked objects that no record speaks of.
#[test]
fn marked_objects_of_strangers_are_held_and_count_for_nothing() {
    let site = Site::start(SambaSchema::Windows2016);
    let mark = |number: u32| {
        line(
            "msDS-CloudAnchor",
            format!("Device_{}", object_id(number)).as_bytes(),
        )
    };
    site.tell(&[device(1)]);
    site.round(&[]);
    for number in 2..=20 {
        let ldif = object(&dn(number), number, &mark(number));
        site.dc.ldapmodify_as(&SERVICE, ldif.as_bytes()).unwrap();
    }
    let before = site.devices();
    let plan = site.plan(&[]);
    assert_eq!(listed(&plan, "held").len(), 19);
    site.assert_nothing_to_do(&[]);
    assert_eq!(site.devices(), before);
    // Nineteen of twenty are more than a tenth.
    let report = site.sync(&["--take-over"], 3);
    assert_eq!(report["refusal"]["code"], "share_too_large", "{report}");
    assert_eq!(site.devices(), before);
}
