use proptest::prelude::*;

use super::*;

fn record(text: &str) -> Record {
    parse_record(text.as_bytes()).unwrap().unwrap()
}

fn attribute(name: &str, value: &[u8]) -> AttrVal {
    AttrVal::new(name, value)
}

/// As built by hand: without the places where things stood.
fn without_spans(mut record: Record) -> Record {
    record.dn_span = 0..0;
    if let Body::Content(attributes) | Body::Add(attributes) = &mut record.body {
        for attribute in attributes {
            attribute.span = 0..0;
        }
    }
    record
}

fn printed(record: &Record) -> String {
    let mut out = Vec::new();
    write_record(&mut out, record);
    String::from_utf8(out).unwrap()
}

#[test]
fn content() {
    let text = "# made by hand\nversion: 1\ndn: CN=x,DC=contoso,\n DC=com\n# a note\n  goes on\ncn:x\ndisplayName:: \
                SsO2cmc=\nuserCertificate;binary::\ndescription:   a b \n";
    let parsed = record(text);
    assert_eq!(parsed.dn, "CN=x,DC=contoso,DC=com");
    assert_eq!(
        &text[parsed.dn_span.clone()],
        "dn: CN=x,DC=contoso,\n DC=com\n"
    );
    let Body::Content(attributes) = &parsed.body else {
        panic!("{parsed:?}")
    };
    assert_eq!(
        attributes
            .iter()
            .map(|a| &text[a.span.clone()])
            .collect::<Vec<_>>(),
        [
            "cn:x\n",
            "displayName:: SsO2cmc=\n",
            "userCertificate;binary::\n",
            "description:   a b \n"
        ]
    );
    assert_eq!(
        without_spans(parsed).body,
        Body::Content(vec![
            attribute("cn", b"x"),
            attribute("displayName", "Jörg".as_bytes()),
            attribute("userCertificate;binary", b""),
            attribute("description", b"a b "),
        ])
    );
}

#[test]
fn windows_line_ends_and_byte_order_mark() {
    let text = "\u{feff}dn: CN=x\r\ncn: a\r\n b\r\n\r\n";
    let parsed = record(text);
    assert_eq!(&text[parsed.dn_span.clone()], "dn: CN=x\r\n");
    let Body::Content(attributes) = &parsed.body else {
        panic!("{parsed:?}")
    };
    assert_eq!(attributes[0].value, b"ab");
    assert_eq!(&text[attributes[0].span.clone()], "cn: a\r\n b\r\n");
}

#[test]
fn last_line_without_end_and_non_ascii_text() {
    let text = "dn: CN=é\ncn: Jörg";
    let parsed = record(text);
    assert_eq!(parsed.dn, "CN=é");
    let Body::Content(attributes) = parsed.body else {
        panic!()
    };
    assert_eq!(attributes[0].value, "Jörg".as_bytes());
    assert_eq!(attributes[0].span, 10..text.len());
}

#[test]
fn changes() {
    assert_eq!(
        without_spans(record("dn: CN=x\nchangetype: Add\nobjectClass: top\n")).body,
        Body::Add(vec![attribute("objectClass", b"top")])
    );
    assert_eq!(record("dn: CN=x\nchangetype: delete\n").body, Body::Delete);
    assert_eq!(
        record(
            "dn: CN=x\nchangetype: modify\nadd: a\nA: 1\na:: Mg==\n-\ndelete: b\n-\nreplace: c\nc: 3\n-\n"
        )
        .body,
        Body::Modify(vec![
            ModSpec {
                op: ModOp::Add,
                name: "a".into(),
                values: vec![b"1".to_vec(), b"2".to_vec()]
            },
            ModSpec { op: ModOp::Delete, name: "b".into(), values: vec![] },
            ModSpec { op: ModOp::Replace, name: "c".into(), values: vec![b"3".to_vec()] },
        ])
    );
    assert_eq!(
        record("dn: CN=x\nchangetype: moddn\nnewrdn: CN=y\ndeleteoldrdn: 1\nnewsuperior: DC=z\n")
            .body,
        Body::ModDn {
            new_rdn: "CN=y".into(),
            delete_old_rdn: true,
            new_superior: Some("DC=z".into())
        }
    );
}

#[test]
fn nothing_but_comments() {
    for text in [
        "",
        "\n\n",
        "# x\n y\n",
        "version: 1\n",
        "# x\nversion: 1\r\n\r\n",
    ] {
        assert_eq!(parse_record(text.as_bytes()), Ok(None), "{text:?}");
    }
}

#[test]
fn errors_name_line_and_cause() {
    for (text, message) in [
        (
            "cn: x\n",
            "line 1: a record starts with \"dn\", not with \"cn\"",
        ),
        (
            "version: 2\ndn: CN=x\n",
            "line 1: the version of LDIF must be 1",
        ),
        (" dn: CN=x\n", "line 1: \" dn\" is no attribute name"),
        (
            "dn: CN=x\ncn\n",
            "line 2: \"cn\" is not of the form \"name: value\"",
        ),
        (
            "dn: CN=x\n# a\n b\nc d: e\n",
            "line 4: \"c d\" is no attribute name",
        ),
        (
            "dn:: /w==\n",
            "line 1: the value of \"dn\" is not UTF-8 text: \"\u{fffd}\"",
        ),
        (
            "dn: CN=x\ncn:: a\n",
            "line 2: the value of \"cn\" is not base64",
        ),
        (
            "dn: CN=x\ncn:: YQ\n",
            "line 2: the value of \"cn\" is not base64",
        ),
        (
            "dn: CN=x\ncn:< file:///etc/passwd\n",
            "line 2: the value of \"cn\" is given by URL, which is not followed; put the value itself here",
        ),
        (
            "dn: CN=x\ncn: a\rb\n",
            "line 2: the value of \"cn\" holds a carriage return or NUL",
        ),
        (
            "dn: CN=x\ncontrol: 1.2.3 true\nchangetype: delete\n",
            "line 2: controls are not",
        ),
        (
            "dn: CN=x\nchangetype: rename\n",
            "line 2: \"rename\" is no changetype",
        ),
        (
            "dn: CN=x\nchangetype: delete\ncn: x\n",
            "line 3: nothing can follow",
        ),
        (
            "dn: CN=x\ncn: x\ndn: CN=y\n",
            "line 3: \"dn\" cannot stand among attributes",
        ),
        (
            "dn: CN=x\ncn: x\nchangetype: delete\n",
            "line 3: \"changetype\" cannot stand",
        ),
        (
            "dn: CN=x\ncn: x\n-\n",
            "line 3: \"-\" cannot stand among attributes",
        ),
        (
            "dn: CN=x\n\ncn: x\n",
            "line 3: the record goes on after a blank line",
        ),
        (
            "dn: CN=x\nchangetype: modify\nset: a\n",
            "line 3: \"set\" is no kind of change",
        ),
        (
            "dn: CN=x\nchangetype: modify\nadd: a b\n",
            "line 3: \"a b\" is no attribute name",
        ),
        (
            "dn: CN=x\nchangetype: modify\nadd: a\nb: 1\n-\n",
            "line 4: a value of \"a\" is expected",
        ),
        (
            "dn: CN=x\nchangetype: modify\nadd: a\na: 1\n",
            "line 4: the change ends without a line",
        ),
        (
            "dn: CN=x\nchangetype: modrdn\n",
            "line 2: the record ends where newrdn is expected",
        ),
        (
            "dn: CN=x\nchangetype: modrdn\nnewrdn: CN=y\ndeleteoldrdn: 2\n",
            "line 4: deleteoldrdn is",
        ),
        (
            "dn: CN=x\nchangetype: modrdn\nnewrdn: CN=y\ndeleteoldrdn: 0\ncn: y\n",
            "line 5: only newsuperior",
        ),
    ] {
        let error = parse_record(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text:?}: {error}");
    }
}

#[test]
fn record_ends() {
    for (buffer, at_eof, end) in [
        ("", false, None),
        ("", true, None),
        ("dn: x\n", false, None),
        ("dn: x\n", true, Some(6)),
        ("dn: x", true, Some(5)),
        ("dn: x\n\n", false, None),
        ("dn: x\n\n", true, Some(7)),
        ("dn: x\n\ndn: y\n", false, Some(7)),
        ("dn: x\n\n\n\ndn: y\n", false, Some(9)),
        ("dn: x\r\n\r\ndn: y\r\n", false, Some(9)),
        ("dn: x\r\n\r\n\r", false, None),
        ("dn: x\r\n\r\n\r\nd", false, Some(11)),
        ("dn: x\r\n\ndn: y", false, Some(8)),
        ("\n\ndn: x\n\n", false, Some(2)),
        ("\n", false, None),
        ("\n", true, Some(1)),
        ("dn: x\n \n\ndn: y", false, Some(9)),
    ] {
        assert_eq!(
            record_end(buffer.as_bytes(), at_eof),
            end,
            "{buffer:?} {at_eof}"
        );
    }
}

#[test]
fn all_records_with_lines_of_the_whole_text() {
    let text = "\nversion: 1\n\ndn: CN=a\ncn: a\n\n\n# between\n\ndn: CN=b\nbad\n\ndn: CN=c\n";
    let all: Vec<_> = parse_all(text.as_bytes()).collect();
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].as_ref().unwrap().dn, "CN=a");
    assert_eq!(all[1].as_ref().unwrap_err().line, 11);
    assert_eq!(all[2].as_ref().unwrap().dn, "CN=c");
    assert_eq!(all[2].as_ref().unwrap().body, Body::Content(vec![]));
}

#[test]
fn written_lines() {
    let written = |name: &str, value: &[u8]| {
        let mut out = Vec::new();
        write_attr(&mut out, name, value);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(written("cn", b"a b"), "cn: a b\n");
    assert_eq!(written("cn", b""), "cn:\n");
    for value in [
        &b" a"[..],
        b"a ",
        b":a",
        b"<a",
        b"a\nb",
        b"\0",
        b"\x7f",
        "é".as_bytes(),
        b"\t",
    ] {
        let line = written("cn", value);
        assert!(line.starts_with("cn:: "), "{line}");
    }
    let long = written("description", "x".repeat(150).as_bytes());
    let lines: Vec<_> = long.lines().collect();
    assert_eq!(
        lines.iter().map(|line| line.len()).collect::<Vec<_>>(),
        [76, 76, 13]
    );
    assert!(lines[1..].iter().all(|line| line.starts_with(" x")));
    // A full last line is not followed by an empty one.
    assert_eq!(written("cn", &[b'x'; 72]).lines().count(), 1);
    assert_eq!(written("cn", &[b'x'; 73]).lines().count(), 2);
}

#[test]
fn written_comments_stay_comments() {
    let written = |text: &str| {
        let mut out = Vec::new();
        write_comment(&mut out, text);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(written("held: Jörg's \"PC\""), "# held: Jörg's \"PC\"\n");
    assert_eq!(written(""), "#\n");
    assert_eq!(written("a\r\ndn: CN=x\n\nb"), "# a\\r\\ndn: CN=x\\n\\nb\n");
    assert_eq!(
        written("\u{1b}[2J\u{202e}\u{2028}\u{85}"),
        "# \\u{1b}[2J\\u{202e}\\u{2028}\\u{85}\n"
    );
}

#[test]
fn written_records() {
    let change = Record::new(
        "CN=Jörg",
        Body::Modify(vec![ModSpec {
            op: ModOp::Delete,
            name: "a".into(),
            values: vec![],
        }]),
    );
    assert_eq!(
        printed(&change),
        "dn:: Q049SsO2cmc=\nchangetype: modify\ndelete: a\n-\n\n"
    );
    let mut version = Vec::new();
    write_version(&mut version);
    assert_eq!(version, b"version: 1\n");
}

fn any_name() -> impl Strategy<Value = String> {
    "[a-zA-Z][a-zA-Z0-9-]{0,12}(;binary|;range=0-1499)?"
        .prop_map(|name| name.replace("=", "-"))
        .prop_filter("a word of LDIF", |name| {
            !["dn", "changetype", "control"].contains(&name.to_ascii_lowercase().as_str())
        })
}

fn any_octets() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<Vec<u8>>(),
        any::<String>().prop_map(String::into_bytes),
        "[ -~]{0,200}".prop_map(String::into_bytes),
        "[ :<#\\r\\n\\x00a-]{0,6}".prop_map(String::into_bytes),
    ]
}

fn any_attributes() -> impl Strategy<Value = Vec<AttrVal>> {
    prop::collection::vec((any_name(), any_octets()), 0..6).prop_map(|all| {
        all.into_iter()
            .map(|(name, value)| AttrVal::new(name, value))
            .collect()
    })
}

fn any_change() -> impl Strategy<Value = ModSpec> {
    (
        prop::sample::select(vec![ModOp::Add, ModOp::Delete, ModOp::Replace]),
        any_name(),
        prop::collection::vec(any_octets(), 0..4),
    )
        .prop_map(|(op, name, values)| ModSpec { op, name, values })
}

fn any_body() -> impl Strategy<Value = Body> {
    prop_oneof![
        any_attributes().prop_map(Body::Content),
        any_attributes().prop_map(Body::Add),
        Just(Body::Delete),
        prop::collection::vec(any_change(), 0..4).prop_map(Body::Modify),
        (any::<String>(), any::<bool>(), any::<Option<String>>()).prop_map(
            |(new_rdn, delete_old_rdn, new_superior)| Body::ModDn {
                new_rdn,
                delete_old_rdn,
                new_superior
            }
        ),
    ]
}

proptest! {
    #[test]
    fn round_trips(dn: String, body in any_body()) {
        let record = Record::new(dn, body);
        let text = printed(&record);
        prop_assert!(text.is_ascii());
        prop_assert!(text.lines().all(|line| line.len() <= 76));
        let parsed = parse_record(text.as_bytes()).unwrap().unwrap();
        prop_assert_eq!(&printed(&parsed), &text);
        prop_assert_eq!(without_spans(parsed), record.clone());
        // The same with the line ends of Windows.
        let windows = text.replace('\n', "\r\n");
        let parsed = parse_record(windows.as_bytes()).unwrap().unwrap();
        prop_assert_eq!(without_spans(parsed), record);
    }

    #[test]
    fn spans_are_what_was_written(attributes in any_attributes()) {
        let text = printed(&Record::new("CN=x", Body::Content(attributes)));
        let parsed = parse_record(text.as_bytes()).unwrap().unwrap();
        let Body::Content(attributes) = &parsed.body else { panic!("{parsed:?}") };
        let mut at = parsed.dn_span.end;
        for attribute in attributes {
            let mut line = Vec::new();
            write_attr(&mut line, &attribute.name, &attribute.value);
            prop_assert_eq!(attribute.span.start, at);
            prop_assert_eq!(&text.as_bytes()[attribute.span.clone()], &line[..]);
            at = attribute.span.end;
        }
        prop_assert_eq!(&text[at..], "\n");
    }

    #[test]
    fn records_are_found_however_the_text_is_cut(
        records in prop::collection::vec((any_body(), "(\n|\r\n){0,2}"), 0..5),
        cut in 1..40usize,
    ) {
        let mut text = Vec::new();
        for (at, (body, blank)) in records.iter().enumerate() {
            write_record(&mut text, &Record::new(format!("CN={at}"), body.clone()));
            text.extend_from_slice(blank.as_bytes());
        }
        let whole: Vec<_> =
            parse_all(&text).map(|record| without_spans(record.unwrap())).collect();
        prop_assert_eq!(whole.len(), records.len());
        for (at, (record, (body, _))) in whole.iter().zip(&records).enumerate() {
            prop_assert_eq!(&record.dn, &format!("CN={at}"));
            prop_assert_eq!(&record.body, body);
        }
        let mut found = Vec::new();
        let (mut start, mut end) = (0, 0);
        while start < text.len() {
            match record_end(&text[start..end], end == text.len()) {
                Some(length) => {
                    found.extend(
                        parse_record(&text[start..start + length]).unwrap().map(without_spans),
                    );
                    start += length;
                }
                None => end = text.len().min(end + cut),
            }
        }
        prop_assert_eq!(found, whole);
    }

    #[test]
    fn comments_never_become_records(text: String) {
        let mut out = Vec::new();
        write_comment(&mut out, &text);
        prop_assert_eq!(out.iter().filter(|octet| **octet == b'\n').count(), 1);
        prop_assert!(!out.contains(&b'\r'));
        prop_assert_eq!(parse_record(&out), Ok(None));
    }

    #[test]
    fn never_panics(
        text in "(dn|cn|-|changetype|add|version|#)?(:|::|: |:<)?(1|modify|add|delete|é|=| )?[\n\r ]{0,2}|.",
        octets: Vec<u8>,
    ) {
        let _ = parse_all(&octets).count();
        let _ = parse_all(text.as_bytes()).count();
    }
}
