//! How many writes are in flight, and how fast they follow each other.

use std::num::NonZeroU32;
use std::time::Duration;

use device_writeback::core::apply::{Operation, ResultCode};
use device_writeback::engine::ports::Directory as _;
use device_writeback::ldap::{LdapDirectory, MAX_WINDOW};
use device_writeback_tests::scripted_ldap::{Kind, Options, Rule, code};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::support::*;

/// Keeps as many writes in flight as the window allows.
async fn write_all(directory: &LdapDirectory, operations: &[Operation]) {
    let mut waiting = operations.iter();
    let mut flight = FuturesUnordered::new();
    loop {
        while flight.len() < directory.window()
            && let Some(operation) = waiting.next()
        {
            flight.push(directory.write(operation));
        }
        let Some(result) = flight.next().await else {
            return;
        };
        assert_eq!(result.unwrap().code, ResultCode::SUCCESS);
    }
}

#[tokio::test]
async fn no_more_is_in_flight_than_allowed() {
    for (most, expected) in [(1, 1), (4, 4), (0, 1)] {
        let server = start(Options {
            latency: Duration::from_millis(2),
            ..Options::default()
        });
        let mut options = options(&[&server]);
        options.max_in_flight = most;
        let directory = LdapDirectory::open(options).unwrap();
        directory.facts().await.unwrap();
        let operations: Vec<_> = (0..100).map(add).collect();
        soon(write_all(&directory, &operations)).await;
        assert_eq!(server.stats().max_in_flight, expected);
        assert_eq!(count(&server), 100);
    }
}

#[tokio::test]
async fn a_run_keeps_to_the_window_too() {
    let server = start(Options {
        latency: Duration::from_millis(2),
        ..Options::default()
    });
    let mut options = options(&[&server]);
    options.max_in_flight = 3;
    let directory = LdapDirectory::open(options).unwrap();
    let (_, report) = sync(&engine((0..60).map(device), directory)).await.unwrap();
    assert_eq!(report.done, 60);
    assert_eq!(server.stats().max_in_flight, 3);
}

#[tokio::test]
async fn a_long_way_is_filled() {
    let server = start(Options {
        latency: Duration::from_millis(20),
        ..Options::default()
    });
    let directory = open(&server);
    directory.facts().await.unwrap();
    assert!(directory.window() < 64);
    let operations: Vec<_> = (0..2_000).map(add).collect();
    soon(write_all(&directory, &operations)).await;
    let most = server.stats().max_in_flight;
    assert!((64..=MAX_WINDOW).contains(&most), "{most}");
    assert_eq!(server.stats().connections_total, 1);
    assert_eq!(count(&server), 2_000);
}

#[tokio::test]
async fn a_busy_server_halves_the_window() {
    let server = start(Options::default());
    let directory = open(&server);
    directory.facts().await.unwrap();
    let operations: Vec<_> = (0..500).map(add).collect();
    soon(write_all(&directory, &operations)).await;
    let before = directory.window();
    assert!(before > 1);
    for transient in [code::BUSY, code::UNAVAILABLE] {
        let before = directory.window();
        server.script(Rule::on(Kind::Delete).refuse(refusal(transient)));
        let result = written(&directory, &delete(1)).await;
        assert_eq!(result.code.0, transient);
        assert_eq!(directory.window(), (before / 2).max(1));
    }
    // Another refusal is no reason for that.
    let before = directory.window();
    let rule = Rule::on(Kind::Delete);
    server.script(rule.refuse(refusal(code::UNWILLING_TO_PERFORM)));
    assert_eq!(
        written(&directory, &delete(1)).await.code,
        ResultCode::UNWILLING_TO_PERFORM
    );
    assert_eq!(directory.window(), before);
}

#[tokio::test]
async fn operations_keep_their_distance() {
    let server = start(Options::default());
    let mut options = options(&[&server]);
    options.max_operations_per_second = NonZeroU32::new(50);
    let directory = LdapDirectory::open(options).unwrap();
    directory.facts().await.unwrap();
    server.forget_requests();
    let operations: Vec<_> = (0..20).map(add).collect();
    soon(write_all(&directory, &operations)).await;
    for number in 0..6 {
        soon(directory.read(&target(number))).await.unwrap();
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 26);
    // The n-th is due n times 20 ms after the first, which may itself have come late by some of them.
    let took = requests[25].at - requests[0].at;
    assert!(took >= Duration::from_millis(25 * 20 / 2), "{took:?}");
}
