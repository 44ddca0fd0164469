//! The directory lab itself.

use device_writeback_core::dn::Dn;
use device_writeback_tests::LabError;
use device_writeback_tests::openldap::{DEVICES, OpenLdap};

const DN: &str = "CN=3f1c2a70-5d6e-4b8a-9c0d-1e2f3a4b5c6d,CN=RegisteredDevices,DC=contoso,DC=com";

/// A device as another tool could have written it.
const DEVICE: &str = "\
dn: CN=3f1c2a70-5d6e-4b8a-9c0d-1e2f3a4b5c6d,CN=RegisteredDevices,DC=contoso,DC=com
changetype: add
objectClass: top
objectClass: msDS-Device
cn: 3f1c2a70-5d6e-4b8a-9c0d-1e2f3a4b5c6d
displayName:: TcO8bGxlci1Cw7xybw==
altSecurityIdentities: X509:<SHA1-TP-PUBKEY>two
altSecurityIdentities: X509:<SHA1-TP-PUBKEY>one
msDS-DeviceID:: cCocP25diksMDR4vOktcbQ==
msDS-IsEnabled: TRUE
";

#[test]
fn openldap_harness_round_trip() {
    let server = OpenLdap::start().unwrap();
    let printed = server.ldapmodify(DEVICE.as_bytes()).unwrap();
    assert!(printed.contains("adding new entry"), "{printed}");

    let found = server
        .ldapsearch(DEVICES, "(objectClass=msDS-Device)", &[])
        .unwrap();
    let [entry] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(entry.dn, Dn::parse(DN).unwrap());
    let value = |name: &str| entry.attributes.get(name).unwrap().as_slice();
    assert_eq!(value("displayName"), ["Müller-Büro".as_bytes()]);
    assert_eq!(
        value("altSecurityIdentities"),
        [
            &b"X509:<SHA1-TP-PUBKEY>one"[..],
            &b"X509:<SHA1-TP-PUBKEY>two"[..]
        ]
    );
    assert_eq!(
        value("msDS-DeviceID"),
        [[
            0x70, 0x2a, 0x1c, 0x3f, 0x6e, 0x5d, 0x8a, 0x4b, 0x0c, 0x0d, 0x1e, 0x2f, 0x3a, 0x4b,
            0x5c, 0x6d
        ]]
    );
    assert_eq!(value("msDS-IsEnabled"), [b"TRUE"]);
    assert_eq!(entry.attributes.len(), 6, "{:?}", entry.attributes.keys());

    let delete = format!("dn: {DN}\nchangetype: delete\n");
    server.ldapmodify(delete.as_bytes()).unwrap();
    let left = server
        .ldapsearch(DEVICES, "(objectClass=msDS-Device)", &["cn"])
        .unwrap();
    assert_eq!(left, []);
}

#[test]
fn openldap_harness_refuses_what_the_schema_refuses() {
    let server = OpenLdap::start().unwrap();
    let mut nameless = String::new();
    for line in DEVICE
        .lines()
        .filter(|line| !line.starts_with("displayName"))
    {
        nameless.push_str(line);
        nameless.push('\n');
    }
    // objectClassViolation, [RFC 4511] 4.1.9.
    let error = server.ldapmodify(nameless.as_bytes()).unwrap_err();
    assert!(
        matches!(error, LabError::Failed { code: Some(65), .. }),
        "{error}"
    );
}

#[test]
fn openldap_harness_stops_with_its_value() {
    let server = OpenLdap::start().unwrap();
    let address = server.url().trim_start_matches("ldap://").to_owned();
    assert!(std::net::TcpStream::connect(&address).is_ok());
    drop(server);
    assert!(std::net::TcpStream::connect(&address).is_err());
}
