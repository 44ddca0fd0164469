use super::*;

#[test]
fn plain_name() {
    let dn = Dn::parse("CN=RegisteredDevices,DC=contoso,DC=com").unwrap();
    assert_eq!(dn.rdns().len(), 3);
    assert_eq!(dn.to_string(), "CN=RegisteredDevices,DC=contoso,DC=com");
}
