//! Getting a connection: TLS, binds, and which of several servers is taken.

use std::time::{Duration, Instant};

use device_writeback::engine::ports::Directory as _;
use device_writeback::engine::{Error, ErrorKind};
use device_writeback::ldap::{Auth, LdapDirectory, LdapOptions, Password, Roots};
use device_writeback_tests::scripted_ldap::{
    Account, BindRefusal, ConnectionRule, Fault, Kind, Options, Rule, SERVICE_NAME, ScriptedLdap,
    code,
};

use super::support::*;

async fn refused(options: LdapOptions) -> Error {
    let directory = LdapDirectory::open(options).unwrap();
    soon(directory.facts()).await.unwrap_err()
}

async fn accepted(options: LdapOptions) {
    let directory = LdapDirectory::open(options).unwrap();
    assert!(soon(directory.facts()).await.unwrap().container_exists);
}

fn faulty(fault: Fault) -> ScriptedLdap {
    start(Options {
        connection_rules: vec![ConnectionRule::always(fault)],
        ..Options::default()
    })
}

#[tokio::test]
async fn nothing_but_starttls_is_sent_before_tls() {
    let server = start(Options {
        tls: false,
        ..Options::default()
    });
    for host in ["127.0.0.1", "localhost"] {
        server.forget_requests();
        let mut options = options_of([server.url_of(host)], &[&server]);
        options.start_tls = true;
        accepted(options).await;
        let requests = server.requests();
        let kinds: Vec<_> = requests
            .iter()
            .take(3)
            .map(|request| request.kind())
            .collect();
        assert_eq!(kinds, [Kind::Extended, Kind::Bind, Kind::Search]);
        assert!(!requests[0].encrypted);
        assert_eq!(requests[0].dn(), "1.3.6.1.4.1.1466.20037");
        assert!(requests.iter().skip(1).all(|request| request.encrypted));
    }

    // What has a right to be asked over TLS from the start is asked that way.
    let ldaps = start(Options::default());
    let mut options = options(&[&ldaps]);
    options.start_tls = true;
    accepted(options).await;
    assert!(ldaps.requests_of(Kind::Extended).is_empty());
}

#[tokio::test]
async fn a_refused_starttls_ends_before_the_bind() {
    for (code, name) in [
        (code::UNAVAILABLE, "unavailable (52)"),
        (code::PROTOCOL_ERROR, "protocolError (2)"),
        (code::OPERATIONS_ERROR, "operationsError (1)"),
    ] {
        let server = start(Options {
            tls: false,
            ..Options::default()
        });
        server.script(Rule::on(Kind::Extended).always().refuse(refusal(code)));
        let mut options = options(&[&server]);
        options.start_tls = true;
        let error = refused(options).await;
        assert_eq!(error.kind(), ErrorKind::Directory);
        let expected = format!(
            "connecting to {}: StartTLS is refused: {name}",
            server.url()
        );
        assert!(told(&error).starts_with(&expected), "{}", told(&error));
        assert!(error.remedy().unwrap().contains("certificate"));
        assert!(server.requests_of(Kind::Bind).is_empty());
    }
}

#[tokio::test]
async fn a_password_is_never_sent_in_the_clear() {
    let server = start(Options {
        tls: false,
        require_encryption: false,
        ..Options::default()
    });
    let error = refused(options(&[&server])).await;
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(told(&error).contains("would send the password in the clear"));
    assert!(error.remedy().unwrap().contains("start_tls"));
    for (name, password) in [(SERVICE_NAME, ""), ("", "secret")] {
        let mut options = options_of([server.url()], &[&server]);
        options.start_tls = true;
        options.auth = Auth::Simple {
            name: name.to_owned(),
            password: Password::new(password),
        };
        let error = refused(options).await;
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(told(&error).contains("as nobody"));
    }
    assert_eq!(server.stats().connections_total, 0);
}

#[tokio::test]
async fn certificates_are_verified() {
    let certificate = |names: &[&str], certificate_expired: bool| {
        start(Options {
            certificate_names: names.iter().map(|&name| name.to_owned()).collect(),
            certificate_expired,
            ..Options::default()
        })
    };
    let other = start(Options::default());
    for (server, authority, what, remedy) in [
        (
            certificate(&["127.0.0.1"], true),
            None,
            "the server's certificate has expired",
            "clock",
        ),
        (
            certificate(&["dc1.contoso.com", "dc1"], false),
            None,
            "the server's certificate is not \"127.0.0.1\"'s, it names",
            "subject alternative name",
        ),
        (
            certificate(&["127.0.0.1"], false),
            Some(&other),
            "was not issued by a CA that is believed",
            "directory.ca_file",
        ),
    ] {
        let mut options = options(&[&server]);
        if let Some(authority) = authority {
            options.roots = Roots::Pem(authority.ca_pem().as_bytes().to_vec());
        }
        let error = refused(options).await;
        assert_eq!(error.kind(), ErrorKind::Directory);
        assert!(told(&error).starts_with(&format!("connecting to {}: ", server.url())));
        assert!(told(&error).contains(what), "{}", told(&error));
        assert!(error.remedy().unwrap().contains(remedy));
        assert!(server.requests().is_empty());
        // The same over StartTLS is refused the same way.
        assert!(server.wait_until(HANG, |stats| stats.connections_open == 0));
    }
    let starttls = start(Options {
        tls: false,
        certificate_names: vec!["dc1.contoso.com".to_owned()],
        ..Options::default()
    });
    let mut options = options(&[&starttls]);
    options.start_tls = true;
    assert!(told(&refused(options).await).contains("is not \"127.0.0.1\"'s"));
    assert!(starttls.requests_of(Kind::Bind).is_empty());
}

#[tokio::test]
async fn handshakes_that_fail_say_why() {
    for (fault, what, remedy) in [
        (
            Fault::Alert(40),
            "no cipher suite in common",
            "Windows Server 2012 R2",
        ),
        (Fault::Alert(70), "no cipher suite in common", "TLS 1.2"),
        (
            Fault::ResetAfterHello,
            "in the middle of the TLS handshake",
            "Windows Server 2012 R2",
        ),
        (
            Fault::Close,
            "in the middle of the TLS handshake",
            "Windows Server 2012 R2",
        ),
        (
            Fault::Octets(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            "does not speak TLS on this port",
            "start_tls",
        ),
    ] {
        let server = faulty(fault.clone());
        let error = refused(options(&[&server])).await;
        assert_eq!(error.kind(), ErrorKind::Directory);
        assert!(told(&error).contains(what), "{fault:?}: {}", told(&error));
        assert!(
            error.remedy().unwrap().contains(remedy),
            "{fault:?}: {:?}",
            error.remedy()
        );
    }
}

#[tokio::test]
async fn who_does_not_answer_is_given_up_in_time() {
    for tls in [true, false] {
        let server = start(Options {
            tls,
            connection_rules: vec![ConnectionRule::always(Fault::BlackHole)],
            ..Options::default()
        });
        let mut options = options(&[&server]);
        options.start_tls = !tls;
        options.timeouts.connect = Duration::from_millis(200);
        let error = refused(options).await;
        assert_eq!(error.kind(), ErrorKind::Directory);
        assert_eq!(
            told(&error),
            format!("connecting to {}: no answer in 0.2 s", server.url())
        );
        assert!(error.remedy().unwrap().contains("firewall"));
    }
    let server = start(Options::default());
    server.set_listening(false);
    let error = refused(options(&[&server])).await;
    assert!(told(&error).contains("refused"), "{}", told(&error));
    assert!(error.remedy().is_some());
}

#[tokio::test]
async fn the_first_server_that_can_be_used_is_used() {
    let gone = start(Options::default());
    gone.set_listening(false);
    let expired = start(Options {
        certificate_expired: true,
        ..Options::default()
    });
    let read_only = start(Options {
        read_only: true,
        ..Options::default()
    });
    let busy = start(Options::default());
    busy.script(Rule::on(Kind::Bind).always().refuse(refusal(code::BUSY)));
    for first in [
        gone,
        faulty(Fault::BlackHole),
        faulty(Fault::Alert(40)),
        faulty(Fault::Reset),
        read_only,
        expired,
        busy,
    ] {
        let second = start(Options::default());
        let third = start(Options::default());
        let mut options = options(&[&first, &second, &third]);
        options.timeouts.connect = Duration::from_millis(500);
        let directory = LdapDirectory::open(options).unwrap();
        soon(directory.facts()).await.unwrap();
        assert!(writes(&first).is_empty());
        assert_eq!(second.requests_of(Kind::Bind).len(), 1);
        assert_eq!(directory.epoch(), 0, "this is where the run begins");
        // The run stays there.
        cut(&second);
        soon(directory.read(&target(1))).await.unwrap();
        assert_eq!(second.requests_of(Kind::Bind).len(), 2);
        assert_eq!(third.stats().connections_total, 0);
    }
}

#[tokio::test]
async fn when_no_server_can_be_used_each_is_named_with_its_reason() {
    let gone = start(Options::default());
    gone.set_listening(false);
    let read_only = start(Options {
        read_only: true,
        ..Options::default()
    });
    let old = faulty(Fault::Alert(40));
    let error = refused(options(&[&gone, &read_only, &old])).await;
    assert_eq!(error.kind(), ErrorKind::Directory);
    let text = told(&error);
    assert!(
        text.starts_with("no server of directory.urls can be used: "),
        "{text}"
    );
    let reasons: Vec<_> = text.split("; ").collect();
    assert_eq!(reasons.len(), 3);
    for (reason, (server, what)) in reasons.iter().zip([
        (&gone, "refused"),
        (&read_only, "is a read-only domain controller"),
        (&old, "no cipher suite in common"),
    ]) {
        assert!(
            reason.contains(&server.url()) && reason.contains(what),
            "{reason}"
        );
    }
    assert!(error.remedy().is_some());
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let servers = [start(Options::default()), start(Options::default())];
    let mut options = options(&[&servers[0], &servers[1]]);
    options.auth = Auth::Simple {
        name: SERVICE_NAME.to_owned(),
        password: Password::new("wrong"),
    };
    let directory = LdapDirectory::open(options).unwrap();
    let error = soon(directory.facts()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert_eq!(servers[0].requests_of(Kind::Bind).len(), 1);
    assert_eq!(servers[1].stats().connections_total, 0);
}

#[tokio::test]
async fn every_refused_bind_has_its_sentence() {
    for (refusal, what) in [
        (
            BindRefusal::WrongPassword,
            "the name or the password is wrong",
        ),
        (
            BindRefusal::LogonHours,
            "the account may not log on now or from here",
        ),
        (BindRefusal::PasswordExpired, "the password has expired"),
        (BindRefusal::Disabled, "the account is disabled"),
        (BindRefusal::AccountExpired, "the account has expired"),
        (BindRefusal::MustChangePassword, "the password has expired"),
        (BindRefusal::LockedOut, "the account is locked out"),
    ] {
        let account = Account {
            refusal: Some(refusal),
            ..Account::service()
        };
        let servers = [(); 2].map(|()| {
            start(Options {
                accounts: vec![account.clone()],
                ..Options::default()
            })
        });
        let error = refused(options(&[&servers[0], &servers[1]])).await;
        assert_eq!(error.kind(), ErrorKind::Auth);
        assert_eq!(
            told(&error),
            format!("binding to {} as {SERVICE_NAME}: {what}", servers[0].url())
        );
        assert!(error.remedy().is_some());
        assert_eq!(
            error.ldap_result().unwrap().code.0,
            code::INVALID_CREDENTIALS
        );
        assert_eq!(servers[0].requests_of(Kind::Bind).len(), 1);
        assert_eq!(servers[1].stats().connections_total, 0);
    }
}

#[tokio::test]
async fn a_server_that_wants_more_protection_is_understood() {
    let server = start(Options::default());
    let rule = Rule::on(Kind::Bind).always();
    server.script(rule.refuse(refusal(code::STRONGER_AUTH_REQUIRED)));
    let error = refused(options(&[&server])).await;
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(
        told(&error).contains("wants more protection"),
        "{}",
        told(&error)
    );
    assert!(error.remedy().unwrap().contains("channel binding"));
    assert_eq!(server.requests_of(Kind::Bind).len(), 1);
}

#[tokio::test]
async fn a_dead_server_costs_its_time_out_and_nothing_else() {
    let dead = faulty(Fault::BlackHole);
    let server = start(Options::default());
    let mut options = options(&[&dead, &server]);
    options.timeouts.connect = Duration::from_millis(300);
    let directory = LdapDirectory::open(options).unwrap();
    let begun = Instant::now();
    soon(directory.facts()).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300));
    for number in 0..20 {
        soon(directory.read(&target(number))).await.unwrap();
    }
    assert_eq!(dead.stats().connections_total, 1);
}
