//! The configuration file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use device_writeback::engine::config::Config;
use device_writeback::engine::{Error, ErrorKind};

/// Reads the configuration in `path`; relative paths in it are relative to its folder.
///
/// # Errors
/// [`ErrorKind::Config`]: no such file, a file that others can write, not what a configuration is.
pub(crate) fn read(path: &Path) -> Result<Config, Error> {
    let name = path.display().to_string();
    let unreadable = |error: io::Error| {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => "name an existing file with --config",
            io::ErrorKind::PermissionDenied => "let the account that runs this read it",
            io::ErrorKind::IsADirectory => "name a file with --config, this is a folder",
            io::ErrorKind::InvalidData => "save it as UTF-8",
            _ => "look at the file's medium",
        };
        Error::new(
            ErrorKind::Config,
            format!("the configuration {name} cannot be read"),
        )
        .with_remedy(remedy)
        .with_source(error)
    };
    let mut file = File::open(path).map_err(unreadable)?;
    // The open file is looked at, not whatever has the name a moment later.
    refuse_foreign_writers(&file, &name).map_err(|failure| match failure {
        Writers::Unknown(error) => unreadable(error),
        Writers::Refused(error) => error,
    })?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(unreadable)?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    Config::parse(&text, &name, folder)
}

enum Writers {
    Unknown(io::Error),
    Refused(Error),
}

/// Who can write the configuration says which objects are deleted where.
#[cfg(unix)]
fn refuse_foreign_writers(file: &File, name: &str) -> Result<(), Writers> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = file.metadata().map_err(Writers::Unknown)?;
    // Systems that give every user a group of its own, with the same number, let that group write by default (umask 002).
    let own_group = metadata.uid() == metadata.gid();
    let (mode, refused) = (metadata.mode(), if own_group { 0o002 } else { 0o022 });
    if !metadata.is_file() || mode & refused == 0 {
        return Ok(());
    }
    let who = if mode & 0o002 == 0 {
        "its group"
    } else {
        "everybody"
    };
    Err(Writers::Refused(
        Error::new(
            ErrorKind::Config,
            format!(
                "the configuration {name} can be written by {who} (mode {:03o})",
                mode & 0o777
            ),
        )
        .with_remedy(format!(
            "run chmod go-w {name}, after a look at what it says"
        )),
    ))
}

#[cfg(not(unix))]
fn refuse_foreign_writers(_file: &File, _name: &str) -> Result<(), Writers> {
    Ok(())
}
