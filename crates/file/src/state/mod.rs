//! What is remembered between runs, in one file.
//!
//! The file is a `redb` database: crash-safe, one writer, locked against a second process while it is open. Calls block for as
//! long as a commit to disk takes; they are few.

mod documents;
mod known;
mod tables;

pub use documents::{JournalRecord, OutcomeRecord, RunRecord};

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use device_writeback_core::apply::Verdict;
use device_writeback_core::filetime::FileTime;
use device_writeback_core::guid::{DeviceId, TenantId};
use device_writeback_core::plan::{History, Identity, Provenance};
use device_writeback_engine::ports::{JournalEntry, JournalOutcome, RunEnd, RunStart, StateStore};
use device_writeback_engine::{Error, ErrorKind};
use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _};

use crate::background;

use self::tables::{DISABLED, JOURNAL, KNOWN, META, OUTCOMES, OVERRIDES, RETIRED, RUNS, key_of};

/// `format` of the state file.
const FORMAT: u64 = 1;

/// A state file. See [the module](self).
#[derive(Debug)]
pub struct FileState {
    file: Arc<StateFile>,
    tenant: TenantId,
}

/// The database and its name, to be used from any thread.
#[derive(Debug)]
struct StateFile {
    database: Database,
    path: PathBuf,
}

/// How many octets of the file are kept in memory. What is written is seldom read again.
const CACHE: usize = 16 << 20;

impl FileState {
    /// Opens the state file at `path`, which is made (mode 0600, missing folders 0700) when it is absent. A state belongs to one
    /// tenant: what another tenant's devices were must never count as knowledge about this one's.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when another run holds the file, [`ErrorKind::Config`] when it is another tenant's,
    /// [`ErrorKind::Data`] when it is damaged or cannot be opened.
    pub fn open(path: &Path, tenant: TenantId) -> Result<Self, Error> {
        let name = path.display();
        prepare(path).map_err(|error| {
            Error::new(
                ErrorKind::Data,
                format!("opening the state file {name} failed"),
            )
            .with_remedy("check the folder and its permissions, or set state.path")
            .with_source(error)
        })?;
        refuse_foreign_writers(path)?;
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE);
        let database = builder.create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => Error::new(
                ErrorKind::Refused,
                format!("another run holds the state file {name}"),
            )
            .with_remedy("wait until it has ended"),
            other => damaged(path, other),
        })?;
        let state = Self {
            file: Arc::new(StateFile {
                database,
                path: path.to_owned(),
            }),
            tenant,
        };
        state.settle_owner()?;
        Ok(state)
    }

    /// The runs that wrote, oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when the file is damaged.
    pub fn runs(&self) -> Result<Vec<RunRecord>, Error> {
        self.reading(|transaction| {
            let table = transaction.open_table(RUNS)?;
            let mut runs = Vec::new();
            for row in table.iter()? {
                runs.push(documents::parse(row?.1.value())?);
            }
            Ok(runs)
        })
    }

    /// The changes of a run as they were journalled before their operations were sent, each with its outcome, in plan order.
    /// An entry without an outcome belongs to a run that did not come to its end.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when the file is damaged.
    pub fn journal_entries(
        &self,
        run: u64,
    ) -> Result<Vec<(JournalRecord, Option<OutcomeRecord>)>, Error> {
        self.reading(|transaction| {
            let journal = transaction.open_table(JOURNAL)?;
            let outcomes = transaction.open_table(OUTCOMES)?;
            let mut entries = Vec::new();
            for row in journal.range((run, 0)..=(run, u64::MAX))? {
                let (key, value) = row?;
                let outcome = match outcomes.get(key.value())? {
                    Some(outcome) => Some(documents::parse(outcome.value())?),
                    None => None,
                };
                entries.push((documents::parse(value.value())?, outcome));
            }
            Ok(entries)
        })
    }

    /// Makes every table, and checks or sets whose file this is.
    fn settle_owner(&self) -> Result<(), Error> {
        let owner = self.writing(|transaction| {
            transaction.open_table(KNOWN)?;
            transaction.open_table(DISABLED)?;
            transaction.open_table(RETIRED)?;
            transaction.open_table(RUNS)?;
            transaction.open_table(JOURNAL)?;
            transaction.open_table(OUTCOMES)?;
            transaction.open_table(OVERRIDES)?;
            let mut meta = transaction.open_table(META)?;
            let format = meta.get("format")?.map(|value| value.value().to_vec());
            let owner = meta.get("tenant_id")?.map(|value| value.value().to_vec());
            if format.is_none() {
                meta.insert("format", FORMAT.to_le_bytes().as_slice())?;
                meta.insert("tenant_id", self.tenant.to_string().as_bytes())?;
            }
            Ok(format.map(|format| (format, owner)))
        })?;
        let Some((format, owner)) = owner else {
            return Ok(());
        };
        let name = self.file.path.display();
        if format != FORMAT.to_le_bytes() {
            return Err(Error::new(
                ErrorKind::Data,
                format!("the state file {name} was written by another version of this program"),
            )
            .with_remedy(
                "use that version, or move the file away: that costs a full run and never a delete",
            ));
        }
        let owner = owner
            .map(|owner| String::from_utf8_lossy(&owner).into_owned())
            .unwrap_or_default();
        if owner != self.tenant.to_string() {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "the state file {name} belongs to tenant {owner}, this configuration is for {}",
                    self.tenant
                ),
            )
            .with_remedy("give each tenant a state.path of its own"));
        }
        Ok(())
    }

    fn reading<T>(
        &self,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, Error> {
        self.file
            .database
            .begin_read()
            .map_err(redb::Error::from)
            .and_then(|transaction| read(&transaction))
            .map_err(|error| damaged(&self.file.path, error))
    }

    fn writing<T>(
        &self,
        write: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, Error> {
        self.file.writing(write)
    }
}

impl StateFile {
    fn writing<T>(
        &self,
        write: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, Error> {
        let attempt = || {
            let transaction = self.database.begin_write()?;
            let value = write(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        attempt().map_err(|error: redb::Error| damaged(&self.path, error))
    }
}

impl StateStore for FileState {
    async fn claim(&self, identity: &Identity) -> Result<(), Error> {
        let Some(domain) = identity.domain_guid else {
            return Ok(());
        };
        let domain = domain.to_string();
        let owner = self.reading(|transaction| {
            let meta = transaction.open_table(META)?;
            Ok(meta.get("domain_guid")?.map(|value| value.value().to_vec()))
        })?;
        match owner {
            Some(owner) if owner == domain.as_bytes() => Ok(()),
            Some(owner) => Err(Error::new(
                ErrorKind::Config,
                format!(
                    "the state file {} belongs to the domain with objectGUID {}, this directory's is {domain}",
                    self.file.path.display(),
                    String::from_utf8_lossy(&owner).escape_debug()
                ),
            )
            .with_remedy("give each forest a state.path of its own")),
            None => self.writing(|transaction| {
                let mut meta = transaction.open_table(META)?;
                meta.insert("domain_guid", domain.as_bytes())?;
                Ok(())
            }),
        }
    }

    async fn provenance(&self, devices: &[DeviceId]) -> Result<Vec<Provenance>, Error> {
        self.reading(|transaction| {
            let known = transaction.open_table(KNOWN)?;
            let disabled = transaction.open_table(DISABLED)?;
            let mut answers = Vec::with_capacity(devices.len());
            for device in devices {
                let shard = known.get(known::shard_of(*device))?;
                let since = disabled.get(&key_of(*device))?;
                answers.push(Provenance {
                    known: shard.is_some_and(|shard| known::contains(shard.value(), *device)),
                    disabled_since: since
                        .and_then(|ticks| FileTime::from_ticks(ticks.value()).ok()),
                });
            }
            Ok(answers)
        })
    }

    async fn history(&self, now: FileTime) -> Result<History, Error> {
        let day = now.minus_days(1).ticks();
        self.reading(|transaction| {
            let mut history = History::default();
            for row in transaction.open_table(RETIRED)?.iter()? {
                let (device, ticks) = row?;
                // A clock that was wrong may have written a time ahead of now: it counts, or it would unlock the limit.
                if ticks.value() > day {
                    history
                        .retired
                        .insert(DeviceId::from_bytes(*device.value()));
                }
            }
            let meta = transaction.open_table(META)?;
            history.our_objects = meta
                .get("our_objects")?
                .and_then(|value| number(value.value()));
            Ok(history)
        })
    }

    async fn begin_run(&self, run: &RunStart) -> Result<u64, Error> {
        self.writing(|transaction| {
            let mut meta = transaction.open_table(META)?;
            let number = meta
                .get("runs")?
                .and_then(|value| number(value.value()))
                .unwrap_or(0)
                + 1;
            meta.insert("runs", number.to_le_bytes().as_slice())?;
            let record = documents::text(&RunRecord::new(number, run))?;
            transaction
                .open_table(RUNS)?
                .insert(number, record.as_slice())?;
            let old = run.time.minus_days(2).ticks();
            transaction
                .open_table(RETIRED)?
                .retain(|_, ticks| ticks > old)?;
            Ok(number)
        })
    }

    async fn journal(&self, run: u64, entries: &[JournalEntry]) -> Result<(), Error> {
        let records = entries
            .iter()
            .map(|entry| {
                let record = documents::journal_text(entry)?;
                let retired = entry.retirement.then(|| key_of(entry.device_id));
                Ok((entry.number, record, retired))
            })
            .collect::<Result<Vec<_>, redb::Error>>()
            .map_err(|error| damaged(&self.file.path, error))?;
        let file = Arc::clone(&self.file);
        // The disk is waited for beside what is in flight.
        background::run("journal", "writing the journal in a thread", move || {
            let result = file.writing(|transaction| {
                let now = begun(transaction, run)?;
                let mut journal = transaction.open_table(JOURNAL)?;
                let mut retired = transaction.open_table(RETIRED)?;
                for (number, record, key) in &records {
                    journal.insert((run, *number), record.as_slice())?;
                    if let Some(key) = key {
                        retired.insert(key, now.ticks())?;
                    }
                }
                Ok(())
            });
            // Who has the answer may close the state and open it anew: the file's lock goes first.
            drop(file);
            result
        })
        .await
    }

    async fn outcomes(&self, run: u64, outcomes: &[JournalOutcome]) -> Result<(), Error> {
        self.writing(|transaction| {
            let now = begun(transaction, run)?;
            let mut table = transaction.open_table(OUTCOMES)?;
            let mut disabled = transaction.open_table(DISABLED)?;
            for outcome in outcomes {
                let record = documents::text(&OutcomeRecord::new(outcome))?;
                table.insert((run, outcome.number), record.as_slice())?;
                if outcome.verdict != Verdict::Done {
                    continue;
                }
                let key = key_of(outcome.device_id);
                // An object that had to be disabled again was enabled in between: its days begin anew.
                if outcome.starts_clock() {
                    disabled.insert(&key, now.ticks())?;
                } else {
                    disabled.remove(&key)?;
                }
            }
            Ok(())
        })
    }

    async fn end_run(&self, end: RunEnd) -> Result<(), Error> {
        // A run that learned nothing new writes nothing: a timer would otherwise cost a disk flush each time.
        let shards = self.reading(|transaction| {
            known::changed_shards(&transaction.open_table(KNOWN)?, &end.known)
        })?;
        let (waiting, returned, ours) = self.reading(|transaction| {
            let disabled = transaction.open_table(DISABLED)?;
            let retired = transaction.open_table(RETIRED)?;
            let mut waiting = Vec::new();
            for device in &end.waiting {
                if disabled.get(&key_of(*device))?.is_none() {
                    waiting.push(*device);
                }
            }
            let mut returned = Vec::new();
            for row in disabled.iter()? {
                let key = *row?.0.value();
                // A device that this very run retires was named by the source too, when a rule excludes it.
                let retired_now = end.run.is_some()
                    && retired
                        .get(&key)?
                        .is_some_and(|ticks| ticks.value() == end.time.ticks());
                if !retired_now && end.has_returned(DeviceId::from_bytes(key)) {
                    returned.push(key);
                }
            }
            let meta = transaction.open_table(META)?;
            let ours = meta
                .get("our_objects")?
                .and_then(|value| number(value.value()));
            Ok((
                waiting,
                returned,
                end.our_objects.filter(|new| Some(*new) != ours),
            ))
        })?;
        if shards.is_empty() && waiting.is_empty() && returned.is_empty() && ours.is_none() {
            return Ok(());
        }
        self.writing(|transaction| {
            let mut known = transaction.open_table(KNOWN)?;
            for (shard, entries) in &shards {
                known.insert(*shard, entries.as_slice())?;
            }
            let mut disabled = transaction.open_table(DISABLED)?;
            for key in &returned {
                disabled.remove(key)?;
            }
            for device in &waiting {
                disabled.insert(&key_of(*device), end.time.ticks())?;
            }
            if let Some(ours) = ours {
                transaction
                    .open_table(META)?
                    .insert("our_objects", ours.to_le_bytes().as_slice())?;
            }
            Ok(())
        })
    }

    async fn use_override(&self, digest: [u8; 32], now: FileTime) -> Result<bool, Error> {
        self.writing(|transaction| {
            let mut overrides = transaction.open_table(OVERRIDES)?;
            let used = overrides.get(&digest)?.is_some();
            if !used {
                overrides.insert(&digest, now.ticks())?;
            }
            Ok(used)
        })
    }
}

/// When a run began.
fn begun(transaction: &redb::WriteTransaction, run: u64) -> Result<FileTime, redb::Error> {
    match transaction.open_table(RUNS)?.get(run)? {
        Some(record) => Ok(documents::parse::<RunRecord>(record.value())?.time),
        None => Err(redb::Error::Corrupted(format!(
            "the run {run} was never begun"
        ))),
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_le_bytes)
}

/// Who can write the state decides what is known, and with that what may be deleted.
#[cfg(unix)]
fn refuse_foreign_writers(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o022 == 0 {
        return Ok(());
    }
    let name = path.display();
    Err(Error::new(
        ErrorKind::Config,
        format!(
            "the state file {name} can be written by others (mode {:03o})",
            mode & 0o777
        ),
    )
    .with_remedy(format!(
        "run chmod 600 {name} if it is still yours alone, or move it away: losing it costs a full run and never a delete"
    )))
}

#[cfg(not(unix))]
fn refuse_foreign_writers(_path: &Path) -> Result<(), Error> {
    Ok(())
}

/// Makes the folder and the file, so that neither is ever readable by others.
fn prepare(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn damaged(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(
        ErrorKind::Data,
        format!("the state file {} cannot be used", path.display()),
    )
    .with_remedy("if it is damaged, move it away: losing it costs a full run and never a delete")
    .with_source(error)
}

#[cfg(test)]
mod tests;
