//! Reading the container page by page, one page ahead of whoever takes them.

use std::collections::HashSet;
use std::sync::Arc;

use device_writeback_core::directory::{DirectoryObject, OBJECT_GUID};
use device_writeback_core::schema::DEVICE_CLASS;
use device_writeback_engine::error::{Error, ErrorKind};
use device_writeback_engine::ports::DirectoryImport;
use futures_util::future::join;
use ldap3::Scope;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::discovery::Domain;
use crate::entry::Entry;
use crate::failure::Failure;
use crate::lookup::{complete, reading};
use crate::session::Session;
use crate::wire::{Connection, Search};

/// As many objects as Active Directory gives in one page (`MaxPageSize`).
const PAGE: i32 = 1000;

/// A reading of the container in progress.
#[derive(Debug)]
pub struct LdapImport {
    pages: mpsc::Receiver<Result<Vec<DirectoryObject>, Error>>,
    reader: AbortHandle,
}

impl Drop for LdapImport {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl LdapImport {
    pub(crate) fn start(session: Arc<Session>, domain: Arc<Domain>) -> Self {
        let (sender, pages) = mpsc::channel(1);
        let reader = tokio::spawn(async move {
            let mut reader = Reader {
                session,
                domain,
                seen: Vec::new(),
                sequence: 0,
            };
            if let Err(error) = reader.read(&sender).await {
                // Nobody listens any more: nobody needs to know.
                let _ = sender.send(Err(error)).await;
            }
        })
        .abort_handle();
        Self { pages, reader }
    }
}

impl DirectoryImport for LdapImport {
    async fn next_page(&mut self) -> Result<Option<Vec<DirectoryObject>>, Error> {
        self.pages.recv().await.transpose()
    }
}

/// Tells an object that was given from one that was not: its GUID, or a number made of its name.
type Seen = u128;

struct Reader {
    session: Arc<Session>,
    domain: Arc<Domain>,
    /// What was given, for the case that the reading has to begin again: a cookie is of no use on another connection.
    seen: Vec<Seen>,
    sequence: u64,
}

impl Reader {
    async fn read(
        &mut self,
        sender: &mpsc::Sender<Result<Vec<DirectoryObject>, Error>>,
    ) -> Result<(), Error> {
        /// How often the reading is begun again.
        const TRIES: u32 = 3;
        let mut tries = 0;
        loop {
            let given: HashSet<Seen> = self.seen.iter().copied().collect();
            let (connection, _) = self.session.connection().await?;
            match self.read_all(&connection, &given, sender).await {
                Ok(()) => return Ok(()),
                Err(failure) if failure.is_transient() && tries < TRIES => {
                    tracing::warn!(%failure, given = given.len(), "reading the directory again from its beginning");
                    tries += 1;
                }
                Err(failure) => {
                    return Err(failure.into_error(reading(&self.domain.facts.container)));
                }
            }
        }
    }

    async fn read_all(
        &mut self,
        connection: &Connection,
        given: &HashSet<Seen>,
        sender: &mpsc::Sender<Result<Vec<DirectoryObject>, Error>>,
    ) -> Result<(), Failure> {
        let domain = Arc::clone(&self.domain);
        let base = domain.facts.container.to_string();
        let filter = format!("(objectClass={DEVICE_CLASS})");
        let search = Search {
            base: &base,
            scope: Scope::OneLevel,
            filter: &filter,
            attributes: &domain.attributes,
        };
        let mut page = connection.search_page(search, PAGE, Vec::new()).await?;
        loop {
            let cookie = std::mem::take(&mut page.cookie);
            let next = async {
                match cookie.is_empty() {
                    true => Ok(None),
                    false => connection.search_page(search, PAGE, cookie).await.map(Some),
                }
            };
            // The server works on the next page while this one is taken apart.
            let (next, taken) = join(next, async {
                let (objects, keys) = self.objects(connection, page.entries, given).await?;
                let taken = sender.send(Ok(objects)).await.is_ok();
                // Only now: what a failure keeps from being given is given another time.
                self.seen.extend(keys);
                Ok::<_, Failure>(taken)
            })
            .await;
            match (taken?, next?) {
                (true, Some(next)) => page = next,
                (true, None) | (false, _) => return Ok(()),
            }
        }
    }

    async fn objects(
        &mut self,
        connection: &Connection,
        entries: Vec<Entry>,
        given: &HashSet<Seen>,
    ) -> Result<(Vec<DirectoryObject>, Vec<Seen>), Failure> {
        let mut objects = Vec::with_capacity(entries.len());
        let mut keys = Vec::with_capacity(entries.len());
        for mut entry in entries {
            let key = seen(&entry);
            if given.contains(&key) {
                continue;
            }
            let ranges = entry.take_ranges();
            if !ranges.is_empty() {
                complete(connection, &mut entry, ranges).await?;
            }
            keys.push(key);
            match entry.object(self.sequence) {
                Ok(object) => {
                    self.sequence += 1;
                    objects.push(object);
                }
                Err((name, error)) => tracing::warn!(
                    name = %name.escape_debug(), error,
                    "an object of the container has a name that cannot be read; it is left alone"
                ),
            }
        }
        Ok((objects, keys))
    }
}

fn seen(entry: &Entry) -> Seen {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    if let Some(guid) = entry
        .first(OBJECT_GUID)
        .and_then(|guid| <[u8; 16]>::try_from(guid).ok())
    {
        return u128::from_le_bytes(guid);
    }
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, &entry.dn).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// The error for a reading that nobody began.
pub(crate) fn no_runtime() -> Error {
    Error::new(
        ErrorKind::Internal,
        "using an LDAP directory outside of a tokio runtime",
    )
    .with_remedy("run it within one: the connection needs its sockets and timers")
}
