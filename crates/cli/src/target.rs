//! Where a plan may be saved: never on what the run lives on.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use device_writeback::engine::config::{Config, DirectoryKind, LdapAuth, Secret};
use device_writeback::engine::{Error, ErrorKind};

/// Links that are followed in one path before it counts as one that leads nowhere.
const MAX_LINKS: usize = 40;

/// Refuses to save a plan in `path` when that is the configuration `config_file`, something that `config` names, or anything
/// else than a regular file. Nothing is opened for it, so it comes before everything else of a run.
///
/// # Errors
/// [`ErrorKind::Config`] with what is there and the remedy.
pub(crate) fn check(path: &Path, config_file: &Path, config: &Config) -> Result<(), Error> {
    let refuse = |what: &str, remedy: &str| {
        Err(Error::new(
            ErrorKind::Config,
            format!("the plan cannot be saved in {}: {what}", path.display()),
        )
        .with_remedy(remedy))
    };
    let targets = identities(path);
    for (name, kept) in kept(config_file, config) {
        let places = identities(&kept);
        if places.iter().any(|place| targets.contains(place)) || is_same_file(path, &kept) {
            return refuse(
                &format!("that is {name}"),
                "name a file that is there for the plan alone",
            );
        }
        // What lies in a source folder is read as devices or users by the next run.
        if places
            .iter()
            .any(|place| targets.iter().any(|target| target.starts_with(place)))
        {
            return refuse(
                &format!("that is inside of {name}"),
                "name a file outside of that folder",
            );
        }
    }
    // Saving gives the name to another file: what a link or a device was is lost then.
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let kind = metadata.file_type();
    if kind.is_file() {
        Ok(())
    } else if kind.is_dir() {
        refuse("that is a folder", "name a file in it")
    } else if kind.is_symlink() {
        refuse("that is a symbolic link", "name the file it leads to")
    } else {
        refuse(
            "that is a device, a pipe or a socket",
            "name a regular file, or one that is not there yet",
        )
    }
}

/// What the run reads and writes, as messages call it.
fn kept(config_file: &Path, config: &Config) -> Vec<(&'static str, PathBuf)> {
    let mut kept = vec![
        ("the configuration", config_file.to_owned()),
        ("source.path", config.source.path.clone()),
        ("state.path", config.state.path.clone()),
    ];
    let users = config.source.users.clone();
    kept.extend(users.map(|path| ("source.users", path)));
    match &config.directory.kind {
        DirectoryKind::Ldif(ldif) => {
            let (path, lock) = (&ldif.path, "the lock of directory.path");
            kept.push(("directory.path", path.clone()));
            kept.extend([path.clone(), resolve(path)].map(|path| (lock, lock_of(&path))));
            let seed = ldif.seed.clone();
            kept.extend(seed.map(|path| ("directory.seed", path)));
        }
        DirectoryKind::Ldap(ldap) => {
            let ca_file = ldap.ca_file.clone();
            kept.extend(ca_file.map(|path| ("directory.ca_file", path)));
            if let LdapAuth::Simple {
                password: Secret::File(path),
                ..
            } = &ldap.auth
            {
                kept.push(("directory.password_file", path.clone()));
            }
        }
        _ => {}
    }
    kept
}

fn lock_of(directory: &Path) -> PathBuf {
    let mut name = OsString::from(directory);
    name.push(".lock");
    PathBuf::from(name)
}

/// Where `path` stands and, when that is a link, where it leads.
fn identities(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![resolve(path)];
    if let (Some(folder), Some(name)) = (path.parent(), path.file_name()) {
        found.push(resolve(folder).join(name));
    }
    found
}

/// `path` without links, `.` and `..`, whether or not there is anything: what a run has yet to make has its name already.
fn resolve(path: &Path) -> PathBuf {
    let path = if path == Path::new("") {
        Path::new(".")
    } else {
        path
    };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut left: VecDeque<OsString> = parts(&absolute);
    let mut resolved = PathBuf::new();
    let mut links = 0;
    while let Some(part) = left.pop_front() {
        if part == ".." {
            resolved.pop();
            continue;
        }
        let next = resolved.join(&part);
        match fs::read_link(&next) {
            Ok(target) if links < MAX_LINKS => {
                links += 1;
                for part in parts(&target).into_iter().rev() {
                    left.push_front(part);
                }
            }
            _ => resolved = next,
        }
    }
    resolved
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter(|component| *component != Component::CurDir)
        .map(|component| component.as_os_str().to_owned())
        .collect()
}

/// Whether both names lead to one file: not all file systems tell upper from lower case.
#[cfg(unix)]
fn is_same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_same_file(_one: &Path, _other: &Path) -> bool {
    false
}
