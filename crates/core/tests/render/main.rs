//! One plan that shows every action and every list, with names that an attacker chose, in every format.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod plans;

use std::collections::BTreeMap;

use device_writeback_core::ldif::{Body, parse_all};
use device_writeback_core::plan::{Action, History, Limits, Plan};
use device_writeback_core::render::{Format, PLAN_SCHEMA, RenderOptions, render};
use insta::assert_snapshot;
use plans::{HOSTILE, empty_plan, incomplete_plan, plan};

fn rendered(plan: &Plan, format: Format, options: &RenderOptions) -> String {
    let mut out = Vec::new();
    render(plan, format, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn options(set: impl FnOnce(&mut RenderOptions)) -> RenderOptions {
    let mut options = RenderOptions::default();
    set(&mut options);
    options
}

#[test]
fn the_plan_shows_everything() {
    let plan = plan();
    for action in Action::ALL {
        assert!(plan.count_of(*action) > 0, "{action}");
    }
    assert!(!plan.held().is_empty());
    assert!(!plan.conflicts().is_empty());
    assert!(!plan.skipped().is_empty());
    assert!(
        plan.changes()
            .any(|change| !change.unwrap().notices.is_empty())
    );
}

#[test]
fn text() {
    assert_snapshot!(rendered(&plan(), Format::Text, &RenderOptions::default()));
}

#[test]
fn text_verbose_with_a_refusal() {
    let plan = plan();
    let mut limits = Limits::default();
    limits.max_retirements = 1;
    let options = options(|options| {
        options.verbose = true;
        options.limits = Some(plan.check_limits(&limits, &History::default()));
    });
    assert_snapshot!(rendered(&plan, Format::Text, &options));
}

#[test]
fn text_of_a_plan_with_nothing_to_do() {
    let text = rendered(
        &empty_plan(),
        Format::Text,
        &options(|options| options.limits = Some(Ok(()))),
    );
    assert_snapshot!(text);
}

#[test]
fn text_cut_short() {
    let options = options(|options| options.max_changes = Some(1));
    let text = rendered(&plan(), Format::Text, &options);
    let left = plan().len() - 1;
    assert!(
        text.contains(&format!("... and {left} more changes\n")),
        "{text}"
    );
    assert_eq!(text.matches("(disabled_in_cloud)").count(), 1);
    assert!(!text.contains("(new_device)"));
}

#[test]
fn json() {
    assert_snapshot!(rendered(&plan(), Format::Json, &RenderOptions::default()));
}

#[test]
fn ldif() {
    assert_snapshot!(rendered(&plan(), Format::Ldif, &RenderOptions::default()));
}

#[test]
fn html() {
    assert_snapshot!(rendered(&plan(), Format::Html, &RenderOptions::default()));
}

#[test]
fn every_document_fits_the_schema() {
    let schema: serde_json::Value = serde_json::from_str(PLAN_SCHEMA).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).unwrap();
    for plan in [plan(), incomplete_plan(), empty_plan()] {
        let text = rendered(&plan, Format::Json, &RenderOptions::default());
        let document = serde_json::from_str(&text).unwrap();
        let errors: Vec<_> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(errors, Vec::<String>::new());
    }
}

#[test]
fn the_schema_refuses_what_is_not_in_it() {
    let schema: serde_json::Value = serde_json::from_str(PLAN_SCHEMA).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let text = rendered(&plan(), Format::Json, &RenderOptions::default());
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (pointer, value) in [
        ("/format_version", serde_json::json!(2)),
        ("/surprise", serde_json::json!(true)),
        ("/tenant_id", serde_json::json!("contoso.com")),
        ("/digest", serde_json::json!("00")),
        ("/summary/actions/rename", serde_json::json!(1)),
        ("/changes/0/action", serde_json::json!("rename")),
        ("/changes/0/surprise", serde_json::json!(1)),
        ("/changes/0/reason", serde_json::json!("No Code")),
        (
            "/changes/0/attributes/0/old/0/base64",
            serde_json::json!("AA=="),
        ),
        ("/held/0/message", serde_json::json!(null)),
    ] {
        let mut changed = document.clone();
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        changed.pointer_mut(parent).unwrap()[member] = value;
        assert!(!validator.is_valid(&changed), "{pointer}");
    }
    for member in document.as_object().unwrap().keys() {
        let mut changed = document.clone();
        changed.as_object_mut().unwrap().remove(member);
        assert!(!validator.is_valid(&changed), "without {member}");
    }
}

#[test]
fn no_format_lets_a_name_act() {
    let plan = plan();
    for format in Format::ALL {
        for verbose in [false, true] {
            let text = rendered(
                &plan,
                *format,
                &options(|options| options.verbose = verbose),
            );
            for character in text.chars() {
                let harmless = character == '\n' || !character.is_control();
                assert!(harmless, "{format} has a raw {character:?}");
                // JSON carries values as they are; its readers escape them.
                if *format != Format::Json {
                    assert!(
                        !matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'),
                        "{format} has a raw {character:?}"
                    );
                }
            }
            assert!(
                text.lines()
                    .all(|line| !line.to_ascii_lowercase().starts_with("dn: cn=evil")),
                "{format} has a line that an attacker wrote"
            );
        }
    }
    for name in HOSTILE {
        let text = rendered(&plan, Format::Text, &RenderOptions::default());
        assert!(text.contains(name), "{name} is not shown as text");
    }
    let html = rendered(&plan, Format::Html, &RenderOptions::default());
    assert!(!html.contains("<script>alert"));
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(html.contains(r"\u{202e}"));
}

#[test]
fn colours_are_the_renderers_own() {
    let plain = rendered(&plan(), Format::Text, &RenderOptions::default());
    let colored = rendered(
        &plan(),
        Format::Text,
        &options(|options| options.color = true),
    );
    assert!(!plain.contains('\u{1b}'));
    let mut stripped = String::new();
    let mut rest = colored.as_str();
    while let Some((text, sequence)) = rest.split_once('\u{1b}') {
        stripped.push_str(text);
        let (parameters, after) = sequence.split_once('m').unwrap();
        assert!(
            parameters
                .trim_start_matches('[')
                .chars()
                .all(|character| character.is_ascii_digit() || character == ';'),
            "{parameters}"
        );
        rest = after;
    }
    stripped.push_str(rest);
    assert_eq!(stripped, plain);
}

#[test]
fn ldif_asserts_the_mark_before_it_changes_anything() {
    let plan = plan();
    let text = rendered(&plan, Format::Ldif, &RenderOptions::default());
    let records: Vec<_> = parse_all(text.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap();
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for record in &records {
        let kind = match &record.body {
            Body::Add(attributes) => {
                assert_eq!(attributes[0].name, "objectClass");
                assert_eq!(attributes[0].value, b"top");
                assert_eq!(attributes[1].value, b"msDS-Device");
                assert_eq!(attributes[2].name, "cn");
                "add"
            }
            Body::Modify(changes) => {
                let names: Vec<_> = changes
                    .iter()
                    .take(4)
                    .map(|change| (change.op.as_str(), change.name.as_str()))
                    .collect();
                assert_eq!(
                    names,
                    [
                        ("delete", "msDS-CloudAnchor"),
                        ("add", "msDS-CloudAnchor"),
                        ("delete", "msDS-DeviceID"),
                        ("add", "msDS-DeviceID")
                    ]
                );
                assert_eq!(changes[0].values, changes[1].values);
                assert_eq!(changes[2].values, changes[3].values);
                assert!(changes.iter().all(|change| !change.values.is_empty()));
                "modify"
            }
            Body::Delete => "delete",
            other => panic!("{other:?}"),
        };
        *kinds.entry(kind).or_default() += 1;
    }
    let of = |action| plan.count_of(action);
    assert_eq!(kinds["add"], of(Action::Create));
    assert_eq!(
        kinds["modify"],
        of(Action::Update) + of(Action::Disable) + of(Action::Delete)
    );
    assert_eq!(kinds["delete"], of(Action::Delete));
}

#[test]
fn a_delete_is_disabled_first() {
    let text = rendered(&plan(), Format::Ldif, &RenderOptions::default());
    let records: Vec<_> = parse_all(text.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap();
    for pair in records.windows(2) {
        if pair[1].body == Body::Delete {
            assert_eq!(pair[0].dn, pair[1].dn);
            let Body::Modify(changes) = &pair[0].body else {
                panic!("a delete without its assertion");
            };
            let last = changes.last().unwrap();
            assert_eq!(last.name, "msDS-IsEnabled");
            assert_eq!(last.values, [b"FALSE".to_vec()]);
        }
    }
}

#[test]
fn html_states_its_row_cap() {
    let plan = plan();
    let html = rendered(
        &plan,
        Format::Html,
        &options(|options| options.max_rows = 2),
    );
    let caption = format!(
        "<caption>Showing the first 2 of {} changes; the JSON document has all.</caption>",
        plan.len()
    );
    assert!(html.contains(&caption));
    assert_eq!(html.matches("<tbody class=\"change\"").count(), 2);
    let html = rendered(&plan, Format::Html, &RenderOptions::default());
    assert!(!html.contains("<caption>"));
}

#[test]
fn html_loads_nothing() {
    let html = rendered(&plan(), Format::Html, &RenderOptions::default());
    assert!(html.contains("content=\"default-src 'none'; style-src 'sha256-"));
    for word in [
        "<link",
        "<img",
        "<iframe",
        "<object",
        "<form action",
        " src=\"",
        " href=\"",
        "http:",
        "https:",
        "url(",
        "@import",
        " style=",
        "innerHTML",
        " onclick",
        "eval(",
    ] {
        assert!(!html.contains(word), "{word}");
    }
    assert_eq!(html.matches("<script>").count(), 1);
    assert_eq!(html.matches("<style>").count(), 1);
}

#[test]
fn warnings_come_first() {
    let plan = incomplete_plan();
    let text = rendered(&plan, Format::Text, &RenderOptions::default());
    let warning = text.find("! the source was not read completely").unwrap();
    assert!(warning < text.find("digest").unwrap());
    assert!(text.contains(r"page 7: \u{1b}[2J"), "{text}");
    let html = rendered(&plan, Format::Html, &RenderOptions::default());
    assert!(html.contains("<li>The source was not read completely"));
    let ldif = rendered(&plan, Format::Ldif, &RenderOptions::default());
    assert!(ldif.contains("\n# warning: the source was not read completely"));
    assert!(ldif.contains("\n# warning: take-over"));
}

#[test]
fn a_writer_that_fails_is_named() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for format in Format::ALL {
        let error = render(&plan(), *format, &RenderOptions::default(), &mut Full).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the plan cannot be written out as {format}")
        );
        assert!(std::error::Error::source(&error).is_some());
    }
}

#[test]
fn the_same_plan_gives_the_same_bytes() {
    for format in Format::ALL {
        let options = RenderOptions::default();
        assert_eq!(
            rendered(&plan(), *format, &options),
            rendered(&plan(), *format, &options)
        );
    }
}
