//! Which server it is: read-only, of another domain, another one than before.

use std::time::Duration;

use device_writeback::core::dn::Dn;
use device_writeback::engine::ErrorKind;
use device_writeback::engine::ports::Directory as _;
use device_writeback::ldap::LdapDirectory;
use device_writeback_tests::scripted_ldap::{
    BASE, ConnectionRule, Fault, Kind, Options, Reply, Rule, ScriptedLdap,
};

use super::support::*;

/// A second domain controller of the domain.
fn second() -> ScriptedLdap {
    let server = start(Options::default());
    let name = "CN=NTDS Settings,CN=DC2,CN=Servers,CN=Default-First-Site-Name,CN=Sites,CN=Configuration,DC=contoso,DC=com";
    set(&server, "dsServiceName", &[name]);
    server
}

/// Changes what a server says about itself.
fn set(server: &ScriptedLdap, name: &str, values: &[&str]) {
    let values = values.iter().map(|value| value.as_bytes().to_vec());
    let mut directory = server.directory();
    directory.entry_mut("").unwrap().set(name, values.collect());
}

/// The server is gone: no new connections, and an end to the open ones.
fn lose(server: &ScriptedLdap) {
    server.set_listening(false);
    cut(server);
}

#[tokio::test]
async fn a_read_only_domain_controller_is_refused() {
    let server = start(Options {
        read_only: true,
        ..Options::default()
    });
    let error = soon(open(&server).facts()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Directory);
    let expected = format!(
        "{} is a read-only domain controller: nothing can be written to it",
        server.url()
    );
    assert_eq!(told(&error), expected);
    assert!(error.remedy().unwrap().contains("writable"));
}

#[tokio::test]
async fn a_server_of_another_domain_is_refused() {
    let server = start(Options::default());
    let mut options = options(&[&server]);
    options.base = Some(Dn::parse("DC=fabrikam,DC=com").unwrap());
    let directory = LdapDirectory::open(options.clone()).unwrap();
    let error = soon(directory.facts()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    for part in ["DC=contoso,DC=com", "DC=fabrikam,DC=com", "directory.base"] {
        assert!(told(&error).contains(part), "{}", told(&error));
    }
    assert!(error.remedy().is_some());

    options.base = Some(Dn::parse("dc=CONTOSO, dc=com").unwrap());
    let directory = LdapDirectory::open(options).unwrap();
    assert!(soon(directory.facts()).await.is_ok());
}

#[tokio::test]
async fn a_server_that_names_no_domain_is_no_domain_controller() {
    let server = start(Options::default());
    set(&server, "defaultNamingContext", &[]);
    let error = soon(open(&server).facts()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Directory);
    assert!(
        told(&error).contains("it is no domain controller"),
        "{}",
        told(&error)
    );
    // Who says which domain it is gets what is asked for.
    let mut options = options(&[&server]);
    options.base = Some(Dn::parse(BASE).unwrap());
    let directory = LdapDirectory::open(options).unwrap();
    assert_eq!(
        soon(directory.facts()).await.unwrap().base.to_string(),
        BASE
    );
}

#[tokio::test]
async fn servers_of_different_domains_are_not_mixed() {
    let (one, two) = (start(Options::default()), second());
    set(&two, "defaultNamingContext", &["DC=fabrikam,DC=com"]);
    fill(&one, 0..3);
    fill(&two, 0..3);
    let directory = LdapDirectory::open(options(&[&one, &two])).unwrap();
    soon(directory.facts()).await.unwrap();
    lose(&one);
    let error = soon(directory.read(&target(1))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    for part in [
        "DC=contoso,DC=com",
        "DC=fabrikam,DC=com",
        "different domains",
    ] {
        assert!(told(&error).contains(part), "{}", told(&error));
    }
    assert!(soon(directory.write(&delete(1))).await.is_err());
    assert_eq!((count(&one), count(&two)), (3, 3));
    assert!(writes(&two).is_empty());
}

/// The first server has fallen silent, and connecting to it alone would take longer than a run waits for all of them.
#[tokio::test]
async fn a_silent_server_leaves_time_for_the_next_one() {
    let (one, two) = (start(Options::default()), second());
    let mut options = options(&[&one, &two]);
    options.timeouts.connect = Duration::from_secs(60);
    options.timeouts.reconnect = Duration::from_secs(4);
    let directory = LdapDirectory::open(options).unwrap();
    soon(directory.facts()).await.unwrap();
    one.fault(ConnectionRule::always(Fault::BlackHole));
    cut(&one);
    soon(directory.read(&target(1))).await.unwrap();
    assert_eq!(directory.epoch(), 1);
    assert_eq!(two.stats().connections_open, 1);
}

#[tokio::test]
async fn the_epoch_rises_with_another_server_only() {
    let (one, two) = (start(Options::default()), second());
    let directory = LdapDirectory::open(options(&[&one, &two])).unwrap();
    soon(directory.facts()).await.unwrap();
    assert_eq!(directory.epoch(), 0);
    let read = async || soon(directory.read(&target(1))).await.unwrap();
    for _ in 0..3 {
        cut(&one);
        read().await;
        assert_eq!(directory.epoch(), 0);
    }
    assert_eq!(two.stats().connections_total, 0);
    lose(&one);
    read().await;
    assert_eq!(directory.epoch(), 1);
    cut(&two);
    read().await;
    assert_eq!(directory.epoch(), 1);
    // The first one is back: the run stays where it is, until that is lost too.
    one.set_listening(true);
    read().await;
    assert_eq!(directory.epoch(), 1);
    lose(&two);
    read().await;
    assert_eq!(directory.epoch(), 2);
    // One server behind two names is one server.
    let names = [one.url_of("127.0.0.1"), one.url_of("localhost")];
    one.fault(ConnectionRule {
        skip: 1,
        times: 1,
        fault: Fault::Close,
    });
    let directory = LdapDirectory::open(options_of(names, &[&one])).unwrap();
    soon(directory.facts()).await.unwrap();
    cut(&one);
    soon(directory.read(&target(1))).await.unwrap();
    assert_eq!(directory.epoch(), 0);
}

/// A listing that moves in the middle gives each object once, though the other server has GUIDs of its own order.
#[tokio::test]
async fn a_listing_goes_on_at_another_server() {
    let (one, two) = (start(Options::default()), second());
    fill(&one, 0..2_500);
    fill(&two, 0..2_500);
    one.script(
        Rule::on(Kind::Search)
            .only(is_paged)
            .skip(1)
            .instead(Reply::Cut),
    );
    one.fault(ConnectionRule {
        skip: 1,
        times: usize::MAX,
        fault: Fault::Close,
    });
    let directory = LdapDirectory::open(options(&[&one, &two])).unwrap();
    let objects = soon(listing(&directory)).await.unwrap();
    assert_eq!(objects.len(), 2_500);
    assert_eq!(directory.epoch(), 1);
}

#[tokio::test]
async fn what_a_lost_server_acknowledged_is_looked_at_again() {
    let (one, two) = (start(Options::default()), second());
    // What the first one will have passed on before it is lost.
    let (_, report) = sync(&engine((0..3).map(device), open(&two))).await.unwrap();
    assert_eq!(report.done, 3);
    two.forget_requests();
    // The sixth add is lost with the server, and did not take effect.
    one.script(Rule::on(Kind::Add).skip(5).instead(Reply::Cut));
    one.fault(ConnectionRule {
        skip: 1,
        times: usize::MAX,
        fault: Fault::Close,
    });
    let mut options = options(&[&one, &two]);
    options.max_in_flight = 1;
    let engine = engine((0..10).map(device), LdapDirectory::open(options).unwrap());
    let (_, report) = sync(&engine).await.unwrap();
    assert_eq!(
        (report.planned, report.done, report.failed),
        (10, 7, 3),
        "{report:?}"
    );
    let mut missing: Vec<_> = report
        .failures
        .iter()
        .map(|failure| (failure.device_id, failure.verdict, failure.message.clone()))
        .collect();
    missing.sort_unstable();
    let devices: Vec<_> = missing.iter().map(|(device, ..)| *device).collect();
    assert_eq!(devices, [3, 4, 5].map(device_id));
    for (_, verdict, message) in &missing {
        assert_eq!(*verdict, "failed");
        assert!(message.contains("may still arrive from there"), "{message}");
    }
    // Nothing is added a second time: it would be there twice when the two meet again.
    assert_eq!(count(&one), 5);
    assert_eq!(count(&two), 7);
    assert_eq!(two.requests_of(Kind::Add).len(), 4);
    // The next run is one of its own: what has not arrived by then is added.
    let (_, report) = sync(&engine).await.unwrap();
    assert_eq!((report.done, report.failed), (3, 0));
    assert_eq!(count(&two), 10);
}
