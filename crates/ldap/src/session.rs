//! The connection of a run: opened when it is needed, got back when it was lost, and moved to another server when its own is
//! gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use device_writeback_core::dn::Dn;
use device_writeback_engine::error::{Error, ErrorKind};
use rustls::ClientConfig;
use tokio::sync::Mutex;
use tokio::time::{self, Instant};

use crate::failure::{Failure, seconds};
use crate::options::LdapOptions;
use crate::pace::backoff;
use crate::root::RootDse;
use crate::server::ServerUrl;
use crate::tls;
use crate::wire::Connection;

/// Pauses between attempts at getting a connection back.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often a reading is begun again after a transient failure.
const TRIES: u32 = 5;

/// The connection of a run.
#[derive(Debug)]
pub(crate) struct Session {
    options: LdapOptions,
    tls: Arc<ClientConfig>,
    slot: Mutex<Slot>,
    epoch: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    current: Option<(Arc<Connection>, Arc<RootDse>)>,
    /// Which of the servers was used last.
    used: usize,
    /// Who it was, and the domain it served.
    identity: Option<(String, Option<Dn>)>,
    /// Getting the connection back has failed once for this run; nobody waits for that again.
    given_up: Option<String>,
}

impl Session {
    /// Nothing is connected before it is needed.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: no server, or no certificate to believe.
    pub(crate) fn new(options: LdapOptions) -> Result<Self, Error> {
        if options.servers.is_empty() {
            return Err(Error::new(
                ErrorKind::Config,
                "opening the directory: no server is named",
            )
            .with_remedy("name domain controllers in directory.urls"));
        }
        Ok(Self {
            tls: tls::client_config(&options.roots)?,
            options,
            slot: Mutex::default(),
            epoch: AtomicU64::new(0),
        })
    }

    /// What the directory was opened with.
    pub(crate) fn options(&self) -> &LdapOptions {
        &self.options
    }

    /// Rises whenever another server is used than before.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// A new run may wait for a server again, and prefers the first one that is named.
    pub(crate) async fn begin(&self) {
        let mut slot = self.slot.lock().await;
        slot.given_up = None;
        if slot
            .current
            .as_ref()
            .is_none_or(|(connection, _)| connection.is_broken())
        {
            slot.current = None;
            slot.used = 0;
        }
    }

    /// The connection, with what the server says about itself.
    ///
    /// # Errors
    /// As [`Connection::open`]; [`ErrorKind::Directory`] when no server can be used.
    pub(crate) async fn connection(&self) -> Result<(Arc<Connection>, Arc<RootDse>), Error> {
        let mut slot = self.slot.lock().await;
        if let Some((connection, root)) = &slot.current
            && !connection.is_broken()
        {
            return Ok((Arc::clone(connection), Arc::clone(root)));
        }
        if let Some(why) = &slot.given_up {
            return Err(gone(why));
        }
        slot.current = None;
        let again = slot.identity.is_some();
        let patience = self.options.timeouts.reconnect;
        let deadline = Instant::now() + patience;
        // All attempts together have that long; one alone has the time that connecting takes.
        let until = (again && !patience.is_zero()).then_some(deadline);
        let mut tries = 0;
        loop {
            let error = match self.try_servers(&mut slot, until).await {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            let pause = backoff(tries, FIRST_PAUSE, LONGEST_PAUSE);
            let pointless = error.kind() != ErrorKind::Directory;
            if !again || pointless || Instant::now() + pause > deadline {
                if again {
                    slot.given_up = Some(error.chain());
                }
                return Err(error);
            }
            tracing::warn!(error = %error.chain(), seconds = pause.as_secs_f64(), "no server yet, trying again");
            tries += 1;
            time::sleep(pause).await;
        }
    }

    /// Asks each server once, the one that was used last first. Until the deadline each has an equal part of the time that is left: one
    /// that does not answer leaves some for the next.
    async fn try_servers(
        &self,
        slot: &mut Slot,
        deadline: Option<Instant>,
    ) -> Result<(Arc<Connection>, Arc<RootDse>), Error> {
        let servers = &self.options.servers;
        let mut failures = Vec::new();
        for offset in 0..servers.len() {
            let index = (slot.used + offset) % servers.len();
            let Some(server) = servers.get(index) else {
                continue;
            };
            let mut limit = self.options.timeouts.connect;
            if let Some(deadline) = deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                let servers = u32::try_from(servers.len() - offset).unwrap_or(u32::MAX);
                limit = limit.min(left / servers);
            }
            match self.open(server, limit).await {
                Ok(opened) => {
                    self.moved_to(slot, index, &opened.1)?;
                    tracing::debug!(%server, identity = opened.1.identity, "connected");
                    slot.current = Some(opened.clone());
                    return Ok(opened);
                }
                // A wrong password is wrong everywhere, and every try counts.
                Err(error) if error.kind() != ErrorKind::Directory => return Err(error),
                Err(error) => {
                    tracing::info!(%server, error = %error.chain(), "this server cannot be used");
                    failures.push(error);
                }
            }
        }
        match failures.len() {
            0 | 1 => Err(failures.pop().unwrap_or_else(|| gone("no server is named"))),
            _ => {
                let reasons: Vec<_> = failures.iter().map(Error::chain).collect();
                let remedy = failures
                    .first()
                    .and_then(Error::remedy)
                    .unwrap_or_default()
                    .to_owned();
                Err(Error::new(
                    ErrorKind::Directory,
                    format!(
                        "no server of directory.urls can be used: {}",
                        reasons.join("; ")
                    ),
                )
                .with_remedy(remedy))
            }
        }
    }

    /// Connects to that server within `limit`, and asks it who it is.
    async fn open(
        &self,
        server: &ServerUrl,
        limit: Duration,
    ) -> Result<(Arc<Connection>, Arc<RootDse>), Error> {
        let opening = async {
            let connection = Connection::open(server, &self.options, &self.tls).await?;
            let root = RootDse::read(&connection).await?;
            Ok((Arc::new(connection), Arc::new(root)))
        };
        time::timeout(limit, opening).await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Directory,
                format!("connecting to {server}: no answer in {}", seconds(limit)),
            )
            .with_remedy(
                "see whether the domain controller is up and a firewall lets this port through",
            ))
        })
    }

    /// Notes which server it is now, and that it is one of the same domain.
    fn moved_to(&self, slot: &mut Slot, index: usize, root: &RootDse) -> Result<(), Error> {
        let server = self.options.servers.get(index);
        if let Some((identity, domain)) = &slot.identity
            && *identity != root.identity
        {
            if *domain != root.domain {
                let (was, is) = (name(domain.as_ref()), name(root.domain.as_ref()));
                return Err(Error::new(
                    ErrorKind::Config,
                    format!(
                        "the servers of directory.urls serve different domains: {was} and {is}"
                    ),
                )
                .with_remedy("name domain controllers of one domain"));
            }
            self.epoch.fetch_add(1, Ordering::AcqRel);
            if let Some(server) = server {
                tracing::warn!(
                    %server,
                    "the run goes on at another server, which may not have everything that was written before"
                );
            }
        }
        slot.used = index;
        slot.identity = Some((root.identity.clone(), root.domain.clone()));
        Ok(())
    }

    /// Runs a reading until it has an answer: a lost connection is got back, a busy server is given time.
    ///
    /// # Errors
    /// What the last attempt failed of, as the error of `doing`.
    pub(crate) async fn read<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        doing: impl Fn() -> String,
        attempt: impl Fn(Arc<Connection>) -> F,
    ) -> Result<T, Error> {
        let mut tries = 0;
        loop {
            let (connection, _) = self.connection().await?;
            match attempt(connection).await {
                Ok(answer) => return Ok(answer),
                Err(failure) if failure.is_transient() && tries < TRIES => {
                    tracing::debug!(doing = doing(), %failure, "reading again");
                    // A lost connection has pauses of its own.
                    if failure.code().is_some() {
                        give_time(tries).await;
                    }
                    tries += 1;
                }
                Err(failure) => return Err(failure.into_error(doing())),
            }
        }
    }
}

/// Waits before something is tried again after `tries` tries: longer each time.
pub(crate) async fn give_time(tries: u32) {
    time::sleep(backoff(tries, FIRST_PAUSE, LONGEST_PAUSE)).await;
}

fn gone(why: &str) -> Error {
    Error::new(
        ErrorKind::Directory,
        format!("the connection is lost and does not come back: {why}"),
    )
    .with_remedy("run again when the domain controller is up: what was written is found to be done")
}

fn name(domain: Option<&Dn>) -> String {
    domain.map_or_else(|| "none".to_owned(), Dn::to_string)
}
