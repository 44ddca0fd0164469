//! Reading the container: pages, parts of values, references, strange names.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use device_writeback::core::plan::DirectoryKey;
use device_writeback::core::schema::Attribute;
use device_writeback::engine::ErrorKind;
use device_writeback::engine::ports::Directory as _;
use device_writeback_tests::scripted_ldap::{
    DEVICES, Entry, Kind, LdapResult, Malformed, Operation, Options, Reply, Request, Rule, Scope,
    ScriptedLdap, code,
};

use super::support::*;

const IDS: Attribute = Attribute::DevicePhysicalIds;

#[tokio::test]
async fn pages_are_read_on_one_connection_and_nothing_per_object() {
    for (cap, searches) in [(1_000, 3), (100, 25)] {
        let server = start(Options {
            max_page_size: cap,
            ..Options::default()
        });
        fill(&server, 0..2_500);
        let directory = open(&server);
        directory.facts().await.unwrap();
        server.forget_requests();
        let objects = soon(listing(&directory)).await.unwrap();
        let guids: BTreeSet<_> = objects.iter().map(|object| object.guid).collect();
        assert_eq!((objects.len(), guids.len()), (2_500, 2_500));
        let numbers: Vec<_> = objects.iter().map(|object| object.sequence).collect();
        assert!(numbers.is_sorted());
        let requests = server.requests();
        assert_eq!(requests.len(), searches);
        let mut cookies = BTreeSet::new();
        for request in &requests {
            assert_eq!(request.connection, 1);
            let Operation::Search {
                base,
                scope,
                attributes,
                ..
            } = &request.operation
            else {
                panic!("{request:?}")
            };
            assert_eq!((base.as_str(), *scope), (DEVICES, Scope::OneLevel));
            assert!(!attributes.iter().any(|name| name == "*"));
            let control = request.control(PAGED).unwrap();
            assert!(control.critical);
            // SEQUENCE { INTEGER 1000, OCTET STRING cookie }
            assert_eq!(control.value[2..6], [0x02, 0x02, 0x03, 0xe8]);
            cookies.insert(control.value[8..].to_vec());
        }
        assert_eq!(cookies.len(), searches, "every page is asked for once");
        assert!(cookies.contains(&Vec::new()));
    }
}

/// A device with so many ids, which do not fit into one answer.
fn with_ids(number: u32, ids: usize) -> Entry {
    entry(number).with(IDS.name(), (0..ids).map(|id| format!("[{id:05}]")))
}

fn ids(object: &device_writeback::core::directory::DirectoryObject) -> Vec<String> {
    let values = object.values.values(IDS);
    let mut ids: Vec<_> = values
        .map(|value| String::from_utf8(value.to_vec()).unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn values_that_come_in_parts_are_complete() {
    // So many values, as many at once, and so many more requests for an object.
    for (number, at_once, more) in [(7, 2, 3), (4, 2, 1), (2, 2, 0), (4_000, 1_500, 2)] {
        let server = start(Options {
            max_values: at_once,
            ..Options::default()
        });
        server.directory().insert(with_ids(1, number)).unwrap();
        fill(&server, 2..5);
        let directory = open(&server);
        directory.facts().await.unwrap();
        let expected: Vec<_> = (0..number).map(|id| format!("[{id:05}]")).collect();
        let others = |count: usize| server.requests_of(Kind::Search).len() == count;

        server.forget_requests();
        let objects = soon(listing(&directory)).await.unwrap();
        assert_eq!(objects.len(), 4);
        let whole = objects.iter().find(|object| object.dn == dn(1)).unwrap();
        assert_eq!(ids(whole), expected);
        assert!(others(1 + more));

        server.forget_requests();
        let read = soon(directory.read(&target(1))).await.unwrap().unwrap();
        assert_eq!(ids(&read), expected);
        assert_eq!(read.values, whole.values);
        assert!(others(1 + more));

        server.forget_requests();
        let keys: Vec<_> = objects
            .iter()
            .map(|object| DirectoryKey {
                device_id: object.device_id().unwrap(),
                sequence: object.sequence,
                object_guid: object.guid,
            })
            .collect();
        let again = soon(directory.reread(&keys)).await.unwrap();
        assert_eq!(again.len(), 4);
        let (_, again) = again
            .iter()
            .find(|(device, _)| *device == device_id(1))
            .unwrap();
        assert_eq!(ids(again), expected);
        assert!(others(1 + more));
    }
}

fn wants_a_part(request: &Request) -> bool {
    let Operation::Search { attributes, .. } = &request.operation else {
        return false;
    };
    attributes.iter().any(|name| name.contains(";range="))
}

/// Answers every request for the rest of the ids with what `part` makes of the number of the request.
fn parts(part: impl Fn(usize) -> (String, Vec<Vec<u8>>) + Send + Sync + 'static) -> Rule {
    let requests = AtomicUsize::new(0);
    Rule::on(Kind::Search)
        .only(wants_a_part)
        .always()
        .instead(Reply::with(move |id, _| {
            let (range, values) = part(requests.fetch_add(1, Ordering::Relaxed));
            let name = format!("{};range={range}", IDS.name());
            let entry = found(id, &dn(1).to_string(), &[(&name, values)]);
            [entry, end(id, None)].concat()
        }))
}

#[tokio::test]
async fn parts_that_lead_nowhere_end_with_an_error() {
    let server = start(Options {
        max_values: 2,
        ..Options::default()
    });
    server.directory().insert(with_ids(1, 9)).unwrap();
    let directory = open(&server);
    directory.facts().await.unwrap();
    let value = || b"[x]".to_vec();
    type MakeRule = fn() -> Rule;
    let rules: [(&str, MakeRule); 3] = [
        ("begin at 2", || {
            parts(|_| ("0-1".to_owned(), vec![b"[x]".to_vec(); 2]))
        }),
        ("do not come to an end", || {
            parts(|number| (format!("{0}-{0}", 2 + number), Vec::new()))
        }),
        ("do not come to an end", || {
            parts(|number| {
                let from = 2 + number * 5_000;
                (
                    format!("{from}-{}", from + 4_999),
                    vec![b"[x]".to_vec(); 5_000],
                )
            })
        }),
    ];
    for (expected, rule) in rules {
        for reading in ["listing", "read"] {
            server.clear_script();
            server.script(rule());
            let error = match reading {
                "listing" => soon(listing(&directory)).await.unwrap_err(),
                _ => soon(directory.read(&target(1))).await.unwrap_err(),
            };
            assert_eq!(error.kind(), ErrorKind::Directory);
            assert!(told(&error).contains(expected), "{}", told(&error));
        }
    }
    // The end, said as the end: the rest has gone meanwhile.
    server.clear_script();
    server.script(parts(move |_| ("2-*".to_owned(), vec![value()])));
    let object = soon(directory.read(&target(1))).await.unwrap().unwrap();
    assert_eq!(ids(&object), ["[00000]", "[00001]", "[x]"]);
}

#[tokio::test]
async fn pages_that_lead_nowhere_end_with_an_error() {
    let server = start(Options::default());
    fill(&server, 0..3);
    let directory = open(&server);
    directory.facts().await.unwrap();
    for length in [1, 3] {
        server.clear_script();
        server.forget_requests();
        let pages = AtomicUsize::new(0);
        let page = move |id: i64, _: &[u8]| {
            let number = pages.fetch_add(1, Ordering::Relaxed) % length;
            let id_of = device_id(u32::try_from(number).unwrap()).to_le_bytes();
            let attributes = [("msDS-DeviceID", vec![id_of.to_vec()])];
            let name = dn(u32::try_from(number).unwrap()).to_string();
            [found(id, &name, &attributes), end(id, Some(b"more"))].concat()
        };
        server.script(
            Rule::on(Kind::Search)
                .only(is_paged)
                .always()
                .instead(Reply::with(page)),
        );
        let error = soon(listing(&directory)).await.unwrap_err();
        assert!(
            told(&error).contains("do not come to an end"),
            "{}",
            told(&error)
        );
        assert!(server.requests().len() < 20);
    }
}

#[tokio::test]
async fn references_in_a_listing_are_not_followed_and_do_no_harm() {
    let elsewhere = start(Options::default());
    let server = start(Options {
        max_page_size: 2,
        ..Options::default()
    });
    fill(&server, 0..5);
    let url = format!("{}/{DEVICES}", elsewhere.url());
    server.script(
        Rule::on(Kind::Search)
            .only(is_paged)
            .always()
            .perform_then(Reply::with(move |id, normal| {
                [reference(id, &url), normal.to_vec()].concat()
            })),
    );
    let directory = open(&server);
    let objects = soon(listing(&directory)).await.unwrap();
    assert_eq!(objects.len(), 5);
    assert_eq!(server.stats().connections_total, 1);
    assert_eq!(elsewhere.stats().connections_total, 0);
}

#[tokio::test]
async fn a_referral_names_the_server_and_is_not_followed() {
    let elsewhere = start(Options::default());
    let server = start(Options::default());
    fill(&server, 0..1);
    let directory = open(&server);
    directory.facts().await.unwrap();
    let url = format!("{}/{DEVICES}", elsewhere.url());
    let referral = || LdapResult::new(code::REFERRAL, "0000202B: RefErr").referral(&url);

    server.script(Rule::on(Kind::Search).always().refuse(referral()));
    server.forget_requests();
    let listed = soon(listing(&directory)).await.unwrap_err();
    let read = soon(directory.read(&target(0))).await.unwrap_err();
    for error in [listed, read] {
        assert!(told(&error).contains("referral (10)"), "{}", told(&error));
        assert!(told(&error).contains(&url), "{}", told(&error));
        assert!(error.remedy().unwrap().contains("directory.urls"));
        assert_eq!(error.ldap_result().unwrap().code.0, code::REFERRAL);
    }
    assert_eq!(server.requests().len(), 2);

    server.clear_script();
    server.script(Rule::on(Kind::Add).always().refuse(referral()));
    server.forget_requests();
    let engine = engine([device(0), device(1)], directory);
    let (_, report) = sync(&engine).await.unwrap();
    assert_eq!((report.done, report.failed), (0, 1));
    let failure = report.failures.first().unwrap();
    assert!(failure.message.contains(&url), "{failure:?}");
    assert_eq!(failure.ldap_result.as_ref().unwrap().name, "referral");
    assert_eq!(server.requests_of(Kind::Add).len(), 1);
    assert_eq!(elsewhere.stats().connections_total, 0);
}

/// Two domain controllers got an object of one name at a time: Active Directory renames one of them ([MS-ADTS] 3.1.1.1.5.1.2).
#[tokio::test]
async fn conflicting_names_are_conflicts() {
    let server = start(Options::default());
    fill(&server, 0..3);
    let guid = "99999999-8888-4777-8666-555544443333";
    let name = format!("CN={}\\0ACNF:{guid},{DEVICES}", device_id(1));
    let mut copy = entry(1);
    copy.dn = name.clone();
    server.directory().insert(copy).unwrap();
    let engine = engine((0..3).map(renamed), open(&server));
    let (plan, report) = sync(&engine).await.unwrap();
    let codes: BTreeSet<_> = plan
        .conflicts()
        .iter()
        .map(|conflict| conflict.code.code())
        .collect();
    assert_eq!(
        codes,
        BTreeSet::from(["replication_conflict"]),
        "{:?}",
        plan.conflicts()
    );
    assert!(
        plan.conflicts()
            .iter()
            .all(|conflict| conflict.device_id == Some(device_id(1)))
    );
    assert_eq!(report.done, 2);
    // Neither of the two was touched.
    for name in [name, dn(1).to_string()] {
        let directory = server.directory();
        let found = directory.entry(&name).unwrap();
        assert_eq!(found.text("displayName").unwrap(), "PC 1");
    }
}

#[tokio::test]
async fn a_name_that_is_none_is_left_alone() {
    let server = start(Options::default());
    fill(&server, 0..3);
    let directory = open(&server);
    directory.facts().await.unwrap();
    server.script(
        Rule::on(Kind::Search)
            .only(is_paged)
            .perform_then(Reply::Malformed(Malformed::EntryNameNoDn)),
    );
    let (objects, log) = super::secrets::logged(listing(&directory)).await;
    assert_eq!(objects.unwrap().len(), 3);
    assert!(log.contains("no name=,,"), "{log}");
    assert!(log.contains("it is left alone"), "{log}");
    assert_eq!(only(&server), 1);
}

fn only(server: &ScriptedLdap) -> u64 {
    assert_eq!(server.unused_rules(), 0);
    server.stats().connections_total
}
