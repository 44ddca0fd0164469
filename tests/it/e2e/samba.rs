//! The lab of real domain controllers itself.

use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;

use device_writeback_tests::LabError;
use device_writeback_tests::samba::{
    ADMIN, BASE, Credentials, DEVICES, Dc, Entry, REALM, SERVICE, SambaDc, SambaOptions,
    SambaSchema, Scope, TwoDcs,
};

const ID: &str = "3f1c2a70-5d6e-4b8a-9c0d-1e2f3a4b5c6d";

/// A device with the attributes that the schema asks for.
fn device(id: &str) -> Vec<u8> {
    format!(
        "dn: CN={id},{DEVICES}
changetype: add
objectClass: msDS-Device
displayName:: TcO8bGxlci1Cw7xybw==
altSecurityIdentities: X509:<SHA1-TP-PUBKEY>one
msDS-DeviceID:: cCocP25diksMDR4vOktcbQ==
msDS-IsEnabled: TRUE
"
    )
    .into_bytes()
}

/// The names of the devices that Administrator sees.
fn devices(dc: &SambaDc) -> Vec<String> {
    let found = dc.ldapsearch(
        DEVICES,
        Scope::OneLevel,
        "(objectClass=msDS-Device)",
        &["cn"],
    );
    let names = found.unwrap().into_iter().map(|entry| {
        let [name] = entry.attributes.get("cn").unwrap().as_slice() else {
            panic!("{entry:?}")
        };
        String::from_utf8(name.clone()).unwrap()
    });
    names.collect()
}

#[track_caller]
fn refused(outcome: Result<String, LabError>, code: i32) {
    let error = outcome.unwrap_err();
    assert!(
        matches!(error, LabError::Failed { code: Some(found), .. } if found == code),
        "{error}"
    );
}

#[test]
fn samba_lab_has_both_schema_levels() {
    for schema in [SambaSchema::Windows2012R2, SambaSchema::Windows2016] {
        let options = SambaOptions {
            schema,
            ..SambaOptions::default()
        };
        let dc = SambaDc::start(&options).unwrap();
        let head = format!("CN=Schema,CN=Configuration,{}", dc.base_dn());
        let found = dc
            .ldapsearch(&head, Scope::Base, "(objectClass=*)", &["objectVersion"])
            .unwrap();
        let [head] = found.as_slice() else {
            panic!("{found:?}")
        };
        let version = schema.object_version().to_string();
        assert_eq!(
            head.attributes.get("objectVersion").unwrap().as_slice(),
            [version.as_bytes()]
        );

        // msDS-DeviceTrustType came with 2016; noSuchAttribute, [RFC 4511] 4.1.9.
        let mut newer = device(ID);
        newer.extend(b"msDS-DeviceTrustType: 1\n");
        let outcome = dc.ldapmodify(&newer);
        match schema {
            SambaSchema::Windows2012R2 => refused(outcome, 16),
            SambaSchema::Windows2016 => assert!(outcome.is_ok(), "{outcome:?}"),
        }
    }
}

#[test]
fn samba_lab_knows_its_users() {
    let dc = SambaDc::start(&SambaOptions::default()).unwrap();
    assert_eq!(dc.users().len(), 20);
    let user = dc.users().get(6).unwrap();
    assert_eq!(user.name, "user07");
    assert!(user.sid.starts_with(dc.domain_sid()), "{user:?}");
    // A search filter takes a SID in its text form, [MS-ADTS] 3.1.1.3.1.3.4.
    let found = dc
        .ldapsearch(
            dc.base_dn(),
            Scope::Subtree,
            &format!("(objectSid={})", user.sid),
            &["userPrincipalName"],
        )
        .unwrap();
    let [entry] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(entry.dn.to_string(), user.dn);
    assert_eq!(
        entry
            .attributes
            .get("userPrincipalName")
            .unwrap()
            .as_slice(),
        [user.upn.as_bytes()]
    );
}

#[test]
fn samba_lab_service_account_writes_devices_and_nothing_else() {
    let dc = SambaDc::start(&SambaOptions::default()).unwrap();
    let service = dc.service();
    dc.ldapmodify_as(&service, &device(ID)).unwrap();
    assert_eq!(devices(&dc), [ID]);
    let change =
        |dn: &str| format!("dn: {dn}\nchangetype: modify\nreplace: displayName\ndisplayName: x\n");
    let modify = |dn: &str| dc.ldapmodify_as(&service, change(dn).as_bytes());
    modify(&format!("CN={ID},{DEVICES}")).unwrap();
    // insufficientAccessRights, [RFC 4511] 4.1.9.
    refused(modify(&format!("CN=Administrator,CN=Users,{BASE}")), 50);
    refused(modify(DEVICES), 50);
    let outside =
        format!("dn: CN=Elsewhere,{BASE}\nchangetype: add\nobjectClass: msDS-DeviceContainer\n");
    refused(dc.ldapmodify_as(&service, outside.as_bytes()), 50);

    let delete = format!("dn: CN={ID},{DEVICES}\nchangetype: delete\n");
    dc.ldapmodify_as(&service, delete.as_bytes()).unwrap();
    assert_eq!(devices(&dc), Vec::<String>::new());
    let wrong = Credentials {
        password: "no",
        ..service
    };
    refused(dc.ldapmodify_as(&wrong, b""), 49);
}

#[test]
fn samba_lab_survives_a_crash_and_forgets_at_a_reset() {
    let mut dc = SambaDc::start(&SambaOptions::default()).unwrap();
    dc.ldapmodify_as(&SERVICE, &device(ID)).unwrap();
    let first = dc.process_ids();
    assert!(first.len() > 1, "{first:?}");
    assert!(dc.cpu_seconds() > 0.0);
    dc.kill();
    assert_eq!(dc.process_ids(), Vec::<u32>::new());
    assert!(TcpStream::connect((dc.address(), 636)).is_err());
    dc.restart().unwrap();
    assert_eq!(devices(&dc), [ID]);
    dc.stop_gracefully().unwrap();
    assert!(TcpStream::connect((dc.address(), 636)).is_err());
    dc.restart().unwrap();
    assert_eq!(devices(&dc), [ID]);
    dc.reset().unwrap();
    assert_eq!(devices(&dc), Vec::<String>::new());
}

#[test]
fn samba_lab_controllers_are_strangers_to_each_other() {
    let one = SambaDc::start(&SambaOptions::default()).unwrap();
    let two = SambaDc::start(&SambaOptions::default()).unwrap();
    assert_ne!(one.address(), two.address());
    assert_ne!(one.folder(), two.folder());
    one.ldapmodify(&device(ID)).unwrap();
    assert_eq!(devices(&one), [ID]);
    assert_eq!(devices(&two), Vec::<String>::new());
    let (address, folder) = (one.address(), one.folder().to_owned());
    drop(one);
    assert!(TcpStream::connect((address, 636)).is_err());
    assert!(!folder.exists());
    assert_eq!(devices(&two), Vec::<String>::new());
}

/// Runs `openssl s_client`; whether it trusts the controller under `name`.
fn trusts(dc: &SambaDc, authority: &std::path::Path, name: &str) -> bool {
    let check = match name.parse::<Ipv4Addr>() {
        Ok(_) => "-verify_ip",
        Err(_) => "-verify_hostname",
    };
    let answer = Command::new("openssl")
        .args(["s_client", "-verify_return_error", check, name, "-connect"])
        .arg(format!("{}:636", dc.address()))
        .arg("-CAfile")
        .arg(authority)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    answer.status.success()
}

#[test]
fn samba_lab_takes_a_simple_bind_in_the_clear_only_when_told_to() {
    let bind = |dc: &SambaDc| {
        let answer = Command::new("ldapsearch")
            .args(["-LLL", "-x", "-H", &dc.ldap_url()])
            .args(["-D", SERVICE.upn, "-w", SERVICE.password])
            .args(["-s", "base", "-b", DEVICES, "1.1"])
            .output();
        answer.unwrap().status.code()
    };
    let usual = SambaOptions::default();
    // strongerAuthRequired, [RFC 4511] 4.1.9.
    assert_eq!(bind(&SambaDc::start(&usual).unwrap()), Some(8));
    let lax = SambaOptions {
        settings: "ldap server require strong auth = no".to_owned(),
        ..usual
    };
    assert_eq!(bind(&SambaDc::start(&lax).unwrap()), Some(0));
}

#[test]
fn samba_lab_certificate_names_the_controller() {
    let dc = SambaDc::start(&SambaOptions::default()).unwrap();
    for name in [
        dc.host(),
        "contoso.test",
        "localhost",
        &dc.address().to_string(),
    ] {
        assert!(trusts(&dc, dc.ca_file(), name), "{name}");
    }
    assert!(!trusts(&dc, dc.ca_file(), "dc2.contoso.test"));
    assert!(!trusts(&dc, dc.ca_file(), "127.0.0.1"));
    assert!(!trusts(&dc, dc.wrong_ca_file(), dc.host()));
}

#[test]
fn samba_lab_takes_kerberos() {
    let dc = SambaDc::start(&SambaOptions::default()).unwrap();
    let cache = format!("FILE:{}", dc.folder().join("cache-of-this-test").display());
    let answer = Command::new("ldapsearch")
        .env("KRB5_CONFIG", dc.kerberos_config())
        .env("KRB5_CLIENT_KTNAME", dc.keytab())
        .env("KRB5CCNAME", cache)
        .args(["-LLL", "-Y", "GSSAPI", "-N", "-H", &dc.ldap_url()])
        .args(["-s", "base", "-b", DEVICES, "1.1"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&answer.stderr);
    assert!(answer.status.success(), "{said}");
    assert!(said.contains(&format!("svc-writeback@{REALM}")), "{said}");
}

#[test]
fn samba_lab_has_a_registration_service_when_asked() {
    let dc = SambaDc::start(&SambaOptions::default()).unwrap();
    let period = "msDS-MaximumRegistrationInactivityPeriod";
    for days in [90, 0] {
        let dn = dc.prepare_registration_service(days).unwrap();
        let found = dc
            .ldapsearch_as(
                &SERVICE,
                &dn,
                Scope::Base,
                "(objectClass=*)",
                &[period, "msDS-DeviceLocation"],
            )
            .unwrap();
        let [service] = found.as_slice() else {
            panic!("{found:?}")
        };
        let value = |name: &str| service.attributes.get(name).unwrap().as_slice();
        assert_eq!(value(period), [days.to_string().as_bytes()]);
        assert_eq!(value("msDS-DeviceLocation"), [DEVICES.as_bytes()]);
    }
    let everybody = dc.ldapsearch_as(&ADMIN, DEVICES, Scope::Base, "(objectClass=*)", &["1.1"]);
    assert_eq!(everybody.unwrap().len(), 1);
}

/// Asks a controller from the client for the container; the LDAP tool's exit code.
fn ask(pair: &TwoDcs, dc: Dc) -> Option<i32> {
    let mut command = Command::new("ldapsearch");
    command
        .env("LDAPTLS_CACERT", pair.ca_file())
        .args([
            "-LLL",
            "-x",
            "-o",
            "nettimeout=2",
            "-H",
            &pair.ldaps_url(dc),
        ])
        .args(["-D", SERVICE.upn, "-w", SERVICE.password])
        .args(["-s", "base", "-b", DEVICES, "1.1"]);
    pair.run_in_client(&command).unwrap().status.code()
}

#[test]
fn samba_pair_replicates_through_crash_and_black_hole() {
    let mut pair = TwoDcs::start(&SambaOptions::default()).unwrap();
    let cn = |number: u8| format!("3f1c2a70-5d6e-4b8a-9c0d-1e2f3a4b5c{number:02x}");
    let replicated = |pair: &TwoDcs, count: usize| {
        let expected = |found: &[Entry]| found.len() == count;
        let (one_level, filter) = (Scope::OneLevel, "(cn=*)");
        pair.wait_until_replicated(DEVICES, one_level, filter, &["cn"], expected)
            .unwrap();
    };
    for dc in Dc::ALL {
        assert_eq!(ask(&pair, dc), Some(0));
    }
    pair.modify_on(Dc::One, &device(&cn(1))).unwrap();
    replicated(&pair, 1);
    pair.modify_on(Dc::Two, &device(&cn(2))).unwrap();
    replicated(&pair, 2);

    pair.kill(Dc::One);
    assert_eq!(pair.process_ids(Dc::One), Vec::<u32>::new());
    // Can't contact LDAP server.
    assert_eq!(ask(&pair, Dc::One), Some(255));
    pair.modify_on(Dc::Two, &device(&cn(3))).unwrap();
    pair.restart(Dc::One).unwrap();
    replicated(&pair, 3);

    pair.black_hole(Dc::Two).unwrap();
    assert_eq!(ask(&pair, Dc::Two), Some(255));
    assert_eq!(ask(&pair, Dc::One), Some(0));
    pair.modify_on(Dc::Two, &device(&cn(4))).unwrap();
    pair.heal(Dc::Two).unwrap();
    assert_eq!(ask(&pair, Dc::Two), Some(0));
    replicated(&pair, 4);

    let folder = pair.folder().to_owned();
    drop(pair);
    assert!(!folder.exists());
}
