//! Connections that end, answers that do not come: a reading gives every object once, a write is never repeated blindly.

use std::collections::BTreeMap;
use std::time::Duration;

use device_writeback::core::apply::ResultCode;
use device_writeback::core::graph::CloudDevice;
use device_writeback::engine::ports::Directory as _;
use device_writeback::ldap::LdapDirectory;
use device_writeback_tests::scripted_ldap::{
    Kind, Malformed, NoticeEncoding, Options, Reply, Rule, ScriptedLdap, code,
};

use super::support::*;

/// A server that is silent is given up after this.
const SILENCE: Duration = Duration::from_millis(500);

/// The adapter with a time-out of its own where that is what ends it.
fn patient(server: &ScriptedLdap, loss: &Reply) -> LdapDirectory {
    match loss {
        Reply::Silence | Reply::MessageIdOff(_) => impatient(server, SILENCE),
        _ => open(server),
    }
}

/// Every way in which an answer is lost with its connection.
fn losses() -> Vec<Reply> {
    vec![
        Reply::Notice(NoticeEncoding::Standard, refusal(code::UNAVAILABLE)),
        Reply::Notice(NoticeEncoding::ActiveDirectory, refusal(code::UNAVAILABLE)),
        Reply::Cut,
        Reply::Reset,
        Reply::CutInside(5),
        Reply::Silence,
        Reply::MessageIdOff(1_000),
        Reply::Malformed(Malformed::ResultWithoutCode),
        Reply::Malformed(Malformed::MessageIdNotInteger),
    ]
}

#[tokio::test]
async fn a_listing_gives_every_object_once_whatever_happens_to_its_connections() {
    for loss in losses() {
        let server = start(Options {
            max_page_size: 100,
            ..Options::default()
        });
        fill(&server, 0..250);
        let directory = patient(&server, &loss);
        directory.facts().await.unwrap();
        server.forget_requests();
        // The second page, and the third when the reading has begun again.
        for skip in [1, 2] {
            let rule = Rule::on(Kind::Search).only(is_paged).skip(skip);
            server.script(rule.instead(loss.clone()));
        }
        let objects = soon(listing(&directory)).await.unwrap();
        let mut numbers: Vec<_> = objects
            .iter()
            .map(|object| object.device_id().unwrap())
            .collect();
        numbers.sort_unstable();
        let expected: Vec<_> = (0..250).map(device_id).collect();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(numbers, expected, "{loss:?}");
        assert_eq!(server.unused_rules(), 0, "{loss:?}");
        // Cookies are worth nothing on another connection: each reading begins with none.
        let mut first: BTreeMap<u64, usize> = BTreeMap::new();
        for request in server.requests().iter().filter(|request| is_paged(request)) {
            let cookie = request.control(PAGED).unwrap().value.get(8..).unwrap();
            let number = first.entry(request.connection).or_default();
            assert_eq!(cookie.is_empty(), *number == 0, "{loss:?}");
            *number += 1;
        }
        assert_eq!(first.into_keys().collect::<Vec<_>>(), [1, 2, 3], "{loss:?}");
    }
}

/// Ten devices of which one is renamed, one new and one gone, and an engine over them.
fn scene(server: &ScriptedLdap, loss: &Reply) -> LdapEngine {
    fill(server, 0..10);
    let devices: Vec<CloudDevice> = (1..12)
        .map(|number| match number {
            5 => renamed(5),
            _ => device(number),
        })
        .collect();
    engine(devices, patient(server, loss))
}

/// How often each write was read by the server.
fn counted(server: &ScriptedLdap) -> BTreeMap<(Kind, String), usize> {
    let mut counts = BTreeMap::new();
    for write in writes(server) {
        *counts
            .entry((write.kind(), write.dn().to_lowercase()))
            .or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_reading_and_nothing_is_done_twice() {
    for kind in [Kind::Add, Kind::Modify, Kind::Delete] {
        for took_effect in [true, false] {
            for loss in losses() {
                let what = format!("{kind:?} {took_effect} {loss:?}");
                let server = start(Options {
                    users: 0,
                    ..Options::default()
                });
                let engine = scene(&server, &loss);
                // The update's, not the one before the delete.
                let rule = Rule::on(kind).only(|request| {
                    let gone = request.operation.kind() == Kind::Modify
                        && format!("{:?}", request.operation).contains("msDS-IsEnabled");
                    !gone
                });
                server.script(match took_effect {
                    true => rule.perform_then(loss),
                    false => rule.instead(loss),
                });
                let (plan, report) = sync(&engine).await.unwrap();
                assert_eq!(plan.len(), 4, "{what}");
                assert_eq!(report.done, 4, "{what}: {report:?}");
                assert_eq!(server.unused_rules(), 0, "{what}");
                {
                    let directory = server.directory();
                    let object = |number| directory.entry(&dn(number).to_string());
                    assert!(object(0).is_none() && object(10).is_some() && object(11).is_some());
                    let name = object(5).unwrap().text("displayName").unwrap();
                    assert_eq!(name, "new 5", "{what}");
                }
                assert_eq!(count(&server), 11, "{what}");
                // Whatever the server has carried out was asked for once; what it has not, twice.
                let scripted = writes(&server);
                let scripted = scripted.iter().find(|write| write.scripted).unwrap();
                let key = (scripted.kind(), scripted.dn().to_lowercase());
                for (write, count) in counted(&server) {
                    let expected = if write == key && !took_effect { 2 } else { 1 };
                    // What was in flight beside it is lost too, and a delete begins anew with its mark.
                    let marks = write.0 == Kind::Modify && write != key;
                    assert!(
                        count == expected || (marks && count <= 2),
                        "{what}: {write:?} {count}"
                    );
                }
                // A second run finds nothing to do.
                let (plan, _) = sync(&engine).await.unwrap();
                assert!(plan.is_empty(), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_in_flight_beside_a_time_out_fails_at_once_and_is_settled() {
    let server = start(Options::default());
    server.script(Rule::on(Kind::Add).perform_then(Reply::Silence));
    // Later, and much later than the time-out of the first.
    server.script(Rule::on(Kind::Add).times(2).delay(HANG));
    let directory = impatient(&server, Duration::from_secs(2));
    directory.facts().await.unwrap();
    let (silent, beside, last) = (add(1), add(2), add(3));
    let late = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        directory.write(&last).await
    };
    let outcomes = soon(async {
        let writes = (directory.write(&silent), directory.write(&beside), late);
        futures_util::future::join3(writes.0, writes.1, writes.2).await
    })
    .await;
    // The last one had a time of its own left: it failed of the lost connection and not of waiting.
    let last_of_all = told(outcomes.2.as_ref().unwrap_err());
    assert!(
        last_of_all.contains("the connection was lost"),
        "{last_of_all}"
    );
    assert!(told(&outcomes.0.unwrap_err()).contains("no answer in 2 s"));
    for lost in [outcomes.1, outcomes.2] {
        let error = lost.unwrap_err();
        assert!(error.remedy().is_some());
        assert!(told(&error).starts_with("writing CN="), "{}", told(&error));
    }
    for number in [1, 2, 3] {
        assert!(
            soon(directory.read(&target(number)))
                .await
                .unwrap()
                .is_some()
        );
    }
    assert_eq!(server.stats().connections_total, 2);

    // The same through a run: each object is written once.
    let server = start(Options::default());
    server.script(Rule::on(Kind::Add).skip(2).perform_then(Reply::Silence));
    server.script(Rule::on(Kind::Add).skip(2).times(4).delay(HANG));
    let engine = engine((0..10).map(device), impatient(&server, SILENCE));
    let (_, report) = sync(&engine).await.unwrap();
    assert_eq!(report.done, 10, "{report:?}");
    assert!(report.already > 0, "{report:?}");
    assert!(counted(&server).values().all(|count| *count == 1));
    assert_eq!(count(&server), 10);
}

#[tokio::test]
async fn an_answer_that_comes_twice_or_out_of_order_is_no_trouble() {
    let server = start(Options::default());
    server.script(Rule::on(Kind::Add).times(3).perform_then(Reply::Twice));
    server.script(Rule::on(Kind::Add).delay(Duration::from_millis(100)));
    let directory = open(&server);
    directory.facts().await.unwrap();
    let operations: Vec<_> = (0..8).map(add).collect();
    let writes = operations
        .iter()
        .map(|operation| directory.write(operation));
    let results = soon(futures_util::future::join_all(writes)).await;
    assert!(
        results
            .into_iter()
            .all(|result| result.unwrap().code == ResultCode::SUCCESS)
    );
    assert_eq!(soon(listing(&directory)).await.unwrap().len(), 8);
    assert_eq!(server.stats().connections_total, 1);
}

#[tokio::test]
async fn a_directory_that_does_not_come_back_is_not_waited_for_twice() {
    let server = start(Options::default());
    let directory = open(&server);
    directory.facts().await.unwrap();
    server.set_listening(false);
    cut(&server);
    let error = soon(directory.read(&target(1))).await.unwrap_err();
    assert!(told(&error).contains(&server.url()), "{}", told(&error));
    let connections = server.stats().connections_total;
    let again = soon(directory.read(&target(1))).await.unwrap_err();
    assert!(
        told(&again).contains("does not come back"),
        "{}",
        told(&again)
    );
    assert_eq!(server.stats().connections_total, connections);
    // A new run asks again.
    server.set_listening(true);
    assert!(soon(directory.facts()).await.is_ok());
    assert!(soon(directory.read(&target(1))).await.unwrap().is_none());
}
