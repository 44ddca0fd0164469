//! Made-up devices, as Graph gives them and as LDIF makes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use device_writeback_tests::samba::DEVICES;
use serde_json::{Value, json};

/// The device id of a device; its first field begins with letters, so that case matters in a name.
pub(crate) fn device_id(number: u32) -> String {
    format!(
        "dbca{:04x}-5d6e-4b8a-9c0d-1e2f{number:08x}",
        number & 0xffff
    )
}

/// The octets of [`device_id`]: three little-endian fields, then eight octets as they stand ([MS-DTYP] 2.3.4.2).
pub(crate) fn device_octets(number: u32) -> Vec<u8> {
    let [.., third, fourth] = number.to_be_bytes();
    let mut octets = vec![fourth, third, 0xca, 0xdb, 0x6e, 0x5d, 0x8a, 0x4b];
    octets.extend([0x9c, 0x0d, 0x1e, 0x2f]);
    octets.extend(number.to_be_bytes());
    octets
}

/// The object id of a device.
pub(crate) fn object_id(number: u32) -> String {
    format!("0b1ec700-0000-4000-8000-0000{number:08x}")
}

/// The object id of a user.
pub(crate) fn user_id(number: u32) -> String {
    format!("05e70000-0000-4000-8000-0000{number:08x}")
}

/// The DN of a device's object.
pub(crate) fn dn(number: u32) -> String {
    format!("CN={},{DEVICES}", device_id(number))
}

/// The alternative security id of a device: prefix, 40 hexadecimal digits, 44 characters of base64.
pub(crate) fn alternative_id(number: u32) -> String {
    let hash = [number.to_le_bytes(); 8].concat();
    format!("X509:<SHA1-TP-PUBKEY>{number:040X}{}", BASE64.encode(hash))
}

/// An alternative security id as Graph gives it.
pub(crate) fn graph_key(id: &str) -> Value {
    let octets: Vec<u8> = id.encode_utf16().flat_map(u16::to_le_bytes).collect();
    json!({"type": 2, "identityProvider": null, "key": BASE64.encode(octets)})
}

/// A device as Graph gives it: managed, compliant, joined to Entra ID, with nobody's name on it.
pub(crate) fn device(number: u32) -> Value {
    json!({
        "id": object_id(number),
        "deviceId": device_id(number),
        "accountEnabled": true,
        "approximateLastSignInDateTime": "2026-05-20T07:30:05Z",
        "deviceOwnership": "Company",
        "deviceVersion": 2,
        "displayName": format!("DESKTOP-{number:04}"),
        "isCompliant": true,
        "isManaged": true,
        "onPremisesSecurityIdentifier": null,
        "operatingSystem": "Windows",
        "operatingSystemVersion": "10.0.26100.4061",
        "physicalIds": [format!("[HWID]:h:{number}"), format!("[GID]:g:{number}")],
        "profileType": "RegisteredDevice",
        "trustType": "AzureAd",
        "alternativeSecurityIds": [graph_key(&alternative_id(number))],
        "registeredOwners": [],
        "registeredUsers": [],
    })
}

/// [`device`] with some of its properties changed.
pub(crate) fn device_with(number: u32, changes: Value) -> Value {
    let mut device = device(number);
    let Value::Object(changes) = changes else {
        panic!("{changes}")
    };
    for (name, value) in changes {
        device[name] = value;
    }
    device
}

/// Owners or users of a device.
pub(crate) fn people(users: &[u32]) -> Value {
    users
        .iter()
        .map(|user| json!({"@odata.type": "#microsoft.graph.user", "id": user_id(*user)}))
        .collect()
}

/// LDIF that makes an `msDS-Device` with what the class asks for, and further lines; ends with an empty line.
pub(crate) fn object(dn: &str, number: u32, more: &str) -> String {
    format!(
        "dn: {dn}\nchangetype: add\nobjectClass: msDS-Device\ndisplayName: of number {number}\n\
         altSecurityIdentities: {}\nmsDS-DeviceID:: {}\nmsDS-IsEnabled: TRUE\n{more}\n",
        alternative_id(number),
        BASE64.encode(device_octets(number)),
    )
}

/// LDIF that changes one attribute of an object; ends with an empty line.
pub(crate) fn modify(dn: &str, lines: &str) -> String {
    let lines = lines.trim_end_matches('\n');
    format!("dn: {dn}\nchangetype: modify\n{lines}\n\n")
}

/// LDIF of a value in base64: `name:: ...` with a line end.
pub(crate) fn line(name: &str, value: &[u8]) -> String {
    format!("{name}:: {}\n", BASE64.encode(value))
}

/// The octets of a SID `S-1-5-...` ([MS-DTYP] 2.4.2.2).
pub(crate) fn sid_octets(sid: &str) -> Vec<u8> {
    let numbers = sid.strip_prefix("S-1-5-").unwrap().split('-');
    let numbers: Vec<u32> = numbers.map(|number| number.parse().unwrap()).collect();
    let count = u8::try_from(numbers.len()).unwrap();
    let mut octets = vec![1, count, 0, 0, 0, 0, 0, 5];
    octets.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    octets
}
