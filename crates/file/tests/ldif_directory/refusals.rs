//! Every mistake in an add gets the result that Active Directory gives, and leaves nothing behind.

use device_writeback_core::apply::{Operation, ResultCode};

use crate::support::*;

#[test]
fn adds() {
    use ResultCode as R;
    let lab = Lab::new(DOMAIN);
    let upper = format!("cn={},{}", DEVICE.to_uppercase(), CONTAINER.to_uppercase());
    let long = "x".repeat(65);
    let text = |length: usize| vec![b'y'; length];
    let wide = "\u{fc}".repeat(257);
    let mut twice = needed(NEW);
    twice.push(("DISPLAYNAME", octets(&[b"again"])));
    let twice = Operation::Add {
        dn: dn(&device_name(NEW)),
        attributes: twice,
    };
    let cases: Vec<(&str, Operation, ResultCode)> = vec![
        ("same name", add(DEVICE), R::ENTRY_ALREADY_EXISTS),
        (
            "same name in other case",
            named(&upper),
            R::ENTRY_ALREADY_EXISTS,
        ),
        (
            "without IsEnabled",
            with("msDS-IsEnabled", &[]),
            R::OBJECT_CLASS_VIOLATION,
        ),
        (
            "without DeviceID",
            with("msDS-DeviceID", &[]),
            R::OBJECT_CLASS_VIOLATION,
        ),
        (
            "without displayName",
            with("displayName", &[]),
            R::OBJECT_CLASS_VIOLATION,
        ),
        (
            "without altSecurityIdentities",
            with("altSecurityIdentities", &[]),
            R::OBJECT_CLASS_VIOLATION,
        ),
        (
            "cn is not the name",
            with("cn", &[b"other"]),
            R::INVALID_DN_SYNTAX,
        ),
        (
            "cn has two values",
            with("cn", &[NEW.as_bytes(), b"x"]),
            R::ATTRIBUTE_OR_VALUE_EXISTS,
        ),
        (
            "cn is not text",
            with("cn", &[b"\xff"]),
            R::INVALID_ATTRIBUTE_SYNTAX,
        ),
        (
            "no objectClass",
            with("objectClass", &[]),
            R::OBJECT_CLASS_VIOLATION,
        ),
        (
            "only an abstract class",
            with("objectClass", &[b"top"]),
            R::OBJECT_CLASS_VIOLATION,
        ),
        (
            "unknown class",
            with("objectClass", &[b"top", b"noSuchClass"]),
            R::NO_SUCH_ATTRIBUTE,
        ),
        (
            "another class",
            with("objectClass", &[b"top", b"container"]),
            R::UNWILLING_TO_PERFORM,
        ),
        (
            "unknown attribute",
            with("noSuchAttr", &[b"x"]),
            R::NO_SUCH_ATTRIBUTE,
        ),
        (
            "attribute of other classes",
            with("mail", &[b"x@contoso.com"]),
            R::OBJECT_CLASS_VIOLATION,
        ),
        (
            "attribute that is not ours",
            with("description", &[b"x"]),
            R::UNWILLING_TO_PERFORM,
        ),
        (
            "objectGUID given",
            with("objectGUID", &[&[1; 16]]),
            R::UNWILLING_TO_PERFORM,
        ),
        (
            "objectSid given",
            with("objectSid", &[b"x"]),
            R::UNWILLING_TO_PERFORM,
        ),
        (
            "whenCreated given",
            with("whenCreated", &[b"20260601080000.0Z"]),
            R::CONSTRAINT_VIOLATION,
        ),
        (
            "under CN=Users",
            named("CN=x,CN=Users,DC=contoso,DC=com"),
            R::NAMING_VIOLATION,
        ),
        (
            "under the domain",
            named("CN=x,DC=contoso,DC=com"),
            R::NAMING_VIOLATION,
        ),
        (
            "under a device",
            named(&format!("CN=x,{}", device_name(DEVICE))),
            R::NAMING_VIOLATION,
        ),
        (
            "missing parent",
            named("CN=x,CN=Nowhere,DC=contoso,DC=com"),
            R::NO_SUCH_OBJECT,
        ),
        (
            "outside of the domain",
            named("CN=x,DC=other"),
            R::NO_SUCH_OBJECT,
        ),
        ("empty name", named(""), R::INVALID_DN_SYNTAX),
        (
            "OU= name",
            named(&format!("OU=x,{CONTAINER}")),
            R::NAMING_VIOLATION,
        ),
        (
            "name of two parts",
            named(&format!("CN=x+OU=y,{CONTAINER}")),
            R::NAMING_VIOLATION,
        ),
        (
            "cn of 65 characters",
            named(&format!("CN={long},{CONTAINER}")),
            R::CONSTRAINT_VIOLATION,
        ),
        (
            "IsEnabled true",
            with("msDS-IsEnabled", &[b"true"]),
            R::INVALID_ATTRIBUTE_SYNTAX,
        ),
        (
            "IsEnabled 1",
            with("msDS-IsEnabled", &[b"1"]),
            R::INVALID_ATTRIBUTE_SYNTAX,
        ),
        (
            "IsEnabled empty",
            with("msDS-IsEnabled", &[b""]),
            R::INVALID_ATTRIBUTE_SYNTAX,
        ),
        (
            "DeviceID of 15 octets",
            with("msDS-DeviceID", &[&[1; 15]]),
            R::CONSTRAINT_VIOLATION,
        ),
        (
            "DeviceID of 17 octets",
            with("msDS-DeviceID", &[&[1; 17]]),
            R::CONSTRAINT_VIOLATION,
        ),
        (
            "displayName of 257",
            with("displayName", &[&text(257)]),
            R::CONSTRAINT_VIOLATION,
        ),
        (
            "displayName of 257 umlauts",
            with("displayName", &[wide.as_bytes()]),
            R::CONSTRAINT_VIOLATION,
        ),
        (
            "displayName empty",
            with("displayName", &[b""]),
            R::INVALID_ATTRIBUTE_SYNTAX,
        ),
        (
            "displayName not UTF-8",
            with("displayName", &[b"\xff\xfe"]),
            R::INVALID_ATTRIBUTE_SYNTAX,
        ),
        (
            "displayName twice",
            with("displayName", &[b"a", b"b"]),
            R::ATTRIBUTE_OR_VALUE_EXISTS,
        ),
        (
            "displayName in two lists",
            twice,
            R::ATTRIBUTE_OR_VALUE_EXISTS,
        ),
        (
            "OS version of 513",
            with("msDS-DeviceOSVersion", &[&text(513)]),
            R::CONSTRAINT_VIOLATION,
        ),
        (
            "OS type of 1025",
            with("msDS-DeviceOSType", &[&text(1025)]),
            R::CONSTRAINT_VIOLATION,
        ),
        (
            "physical id of 1025",
            with("msDS-DevicePhysicalIDs", &[&text(1025)]),
            R::CONSTRAINT_VIOLATION,
        ),
        (
            "physical id empty",
            with("msDS-DevicePhysicalIDs", &[b"a", b""]),
            R::INVALID_ATTRIBUTE_SYNTAX,
        ),
        (
            "physical id twice",
            with("msDS-DevicePhysicalIDs", &[b"q", b"q"]),
            R::ATTRIBUTE_OR_VALUE_EXISTS,
        ),
        (
            "physical id in other case",
            with("msDS-DevicePhysicalIDs", &[b"q", b"Q"]),
            R::ATTRIBUTE_OR_VALUE_EXISTS,
        ),
        (
            "object version x",
            with("msDS-DeviceObjectVersion", &[b"x"]),
            R::INVALID_ATTRIBUTE_SYNTAX,
        ),
        (
            "last logon no number",
            with(
                "msDS-ApproximateLastLogonTimeStamp",
                &[b"20260601080000.0Z"],
            ),
            R::INVALID_ATTRIBUTE_SYNTAX,
        ),
        (
            "computer SID too short",
            with("msDS-ComputerSID", &[b"1234"]),
            R::INVALID_ATTRIBUTE_SYNTAX,
        ),
        (
            "key link no DN-Binary",
            with("msDS-KeyCredentialLink", &[b"B:4:00:CN=x"]),
            R::INVALID_ATTRIBUTE_SYNTAX,
        ),
        (
            "key link to nobody",
            with(
                "msDS-KeyCredentialLink",
                &[b"B:2:00:CN=nobody,DC=contoso,DC=com"],
            ),
            R::CONSTRAINT_VIOLATION,
        ),
    ];
    assert!(cases.len() >= 40);
    refused(&lab, &cases);
}
