//! Secrets, from where the configuration says they are.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use device_writeback_engine::config::Secret;
use device_writeback_engine::{Error, ErrorKind};
use device_writeback_ldap::Password;
use zeroize::{Zeroize as _, Zeroizing};

use crate::platform::Platform;

/// More than any password has, in bytes.
const MOST: usize = 4096;

/// Gets the password that `directory.password_file` or `directory.password_env` names.
///
/// # Errors
/// [`ErrorKind::Config`] with the file or the variable, never with what is in it, and the remedy.
pub(crate) fn password(secret: &Secret, platform: &Platform) -> Result<Password, Error> {
    match secret {
        Secret::File(path) => from_file(path),
        Secret::Environment(name) => from_environment(name, platform),
        _ => Err(Error::new(
            ErrorKind::Config,
            "this build cannot read the password from there",
        )
        .with_remedy("use password_file")),
    }
}

/// Reads the whole file, without the line end after it.
fn from_file(path: &Path) -> Result<Password, Error> {
    let name = path.display().to_string();
    let unreadable = |error: io::Error| {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => "make it, readable by the account that runs this alone",
            io::ErrorKind::PermissionDenied => "make the account that runs this its owner",
            io::ErrorKind::IsADirectory => "name a file, this is a folder",
            _ => "look at the file's medium",
        };
        Error::new(
            ErrorKind::Config,
            format!("the password file {name} cannot be read"),
        )
        .with_remedy(remedy)
        .with_source(error)
    };
    let file = File::open(path).map_err(unreadable)?;
    // The open file is looked at, not whatever has the name a moment later.
    let mode = mode_for_others(&file).map_err(unreadable)?;
    if let Some(mode) = mode {
        let who = if mode & 0o007 == 0 {
            "its group"
        } else {
            "everybody"
        };
        return Err(Error::new(
            ErrorKind::Config,
            format!("the password file {name} is open to {who} (mode {mode:03o})"),
        )
        .with_remedy(format!(
            "run chmod 600 {name}, and change the password if it may have been read"
        )));
    }
    // As large as it can get, so that no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * MOST));
    file.take(MOST as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let wrong = |what: &str, remedy: &str| {
        Err(Error::new(
            ErrorKind::Config,
            format!("the password file {name} {what}"),
        )
        .with_remedy(remedy))
    };
    if bytes.len() > MOST {
        return wrong(
            &format!("has more than {MOST} bytes"),
            "put the password alone into it",
        );
    }
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return wrong("is not UTF-8", "save it as UTF-8");
    };
    if text.starts_with('\u{feff}') {
        return wrong(
            "begins with a byte order mark",
            "save it as UTF-8 without one: it would count as a part of the password",
        );
    }
    let text = without_line_end(text);
    if text.is_empty() {
        return wrong("is empty", "put the password into it");
    }
    if text.contains('\0') {
        return wrong(
            "has a NUL character",
            "put the password alone into it, as UTF-8",
        );
    }
    Ok(Password::new(text))
}

/// Without the one line end that editors and `echo` put after the text; whatever else is there belongs to the password.
fn without_line_end(text: &str) -> &str {
    match text.strip_suffix('\n') {
        Some(line) => line.strip_suffix('\r').unwrap_or(line),
        None => text,
    }
}

fn from_environment(name: &str, platform: &Platform) -> Result<Password, Error> {
    let shown = name.escape_debug();
    let wrong = |what: &str, remedy: &str| {
        Error::new(
            ErrorKind::Config,
            format!("the environment variable {shown}, which directory.password_env names, {what}"),
        )
        .with_remedy(remedy)
    };
    let lookup = platform.environment().ok_or_else(|| {
        wrong(
            "is not looked up by this program",
            "use password_file; a program gives its environment with Platform::with_environment",
        )
    })?;
    let value = lookup(name).ok_or_else(|| {
        wrong(
            "is not set",
            "set it for the process that runs this, or use password_file",
        )
    })?;
    let text = value.into_string().map_err(|value| {
        value.into_encoded_bytes().zeroize();
        wrong("is not UTF-8", "set it to the password as UTF-8")
    })?;
    if text.is_empty() {
        return Err(wrong("is empty", "set it to the password"));
    }
    Ok(Password::new(text))
}

/// The mode of a file that others than its owner can do something with.
#[cfg(unix)]
fn mode_for_others(file: &File) -> io::Result<Option<u32>> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = file.metadata()?;
    let mode = metadata.mode() & 0o777;
    Ok((metadata.is_file() && mode & 0o077 != 0).then_some(mode))
}

#[cfg(not(unix))]
fn mode_for_others(_file: &File) -> io::Result<Option<u32>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, content).unwrap();
        set_mode(&path, mode);
        (folder, path)
    }

    #[cfg(unix)]
    fn set_mode(path: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[cfg(not(unix))]
    fn set_mode(_path: &Path, _mode: u32) {}

    fn read(content: &[u8]) -> Result<Password, Error> {
        let (_folder, path) = file(content, 0o600);
        password(&Secret::File(path), &Platform::none())
    }

    fn from(value: Option<std::ffi::OsString>) -> Result<Password, Error> {
        let platform = Platform::none().with_environment(move |name| {
            assert_eq!(name, "PW");
            value.clone()
        });
        password(&Secret::Environment("PW".into()), &platform)
    }

    #[test]
    fn one_line_end_is_no_part_of_the_password() {
        for (content, password) in [
            ("x", "x"),
            ("x\n", "x"),
            ("x\r\n", "x"),
            ("x\r", "x\r"),
            (" x y \t", " x y \t"),
            ("x\n\n", "x\n"),
            ("pässwörd\n", "pässwörd"),
        ] {
            assert_eq!(without_line_end(content), password);
            assert!(!read(content.as_bytes()).unwrap().is_empty(), "{content:?}");
        }
        assert!(!read(&[b'x'; MOST]).unwrap().is_empty());
        for content in ["", "\n", "\r\n"] {
            let error = read(content.as_bytes()).unwrap_err();
            assert!(error.to_string().ends_with("is empty"), "{error}");
        }
    }

    #[test]
    fn what_is_no_password_is_refused() {
        for (content, message) in [
            (&b"x\0y"[..], "has a NUL character"),
            (b"\xff\xfex\0", "is not UTF-8"),
            (b"p\xe4ss", "is not UTF-8"),
            ("\u{feff}x".as_bytes(), "begins with a byte order mark"),
            (&[b'x'; MOST + 1], "has more than 4096 bytes"),
        ] {
            let error = read(content).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().ends_with(message), "{error}");
            assert!(error.remedy().is_some());
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let folder = tempfile::TempDir::new().unwrap();
        for path in [folder.path().join("none"), folder.path().to_owned()] {
            let error = password(&Secret::File(path.clone()), &Platform::none()).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the password file {} cannot be read", path.display())
            );
            assert!(error.remedy().is_some());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_open_to_others_is_refused() {
        for (mode, who) in [
            (0o644, "everybody (mode 644)"),
            (0o604, "everybody (mode 604)"),
            (0o602, "everybody (mode 602)"),
            (0o640, "its group (mode 640)"),
            (0o420, "its group (mode 420)"),
        ] {
            let (_folder, path) = file(b"x", mode);
            let error = password(&Secret::File(path.clone()), &Platform::none()).unwrap_err();
            let name = path.display();
            assert_eq!(
                error.to_string(),
                format!("the password file {name} is open to {who}")
            );
            let remedy = error.remedy().unwrap();
            assert!(
                remedy.starts_with(&format!("run chmod 600 {name}")),
                "{remedy}"
            );
        }
        for mode in [0o600, 0o400] {
            let (_folder, path) = file(b"x", mode);
            password(&Secret::File(path), &Platform::none()).unwrap();
        }
    }

    #[test]
    fn a_variable_is_looked_up_only_where_the_program_lets_it() {
        assert!(!from(Some("x".into())).unwrap().is_empty());
        for (value, message) in [(None, "is not set"), (Some("".into()), "is empty")] {
            let error = from(value).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "the environment variable PW, which directory.password_env names, {message}"
                )
            );
            assert!(error.remedy().is_some());
        }
        let error = password(&Secret::Environment("PW".into()), &Platform::none()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("is not looked up by this program"),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_is_text() {
        use std::os::unix::ffi::OsStringExt as _;
        let error = from(Some(std::ffi::OsString::from_vec(b"\xff".to_vec()))).unwrap_err();
        assert!(error.to_string().ends_with("is not UTF-8"), "{error}");
    }
}
