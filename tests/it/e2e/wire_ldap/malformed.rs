//! Answers that are not LDAP, in every way and everywhere: no panic, no hang, no success that was none, and then the run
//! goes on.

use std::time::Duration;

use device_writeback::core::apply::{Operation, ResultCode};
use device_writeback::engine::Error;
use device_writeback::engine::ports::Directory as _;
use device_writeback::ldap::LdapDirectory;
use device_writeback_tests::scripted_ldap::{Kind, Malformed, Options, Reply, Rule, ScriptedLdap};

use super::support::*;

/// A message that never ends is given up after this.
const PATIENCE: Duration = Duration::from_millis(300);

/// What does not come to an end, or belongs to no request: only the time-out ends that.
const NEVER_ANSWERED: [Malformed; 6] = [
    Malformed::EntryInnerLength,
    Malformed::MessageIdEmpty,
    Malformed::MessageIdTooLong,
    Malformed::HugeLength,
    Malformed::LengthTooLong,
    Malformed::NotBer,
];

/// What passes for success in a result that is none.
///
/// The LDAP library takes a code without octets for 0, looks at the number of a response's tag only where it tells entries of
/// a search from its end, and never at its class. It hands over the parsed result and no more, so nobody above it can tell.
/// That costs little: such a server acknowledges what it has not done, and the next run finds that out.
const TAKEN_FOR_SUCCESS: [Malformed; 4] = [
    Malformed::ResultCodeEmpty,
    Malformed::NotApplication,
    Malformed::OtherOperation,
    Malformed::UnknownOperation,
];

/// A code that is too long is one that nobody knows, and a refusal like others.
fn is_refused(how: Malformed, error: &Error) -> bool {
    how == Malformed::ResultCodeTooLong && told(error).ends_with(": other (16843009)")
}

/// What an entry or a reference may be without harm to the others.
const HARMLESS: [Malformed; 4] = [
    Malformed::EntryNameNoDn,
    Malformed::EntryAttributeTwice,
    Malformed::ReferenceNotUtf8,
    Malformed::ReferenceEmpty,
];

fn server() -> ScriptedLdap {
    let server = start(Options {
        users: 0,
        ..Options::default()
    });
    fill(&server, 0..3);
    server
}

/// The adapter with a time-out of its own where that is what ends it.
fn patient(server: &ScriptedLdap, how: Malformed) -> LdapDirectory {
    match NEVER_ANSWERED.contains(&how) {
        true => impatient(server, PATIENCE),
        false => open(server),
    }
}

fn is_for_results(how: &Malformed) -> bool {
    !how.is_entry()
}

/// An error that says what happened, and where.
#[track_caller]
fn is_explained(error: &Error, doing: &str) {
    assert!(told(error).starts_with(doing), "{}", told(error));
    assert!(error.remedy().is_some(), "{}", told(error));
}

/// The server is well again: everything works.
async fn is_well(server: &ScriptedLdap, directory: &LdapDirectory) {
    assert_eq!(server.unused_rules(), 0);
    server.clear_script();
    soon(directory.facts()).await.unwrap();
    assert_eq!(soon(listing(directory)).await.unwrap().len(), count(server));
    assert_eq!(written(directory, &add(77)).await.code, ResultCode::SUCCESS);
    assert!(soon(directory.read(&target(77))).await.unwrap().is_some());
}

#[tokio::test]
async fn in_a_bind() {
    for how in Malformed::ALL.iter().filter(|how| is_for_results(how)) {
        let server = server();
        let directory = patient(&server, *how);
        server.script(Rule::on(Kind::Bind).instead(Reply::Malformed(*how)));
        // Nobody was bound, whatever the answer looks like: the server says so when it is asked for something.
        let error = soon(directory.facts()).await.unwrap_err();
        assert!(error.remedy().is_some(), "{how:?}: {}", told(&error));
        assert_eq!(server.requests_of(Kind::Bind).len(), 1, "{how:?}");
        cut(&server);
        is_well(&server, &directory).await;
    }
}

#[tokio::test]
async fn in_what_the_server_says_about_itself() {
    for how in Malformed::ALL {
        let server = server();
        let directory = patient(&server, *how);
        server.script(Rule::on(Kind::Search).perform_then(Reply::Malformed(*how)));
        match soon(directory.facts()).await {
            Ok(facts) => assert_eq!(facts.base.to_string(), "DC=contoso,DC=com", "{how:?}"),
            Err(error) if is_refused(*how, &error) => {}
            Err(error) => is_explained(&error, "reading what ldaps://127.0.0.1"),
        }
        is_well(&server, &directory).await;
    }
}

#[tokio::test]
async fn in_a_listing() {
    for how in Malformed::ALL {
        let server = server();
        let directory = patient(&server, *how);
        directory.facts().await.unwrap();
        let rule = Rule::on(Kind::Search).only(is_paged);
        server.script(rule.perform_then(Reply::Malformed(*how)));
        let objects = match soon(listing(&directory)).await {
            Ok(objects) => objects,
            Err(error) => {
                assert!(is_refused(*how, &error), "{how:?}: {}", told(&error));
                continue;
            }
        };
        let mut ours: Vec<_> = objects
            .iter()
            .filter_map(|object| object.device_id().ok())
            .collect();
        ours.sort_unstable();
        let mut expected: Vec<_> = (0..3).map(device_id).collect();
        expected.sort_unstable();
        assert_eq!(ours, expected, "{how:?}");
        let connections = if HARMLESS.contains(how) { 1 } else { 2 };
        assert_eq!(server.stats().connections_total, connections, "{how:?}");
        is_well(&server, &directory).await;
    }
}

#[tokio::test]
async fn in_every_listing() {
    // Always wrong: an error in the end, and never an end of the reading.
    for how in Malformed::ALL.iter().filter(|how| !HARMLESS.contains(how)) {
        let server = server();
        let directory = patient(&server, *how);
        directory.facts().await.unwrap();
        let rule = Rule::on(Kind::Search).only(is_paged).always();
        server.script(rule.perform_then(Reply::Malformed(*how)));
        let error = soon(listing(&directory)).await.unwrap_err();
        if is_refused(*how, &error) {
            continue;
        }
        is_explained(&error, "reading devices in CN=RegisteredDevices");
        assert_eq!(server.requests_of(Kind::Bind).len(), 4, "{how:?}");
    }
}

#[tokio::test]
async fn in_a_reading_of_one_object() {
    for how in Malformed::ALL {
        let server = server();
        let directory = patient(&server, *how);
        directory.facts().await.unwrap();
        server.script(Rule::on(Kind::Search).perform_then(Reply::Malformed(*how)));
        let object = match soon(directory.read(&target(1))).await {
            Ok(object) => object.unwrap(),
            Err(error) => {
                assert!(is_refused(*how, &error), "{how:?}: {}", told(&error));
                continue;
            }
        };
        assert_eq!(object.device_id().unwrap(), device_id(1), "{how:?}");
        is_well(&server, &directory).await;
    }
}

#[tokio::test]
async fn in_a_write() {
    for (operation, kind) in [
        (add(7), Kind::Add),
        (rename(1), Kind::Modify),
        (delete(1), Kind::Delete),
    ] {
        for how in Malformed::ALL.iter().filter(|how| is_for_results(how)) {
            for takes_effect in [true, false] {
                let server = server();
                let directory = patient(&server, *how);
                directory.facts().await.unwrap();
                let reply = Reply::Malformed(*how);
                server.script(match takes_effect {
                    true => Rule::on(kind).perform_then(reply),
                    false => Rule::on(kind).instead(reply),
                });
                match soon(directory.write(&operation)).await {
                    Ok(result) if result.code == ResultCode::SUCCESS => {
                        // A control that nobody asked for is not looked at.
                        let is_success = *how == Malformed::PagedControlGarbage;
                        let passes = is_success || TAKEN_FOR_SUCCESS.contains(how);
                        assert!(passes, "{kind:?} {how:?}");
                    }
                    Ok(_) => assert_eq!(*how, Malformed::ResultCodeTooLong),
                    Err(error) => is_explained(&error, "writing CN="),
                }
                assert_eq!(writes(&server).len(), 1, "never a second time by itself");
                is_well(&server, &directory).await;
            }
        }
    }
}

/// A modify of a device's name.
fn rename(number: u32) -> Operation {
    use device_writeback::core::apply::{Modification, ModificationKind};
    use device_writeback::core::plan::Octets;
    let change = |kind, text: &str| Modification {
        kind,
        name: "displayName",
        values: vec![Octets::from(text.as_bytes())],
    };
    Operation::Modify {
        target: target(number),
        modifications: vec![
            change(ModificationKind::Delete, &format!("PC {number}")),
            change(ModificationKind::Add, "another"),
        ],
    }
}

#[tokio::test]
async fn in_starttls() {
    for how in Malformed::ALL.iter().filter(|how| is_for_results(how)) {
        let server = start(Options {
            tls: false,
            ..Options::default()
        });
        let mut options = options(&[&server]);
        options.start_tls = true;
        options.timeouts.connect = PATIENCE;
        let directory = LdapDirectory::open(options).unwrap();
        server.script(Rule::on(Kind::Extended).instead(Reply::Malformed(*how)));
        let error = soon(directory.facts()).await.unwrap_err();
        is_explained(&error, "connecting to ldap://127.0.0.1");
        assert!(server.requests_of(Kind::Bind).is_empty(), "{how:?}");
    }
}

#[tokio::test]
async fn in_the_middle_of_a_run() {
    for how in Malformed::ALL {
        let server = server();
        let kind = if how.is_entry() {
            Kind::Search
        } else {
            Kind::Add
        };
        server.script(Rule::on(kind).skip(3).perform_then(Reply::Malformed(*how)));
        let engine = engine((0..20).map(renamed), patient(&server, *how));
        let (_, report) = sync(&engine).await.unwrap();
        let expected = match how {
            // The server did as it was told and says something else: a second run finds it done.
            Malformed::ResultCodeTooLong => 19,
            _ => 20,
        };
        assert_eq!(report.done, expected, "{how:?}: {report:?}");
        assert_eq!(count(&server), 20);
        let (plan, _) = sync(&engine).await.unwrap();
        assert!(plan.is_empty(), "{how:?}");
    }
}
