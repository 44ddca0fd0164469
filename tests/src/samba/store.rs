//! Folders, addresses and ready-made domains that test processes on one machine share.
//!
//! Whatever is in use is locked with `flock`, which the system lifts when a process ends, however
//! it ends. So what is there and not locked is left over and may go.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::LabError;
use crate::lab::run_to_success;

/// Memory that is a file system, and where locks are even when it is small.
const MEMORY: &str = "/dev/shm";

/// Room, in KiB, that a few labs take at most.
const ROOM: u64 = 1 << 20;

/// A template that nobody used for so long goes.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

const TIMEOUT: Duration = Duration::from_secs(120);

/// The folders.
#[derive(Debug)]
pub(crate) struct Store {
    locks: PathBuf,
    data: PathBuf,
}

impl Store {
    pub(crate) fn open() -> Result<Store, LabError> {
        let user = fs::metadata("/proc/self")
            .map_err(LabError::file("find out the user"))?
            .uid();
        let name = format!("device-writeback-labs-{user}");
        let temporary = std::env::temp_dir();
        let memory = Path::new(MEMORY);
        let locks = own_folder(memory, &name, user);
        let locks = match locks {
            Ok(locks) => locks,
            Err(_) => own_folder(&temporary, &name, user)?,
        };
        let data = if locks.starts_with(memory) && !has_room(&locks) {
            own_folder(&temporary, &name, user)?
        } else {
            locks.clone()
        };
        Ok(Store { locks, data })
    }

    /// A loopback address that nobody else uses, and a new folder.
    pub(crate) fn lease(&self) -> Result<Lease, LabError> {
        self.sweep();
        for number in 1..=254 {
            let address = Ipv4Addr::new(127, 87, 0, number);
            let Some(slot) = self.slot(&format!("lab-{number}"))? else {
                continue;
            };
            if is_free(address)? {
                return Ok(Lease { address, slot });
            }
        }
        Err(LabError::Missing {
            what: "find a free address in 127.87.0.0/24".to_owned(),
            remedy: "end other test runs, or whatever listens on port 88, 389 or 636 of every \
                     address",
        })
    }

    /// A new folder whose number nobody else uses, `lab-pair-NUMBER`.
    pub(crate) fn pair_slot(&self) -> Result<Slot, LabError> {
        self.sweep();
        for number in 1..=64 {
            if let Some(slot) = self.slot(&format!("lab-pair-{number}"))? {
                return Ok(slot);
            }
        }
        Err(LabError::Missing {
            what: "find a free name for a network".to_owned(),
            remedy: "end other test runs",
        })
    }

    /// The folder `name`, empty, if no other process or thread has it now.
    pub(crate) fn slot(&self, name: &str) -> Result<Option<Slot>, LabError> {
        let lock = self.lock_file(name)?;
        if !try_lock(&lock)? {
            return Ok(None);
        }
        let folder = self.data.join(name);
        remove(&folder)?;
        fs::create_dir(&folder).map_err(LabError::file("create a lab's folder"))?;
        Ok(Some(Slot { folder, lock }))
    }

    /// What `make` made in a folder, now or in an earlier run of it on this machine.
    pub(crate) fn template(
        &self,
        key: &str,
        make: impl FnOnce(&Path) -> Result<(), LabError>,
    ) -> Result<Template, LabError> {
        let name = format!("template-{key}");
        let folder = self.data.join(&name);
        let lock = self.lock_file(&name)?;
        // Many may copy at a time. Whoever finds nothing to copy makes it, alone.
        lock.lock_shared()
            .map_err(LabError::file("share a template"))?;
        if !folder.is_dir() {
            lock.unlock()
                .and_then(|()| lock.lock())
                .map_err(LabError::file("lock a template"))?;
            if !folder.is_dir() {
                self.make(key, &folder, make)?;
            }
            // The time is of today: nobody removes it between the two.
            lock.set_modified(SystemTime::now())
                .and_then(|()| lock.unlock())
                .and_then(|()| lock.lock_shared())
                .map_err(LabError::file("share a template"))?;
        }
        lock.set_modified(SystemTime::now())
            .map_err(LabError::file("mark a template as used"))?;
        Ok(Template {
            key: key.to_owned(),
            folder,
            lock,
        })
    }

    fn make(
        &self,
        key: &str,
        folder: &Path,
        make: impl FnOnce(&Path) -> Result<(), LabError>,
    ) -> Result<(), LabError> {
        // What a killed process left is not a template: that gets its name when it is whole.
        let work = self.data.join(format!("making-{key}"));
        remove(&work)?;
        fs::create_dir(&work).map_err(LabError::file("create a template's folder"))?;
        make(&work)?;
        fs::rename(&work, folder).map_err(LabError::file("name a template"))
    }

    /// Removes what killed processes left and old templates. Failing is no harm: the next run
    /// tries again.
    fn sweep(&self) {
        let entries = fs::read_dir(&self.data).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_template = name.starts_with("template-");
            let locked = match name.strip_prefix("making-") {
                Some(key) => format!("template-{key}"),
                None if is_template || name.starts_with("lab-") => name,
                None => continue,
            };
            if !entry.path().is_dir() {
                continue;
            }
            let Ok(lock) = self.lock_file(&locked) else {
                continue;
            };
            let old = || {
                let used = lock.metadata().and_then(|about| about.modified());
                used.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > KEPT))
            };
            if try_lock(&lock).unwrap_or(false) && (!is_template || old()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn lock_file(&self, name: &str) -> Result<File, LabError> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.locks.join(format!("{name}.lock")))
            .map_err(LabError::file("open a lock"))
    }
}

/// A locked folder. It goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    folder: PathBuf,
    lock: File,
}

impl Slot {
    /// The name of the folder.
    pub(crate) fn name(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // What stays goes with the next sweep.
        let _ = fs::remove_dir_all(&self.folder);
        // Closing is not enough: a child that another thread starts in this moment holds a copy.
        let _ = self.lock.unlock();
    }
}

/// An address of one's own with a folder.
#[derive(Debug)]
pub(crate) struct Lease {
    address: Ipv4Addr,
    slot: Slot,
}

impl Lease {
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    pub(crate) fn folder(&self) -> &Path {
        self.slot.folder()
    }
}

/// A finished folder to copy from. It stays while this lives.
#[derive(Debug)]
pub(crate) struct Template {
    key: String,
    folder: PathBuf,
    lock: File,
}

impl Template {
    /// What it was asked for by.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Copies parts of it, with owners, modes and times, into the folder `to`.
    pub(crate) fn copy(&self, parts: &[&str], to: &Path) -> Result<(), LabError> {
        let mut copy = Command::new("cp");
        copy.arg("-a")
            .args(parts.iter().map(|part| self.folder.join(part)))
            .arg(to);
        run_to_success(&mut copy, b"", to, TIMEOUT).map(drop)
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

/// Removes a folder with all in it, if it is there.
pub(crate) fn remove(folder: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(LabError::file(format!(
            "remove {}",
            folder.display()
        ))(error)),
        _ => Ok(()),
    }
}

/// A folder that belongs to us and that nobody else may open, made when it is not there.
fn own_folder(parent: &Path, name: &str, user: u32) -> Result<PathBuf, LabError> {
    let path = parent.join(name);
    let failed = || LabError::file(format!("create {}", path.display()));
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed()(error)),
        _ => {}
    }
    let about = fs::symlink_metadata(&path).map_err(failed())?;
    if about.is_dir() && about.uid() == user && about.mode().trailing_zeros() >= 6 {
        return Ok(path);
    }
    Err(LabError::Missing {
        what: format!("use {}: others can write there", path.display()),
        remedy: "remove it",
    })
}

fn has_room(folder: &Path) -> bool {
    let mut df = Command::new("df");
    df.args(["-k", "--output=avail"]).arg(folder);
    let printed = run_to_success(&mut df, b"", folder, TIMEOUT).unwrap_or_default();
    let printed = String::from_utf8_lossy(&printed);
    let room = printed
        .lines()
        .last()
        .map(|line| line.trim().parse::<u64>());
    matches!(room, Some(Ok(room)) if room >= ROOM)
}

fn try_lock(lock: &File) -> Result<bool, LabError> {
    match lock.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(LabError::file("lock a lab's folder")(error)),
    }
}

/// Whether a controller can open its ports on the address.
fn is_free(address: Ipv4Addr) -> Result<bool, LabError> {
    for port in [88, 389, 636] {
        match TcpListener::bind((address, port)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse => return Ok(false),
            Err(error) => {
                return Err(LabError::Missing {
                    what: format!("open port {port} of {address}: {error}"),
                    remedy: "run the tests as root, or below `unshare -rn` with `ip link set lo up`",
                });
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(folder: &Path) -> Store {
        Store {
            locks: folder.to_owned(),
            data: folder.to_owned(),
        }
    }

    #[test]
    fn a_template_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let make = |to: &Path| fs::write(to.join("file"), "made").map_err(LabError::file("write"));
        let _first = store.template("key", make).unwrap();
        let template = store.template("key", |_| panic!("made twice")).unwrap();
        let target = tempfile::tempdir().unwrap();
        template.copy(&["file"], target.path()).unwrap();
        assert_eq!(fs::read(target.path().join("file")).unwrap(), b"made");
        store.sweep();
        assert!(template.folder.is_dir());
    }

    #[test]
    fn half_a_template_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let fail = |to: &Path| {
            fs::write(to.join("half"), "").map_err(LabError::file("write"))?;
            Err(LabError::Missing {
                what: "go on".to_owned(),
                remedy: "stop",
            })
        };
        assert!(store.template("key", fail).is_err());
        let template = store.template("key", |_| Ok(())).unwrap();
        assert!(!template.folder.join("half").exists());
    }

    #[test]
    fn a_slot_has_one_owner_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let slot = store.slot("lab-1").unwrap().unwrap();
        assert!(store.slot("lab-1").unwrap().is_none());
        let path = slot.folder().to_owned();
        assert!(path.is_dir());
        drop(slot);
        assert!(!path.exists());
        assert!(store.slot("lab-1").unwrap().is_some());
    }

    #[test]
    fn what_a_killed_process_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let held = store.slot("lab-1").unwrap().unwrap();
        fs::create_dir(folder.path().join("lab-2")).unwrap();
        store.sweep();
        assert!(held.folder().is_dir());
        assert!(!folder.path().join("lab-2").exists());
    }
}
