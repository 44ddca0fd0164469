//! The way to a real domain controller: whose certificate is believed, whose password is taken, and what an account may do.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use device_writeback_tests::samba::{
    BASE, Credentials, SERVICE, SambaSchema, Scope, USER_PASSWORD,
};
use serde_json::json;

use crate::ad_support::{
    Setup, Site, action, actions, device, device_id, device_with, dn, line, modify, sid_octets,
    text, value,
};
use crate::product::Said;

/// Passes connections to 127.0.0.1 on to another address, and counts them and what comes to it.
struct Forwarder {
    port: u16,
    connections: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

impl Forwarder {
    fn start(to: SocketAddr) -> Forwarder {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let forwarder = Forwarder {
            port,
            connections: Arc::clone(&connections),
            sent: Arc::clone(&sent),
        };
        // It ends with the process: nothing tells it when no further client comes.
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(to)) else {
                    continue;
                };
                connections.fetch_add(1, Ordering::SeqCst);
                let (Ok(from), Ok(back)) = (client.try_clone(), server.try_clone()) else {
                    continue;
                };
                let sent = Arc::clone(&sent);
                thread::spawn(move || pass(from, server, &sent));
                thread::spawn(move || pass(back, client, &AtomicUsize::new(0)));
            }
        });
        forwarder
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, count: &AtomicUsize) -> io::Result<()> {
    let mut buffer = [0; 65_536];
    loop {
        let length = from.read(&mut buffer)?;
        let Some(part) = buffer.get(..length).filter(|part| !part.is_empty()) else {
            return to.shutdown(Shutdown::Write);
        };
        count.fetch_add(length, Ordering::SeqCst);
        to.write_all(part)?;
    }
}

fn site() -> Site {
    let site = Site::start(SambaSchema::Windows2016);
    site.tell(&[device(1)]);
    site
}

/// Every verb that asks the directory fails with this sentence and a remedy; nothing is in the directory.
#[track_caller]
fn assert_refused(site: &Site, setup: &Setup, sentences: &[&str]) -> Said {
    site.configure(setup);
    for verb in [&["explain", "DESKTOP-0001"][..], &["sync"]] {
        let said = site.run(verb).expect(1);
        for sentence in sentences {
            assert!(said.err.contains(sentence), "{sentence} in {}", said.err);
        }
        assert!(said.err.contains("\nhelp: "), "{}", said.err);
        assert_eq!(said.out, "");
    }
    let said = site.run(["plan", "--out", "plan.json"]).expect(1);
    assert!(!site.path("plan.json").exists());
    assert!(site.devices().is_empty());
    said
}

#[test]
fn certificates_are_believed_only_from_their_authority_and_for_their_name() {
    let site = site();
    let secure = Forwarder::start((site.dc.address(), 636).into());
    let plain = Forwarder::start((site.dc.address(), 389).into());
    let wrong_ca = Setup {
        ca_file: site.dc.wrong_ca_file().to_owned(),
        ..site.setup()
    };
    assert_refused(
        &site,
        &wrong_ca,
        &[
            "was not issued by a CA that is believed",
            "directory.ca_file",
        ],
    );
    let tls = |url: String| Setup {
        start_tls: url.starts_with("ldap:"),
        url,
        ..site.setup()
    };
    let wrong_ca = Setup {
        ca_file: site.dc.wrong_ca_file().to_owned(),
        ..tls(site.dc.ldap_url())
    };
    assert_refused(
        &site,
        &wrong_ca,
        &["was not issued by a CA that is believed"],
    );
    // An authority that the machine believes is none of these.
    let name = ["certificate is not \"127.0.0.1\"'s", "dc1.contoso.test"];
    assert_refused(
        &site,
        &tls(format!("ldaps://127.0.0.1:{}", secure.port)),
        &name,
    );
    assert_refused(
        &site,
        &tls(format!("ldap://127.0.0.1:{}", plain.port)),
        &name,
    );
    // TLS where none is spoken, and none where it is.
    let hasty = "connect_timeout_seconds = 1".to_owned();
    for (url, port) in [
        ("ldaps://localhost", plain.port),
        ("ldap://localhost", secure.port),
    ] {
        let url = format!("{url}:{port}");
        site.configure(&Setup {
            directory: hasty.clone(),
            ..tls(url.clone())
        });
        let said = site.run(["plan"]).expect(1);
        assert!(
            said.err.contains(&format!("connecting to {url}")),
            "{}",
            said.err
        );
        assert!(said.err.contains("\nhelp: "), "{}", said.err);
    }

    // By a name that the certificate has, the same way leads to the controller.
    for url in [
        format!("ldaps://localhost:{}", secure.port),
        format!("ldap://localhost:{}", plain.port),
        site.dc.ldap_url(),
        site.dc.ldaps_url(),
    ] {
        site.configure(&tls(url));
        let plan = site.plan(&[]);
        assert_eq!(actions(&plan), [action("create", 1, "new_device")]);
    }
    site.configure(&tls(site.dc.ldap_url()));
    site.round(&[]);
}

#[test]
fn a_password_goes_nowhere_without_tls() {
    let site = site();
    let plain = Forwarder::start((site.dc.address(), 389).into());
    let setup = Setup {
        url: format!("ldap://localhost:{}", plain.port),
        ..site.setup()
    };
    assert_refused(&site, &setup, &["a simple bind is refused without TLS"]);
    assert_eq!(plain.connections.load(Ordering::SeqCst), 0);
    // A password that others can read is not even read.
    site.configure(&Setup {
        start_tls: true,
        ..setup.clone()
    });
    for mode in [0o644, 0o640, 0o604] {
        site.set_password_mode(mode);
        let said = site.run(["plan"]).expect(1);
        assert!(said.err.contains("is open to"), "{}", said.err);
        assert!(said.err.contains("chmod 600"), "{}", said.err);
    }
    assert_eq!(plain.connections.load(Ordering::SeqCst), 0);
    assert_eq!(plain.sent.load(Ordering::SeqCst), 0);
    site.set_password_mode(0o400);
    assert_eq!(
        actions(&site.plan(&[])),
        [action("create", 1, "new_device")]
    );
    assert!(plain.sent.load(Ordering::SeqCst) > 0);
}

#[test]
fn a_password_that_is_wrong_is_tried_once() {
    let site = site();
    // Without a threshold the controller does not count.
    site.edit(&modify(
        BASE,
        "replace: lockoutThreshold\nlockoutThreshold: 50",
    ));
    let account = || {
        site.search(
            BASE,
            Scope::Subtree,
            "(sAMAccountName=svc-writeback)",
            &["badPwdCount"],
        )
    };
    let count = || {
        let found = account();
        let dn = found.keys().next().unwrap().clone();
        found[&dn]
            .get("badPwdCount")
            .map_or_else(|| "0".to_owned(), |_| value(&found, &dn, "badPwdCount"))
    };
    let secure = Forwarder::start((site.dc.address(), 636).into());
    let wrong = Credentials {
        password: "Not-the-password-17",
        ..SERVICE
    };
    site.configure(&Setup {
        account: wrong,
        url: format!("ldaps://localhost:{}", secure.port),
        ..site.setup()
    });
    for (tries, verb) in (1..).zip([&["plan"][..], &["sync"], &["explain", "x"]]) {
        let said = site.run(verb).expect(1);
        assert!(said.err.contains("invalidCredentials (49)"), "{}", said.err);
        assert!(said.err.contains("\nhelp: "), "{}", said.err);
        assert!(!said.err.contains(wrong.password), "{}", said.err);
        assert_eq!(count(), tries.to_string());
        assert_eq!(secure.connections.load(Ordering::SeqCst), tries);
    }
    // Two servers: the second one is not asked with what the first has refused.
    let url = format!(
        "ldaps://localhost:{}\", \"{}",
        secure.port,
        site.dc.ldaps_url()
    );
    site.configure(&Setup {
        account: wrong,
        ..site.setup()
    });
    let config = std::fs::read_to_string(site.path("config.toml")).unwrap();
    let config = config.replace(&site.dc.ldaps_url(), &url);
    std::fs::write(site.path("config.toml"), config).unwrap();
    site.run(["plan"]).expect(1);
    assert_eq!(count(), "4");
    site.configure(&site.setup());
    site.plan(&[]);
}

#[test]
fn accounts_that_may_not_log_on_are_told_why() {
    let site = site();
    let dn = site.search(
        BASE,
        Scope::Subtree,
        "(sAMAccountName=svc-writeback)",
        &["1.1"],
    );
    let dn = dn.keys().next().unwrap();
    let edit = |lines: &str| site.edit(&modify(dn, lines));
    edit("replace: userAccountControl\nuserAccountControl: 514");
    assert_refused(
        &site,
        &site.setup(),
        &["invalidCredentials (49)", "disabled"],
    );
    edit(
        "replace: userAccountControl\nuserAccountControl: 512\n-\nreplace: accountExpires\naccountExpires: 1",
    );
    assert_refused(
        &site,
        &site.setup(),
        &["invalidCredentials (49)", "expired"],
    );
    edit("replace: accountExpires\naccountExpires: 0");
    // Every way to name the account.
    for name in [
        SERVICE.upn,
        "CONTOSO\\svc-writeback",
        &*Box::leak(dn.clone().into_boxed_str()),
    ] {
        site.configure(&Setup {
            account: Credentials {
                upn: name,
                ..SERVICE
            },
            ..site.setup()
        });
        assert_eq!(
            actions(&site.plan(&[])),
            [action("create", 1, "new_device")]
        );
    }
    let nobody = Credentials {
        upn: "nobody@contoso.test",
        ..SERVICE
    };
    assert_refused(
        &site,
        &Setup {
            account: nobody,
            ..site.setup()
        },
        &["invalidCredentials (49)"],
    );
}

/// Lets `sid` do everything with the object of a device, besides those who may anyhow.
fn grant(site: &Site, number: u32, sid: &str) {
    let admins = format!("{}-512", site.dc.domain_sid());
    // Access allowed, full control ([MS-DTYP] 2.4.4.2).
    let entry = |sid: &str| {
        let sid = sid_octets(sid);
        let length = u16::try_from(8 + sid.len()).unwrap();
        let mut octets = vec![0, 0];
        octets.extend(length.to_le_bytes());
        octets.extend(0x000f_01ff_u32.to_le_bytes());
        octets.extend(sid);
        octets
    };
    let entries = [entry(sid), entry(&admins), entry("S-1-5-18")].concat();
    // A self-relative descriptor with nothing but a DACL ([MS-DTYP] 2.4.6, 2.4.5).
    let mut descriptor = vec![1, 0, 0x04, 0x80];
    descriptor.extend([0; 12]);
    descriptor.extend(20_u32.to_le_bytes());
    descriptor.extend([4, 0]);
    descriptor.extend(u16::try_from(8 + entries.len()).unwrap().to_le_bytes());
    descriptor.extend([3, 0, 0, 0]);
    descriptor.extend(entries);
    let name = "nTSecurityDescriptor";
    site.edit(&modify(
        &dn(number),
        &format!("replace: {name}\n{}", line(name, &descriptor)),
    ));
}

#[test]
fn an_account_without_rights_is_refused_object_by_object() {
    let site = Site::start(SambaSchema::Windows2012R2);
    let all: Vec<_> = (1..=12).map(device).collect();
    site.tell(&all);
    site.round(&[]);
    // One to disable, nine to change, three new, two to delete.
    let mut later: Vec<_> = (1..=10)
        .map(|number| device_with(number, json!({"displayName": "new"})))
        .collect();
    later[0]["accountEnabled"] = json!(false);
    later.extend((13..=15).map(device));
    site.tell(&later);
    site.save_plan("plan.json");
    let before = site.everything();

    let user = Box::leak(site.dc.users()[0].upn.clone().into_boxed_str());
    let user = Credentials {
        upn: user,
        password: USER_PASSWORD,
    };
    let somebody = Setup {
        account: user,
        ..site.setup()
    };
    site.configure(&somebody);
    for report in [site.apply("plan.json", 2), site.sync(&[], 2)] {
        let result = &report["result"];
        assert_eq!(
            (&result["planned"], &result["failed"]),
            (&json!(15), &json!(15)),
            "{report}"
        );
        assert_eq!(result["done"], 0);
        let failures = result["failures"].as_array().unwrap();
        for (number, failure) in (1..).zip(failures) {
            assert_eq!(failure["device_id"], device_id(number), "{failure}");
            assert_eq!(failure["verdict"], "failed");
            assert_eq!(
                failure["ldap_result"]["name"], "insufficientAccessRights",
                "{failure}"
            );
        }
        assert_eq!(failures.len(), 15);
    }
    assert_eq!(site.everything(), before);
    let said = site.run(["sync"]).expect(2);
    assert!(said.out.contains("15 failed"), "{}", said.out);

    // Rights to change some objects: these are changed, the rest is named.
    let mine = [1, 3].map(device_id);
    let sid = site.dc.users()[0].sid.clone();
    for number in [1, 3] {
        grant(&site, number, &sid);
    }
    let report = site.sync(&[], 2);
    assert_eq!(report["result"]["done"], 2, "{report}");
    let failures = report["result"]["failures"].as_array().unwrap();
    let failed: Vec<_> = failures
        .iter()
        .map(|failure| text(&failure["device_id"]))
        .collect();
    assert_eq!(failed.len(), 13);
    assert!(!failed.contains(&mine[0]) && !failed.contains(&mine[1]));

    // Whoever may do it does the rest.
    site.configure(&site.setup());
    let (plan, _) = site.round(&[]);
    assert_eq!(plan["changes"].as_array().unwrap().len(), 13);
}
