//! Results that are not success: what may pass is tried again with pauses, the rest is told, and nothing that was cut short is
//! taken for complete.

use std::collections::BTreeSet;
use std::time::Duration;

use device_writeback::core::plan::DirectoryKey;
use device_writeback::engine::ErrorKind;
use device_writeback::engine::ports::Directory as _;
use device_writeback_tests::scripted_ldap::{
    ADMINISTRATOR, Kind, LdapResult, NoticeEncoding, Options, Reply, Rule, code,
};

use super::support::*;

const TRANSIENT: [u32; 4] = [
    code::TIME_LIMIT_EXCEEDED,
    code::ADMIN_LIMIT_EXCEEDED,
    code::BUSY,
    code::UNAVAILABLE,
];
const FINAL: [(u32, &str); 5] = [
    (code::SIZE_LIMIT_EXCEEDED, "sizeLimitExceeded (4)"),
    (code::OPERATIONS_ERROR, "operationsError (1)"),
    (
        code::INSUFFICIENT_ACCESS_RIGHTS,
        "insufficientAccessRights (50)",
    ),
    (code::UNWILLING_TO_PERFORM, "unwillingToPerform (53)"),
    (code::OTHER, "other (80)"),
];
/// What is left of the server's message.
const MESSAGE: &str = "0000202B: SvcErr: DSID-1, problem 5, data 0";

#[tokio::test]
async fn a_reading_is_begun_again_when_the_server_may_do_better() {
    let server = start(Options {
        max_page_size: 4,
        ..Options::default()
    });
    fill(&server, 0..10);
    let directory = open(&server);
    directory.facts().await.unwrap();
    let sid = server.users()[0].sid;
    for transient in TRANSIENT {
        for (reading, skip, searches) in [
            // Two refusals, then three pages.
            ("listing", 0, 5),
            // A page, a refusal instead of the second, a refusal instead of the first, three pages.
            ("listing", 1, 6),
            ("read", 0, 3),
            ("reread", 0, 3),
            ("users", 0, 3),
        ] {
            // They are treated alike, and pauses take time.
            if transient != code::BUSY && (reading, skip) != ("listing", 0) {
                continue;
            }
            server.clear_script();
            server.forget_requests();
            server.script(
                Rule::on(Kind::Search)
                    .skip(skip)
                    .times(2)
                    .refuse(refusal(transient)),
            );
            match reading {
                "listing" => {
                    let objects = soon(listing(&directory)).await.unwrap();
                    let names: BTreeSet<_> = objects.iter().map(|object| object.guid).collect();
                    assert_eq!((objects.len(), names.len()), (10, 10));
                }
                "read" => {
                    assert!(soon(directory.read(&target(3))).await.unwrap().is_some());
                }
                "reread" => {
                    let key = DirectoryKey {
                        device_id: device_id(3),
                        sequence: 0,
                        object_guid: None,
                    };
                    assert_eq!(soon(directory.reread(&[key])).await.unwrap().len(), 1);
                }
                _ => {
                    assert_eq!(soon(directory.principals(&[sid])).await.unwrap().len(), 1);
                }
            }
            let requests = server.requests();
            assert_eq!(requests.len(), searches, "{transient} {reading}");
            let refused: Vec<_> = requests
                .iter()
                .zip(requests.iter().skip(1))
                .filter(|(request, _)| request.scripted)
                .collect();
            assert_eq!(refused.len(), 2);
            for (request, next) in refused {
                // Half of the first pause is the least there is by chance.
                assert!(
                    next.at - request.at >= Duration::from_millis(90),
                    "{reading}"
                );
            }
        }
    }
    assert_eq!(server.stats().connections_total, 1);
}

#[tokio::test]
async fn the_domain_is_looked_at_again_when_the_server_may_do_better() {
    for code in TRANSIENT {
        let server = start(Options::default());
        let directory = open(&server);
        // Not the rootDSE, which is part of connecting.
        server.script(
            Rule::on(Kind::Search)
                .skip(1)
                .times(2)
                .refuse(refusal(code)),
        );
        assert!(soon(directory.facts()).await.unwrap().container_exists);
        assert_eq!(server.unused_rules(), 0);
        assert_eq!(server.stats().connections_total, 1);
    }
}

#[tokio::test]
async fn a_server_that_stays_busy_is_left_after_some_tries() {
    let server = start(Options::default());
    fill(&server, 0..3);
    let directory = open(&server);
    directory.facts().await.unwrap();
    server.script(Rule::on(Kind::Search).always().refuse(refusal(code::BUSY)));
    server.forget_requests();
    let error = soon(listing(&directory)).await.unwrap_err();
    assert_eq!(server.requests().len(), 4);
    assert!(
        told(&error).contains(&format!("busy (51): {MESSAGE}")),
        "{}",
        told(&error)
    );
    assert!(
        error
            .remedy()
            .unwrap()
            .contains("max_operations_per_second")
    );
}

#[tokio::test]
async fn other_results_are_told_with_code_name_and_message() {
    let server = start(Options::default());
    fill(&server, 0..3);
    let directory = open(&server);
    directory.facts().await.unwrap();
    for (code, name) in FINAL {
        server.clear_script();
        server.forget_requests();
        server.script(Rule::on(Kind::Search).always().refuse(refusal(code)));
        let listed = soon(listing(&directory)).await.unwrap_err();
        let read = soon(directory.read(&target(1))).await.unwrap_err();
        let users = soon(directory.principals(&[server.users()[0].sid]))
            .await
            .unwrap_err();
        for (error, doing) in [
            (
                listed,
                "reading devices in CN=RegisteredDevices,DC=contoso,DC=com".to_owned(),
            ),
            (read, format!("reading {}", dn(1))),
            (users, "looking up 1 users".to_owned()),
        ] {
            assert_eq!(error.kind(), ErrorKind::Directory);
            assert_eq!(told(&error), format!("{doing}: {name}: {MESSAGE}"));
            assert_eq!(error.ldap_result().unwrap().code.0, code);
        }
        assert_eq!(server.requests().len(), 3, "{code}");
    }
    assert_eq!(server.stats().connections_total, 1);
}

#[tokio::test]
async fn a_write_is_tried_again_when_the_server_may_do_better() {
    for code in TRANSIENT {
        let server = start(Options::default());
        server.script(Rule::on(Kind::Add).times(2).refuse(refusal(code)));
        let mut options = options(&[&server]);
        options.max_in_flight = 1;
        let directory = device_writeback::ldap::LdapDirectory::open(options).unwrap();
        let (_, report) = sync(&engine([device(1)], directory)).await.unwrap();
        assert_eq!(report.done, 1, "{report:?}");
        let adds = server.requests_of(Kind::Add);
        assert_eq!(adds.len(), 3);
        for (add, next) in adds.iter().zip(adds.iter().skip(1)) {
            assert!(next.at - add.at >= Duration::from_millis(90));
        }
        assert_eq!(count(&server), 1);
    }
}

#[tokio::test]
async fn a_refused_write_is_that_objects_problem() {
    for (code, name) in FINAL {
        let server = start(Options::default());
        let refused = device_id(3).to_string();
        server.script(
            Rule::on(Kind::Add)
                .dn(&refused)
                .always()
                .refuse(refusal(code)),
        );
        let (_, report) = sync(&engine((0..10).map(device), open(&server)))
            .await
            .unwrap();
        assert_eq!((report.done, report.failed), (9, 1));
        let failure = report.failures.first().unwrap();
        assert_eq!(failure.device_id, device_id(3));
        assert_eq!(failure.message, format!("{name}: {MESSAGE}"));
        let result = failure.ldap_result.as_ref().unwrap();
        assert_eq!((result.code, result.message.as_str()), (code, MESSAGE));
        assert_eq!(server.requests_of(Kind::Add).len(), 10);
        assert_eq!(count(&server), 9);
    }
}

/// What a reading leaves out would be taken for gone: it must be the whole or an error.
#[tokio::test]
async fn a_reading_that_was_cut_short_is_never_taken_for_complete() {
    let partial = |code: u32| Reply::Partial(20, refusal(code));
    for (reply, expected) in [
        (partial(code::SIZE_LIMIT_EXCEEDED), "sizeLimitExceeded (4)"),
        (partial(code::TIME_LIMIT_EXCEEDED), "timeLimitExceeded (3)"),
        (
            partial(code::ADMIN_LIMIT_EXCEEDED),
            "adminLimitExceeded (11)",
        ),
        (partial(code::OTHER), "other (80)"),
        // Success, and not a word on whether there are more pages.
        (
            Reply::Partial(20, LdapResult::success()),
            "does not say whether it is the last one",
        ),
        (Reply::CutInside(2_000), "the connection was lost"),
        (Reply::Cut, "the connection was lost"),
        (
            Reply::Notice(NoticeEncoding::ActiveDirectory, refusal(code::UNAVAILABLE)),
            "the connection was lost",
        ),
    ] {
        let server = start(Options::default());
        fill(&server, 0..40);
        server.script(
            Rule::on(Kind::Search)
                .only(is_paged)
                .always()
                .perform_then(reply),
        );
        // Half of the devices are gone, and the other half looks so.
        let mut engine_options = options(&[&server]);
        engine_options.timeouts.reconnect = Duration::from_millis(300);
        let directory = device_writeback::ldap::LdapDirectory::open(engine_options).unwrap();
        let error = sync(&engine((0..37).map(renamed), directory))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Directory);
        assert!(
            told(&error).contains(expected),
            "{expected}: {}",
            told(&error)
        );
        assert!(writes(&server).is_empty());
        assert_eq!(count(&server), 40);
    }
}

/// The same with nothing in the way, so that the test above tests something.
#[tokio::test]
async fn a_complete_reading_shows_what_is_gone() {
    let server = start(Options::default());
    fill(&server, 0..40);
    let (_, report) = sync(&engine((0..37).map(renamed), open(&server)))
        .await
        .unwrap();
    assert_eq!(report.actions["delete"], 3, "{report:?}");
    assert_eq!(report.actions["update"], 37);
    assert!(server.users().iter().any(|user| user.name == ADMINISTRATOR));
    assert_eq!(count(&server), 37);
}
