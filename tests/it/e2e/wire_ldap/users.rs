//! What the directory says about SIDs.

use device_writeback::core::rules::PrincipalFacts;
use device_writeback::core::sid::Sid;
use device_writeback::engine::ports::Directory as _;
use device_writeback_tests::scripted_ldap::{
    ADMINISTRATOR, DOMAIN_SID, Entry, Kind, Options, USERS,
};

use super::support::*;

const OTHER_DOMAIN: &str = "S-1-5-21-77-88-99";

fn sid(text: &str) -> Sid {
    text.parse().unwrap()
}

#[tokio::test]
async fn users_are_told_from_strangers() {
    let server = start(Options {
        users: 250,
        other_domains: vec![("DC=fabrikam,DC=com".to_owned(), sid(OTHER_DOMAIN))],
        ..Options::default()
    });
    let computer = sid(&format!("{DOMAIN_SID}-9001"));
    let entry = Entry::new(&format!("CN=PC-1,{USERS}"))
        .with(
            "objectClass",
            ["top", "person", "organizationalPerson", "user", "computer"],
        )
        .with("objectSid", [computer.to_bytes()]);
    server.directory().insert(entry).unwrap();
    let directory = open(&server);
    let facts = soon(directory.facts()).await.unwrap();
    assert!(facts.domain_sids.contains(&sid(DOMAIN_SID)));
    assert!(facts.domain_sids.contains(&sid(OTHER_DOMAIN)));
    assert_eq!(facts.domain_sids.len(), 2);
    server.forget_requests();

    // More than one search may ask for, of every kind, in this order.
    let mut asked = Vec::new();
    for user in server.users() {
        let protected = user.name == ADMINISTRATOR;
        asked.push((user.sid, PrincipalFacts::User { protected }));
    }
    for number in 0..30 {
        let place = asked.len() / 31 * (number + 1) / 2;
        let stranger = sid(&format!("{OTHER_DOMAIN}-{}", 1_100 + number));
        let nobody = sid(&format!("{DOMAIN_SID}-{}", 8_000 + number));
        let elsewhere = sid(&format!("S-1-5-21-1-2-3-{}", 1_100 + number));
        asked.insert(place, (stranger, PrincipalFacts::Unknown));
        asked.insert(place, (nobody, PrincipalFacts::NotFound));
        asked.insert(place, (elsewhere, PrincipalFacts::Unknown));
    }
    asked.push((computer, PrincipalFacts::NotFound));
    asked.push((sid("S-1-5-32-544"), PrincipalFacts::Unknown));
    let sids: Vec<_> = asked.iter().map(|(sid, _)| *sid).collect();
    let answers = soon(directory.principals(&sids)).await.unwrap();
    for ((sid, expected), answer) in asked.iter().zip(&answers) {
        assert_eq!(answer, expected, "{sid}");
    }
    assert_eq!(answers.len(), asked.len());
    // 251 users, 30 of nobody and a computer: three searches. Nobody is asked about strangers.
    assert_eq!(server.requests_of(Kind::Search).len(), 3);
    server.forget_requests();
    let strangers = [sid(&format!("{OTHER_DOMAIN}-1100")), sid("S-1-5-18")];
    let answers = soon(directory.principals(&strangers)).await.unwrap();
    assert_eq!(answers, [PrincipalFacts::Unknown; 2]);
    assert!(soon(directory.principals(&[])).await.unwrap().is_empty());
    assert!(server.requests().is_empty());
}
