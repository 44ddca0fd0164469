//! The program as a user has it: the built binary, in a folder of its own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The moment that the quickstart and the made-up tenants are about.
pub(crate) const NOW: &str = "2026-06-01T08:00:00Z";

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Fails the test unless the command ended with `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Said {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    /// The document on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The binary, which lies beside the folder of this test's own executable.
pub(crate) fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let name = format!("device-writeback{}", std::env::consts::EXE_SUFFIX);
    let binary = profile.join(name);
    assert!(
        binary.is_file(),
        "{} is not there: run `cargo build -p device-writeback-cli`, which `cargo xtask test` does",
        binary.display()
    );
    binary
}

/// The binary in `folder` with a configuration, at [`NOW`].
pub(crate) fn command(folder: &Path, config: &Path) -> Command {
    let mut command = Command::new(binary());
    command
        .current_dir(folder)
        .env_remove("NO_COLOR")
        .env_remove("TERM")
        .stdin(Stdio::null())
        .arg("--config")
        .arg(config)
        .args(["--now", NOW]);
    command
}

/// Runs [`command`] to its end.
pub(crate) fn run(
    folder: &Path,
    config: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Said {
    let mut command = command(folder, config);
    command.args(arguments).output().unwrap().into()
}

/// Runs a script of the repository that makes test data.
pub(crate) fn python(script: &str, arguments: &[&OsStr]) -> Said {
    Command::new("python3")
        .arg("-B")
        .arg(root().join("tests/tools").join(script))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot start python3: {error}"))
        .into()
}

/// Copies a folder with everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A copy of the quickstart below `folder`, as deep as in the repository; gives its configuration.
pub(crate) fn quickstart(folder: &Path) -> PathBuf {
    let home = folder.join("crates/cli/quickstart");
    copy(&root().join("crates/cli/quickstart"), &home);
    home.join("config.toml")
}
