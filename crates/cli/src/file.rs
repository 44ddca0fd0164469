//! Files that are there as a whole or not at all.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use device_writeback::engine::{Error, ErrorKind};

/// Puts what `write` writes into `path`, readable by its owner alone: first into a temporary file beside it, which gets the
/// name when everything has reached the disk.
///
/// # Errors
/// [`ErrorKind::Config`] with the file's name; what had the name before is untouched.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    replace_in(folder, path, write).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => format!("make the folder {}", folder.display()),
            io::ErrorKind::StorageFull => "make room, or name a file elsewhere".to_owned(),
            _ => "name a file that you can write".to_owned(),
        };
        Error::new(
            ErrorKind::Config,
            format!("the plan cannot be saved in {}", path.display()),
        )
        .with_remedy(remedy)
        .with_source(error)
    })
}

fn replace_in(
    folder: &Path,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    // Made with mode 0600, and removed when anything below fails.
    let mut file = tempfile::Builder::new()
        .prefix(".device-writeback-")
        .suffix(".tmp")
        .tempfile_in(folder)?;
    let mut buffered = BufWriter::with_capacity(1 << 16, file.as_file_mut());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}
