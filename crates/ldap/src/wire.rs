//! One connection. Everything that the ldap3 crate needs watching for is watched for here, and nowhere else calls it.
//!
//! It reports a refusal as success until somebody looks at the code, panics on some answers that are not valid LDAP, keeps
//! state of a search until its stream is finished, and has no time-out of its own accord.

#![expect(
    clippy::disallowed_methods,
    reason = "the one place that may: every call is guarded, every result goes through `check`"
)]

use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use device_writeback_core::apply::{
    Modification, ModificationKind, Operation, OperationResult, ResultCode, Target,
};
use device_writeback_engine::error::{Error, ErrorKind};
use futures_util::FutureExt as _;
use ldap3::asn1::StructureTag;
use ldap3::controls::{Control, PagedResults, RawControl};
use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Mod, Scope, SearchOptions,
    StdStream,
};
use rustls::ClientConfig;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time;

use crate::entry::Entry;
use crate::failure::{Failure, trimmed};
use crate::opening::{bind_error, handshake_error, start_tls_error};
use crate::options::{Auth, LdapOptions};
use crate::server::ServerUrl;
use crate::start_tls::start_tls;

/// The control of paged results ([RFC 2696]).
const PAGED_RESULTS: &str = "1.2.840.113556.1.4.319";
/// The control that adds GUID and SID to the DNs of a result ([MS-ADTS] 3.1.1.3.4.1.5).
const EXTENDED_DN: &str = "1.2.840.113556.1.4.529";
/// Its value: a sequence of the number 1, for GUID and SID as text.
const EXTENDED_DN_AS_TEXT: [u8; 5] = [0x30, 0x03, 0x02, 0x01, 0x01];

/// Octets that may wait in the system to be read. Servers send each entry of a page in a segment of its own, and the system's account of
/// a small segment is many times its size: with the usual buffer a page overflows it, segments are dropped, and the server sends them again
/// 200 ms later.
const RECEIVE_BUFFER: usize = 4 << 20;

/// What is searched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search<'a> {
    pub(crate) base: &'a str,
    pub(crate) scope: Scope,
    pub(crate) filter: &'a str,
    pub(crate) attributes: &'a [&'a str],
}

/// One page of a search.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    /// Where the next page begins; empty after the last one.
    pub(crate) cookie: Vec<u8>,
}

/// A connection that is bound.
#[derive(Debug)]
pub(crate) struct Connection {
    ldap: Ldap,
    server: ServerUrl,
    operation_timeout: Duration,
    broken: AtomicBool,
    driver: AbortHandle,
    end: watch::Receiver<Option<Failure>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Connects, secures and binds, in whatever time that takes.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`] when the account is refused: asking other servers would only lock it. [`ErrorKind::Config`] when
    /// it would have to be sent in the clear. [`ErrorKind::Directory`] for everything that another server may do better.
    pub(crate) async fn open(
        server: &ServerUrl,
        options: &LdapOptions,
        tls: &Arc<ClientConfig>,
    ) -> Result<Self, Error> {
        let Auth::Simple { name, password } = &options.auth;
        if !server.is_ldaps() && !options.start_tls {
            return Err(Error::new(
                ErrorKind::Config,
                format!("a simple bind to {server} would send the password in the clear"),
            )
            .with_remedy("use an ldaps:// URL, or directory.start_tls = true"));
        }
        if name.is_empty() || password.is_empty() {
            return Err(Error::new(
                ErrorKind::Config,
                "a simple bind without a name or without a password is one as nobody",
            )
            .with_remedy("give directory.bind_dn, and a password in the file or variable that the configuration names"));
        }
        let doing = || format!("connecting to {server}");
        let unreachable = |error: io::Error| {
            Error::new(ErrorKind::Directory, doing())
                .with_remedy("see whether the host name is right, the domain controller is up and a firewall lets this port through")
                .with_source(error)
        };
        let mut stream = TcpStream::connect((server.host(), server.port()))
            .await
            .map_err(unreachable)?;
        // Many small requests in a row: each goes out at once.
        stream.set_nodelay(true).map_err(unreachable)?;
        // As much as the system gives; less is slower and no error.
        let _ = SockRef::from(&stream).set_recv_buffer_size(RECEIVE_BUFFER);
        if !server.is_ldaps() {
            start_tls(&mut stream)
                .await
                .map_err(|failure| start_tls_error(server, failure))?;
        }
        let settings = LdapConnSettings::new()
            .set_config(Arc::clone(tls))
            .set_std_stream(StdStream::Tcp(stream.into_std().map_err(unreachable)?));
        let connecting = LdapConnAsync::from_url_with_settings(settings, server.tls_url());
        let (connection, ldap) = match AssertUnwindSafe(connecting).catch_unwind().await {
            Ok(Ok(pair)) => pair,
            Ok(Err(error)) => return Err(handshake_error(server, error)),
            Err(_) => {
                return Err(Failure::Malformed("to the handshake".to_owned()).into_error(doing()));
            }
        };
        let (ended, end) = watch::channel(None);
        let driver = tokio::spawn(async move {
            let failure = match AssertUnwindSafe(connection.drive()).catch_unwind().await {
                Ok(Ok(())) => Failure::Lost("the server closed it".to_owned()),
                Ok(Err(LdapError::Io { source }))
                    if source
                        .get_ref()
                        .is_some_and(|inner| inner.to_string() == "decoding error") =>
                {
                    Failure::Malformed("a message cannot be decoded".to_owned())
                }
                Ok(Err(LdapError::Io { source })) => Failure::Lost(source.to_string()),
                Ok(Err(error)) => Failure::Lost(error.to_string()),
                Err(_) => {
                    Failure::Malformed("a message has not the form it should have".to_owned())
                }
            };
            let _ = ended.send(Some(failure));
        })
        .abort_handle();
        let connection = Self {
            ldap,
            server: server.clone(),
            operation_timeout: options.timeouts.operation,
            broken: AtomicBool::new(false),
            driver,
            end,
        };
        let mut ldap = connection.ldap.clone();
        let bound = connection
            .guarded(async move { ldap.simple_bind(name, password.reveal()).await })
            .await
            .and_then(check);
        match bound {
            Ok(()) => Ok(connection),
            Err(failure) => Err(bind_error(server, name, failure)),
        }
    }

    /// The server at the other end.
    pub(crate) fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Whether nothing more can come of this connection.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed) || self.driver.is_finished()
    }

    /// Searches without paging: what is asked for is small.
    pub(crate) async fn search(&self, search: Search<'_>) -> Result<Vec<Entry>, Failure> {
        Ok(self.search_with(search, Vec::new()).await?.0)
    }

    /// Searches with GUIDs and SIDs in the DNs that are values.
    pub(crate) async fn search_with_extended_dns(
        &self,
        search: Search<'_>,
    ) -> Result<Vec<Entry>, Failure> {
        let control = RawControl {
            ctype: EXTENDED_DN.to_owned(),
            crit: false,
            val: Some(EXTENDED_DN_AS_TEXT.to_vec()),
        };
        Ok(self.search_with(search, vec![control]).await?.0)
    }

    /// Asks for the page at `cookie`, the first one when it is empty.
    pub(crate) async fn search_page(
        &self,
        search: Search<'_>,
        size: i32,
        cookie: Vec<u8>,
    ) -> Result<Page, Failure> {
        let control = RawControl::from(PagedResults { size, cookie });
        let control = RawControl {
            crit: true,
            ..control
        };
        let (entries, cookie) = self.search_with(search, vec![control]).await?;
        // The control was critical, so there must be an answer to it ([RFC 2696] 3). A result that is no result looks like an
        // end of the reading to the library: what is left out would be taken for gone.
        let cookie = cookie.ok_or_else(|| {
            self.give_up(Failure::Malformed(
                "a page does not say whether it is the last one".to_owned(),
            ))
        })?;
        Ok(Page { entries, cookie })
    }

    /// Performs a write. A refusal is a result.
    pub(crate) async fn write(&self, operation: &Operation) -> Result<OperationResult, Failure> {
        let mut ldap = self.ldap.clone();
        let answer = match operation {
            Operation::Add { dn, attributes } => {
                let dn = dn.to_string();
                let attributes = attributes
                    .iter()
                    .map(|(name, values)| (name.as_bytes(), set(values)))
                    .collect();
                self.guarded(async move { ldap.add(&dn, attributes).await })
                    .await
            }
            Operation::Modify {
                target,
                modifications,
            } => {
                let dn = name_of(target);
                let modifications = modifications.iter().map(modification).collect();
                self.guarded(async move { ldap.modify(&dn, modifications).await })
                    .await
            }
            Operation::Delete { target } => {
                let dn = name_of(target);
                self.guarded(async move { ldap.delete(&dn).await }).await
            }
            _ => {
                return Ok(OperationResult::new(
                    ResultCode::UNWILLING_TO_PERFORM,
                    "this operation is not known to the LDAP adapter",
                ));
            }
        };
        match answer.and_then(check) {
            Ok(()) => Ok(OperationResult::SUCCESS),
            Err(Failure::Refused { result, referrals }) if !referrals.is_empty() => {
                let message = format!("{} (see {})", result.message, referrals.join(" or "));
                Ok(OperationResult::new(result.code, message.trim_start()))
            }
            Err(Failure::Refused { result, .. }) => Ok(result),
            Err(failure) => Err(failure),
        }
    }

    /// The entries, and the cookie if the server says anything about pages.
    async fn search_with(
        &self,
        search: Search<'_>,
        controls: Vec<RawControl>,
    ) -> Result<(Vec<Entry>, Option<Vec<u8>>), Failure> {
        let mut ldap = self.ldap.clone();
        let timeout = self.operation_timeout;
        let Search {
            base,
            scope,
            filter,
            attributes,
        } = search;
        let searching = async move {
            ldap.with_controls(controls);
            ldap.with_search_options(SearchOptions::new());
            // Starts anew with each entry: a long page of a slow server is no time-out.
            ldap.with_timeout(timeout);
            let mut stream = ldap
                .streaming_search(base, scope, filter, attributes)
                .await?;
            let mut entries = Vec::new();
            while let Some(entry) = stream.next().await? {
                // Referrals lead to other domains, where none of ours is: they are not followed.
                if !entry.is_ref() && !entry.is_intermediate() {
                    entries.push(entry.0);
                }
            }
            let result = stream.finish().await;
            let cookie = cookie(&result.ctrls);
            Ok((entries, result, cookie))
        };
        let (entries, result, cookie) = self.guarded_without_clock(searching).await?;
        check(result)?;
        let entries = entries
            .into_iter()
            .map(|entry: StructureTag| Entry::parse(entry))
            .collect::<Result<_, _>>()
            .map_err(|what| self.give_up(Failure::Malformed(what.to_owned())))?;
        Ok((entries, cookie))
    }

    /// Runs a call of the library with the time-out of one operation.
    async fn guarded<T>(
        &self,
        call: impl Future<Output = Result<T, LdapError>>,
    ) -> Result<T, Failure> {
        let timeout = self.operation_timeout;
        match time::timeout(timeout, self.guarded_without_clock(call)).await {
            Ok(result) => result,
            Err(_) => Err(self.give_up(Failure::TimedOut(timeout))),
        }
    }

    /// Runs a call of the library: its panics and its errors become failures, and end the connection.
    async fn guarded_without_clock<T>(
        &self,
        call: impl Future<Output = Result<T, LdapError>>,
    ) -> Result<T, Failure> {
        if self.is_broken() {
            return Err(self.end().await);
        }
        let failure = match AssertUnwindSafe(call).catch_unwind().await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(LdapError::Timeout { .. })) => Failure::TimedOut(self.operation_timeout),
            Ok(Err(LdapError::FilterParsing)) => {
                // Of our own making, and no reason to end the connection.
                return Err(Failure::Malformed("to a filter that is none".to_owned()));
            }
            Ok(Err(_)) => self.end().await,
            Err(_) => Failure::Malformed("a result has not the form it should have".to_owned()),
        };
        Err(self.give_up(failure))
    }

    /// How the connection ended.
    async fn end(&self) -> Failure {
        /// The task that drives the connection says so in a moment.
        const MOMENT: Duration = Duration::from_millis(200);
        let mut end = self.end.clone();
        let ended = time::timeout(MOMENT, end.wait_for(Option::is_some)).await;
        match ended {
            Ok(Ok(ended)) => match &*ended {
                Some(Failure::Malformed(what)) => Failure::Malformed(what.clone()),
                Some(Failure::Lost(how)) => Failure::Lost(how.clone()),
                _ => Failure::Lost("it ended".to_owned()),
            },
            // Another operation has given it up.
            _ => Failure::Lost("it was given up".to_owned()),
        }
    }

    /// Ends the connection: whoever waits on it is told at once.
    fn give_up(&self, failure: Failure) -> Failure {
        if !self.broken.swap(true, Ordering::Relaxed) {
            tracing::debug!(server = %self.server, %failure, "the connection is given up");
        }
        self.driver.abort();
        failure
    }
}

/// Looks at a result: whatever is not success is a failure, whatever the library calls it.
fn check(result: LdapResult) -> Result<(), Failure> {
    if result.rc == ResultCode::SUCCESS.0 {
        return Ok(());
    }
    Err(Failure::Refused {
        result: OperationResult::new(ResultCode(result.rc), trimmed(&result.text)),
        referrals: result.refs,
    })
}

fn cookie(controls: &[Control]) -> Option<Vec<u8>> {
    controls
        .iter()
        .map(|Control(_, raw)| raw)
        .find(|raw| raw.ctype == PAGED_RESULTS && raw.val.is_some())
        .map(|raw| raw.parse::<PagedResults>().cookie)
}

/// By GUID an object is hit wherever it went, and never another one of the same name ([MS-ADTS] 3.1.1.3.1.2.4).
pub(crate) fn name_of(target: &Target) -> String {
    match target.guid {
        Some(guid) => format!("<GUID={guid}>"),
        None => target.dn.to_string(),
    }
}

fn set(values: &[impl AsRef<[u8]>]) -> HashSet<&[u8]> {
    values.iter().map(AsRef::as_ref).collect()
}

fn modification(modification: &Modification) -> Mod<&[u8]> {
    let (name, values) = (modification.name.as_bytes(), set(&modification.values));
    match modification.kind {
        ModificationKind::Add => Mod::Add(name, values),
        ModificationKind::Delete => Mod::Delete(name, values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use device_writeback_core::dn::Dn;
    use device_writeback_core::guid::ObjectGuid;

    fn result(rc: u32, text: &str) -> LdapResult {
        LdapResult {
            rc,
            matched: String::new(),
            text: text.to_owned(),
            refs: Vec::new(),
            ctrls: Vec::new(),
        }
    }

    #[test]
    fn only_success_is_success() {
        assert!(check(result(0, "")).is_ok());
        for code in [8, 10, 14, 49, 51] {
            let failure = check(result(code, "no\0")).unwrap_err();
            assert_eq!(failure.code(), Some(ResultCode(code)));
        }
    }

    #[test]
    fn an_object_is_named_by_its_guid() {
        let dn = Dn::parse("CN=x,DC=contoso,DC=com").unwrap();
        let guid = ObjectGuid::parse("00112233-4455-6677-8899-aabbccddeeff").unwrap();
        let target = |guid| Target {
            dn: dn.clone(),
            guid,
        };
        assert_eq!(
            name_of(&target(Some(guid))),
            "<GUID=00112233-4455-6677-8899-aabbccddeeff>"
        );
        assert_eq!(name_of(&target(None)), "CN=x,DC=contoso,DC=com");
    }
}
