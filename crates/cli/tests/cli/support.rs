//! A copy of the quickstart, and the binary on it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const NOW: &str = "2026-06-01T08:00:00Z";

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }

    /// Fails the test unless the command ended with `code`.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The binary, with nothing of this process's environment that it looks at.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_device-writeback"));
    command
        .env_remove("NO_COLOR")
        .env_remove("TERM")
        .stdin(Stdio::null());
    command
}

pub(crate) fn run(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Said {
    command().args(arguments).output().unwrap().into()
}

/// A copy of the quickstart in a folder of its own, as deep as in the repository.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("quickstart");
        let place = Self { folder };
        copy(&source, &place.quickstart());
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn quickstart(&self) -> PathBuf {
        self.path("crates/cli/quickstart")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.quickstart().join("config.toml")
    }

    /// What the quickstart writes to.
    pub(crate) fn directory(&self) -> PathBuf {
        self.path("target/quickstart/directory.ldif")
    }

    /// The binary at the quickstart's moment.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.run_at(NOW, arguments)
    }

    pub(crate) fn run_at(&self, now: &str, arguments: &[&str]) -> Said {
        self.run_with(&self.config(), now, arguments)
    }

    pub(crate) fn run_with(&self, config: &Path, now: &str, arguments: &[&str]) -> Said {
        command()
            .current_dir(self.folder.path())
            .args(arguments)
            .arg("--config")
            .arg(config)
            .args(["--now", now])
            .output()
            .unwrap()
            .into()
    }

    /// A configuration beside the quickstart's, with `from` replaced.
    pub(crate) fn changed_config(&self, name: &str, changes: &[(&str, &str)]) -> PathBuf {
        let mut text = fs::read_to_string(self.config()).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "{from} is not in the configuration");
            text = text.replace(from, to);
        }
        let path = self.quickstart().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Saves a plan and gives its path and the document.
    pub(crate) fn save_plan(&self) -> (PathBuf, Value) {
        let path = self.path("plan.json");
        self.run(&["plan", "-q", "--out", path.to_str().unwrap()])
            .expect(2);
        let document = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        (path, document)
    }

    /// Writes a directory in which somebody has renamed a device whose name the plan changes, and gives the device.
    pub(crate) fn rename_behind(&self, plan: &Value) -> String {
        let update = plan["changes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|change| {
                change["action"] == "update" && change["attributes"][0]["name"] == "displayName"
            })
            .unwrap();
        let old = update["attributes"][0]["old"][0]["text"].as_str().unwrap();
        let seed = fs::read_to_string(self.quickstart().join("directory.ldif")).unwrap();
        let line = format!("displayName: {old}\n");
        assert!(seed.contains(&line));
        fs::create_dir_all(self.directory().parent().unwrap()).unwrap();
        let renamed = seed.replace(&line, "displayName: SOMEBODY-ELSE\n");
        fs::write(self.directory(), renamed).unwrap();
        update["device_id"].as_str().unwrap().to_owned()
    }

    /// Whether nothing has been written to the directory.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.directory().exists()
    }
}

fn copy(from: &Path, to: &Path) {
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

/// Fails the test when `text` has a character that drives a terminal or reorders what is shown.
pub(crate) fn assert_harmless(text: &str) {
    for character in text.chars() {
        let harmful = (character.is_control() && character != '\n')
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        assert!(!harmful, "{character:?} in {text}");
    }
}
