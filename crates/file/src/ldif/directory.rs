//! The port.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use device_writeback_core::apply::{Operation, OperationResult, Target};
use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::guid::DeviceId;
use device_writeback_core::plan::DirectoryKey;
use device_writeback_core::rules::PrincipalFacts;
use device_writeback_core::sid::Sid;
use device_writeback_engine::error::{Error, ErrorKind};
use device_writeback_engine::ports::{Directory, DirectoryFacts};

use super::LdifOptions;
use super::import::LdifImport;
use super::rewrite::{WriteLock, commit};
use super::scan::{Users, scan};
use super::session::Session;
use super::view::View;
use crate::background;

/// The directory in an LDIF file.
///
/// - [`facts`](Directory::facts) begins a run: it looks at the file anew. What follows goes by the
///   file as it stood then and fails as stale when somebody changes it, up to the rename of the commit.
/// - An import reads the file without the writes that wait; [`read`](Directory::read) and
///   [`reread`](Directory::reread) see them.
/// - The first write takes a lock (a file of the same name with `.lock` appended) and keeps it as
///   long as the directory exists. A second writer is refused.
/// - Objects of class `msDS-Device` are written, under any `msDS-DeviceContainer`; changes of any
///   other object are refused with `unwillingToPerform`.
/// - A commit that fails drops the writes that waited for it and leaves the file as it was.
/// - A new file has mode 0600, a replaced one keeps its mode.
#[derive(Debug)]
pub struct LdifDirectory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: LdifOptions,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    view: Option<View>,
    scanned: Option<(DirectoryFacts, Arc<Users>)>,
    /// Made by the first read or write; holds the writes that wait.
    session: Option<Session>,
    lock: Option<WriteLock>,
}

impl LdifDirectory {
    /// Opens a directory. The file is looked at when something is asked of it.
    ///
    /// # Errors
    /// The path names no file.
    pub fn open(mut options: LdifOptions) -> Result<Self, Error> {
        // A link to the file is followed now, or the commit would put the file in the link's place.
        if let Ok(path) = std::fs::canonicalize(&options.path) {
            options.path = path;
        } else {
            let folder = match options.path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            let name = options.path.file_name().ok_or_else(|| {
                Error::new(
                    ErrorKind::Config,
                    format!(
                        "opening the directory: {} names no file",
                        options.path.display()
                    ),
                )
                .with_remedy("name an LDIF file, or one to be made")
            })?;
            // A folder that is missing is made with the first commit, as the file is.
            let folder = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
            options.path = folder.join(name);
        }
        Ok(Self {
            inner: Arc::new(Inner {
                options,
                state: Mutex::default(),
            }),
        })
    }

    /// Does blocking work on a thread of its own.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        background::run(
            "ldif",
            "working on the directory file in a thread",
            move || {
                let result = work(&inner);
                // Who has the answer may drop the directory and open it anew: the lock goes first.
                drop(inner);
                result
            },
        )
        .await
    }

    /// The session, if it is there already.
    fn ready(&self, for_writing: bool) -> Result<Option<MutexGuard<'_, State>>, Error> {
        let state = self.inner.state()?;
        let is_ready = state.session.is_some() && (state.lock.is_some() || !for_writing);
        Ok(is_ready.then_some(state))
    }
}

impl Directory for LdifDirectory {
    type Import = LdifImport;

    async fn facts(&self) -> Result<DirectoryFacts, Error> {
        self.on_thread(|inner| {
            let mut state = inner.state()?;
            let waits = state
                .session
                .as_ref()
                .is_some_and(|session| !session.overlay().is_empty());
            if !waits {
                state.view = None;
                state.session = None;
                state.scanned = None;
            }
            Ok(inner.scanned(&mut state)?.0)
        })
        .await
    }

    async fn import(&self) -> Result<LdifImport, Error> {
        self.on_thread(|inner| {
            let mut state = inner.state()?;
            let (facts, _) = inner.scanned(&mut state)?;
            let view = inner.view(&mut state)?;
            LdifImport::start(view, &facts.container)
        })
        .await
    }

    async fn principals(&self, sids: &[Sid]) -> Result<Vec<PrincipalFacts>, Error> {
        let sids = sids.to_vec();
        self.on_thread(move |inner| {
            let mut state = inner.state()?;
            let (_, users) = inner.scanned(&mut state)?;
            Ok(sids.iter().map(|sid| users.find(sid)).collect())
        })
        .await
    }

    async fn reread(
        &self,
        keys: &[DirectoryKey],
    ) -> Result<Vec<(DeviceId, DirectoryObject)>, Error> {
        let mut keys = keys.to_vec();
        self.on_thread(move |inner| {
            let mut state = inner.state()?;
            let session = inner.session(&mut state, false)?;
            keys.sort_unstable_by_key(|key| key.sequence);
            let mut found = Vec::with_capacity(keys.len());
            for key in keys {
                let is_it = |object: &DirectoryObject| {
                    object.device_id().ok() == Some(key.device_id)
                        && (key.object_guid.is_none() || object.guid == key.object_guid)
                };
                if let Some(object) = session.read_stored(key.sequence)?.filter(is_it) {
                    found.push((key.device_id, object));
                }
            }
            Ok(found)
        })
        .await
    }

    async fn read(&self, target: &Target) -> Result<Option<DirectoryObject>, Error> {
        if let Some(mut state) = self.ready(false)? {
            return self.inner.session(&mut state, false)?.read(target);
        }
        let target = target.clone();
        self.on_thread(move |inner| inner.session(&mut *inner.state()?, false)?.read(&target))
            .await
    }

    async fn write(&self, operation: &Operation) -> Result<OperationResult, Error> {
        if let Some(mut state) = self.ready(true)? {
            return self.inner.session(&mut state, true)?.write(operation);
        }
        let operation = operation.clone();
        self.on_thread(move |inner| inner.session(&mut *inner.state()?, true)?.write(&operation))
            .await
    }

    async fn commit(&self) -> Result<(), Error> {
        self.on_thread(|inner| {
            let mut state = inner.state()?;
            // Whatever happens, these writes do not wait for another commit.
            let Some(session) = state.session.take() else {
                return Ok(());
            };
            if session.overlay().is_empty() {
                state.session = Some(session);
                return Ok(());
            }
            let view = inner.view(&mut state)?;
            commit(&view, &session, &inner.options.path)?;
            state.view = Some(View::take(&inner.options)?);
            Ok(())
        })
        .await
    }
}

impl Inner {
    fn state(&self) -> Result<MutexGuard<'_, State>, Error> {
        self.state.lock().map_err(|_| {
            Error::new(
                ErrorKind::Internal,
                format!(
                    "using the directory file {}: an earlier operation broke off",
                    self.options.path.display()
                ),
            )
        })
    }

    fn view(&self, state: &mut State) -> Result<View, Error> {
        if let Some(view) = &state.view {
            return Ok(view.clone());
        }
        let view = View::take(&self.options)?;
        state.view = Some(view.clone());
        Ok(view)
    }

    fn scanned(&self, state: &mut State) -> Result<(DirectoryFacts, Arc<Users>), Error> {
        if let Some(scanned) = &state.scanned {
            return Ok(scanned.clone());
        }
        let view = self.view(state)?;
        let (facts, users) = scan(&view, &self.options)?;
        let scanned = (facts, Arc::new(users));
        state.scanned = Some(scanned.clone());
        Ok(scanned)
    }

    fn session<'a>(
        &self,
        state: &'a mut State,
        for_writing: bool,
    ) -> Result<&'a mut Session, Error> {
        if for_writing && state.lock.is_none() {
            let lock = WriteLock::take(&self.options)?;
            // Before the lock was held another writer could come in between.
            self.view(state)?.verify()?;
            state.lock = Some(lock);
        }
        if state.session.is_none() {
            let view = self.view(state)?;
            state.session = Some(Session::open(&view, self.options.schema)?);
        }
        state.session.as_mut().ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                "opening the directory: there is no session",
            )
        })
    }
}
