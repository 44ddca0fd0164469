use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;

use super::*;

const CONTAINER: &str = "CN=RegisteredDevices,DC=contoso,DC=com";

fn dn(text: &str) -> Dn {
    Dn::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn leaf_value(text: &str) -> String {
    dn(text).rdn().unwrap().value().to_owned()
}

#[test]
fn plain_name() {
    let name = dn("CN=9d53c6fa-b38e-4509-8fb1-51dedb421aac,CN=RegisteredDevices,DC=contoso,DC=com");
    assert_eq!(name.rdns().len(), 4);
    let rdn = name.rdn().unwrap();
    assert_eq!(
        (rdn.kind(), rdn.value()),
        ("CN", "9d53c6fa-b38e-4509-8fb1-51dedb421aac")
    );
    assert!(!rdn.is_multi_valued());
    assert_eq!(name.parent().unwrap(), dn(CONTAINER));
    assert_eq!(format!("{:?}", dn(CONTAINER)), format!("Dn({CONTAINER})"));
}

#[test]
fn case_spaces_and_escapes_do_not_matter() {
    let name = dn("CN=Müller\\, Jörg,OU=Geräte,DC=contoso,DC=com");
    for other in [
        "cn=MÜLLER\\2C JÖRG,ou=geräte,dc=CONTOSO,dc=com",
        "  CN = Müller\\, Jörg , OU = Geräte , DC = contoso , DC = com  ",
        "2.5.4.3=M\\C3\\BCller\\2c J\\c3\\b6rg,OID.2.5.4.11=Geräte,DC=contoso,oid.0.9.2342.19200300.100.1.25=com",
        "CN=#0C0E4DC3BC6C6C65722C204AC3B67267,OU=Geräte,DC=contoso,DC=com",
    ] {
        assert_eq!(dn(other), name, "{other}");
        assert_eq!(dn(other).normalized(), name.normalized());
        assert_eq!(HashSet::from([dn(other)]), HashSet::from([name.clone()]));
    }
    assert_eq!(
        name.normalized(),
        "cn=müller\\, jörg,ou=geräte,dc=contoso,dc=com"
    );
    assert_ne!(dn("CN=a,DC=b"), dn("OU=a,DC=b"));
    assert_ne!(dn("CN=a,DC=b"), dn("CN=a"));
}

#[test]
fn only_needed_escapes_are_printed() {
    for (written, printed) in [
        ("CN=a\\=b=c", "CN=a=b=c"),
        ("CN=\\ a b\\ ", "CN=\\ a b\\ "),
        ("CN=\\20a\\20", "CN=\\ a\\ "),
        ("CN=a\\20b", "CN=a b"),
        ("CN=\\#1", "CN=\\#1"),
        ("CN=a#1", "CN=a#1"),
        ("CN=\\\"\\+\\,\\;\\<\\>\\\\", "CN=\\\"\\+\\,\\;\\<\\>\\\\"),
        ("CN=a\\0Ab\\00\\7f", "CN=a\\0Ab\\00\\7F"),
        ("cn=x,l=Bern,msDS-X=1", "CN=x,L=Bern,msDS-X=1"),
        ("CN=\\ ", "CN=\\ "),
        ("CN=", "CN="),
        ("CN=\\E4\\B8\\AD", "CN=中"),
        ("1.2.840.113556.1.4.1=x", "1.2.840.113556.1.4.1=x"),
    ] {
        assert_eq!(dn(written).to_string(), printed);
        assert_eq!(dn(printed), dn(written));
    }
    assert_eq!(leaf_value("CN=\\ "), " ");
    assert_eq!(leaf_value("CN=a\\ \\  "), "a  ");
    assert_eq!(leaf_value("CN=a  "), "a");
}

#[test]
fn hex_strings() {
    assert_eq!(leaf_value("CN=#04024869"), "Hi");
    assert_eq!(leaf_value("CN=#13024869 ,DC=x"), "Hi");
    assert_eq!(leaf_value("CN=#0C8102C3A9"), "é");
    // Not a string: kept as it is, and not the same as text that looks so.
    let number = dn("CN=#02012a");
    assert_eq!(number.to_string(), "CN=#02012A");
    assert_eq!(dn(&number.to_string()), number);
    assert_eq!(dn(&number.normalized()), number);
    assert_ne!(number, dn("CN=\\#02012A"));
    // A length that does not fit, and octets that are not UTF-8.
    assert_eq!(leaf_value("CN=#04034869"), "#04034869");
    assert_eq!(leaf_value("CN=#0401ff"), "#0401FF");
}

#[test]
fn several_values_in_one_level_are_a_set() {
    let name = dn("CN=a+UID=b,DC=c");
    assert_eq!(name, dn("uid=B + cn=A,DC=c"));
    assert_eq!(dn("uid=B + cn=A + CN=a,DC=c"), name);
    assert_eq!(dn("CN=b+CN=a+CN=c").to_string(), "CN=a+CN=b+CN=c");
    assert_eq!(dn("CN=a+CN=a"), dn("CN=a"));
    let rdn = name.rdn().unwrap();
    assert!(rdn.is_multi_valued());
    assert_eq!(rdn.pairs().collect::<Vec<_>>(), [("CN", "a"), ("UID", "b")]);
    assert_eq!(rdn.to_string(), "CN=a+UID=b");
}

#[test]
fn malformed_names_are_refused() {
    for text in [
        ",",
        "CN",
        "CN=a,",
        ",CN=a",
        "CN=a,,DC=b",
        "CN=a+,DC=b",
        "CN=a+",
        "=a",
        "C N=a",
        "1CN=a",
        "1=a",
        "1..2=a",
        "1.02=a",
        "OID.CN=a",
        "CÑ=a",
        "CN=\"a,b\"",
        "CN=a\"b",
        "CN=a;DC=b",
        "CN=<a>",
        "CN=a\0",
        "CN=a\\",
        "CN=a\\4",
        "CN=a\\4g",
        "CN=a\\zz",
        "CN=a\\é",
        "CN=\\FF",
        "CN=#",
        "CN=#1",
        "CN=#1g",
        "CN=#12 34",
        "<GUID=9d53c6fa-b38e-4509-8fb1-51dedb421aac>",
        "<SID=S-1-5-18>",
    ] {
        assert!(Dn::parse(text).is_err(), "{text}");
    }
}

#[test]
fn refusals_say_what_to_do() {
    let message = |text| Dn::parse(text).unwrap_err().to_string();
    assert_eq!(
        message("<GUID=1>"),
        "invalid distinguished name: \"<GUID=1>\" is a reference by GUID, SID or WKGUID, \
         not a name; write the object's distinguishedName"
    );
    assert_eq!(
        message("CN=\"a,b\""),
        "invalid distinguished name: \"CN=\\\"a,b\\\"\" has a value in quotes; \
         escape its special characters with \\ instead"
    );
    assert_eq!(
        message("CN=a,b"),
        "invalid distinguished name: \"CN=a,b\" has \"b\" where an attribute type and = are expected"
    );
}

#[test]
fn tree() {
    let container = dn(CONTAINER);
    let device = container.child("CN", "a, b");
    assert_eq!(device.to_string(), format!("CN=a\\, b,{CONTAINER}"));
    assert!(device.is_child_of(&container));
    assert!(device.is_below(&container));
    let domain = dn("dc=Contoso,dc=com");
    assert!(!device.is_child_of(&domain));
    assert!(device.is_below(&domain));
    assert!(!domain.is_below(&domain));
    assert!(!domain.is_below(&device));
    assert!(!dn("CN=x,DC=fabrikam,DC=com").is_below(&domain));
    assert_eq!(dn("DC=com").parent(), Some(Dn::EMPTY));
    assert_eq!(Dn::EMPTY.child("dc", "com").to_string(), "DC=com");
}

#[test]
fn empty_name() {
    for text in ["", "  "] {
        assert_eq!(dn(text), Dn::EMPTY);
    }
    assert!(Dn::EMPTY.is_empty());
    assert_eq!((Dn::EMPTY.parent(), Dn::EMPTY.rdn()), (None, None));
    assert_eq!(Dn::EMPTY.to_string(), "");
    assert!(dn(CONTAINER).is_below(&Dn::EMPTY));
    assert!(!Dn::EMPTY.is_child_of(&Dn::EMPTY));
}

#[test]
fn replication_conflicts() {
    let loser = dn("CN=laptop\\0ACNF:9d53c6fa-b38e-4509-8fb1-51dedb421aac,DC=contoso,DC=com");
    assert!(loser.is_replication_conflict());
    assert_eq!(
        loser.to_string(),
        "CN=laptop\\0ACNF:9d53c6fa-b38e-4509-8fb1-51dedb421aac,DC=contoso,DC=com"
    );
    assert!(!loser.child("CN", "x").is_replication_conflict());
    assert!(!dn("CN=laptop CNF:9d53c6fa-b38e-4509-8fb1-51dedb421aac").is_replication_conflict());
    assert!(!dn("CN=laptop\\0ACNF:1").is_replication_conflict());
    assert!(!Dn::EMPTY.is_replication_conflict());
}

#[test]
fn json_is_text() {
    let json = serde_json::to_string(&dn(CONTAINER)).unwrap();
    assert_eq!(json, format!("\"{CONTAINER}\""));
    assert_eq!(serde_json::from_str::<Dn>(&json).unwrap(), dn(CONTAINER));
    assert!(serde_json::from_str::<Dn>("\"x\"").is_err());
}

#[test]
fn child_text() {
    let parent = dn(CONTAINER).normalized();
    for child in [
        "CN=x,CN=RegisteredDevices,DC=contoso,DC=com",
        "cn=x, CN=registereddevices, dc=contoso, dc=com",
        "CN=a\\,b,CN=RegisteredDevices,DC=contoso,DC=com",
        "CN=a+UID=b,CN=RegisteredDevices,DC=contoso,DC=com",
        "CN=x,CN=Registered\\44evices,DC=contoso,DC=com",
    ] {
        assert!(is_child_text(child, &parent), "{child}");
    }
    for other in [
        "",
        CONTAINER,
        "x,CN=RegisteredDevices,DC=contoso,DC=com",
        "CN=y,CN=x,CN=RegisteredDevices,DC=contoso,DC=com",
        "CN=a\\,CN=RegisteredDevices,DC=contoso,DC=com",
        "CN=x,CN=RegisteredDevices,DC=contoso,DC=de",
        "CN=x;CN=RegisteredDevices,DC=contoso,DC=com",
        "CN=#1,CN=RegisteredDevices,DC=contoso,DC=com",
    ] {
        assert!(!is_child_text(other, &parent), "{other}");
    }
    assert!(is_child_text("DC=com", ""));
}

fn any_kind() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["CN", "cn", "OU", "DC", "l"]).prop_map(str::to_owned),
        1 => "[A-Za-z][A-Za-z0-9-]{0,6}",
        1 => prop::collection::vec(1..2000u32, 2..5)
            .prop_map(|arcs| arcs.iter().map(u32::to_string).collect::<Vec<_>>().join(".")),
    ]
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ #,+\"\\\\<>;=a-cA-C0-9\\n\\x00]{0,8}",
        "[ßẞİıΣσςÀé𝔞K]{0,4}",
    ]
}

fn any_dn() -> impl Strategy<Value = Dn> {
    prop::collection::vec((any_kind(), any_value()), 0..5).prop_map(|levels| {
        levels
            .iter()
            .fold(Dn::EMPTY, |dn, (kind, value)| dn.child(kind, value))
    })
}

proptest! {
    #[test]
    fn round_trips(name in any_dn()) {
        let printed = name.to_string();
        let parsed = dn(&printed);
        prop_assert_eq!(parsed.to_string(), printed);
        for (parsed, built) in parsed.rdns().iter().zip(name.rdns()) {
            prop_assert_eq!(parsed.value(), built.value());
            prop_assert_eq!(parsed.kind(), built.kind());
        }
        prop_assert_eq!(parsed, name);
    }

    #[test]
    fn normalized_text_decides_equality(a in any_dn(), b in any_dn()) {
        prop_assert_eq!(a == b, a.normalized() == b.normalized());
        let again = dn(&a.normalized());
        prop_assert_eq!(again.normalized(), a.normalized());
        prop_assert_eq!(BTreeSet::from([a.clone(), again.clone()]).len(), 1);
        prop_assert_eq!(HashSet::from([a, again]).len(), 1);
    }

    #[test]
    fn child_text_agrees_with_names(
        child in "(CN|cn|x)=[a ,\\\\+#]{0,3}(,| , )CN=[pP](,DC=d)?",
        parent in any_dn(),
    ) {
        for parent in [parent, dn("CN=p"), dn("cn=P,DC=D")] {
            let expected = Dn::parse(&child).is_ok_and(|child| child.is_child_of(&parent));
            prop_assert_eq!(is_child_text(&child, &parent.normalized()), expected);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "([CNx.12]{1,3}=[ #,+\"\\\\<>;=a-c0-9é]{0,8},?){0,3}") {
        if let Ok(name) = Dn::parse(&text) {
            prop_assert_eq!(dn(&name.to_string()), name);
        }
    }

    #[test]
    fn never_panics(text: String) {
        let _ = Dn::parse(&text);
        let _ = is_child_text(&text, &text);
    }
}
