//! The reader against the forms that exports take, and the forms that they should not take.

use proptest::prelude::*;

use super::*;

const ID: &str = "6a1d4b0e-9c52-4f37-8e1b-0d2c3b4a5968";
const OTHER: &str = "7b2e5c1f-0d63-4a48-9f2c-1e3d4c5b6a79";
const DEVICE: &str = "3f1c2a70-5d6e-4b8a-9c0d-1e2f3a4b5c6d";

struct Read<R> {
    elements: Vec<Element<R>>,
    problem: Option<String>,
    next_link: bool,
    delta_link: bool,
}

fn pieces<'a, R: Resource>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Read<R> {
    let mut reader = Reader::new();
    let mut elements = Vec::new();
    for piece in pieces {
        reader.push(piece);
        elements.extend(std::iter::from_fn(|| reader.next_record()));
    }
    reader.end();
    elements.extend(std::iter::from_fn(|| reader.next_record()));
    Read {
        elements,
        problem: reader.problem().map(str::to_owned),
        next_link: reader.has_next_link(),
        delta_link: reader.has_delta_link(),
    }
}

fn read(input: impl AsRef<[u8]>) -> Read<CloudItem> {
    pieces([input.as_ref()])
}

/// The records of an input that has no problem.
fn items(input: impl AsRef<[u8]>) -> Vec<CloudItem> {
    let read = read(input);
    assert_eq!(read.problem, None);
    read.elements
        .into_iter()
        .map(|element| element.record)
        .collect()
}

fn device(input: impl AsRef<[u8]>) -> CloudDevice {
    match items(input).as_slice() {
        [CloudItem::Device(device)] => (**device).clone(),
        other => panic!("not one device: {other:?}"),
    }
}

fn bad(input: impl AsRef<[u8]>) -> BadRecord {
    match items(input).as_slice() {
        [CloudItem::Bad(bad)] => bad.clone(),
        other => panic!("not one bad record: {other:?}"),
    }
}

fn ids(items: &[CloudItem]) -> Vec<String> {
    items
        .iter()
        .map(|item| match item {
            CloudItem::Device(device) => device.id.to_string(),
            CloudItem::Removed { id, .. } => format!("removed {id}"),
            CloudItem::Bad(bad) => format!("bad {bad}"),
        })
        .collect()
}

#[test]
fn every_form_of_export_gives_the_same_records() {
    let (one, two) = (
        format!(r#"{{"id":"{ID}"}}"#),
        format!(r#"{{"id":"{OTHER}"}}"#),
    );
    for input in [
        format!(r#"{{"@odata.context":"x","value":[{one},{two}]}}"#),
        format!("[{one} ,\n {two}]"),
        format!("{one}\n{two}\n"),
        format!("{one}\r\n\r\n{two}"),
        format!("{one},{two}"),
        format!("{{\"value\":[{one}]}}\n{{\"value\":[]}}\n{{\"value\":[{two}]}}"),
        format!("[{one}][{two}]"),
        format!("\u{feff}[{one},{two}]"),
    ] {
        assert_eq!(ids(&items(&input)), [ID, OTHER], "{input}");
    }
}

#[test]
fn offsets_find_the_records_again() {
    let input = format!("\u{feff}{{\"value\": [ {{\"id\":\"{ID}\"}},\n{{\"id\":\"{OTHER}\"}}]}}");
    for element in read(&input).elements {
        let at = usize::try_from(element.offset).unwrap();
        let (again, _) = parse_device(&input[at..]).unwrap();
        assert_eq!(again, element.record);
    }
}

#[test]
fn an_empty_page_has_no_records_and_no_problem() {
    for input in [
        r#"{"value":[]}"#,
        "[]",
        "",
        " \n",
        r#"{"value" : [ ] , "x":1}"#,
    ] {
        assert_eq!(items(input), [], "{input}");
    }
}

#[test]
fn links_are_seen_on_either_side_of_the_list() {
    let link = |input: &str| {
        let read = read(input);
        assert_eq!(read.problem, None, "{input}");
        (read.next_link, read.delta_link)
    };
    assert_eq!(link(r#"{"@odata.nextLink":"x","value":[]}"#), (true, false));
    assert_eq!(link(r#"{"value":[],"@odata.nextLink":"x"}"#), (true, false));
    assert_eq!(
        link(r#"{"value":[],"@odata.deltaLink":"x"}"#),
        (false, true)
    );
    assert_eq!(
        link(r#"{"@odata.deltaLink":"x","value":[]}"#),
        (false, true)
    );
    assert_eq!(
        link(r#"{"value":[],"@odata.nextLink":null}"#),
        (false, false)
    );
    // The last page decides about the next one.
    let pages = "{\"value\":[],\"@odata.nextLink\":\"x\"}\n{\"value\":[]}";
    assert_eq!(link(pages), (false, false));
}

#[test]
fn absent_null_and_value_are_three_things() {
    let device = device(format!(
        r#"{{"id":"{ID}","deviceId":"{DEVICE}","displayName":"a\u00e9","isManaged":null,"accountEnabled":true,
        "deviceVersion":2.0,"deletedDateTime":null,"unknown":{{"a":[1,{{}}]}},"approximateLastSignInDateTime":"2026-05-30T07:12:45Z",
        "onPremisesSecurityIdentifier":"S-1-5-21-1-2-3-1104","physicalIds":["[HWID]:h:1",null]}}"#
    ));
    assert_eq!(device.device_id, DEVICE.parse().ok());
    assert_eq!(device.display_name, Field::Value("aé".into()));
    assert_eq!(device.is_managed, Field::Null);
    assert_eq!(device.is_compliant, Field::Absent);
    assert_eq!(device.account_enabled, Field::Value(true));
    assert_eq!(device.device_version, Field::Value(2));
    assert!(!device.deleted);
    assert_eq!(
        device.on_premises_security_identifier,
        Field::Value("S-1-5-21-1-2-3-1104".parse().unwrap())
    );
    assert_eq!(device.physical_ids, Field::Value(vec!["[HWID]:h:1".into()]));
    assert_eq!(
        device.approximate_last_sign_in,
        FileTime::parse_rfc3339("2026-05-30T07:12:45Z").map_or(Field::Null, Field::Value)
    );
}

#[test]
fn a_member_of_the_wrong_type_spoils_its_own_record_only() {
    for (member, named) in [
        (r#""accountEnabled":"yes""#, "accountEnabled"),
        (r#""displayName":7"#, "displayName"),
        (r#""displayName":{"a":[]}"#, "displayName"),
        (r#""isManaged":[true]"#, "isManaged"),
        (r#""deviceVersion":2.5"#, "deviceVersion"),
        (r#""deviceVersion":99999999999"#, "deviceVersion"),
        (r#""physicalIds":"x""#, "physicalIds"),
        (r#""physicalIds":[1]"#, "physicalIds"),
        (r#""alternativeSecurityIds":{}"#, "alternativeSecurityIds"),
        (r#""registeredOwners":[7]"#, "registeredOwners"),
        (r#""registeredUsers":[{"id":"x"}]"#, "registeredUsers"),
        (
            r#""approximateLastSignInDateTime":"soon""#,
            "approximateLastSignInDateTime",
        ),
        (
            r#""onPremisesSecurityIdentifier":"S-2""#,
            "onPremisesSecurityIdentifier",
        ),
        (r#""deviceId":5"#, "deviceId"),
        (r#""@removed":true"#, "@removed"),
        (r#""@removed":{"reason":"moved"}"#, "@removed"),
    ] {
        let input = format!(r#"[{{{member},"id":"{ID}"}},{{"id":"{OTHER}"}}]"#);
        match items(&input).as_slice() {
            [CloudItem::Bad(bad), CloudItem::Device(_)] => {
                assert_eq!(bad.id, ID.parse().ok(), "{member}");
                assert!(bad.detail.contains(named), "{member}: {}", bad.detail);
            }
            other => panic!("{member}: {other:?}"),
        }
    }
}

#[test]
fn what_no_json_reader_takes_still_says_whose_it_is() {
    for member in [
        r#""displayName":"\ud800""#,
        r#""displayName":"a","displayName":"b""#,
        r#""deviceVersion":01"#,
        "\"displayName\":\"a\u{1}\"",
    ] {
        let input = format!(r#"{{"id":"{ID}","deviceId":"{DEVICE}",{member}}}"#);
        let bad = bad(&input);
        assert_eq!(bad.id, ID.parse().ok(), "{member}");
        assert_eq!(bad.device_id, DEVICE.parse().ok(), "{member}");
        assert!(!bad.detail.contains("line"), "{}", bad.detail);
    }
}

#[test]
fn bytes_that_are_no_utf8_spoil_their_own_record_only() {
    for broken in [
        &b"\xff"[..],
        b"\xe4",
        b"a\xc3",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98",
    ] {
        let mut input = format!(r#"[{{"id":"{ID}","displayName":""#).into_bytes();
        input.extend_from_slice(broken);
        let second = format!(r#""}},{{"id":"{OTHER}"}}]"#);
        input.extend_from_slice(second.as_bytes());
        let whole = read(&input);
        assert_eq!(whole.problem, None);
        match whole.elements.as_slice() {
            [first, second] => {
                assert_eq!(
                    first.record,
                    CloudItem::Bad(BadRecord {
                        id: ID.parse().ok(),
                        device_id: None,
                        detail: "the record is no UTF-8".into(),
                    })
                );
                let at = input.len() - format!(r#"{{"id":"{OTHER}"}}]"#).len();
                assert_eq!(second.offset, at as u64);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(pieces(input.chunks(1)).elements, whole.elements);
    }
}

#[test]
fn encodings_and_forms_that_are_not_taken_are_named() {
    let problem = |input: &[u8]| read(input).problem.unwrap_or_default();
    let utf16: Vec<u8> = "\u{feff}[]"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(problem(&utf16).contains("UTF-16"));
    assert!(problem(b"\x1f\x8b\x08\x00").contains(".gz"));
    assert!(problem(b"<html>").contains("no Graph JSON"));
    assert!(problem(b"hello").contains("(at byte 0)"));
    assert!(problem(b"{\"id\":1} x").contains("(at byte 9)"));
}

#[test]
fn a_cut_off_input_is_a_problem_wherever_it_is_cut() {
    let whole = format!(r#"{{"value":[{{"id":"{ID}","displayName":"ä"}},{{"id":"{OTHER}"}}]}}"#);
    let all = read(&whole).elements;
    for cut in 1..whole.len() {
        let part = read(&whole.as_bytes()[..cut]);
        assert!(part.problem.is_some(), "cut at {cut}");
        assert!(all.starts_with(&part.elements), "cut at {cut}");
    }
}

#[test]
fn members_of_the_list_that_are_no_objects_are_bad_records() {
    let items = items(format!(r#"[1, "x", [], null, {{"id":"{ID}"}}]"#));
    assert_eq!(items.len(), 5);
    assert!(
        items[..4]
            .iter()
            .all(|item| matches!(item, CloudItem::Bad(bad) if !bad.has_id()))
    );
    assert_eq!(ids(&items[4..]), [ID]);
}

#[test]
fn a_record_may_have_a_list_called_value_behind_its_id() {
    let record = format!(r#"{{"id":"{ID}","value":[{{"id":"{OTHER}"}}]}}"#);
    assert_eq!(ids(&items(&record)), [ID]);
    // Inside of a list it is a record in any case.
    let record = format!(r#"[{{"value":[{{"id":"{OTHER}"}}],"id":"{ID}"}}]"#);
    assert_eq!(ids(&items(&record)), [ID]);
    // A page may have other lists ahead of its own.
    let page = format!(r#"{{"x":{{"value":[{{"id":"{OTHER}"}}]}},"value":[{{"id":"{ID}"}}]}}"#);
    assert_eq!(ids(&items(&page)), [ID]);
}

#[test]
fn removal_records_are_read_in_both_kinds() {
    let item = |reason: &str| {
        items(format!(
            r#"{{"id":"{ID}","@removed":{{"reason":"{reason}"}}}}"#
        ))
        .remove(0)
    };
    let id = ID.parse().unwrap();
    let (changed, deleted) = (Removal::Changed, Removal::Deleted);
    assert_eq!(
        item("changed"),
        CloudItem::Removed {
            id,
            reason: changed
        }
    );
    assert_eq!(
        item("deleted"),
        CloudItem::Removed {
            id,
            reason: deleted
        }
    );
    assert!(bad(r#"{"@removed":{"reason":"deleted"}}"#).id.is_none());
}

#[test]
fn owners_are_read_under_both_spellings_with_what_is_known_of_them() {
    for name in ["registeredOwners", "registeredOwners@delta"] {
        let device = device(format!(
            r##"{{"id":"{ID}","{name}":[
            {{"@odata.type":"#microsoft.graph.user","id":"{OTHER}","onPremisesSecurityIdentifier":"S-1-5-21-1-2-3-1104"}},
            {{"@odata.type":"#microsoft.graph.servicePrincipal","id":"{DEVICE}","onPremisesSecurityIdentifier":null}},
            {{"@odata.type":"#microsoft.graph.user","id":"{ID}","@removed":{{"reason":"deleted"}}}}]}}"##
        ));
        let owners = device.registered_owners.value().unwrap();
        assert_eq!(owners.len(), 2, "{name}");
        assert_eq!(
            owners[0].sid,
            Field::Value("S-1-5-21-1-2-3-1104".parse().unwrap())
        );
        assert!(!owners[0].other_kind && owners[1].other_kind);
        assert_eq!(owners[1].sid, Field::Absent);
        assert_eq!(device.registered_users, Field::Absent);
    }
}

#[test]
fn alternative_security_ids_that_are_no_certificates_are_counted() {
    let key = "WAA1ADAAOQA6ADwAUwBIAEEAMQAtAFQAUAAtAFAAVQBCAEsARQBZAD4AOAA0AEEANQAxADYAOAA0ADEAQgBBADcANwBBADUAQgA0ADYANAA4AEQARQAyAEMARAAwAEQARgBDAEIAMwAwAEUAQQA0ADYARABCAEIANABnAGwAVABEAEsAYQBrAG8AVQBQAGIAVgBPAGQAMAAzAGIAMABnAFcANwBpAGQAawBVAFgAMgBsADQAQwBOAFYARgBLADkARABNAFcAUgBJAEQAWABvAD0A";
    let device = device(format!(
        r#"{{"id":"{ID}","alternativeSecurityIds":[{{"type":2,"key":"{key}"}},{{"key":"{key}","type":2}},
        {{"type":1,"key":"{key}"}},{{"type":2,"key":"!"}},{{"type":2}},7]}}"#
    ));
    let found = device.alternative_security_ids.value().unwrap();
    assert_eq!(found.usable.len(), 1);
    assert_eq!(found.unusable, 4);
}

#[test]
fn a_huge_record_ends_the_reading() {
    let mut input = format!(r#"[{{"id":"{ID}"}},{{"id":"{OTHER}","displayName":""#).into_bytes();
    input.resize(input.len() + (17 << 20), b'a');
    let read: Read<CloudItem> = pieces(input.chunks(4 << 20));
    assert_eq!(read.elements.len(), 1);
    assert!(read.problem.unwrap().contains("larger than 16 MiB"));
}

#[test]
fn users_are_read_with_or_without_their_sid() {
    let read: Read<Result<CloudUser, BadRecord>> = pieces([format!(
        r#"{{"value":[{{"id":"{ID}","onPremisesSecurityIdentifier":"S-1-5-21-1-2-3-1104"}},
        {{"id":"{OTHER}","onPremisesSecurityIdentifier":null}},{{"id":"{OTHER}","onPremisesSecurityIdentifier":5}},{{}}]}}"#
    )
    .as_bytes()]);
    assert_eq!(read.problem, None);
    let users: Vec<_> = read
        .elements
        .into_iter()
        .map(|element| element.record)
        .collect();
    assert_eq!(users.len(), 4);
    assert!(matches!(
        &users[0],
        Ok(CloudUser {
            sid: Field::Value(_),
            ..
        })
    ));
    assert!(matches!(
        &users[1],
        Ok(CloudUser {
            sid: Field::Null,
            ..
        })
    ));
    assert!(matches!(&users[2], Err(bad) if bad.id == OTHER.parse().ok()));
    assert!(matches!(&users[3], Err(bad) if !bad.has_id()));
}

/// Inputs out of the tokens that matter, well-formed or not.
fn inputs() -> impl Strategy<Value = Vec<u8>> {
    let whole_device =
        format!(r#"{{"id":"{ID}","deviceId":"{DEVICE}","displayName":"Büro \"1\""}}"#);
    let removed = format!(r#"{{"@removed":{{"reason":"deleted"}},"id":"{OTHER}"}}"#);
    let tokens: Vec<Vec<u8>> = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\n",
        "\"",
        "\\",
        "\"value\"",
        "{\"value\":[",
        "]}",
        "null",
        "1",
        "tru",
        "\"id\"",
        "\"\\ud800\"",
        "ä",
        "\u{feff}",
        "\"@odata.nextLink\":\"x\"",
        "{\"id\":1,\"id\":2}",
        whole_device.as_str(),
        removed.as_str(),
    ]
    .map(|token| token.as_bytes().to_vec())
    .into_iter()
    .chain([vec![0xFF], vec![0xC3], vec![0xE2, 0x82]])
    .collect();
    prop::collection::vec(prop::sample::select(tokens), 0..24).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_the_same_records(input in inputs(), size in 1_usize..40) {
        let whole: Read<CloudItem> = pieces([&input[..]]);
        let parts: Read<CloudItem> = pieces(input.chunks(size));
        prop_assert_eq!(&parts.elements, &whole.elements);
        prop_assert_eq!(parts.problem.is_some(), whole.problem.is_some());
        prop_assert_eq!((parts.next_link, parts.delta_link), (whole.next_link, whole.delta_link));
    }

    /// Members in any order, as Graph writes them and not quite so.
    #[test]
    fn the_short_way_agrees_with_the_json_reader(members in prop::collection::vec((keys(), values()), 0..6), tail in "[ ,}x]{0,2}") {
        let members: Vec<String> = members.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        let text = format!("{{{}{tail}", members.join(","));
        if let Some((_, length)) = fast::device(&text) {
            let (slow, slow_length) = json::parse_device_slowly(&text).unwrap();
            let (quick, quick_length) = parse_device(&text).unwrap();
            prop_assert_eq!(quick, slow);
            prop_assert_eq!(quick_length, slow_length);
            prop_assert_eq!(quick_length, length);
        }
    }
}

fn keys() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "\"id\"",
        "\"id\"",
        " \"deviceId\" ",
        "\"displayName\"",
        "\"accountEnabled\"",
        "\"deviceVersion\"",
        "\"physicalIds\"",
        "\"alternativeSecurityIds\"",
        "\"registeredOwners\"",
        "\"registeredOwners@delta\"",
        "\"registeredUsers\"",
        "\"@removed\"",
        "\"trustType\"",
        "\"approximateLastSignInDateTime\"",
        "\"other\"",
        "\"extensionAttributes\"",
        "\"\"",
        "\"i\\u0064\"",
        "id",
    ])
}

fn values() -> impl Strategy<Value = String> {
    let id = format!("\"{ID}\"");
    let link = format!(r##"[{{"id":"{ID}","@odata.type":"#microsoft.graph.user"}}]"##);
    let alternative = r#"[{"type":2,"key":"QQBB"},{"key":null,"type":-1,"x":[{}]}]"#.to_owned();
    let plain = [
        "null",
        "true",
        "false",
        "nul",
        "truex",
        "0",
        "-0",
        "7",
        "-12",
        "01",
        "2.0",
        "2e0",
        "99999999999",
        "-",
        "\"\"",
        "\"ä€😀\"",
        "\"a\\\"b\"",
        "\"a\u{1}b\"",
        "\"12345678\"",
        "\"1234567\t\"",
        " [ ] ",
        "[\"a\",null]",
        "[1]",
        "[,]",
        "[1,]",
        "{}",
        "{\"a\":{\"b\":[1, 2]}}",
        "{\"a\"}",
        "[[[[[[[[[[]]]]]]]]]]",
        "\"unended",
    ]
    .map(str::to_owned)
    .into_iter();
    let long = "0123456789".repeat(5);
    let long = [
        format!("\"{long}\""),
        format!("\"{long}\\n\""),
        format!("\"{long}\t{long}\""),
        format!("\"{long}ä{long}\\\"\""),
        format!("\"{long}"),
    ];
    let extensions: Vec<String> = (1..=15)
        .map(|number| format!("\"extensionAttribute{number}\":null"))
        .collect();
    let extensions = format!("{{{}}}", extensions.join(","));
    let own = [id, link, alternative, extensions];
    prop::sample::select(plain.chain(own).chain(long).collect::<Vec<_>>())
}
