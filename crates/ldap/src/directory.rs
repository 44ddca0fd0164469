//! The port.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use device_writeback_core::apply::{Operation, OperationResult, Target};
use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::guid::DeviceId;
use device_writeback_core::plan::DirectoryKey;
use device_writeback_core::rules::PrincipalFacts;
use device_writeback_core::sid::Sid;
use device_writeback_engine::error::Error;
use device_writeback_engine::ports::{Directory, DirectoryFacts};
use tokio::runtime::Handle;

use crate::discovery::{Domain, discover};
use crate::import::{LdapImport, no_runtime};
use crate::lookup;
use crate::options::{LdapOptions, MAX_WINDOW};
use crate::pace::Pace;
use crate::session::{Session, give_time};
use crate::window::Window;
use crate::wire::name_of;

/// The directory on a domain controller.
///
/// - Nothing is connected before something is asked. [`facts`](Directory::facts) begins a run.
/// - A run stays on one server. A lost connection is got back, from the same server if it can be, and readings are repeated;
///   a write never is: its answer is an error, and whoever sent it reads the object. When another server had to be taken,
///   [`epoch`](Directory::epoch) has risen.
/// - Writes are pipelined on one connection; [`window`](Directory::window) says how many at a time.
/// - It needs a tokio runtime with I/O and time.
#[derive(Debug)]
pub struct LdapDirectory {
    session: Arc<Session>,
    domain: Mutex<Option<Arc<Domain>>>,
    window: Window,
    pace: Pace,
}

impl LdapDirectory {
    /// Opens a directory; nothing is connected yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](device_writeback_engine::error::ErrorKind::Config): no server, or no certificate to believe.
    pub fn open(options: LdapOptions) -> Result<Self, Error> {
        Ok(Self {
            window: Window::new(options.max_in_flight.clamp(1, MAX_WINDOW)),
            pace: Pace::new(options.max_operations_per_second),
            session: Arc::new(Session::new(options)?),
            domain: Mutex::default(),
        })
    }

    /// What the domain said about itself; asked for if nobody has yet.
    async fn domain(&self) -> Result<Arc<Domain>, Error> {
        let known = self
            .domain
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match known {
            Some(domain) => Ok(domain),
            None => self.discover().await,
        }
    }

    async fn discover(&self) -> Result<Arc<Domain>, Error> {
        /// It is begun again that often after a connection that ended in the middle of it, or a server with too much to do.
        const TRIES: u32 = 3;
        let mut tries = 0;
        let domain = loop {
            let (connection, root) = self.session.connection().await?;
            match discover(&connection, &root, self.session.options()).await {
                Ok(domain) => break Arc::new(domain),
                Err(error) if tries < TRIES && (connection.is_broken() || is_transient(&error)) => {
                    tracing::debug!(%error, "looking at the domain again");
                    // A lost connection has pauses of its own.
                    if is_transient(&error) {
                        give_time(tries).await;
                    }
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        };
        *self.domain.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&domain));
        Ok(domain)
    }
}

/// Whether the server may do better in a moment.
fn is_transient(error: &Error) -> bool {
    error
        .ldap_result()
        .is_some_and(|result| result.code.is_transient())
}

impl Directory for LdapDirectory {
    type Import = LdapImport;

    async fn facts(&self) -> Result<DirectoryFacts, Error> {
        Handle::try_current().map_err(|_| no_runtime())?;
        self.session.begin().await;
        Ok(self.discover().await?.facts.clone())
    }

    async fn import(&self) -> Result<LdapImport, Error> {
        Handle::try_current().map_err(|_| no_runtime())?;
        let domain = self.domain().await?;
        Ok(LdapImport::start(Arc::clone(&self.session), domain))
    }

    async fn principals(&self, sids: &[Sid]) -> Result<Vec<PrincipalFacts>, Error> {
        let domain = self.domain().await?;
        let domain = &domain;
        self.session
            .read(
                || format!("looking up {} users", sids.len()),
                |connection| async move { lookup::principals(&connection, domain, sids).await },
            )
            .await
    }

    async fn reread(
        &self,
        keys: &[DirectoryKey],
    ) -> Result<Vec<(DeviceId, DirectoryObject)>, Error> {
        let domain = self.domain().await?;
        let domain = &domain;
        self.session
            .read(
                || lookup::reading(&domain.facts.container),
                |connection| async move { lookup::reread(&connection, domain, keys).await },
            )
            .await
    }

    async fn read(&self, target: &Target) -> Result<Option<DirectoryObject>, Error> {
        let domain = self.domain().await?;
        self.pace.wait().await;
        let (domain, name) = (&domain, &name_of(target));
        self.session
            .read(
                || format!("reading {}", target.dn),
                |connection| async move { lookup::read(&connection, domain, name).await },
            )
            .await
    }

    async fn write(&self, operation: &Operation) -> Result<OperationResult, Error> {
        self.pace.wait().await;
        let (connection, _) = self.session.connection().await?;
        let sent = Instant::now();
        match connection.write(operation).await {
            Ok(result) if result.code.is_transient() => {
                self.window.trouble();
                self.pace.busy();
                Ok(result)
            }
            Ok(result) => {
                self.window.answered(sent.elapsed());
                self.pace.done();
                Ok(result)
            }
            Err(failure) => {
                self.window.trouble();
                Err(failure.into_error(format!("writing {}", operation.dn())))
            }
        }
    }

    async fn commit(&self) -> Result<(), Error> {
        // A domain controller makes every write last before it answers.
        Ok(())
    }

    fn window(&self) -> usize {
        self.window.size()
    }

    fn epoch(&self) -> u64 {
        self.session.epoch()
    }
}
