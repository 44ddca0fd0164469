//! The password: in no error, no log line and no `Debug` output.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use device_writeback::engine::Error;
use device_writeback::engine::ports::Directory as _;
use device_writeback::ldap::{Auth, LdapDirectory, Password};
use device_writeback_tests::scripted_ldap::{
    Account, Kind, Malformed, Options, Reply, Rule, SERVICE_NAME, code,
};
use ldap3::log;
use tracing::instrument::WithSubscriber as _;

use super::support::*;

const PASSWORD: &str = "Not-to-be-seen-äöü-2937";

#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What libraries say that do not know of tracing: the LDAP library and the TLS library.
static LIBRARIES: Libraries = Libraries(Mutex::new(String::new()));

struct Libraries(Mutex<String>);

impl log::Log for Libraries {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut text = self.0.lock().unwrap();
        text.push_str(&format!("{} {}\n", record.target(), record.args()));
    }

    fn flush(&self) {}
}

/// Runs `future`, and gives every line that was logged meanwhile, however unimportant.
pub(super) async fn logged<T>(future: impl Future<Output = T>) -> (T, String) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // What is spawned goes to the subscriber of the thread.
    let dispatch = tracing::Dispatch::new(subscriber);
    let _guard = tracing::dispatcher::set_default(&dispatch);
    let value = soon(future.with_current_subscriber()).await;
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    (value, text)
}

/// Every way to write the password down.
fn is_in(text: &str) -> bool {
    let octets = PASSWORD.as_bytes();
    let list = format!("{octets:?}");
    let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    let forms = [
        PASSWORD.to_owned(),
        PASSWORD.escape_debug().to_string(),
        PASSWORD.escape_default().to_string(),
        PASSWORD.as_bytes().escape_ascii().to_string(),
        list.trim_matches(['[', ']']).to_owned(),
        hex,
    ];
    // The beginning gives it away too.
    text.contains("Not-to-be-seen") || forms.iter().any(|form| text.contains(form))
}

#[track_caller]
fn is_not_in(error: &Error) {
    let text = format!("{error:?} {error:#?} {} {:?}", told(error), error.remedy());
    assert!(!is_in(&text), "{text}");
}

#[tokio::test]
async fn the_password_is_nowhere_to_be_seen() {
    assert!(is_in(&format!("{:?}", PASSWORD.as_bytes())));
    log::set_logger(&LIBRARIES).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let account = Account {
        password: PASSWORD.to_owned(),
        ..Account::service()
    };
    let set_up = |tls: bool, account: &Account| {
        start(Options {
            tls,
            accounts: vec![account.clone()],
            ..Options::default()
        })
    };
    let mut replies = vec![
        None,
        Some(Reply::Cut),
        Some(Reply::Silence),
        Some(Reply::Reset),
        Some(Reply::Result(refusal(code::BUSY))),
        Some(Reply::Result(refusal(code::STRONGER_AUTH_REQUIRED))),
    ];
    let malformed = Malformed::ALL.iter().filter(|how| !how.is_entry());
    replies.extend(malformed.map(|how| Some(Reply::Malformed(*how))));
    let mut connected = 0;
    for tls in [true, false] {
        for reply in &replies {
            for account in [&account, &Account::service()] {
                let server = set_up(tls, account);
                if let Some(reply) = reply {
                    server.script(Rule::on(Kind::Bind).instead(reply.clone()));
                }
                let mut options = options(&[&server]);
                options.start_tls = !tls;
                options.timeouts.operation = Duration::from_millis(50);
                options.auth = Auth::Simple {
                    name: SERVICE_NAME.to_owned(),
                    password: Password::new(PASSWORD),
                };
                assert!(!is_in(&format!("{options:?} {options:#?}")));
                let directory = LdapDirectory::open(options).unwrap();
                let run = async {
                    for _ in 0..2 {
                        if let Err(error) = directory.facts().await {
                            is_not_in(&error);
                        }
                        match listing(&directory).await {
                            Ok(_) => connected += 1,
                            Err(error) => is_not_in(&error),
                        }
                        if let Err(error) = directory.write(&add(1)).await {
                            is_not_in(&error);
                        }
                    }
                };
                let ((), log) = logged(run).await;
                assert!(!is_in(&log), "{log}");
                assert!(!is_in(&format!("{directory:?} {directory:#?}")));
                let binds = server.requests_of(Kind::Bind);
                assert!(binds.iter().any(|bind| is_in(&format!("{bind:?}"))));
            }
        }
    }
    assert!(connected > 0);
    let libraries = LIBRARIES.0.lock().unwrap();
    assert!(libraries.contains("ldap3"));
    assert!(!is_in(&libraries), "{libraries}");
}

#[tokio::test]
async fn the_log_says_where_the_run_is() {
    let server = start(Options::default());
    let directory = open(&server);
    let (facts, log) = logged(directory.facts()).await;
    facts.unwrap();
    assert!(
        log.contains("connected") && log.contains(&server.url()),
        "{log}"
    );
}
