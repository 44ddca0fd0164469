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
use crate::session::{Session, give_time};
use crate::wire::{Connection, Search};

/// As many objects as Active Directory gives in one page (`MaxPageSize`).
const PAGE: i32 = 1000;

/// A reading of the container in progress.
#[derive(Debug)]
pub struct LdapImport {
    pages: mpsc::Receiver<Item>,
    reader: AbortHandle,
    ended: bool,
}

/// A page; `None` is the end. An end is said and not just come to: a reader that broke off must not look like one that has
/// read everything, for what it left out would be taken for gone.
type Item = Result<Option<Vec<DirectoryObject>>, Error>;

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
            let end = reader.read(&sender).await.map(|()| None);
            // Where nobody listens any more, nobody needs to know.
            let _ = sender.send(end).await;
        })
        .abort_handle();
        Self {
            pages,
            reader,
            ended: false,
        }
    }
}

impl DirectoryImport for LdapImport {
    async fn next_page(&mut self) -> Result<Option<Vec<DirectoryObject>>, Error> {
        if self.ended {
            return Ok(None);
        }
        let page = self.pages.recv().await.unwrap_or_else(|| Err(broken_off()));
        self.ended = matches!(page, Ok(None));
        page
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
    async fn read(&mut self, sender: &mpsc::Sender<Item>) -> Result<(), Error> {
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
                    // A lost connection has pauses of its own.
                    if failure.code().is_some() {
                        give_time(tries).await;
                    }
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
        sender: &mpsc::Sender<Item>,
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
        let mut circle = Circle::default();
        loop {
            if circle.closes(page.entries.first().map(seen)) {
                return Err(Failure::Unreadable(
                    "the server's pages do not come to an end".to_owned(),
                ));
            }
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
                let taken = sender.send(Ok(Some(objects))).await.is_ok();
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

/// Notices a server whose pages go round in a circle: the first object of each is compared with that of one before, which is
/// twice as far back each time (Brent's way to find a circle of any length).
#[derive(Debug, Default)]
struct Circle {
    mark: Option<Seen>,
    pages: u32,
    until: u32,
    empty: u32,
}

impl Circle {
    /// A server that is short of time gives pages with nothing on them; not that many in a row.
    const EMPTY: u32 = 1_000;

    /// Whether a page that begins with `first` shows that there is no end.
    fn closes(&mut self, first: Option<Seen>) -> bool {
        let Some(first) = first else {
            self.empty += 1;
            return self.empty > Self::EMPTY;
        };
        self.empty = 0;
        if self.mark == Some(first) {
            return true;
        }
        self.pages += 1;
        if self.pages >= self.until {
            self.mark = Some(first);
            self.pages = 0;
            self.until = self.until.saturating_mul(2).max(1);
        }
        false
    }
}

fn broken_off() -> Error {
    Error::new(
        ErrorKind::Internal,
        "reading the directory broke off before its end",
    )
    .with_remedy("run it again; if it comes back, report it with the log")
}

/// The error for a reading that nobody began.
pub(crate) fn no_runtime() -> Error {
    Error::new(
        ErrorKind::Internal,
        "using an LDAP directory outside of a tokio runtime",
    )
    .with_remedy("run it within one: the connection needs its sockets and timers")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(items: Vec<Item>) -> LdapImport {
        let (sender, pages) = mpsc::channel(items.len().max(1));
        for item in items {
            sender.try_send(item).unwrap();
        }
        LdapImport {
            pages,
            reader: tokio::spawn(async {}).abort_handle(),
            ended: false,
        }
    }

    #[tokio::test]
    async fn a_reading_that_breaks_off_is_no_reading_to_the_end() {
        let mut whole = import(vec![Ok(Some(Vec::new())), Ok(None)]);
        assert!(whole.next_page().await.unwrap().is_some());
        for _ in 0..2 {
            assert!(whole.next_page().await.unwrap().is_none());
        }
        let mut broken = import(vec![Ok(Some(Vec::new()))]);
        assert!(broken.next_page().await.unwrap().is_some());
        for _ in 0..2 {
            let error = broken.next_page().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal);
            assert!(error.remedy().is_some());
        }
    }

    #[test]
    fn circles_of_any_length_are_noticed_and_nothing_else() {
        let mut line = Circle::default();
        assert!((0..10_000).all(|page| !line.closes(Some(page))));
        for (lead, length) in [(0, 1), (0, 3), (5, 7), (100, 1)] {
            let mut circle = Circle::default();
            let mut pages = (0..).map(|page: u128| match page < lead {
                true => page,
                false => lead + (page - lead) % length,
            });
            let noticed = pages.position(|page| circle.closes(Some(page))).unwrap();
            assert!(noticed < 500, "{lead} {length}: {noticed}");
        }
        let mut empty = Circle::default();
        assert!((0..1_000).all(|_| !empty.closes(None)));
        assert!(!empty.closes(Some(1)) && !empty.closes(None));
        let mut nothing = Circle::default();
        assert_eq!((0..).position(|_| nothing.closes(None)), Some(1_000));
    }
}
