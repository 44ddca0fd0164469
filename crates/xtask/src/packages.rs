//! The programs the end-to-end tests start, the files these need, and the Debian packages that
//! bring them.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::run::{Failure, program, run, succeeds};

/// Something the tests need.
struct Need {
    proof: Proof,
    /// The Debian package that brings it.
    package: &'static str,
    /// What the tests do with it.
    purpose: &'static str,
}

/// What is there once a package is.
enum Proof {
    /// A program, by its name.
    Program(&'static str),
    /// A file, by its path; a part of the path that is `*` stands for any folder.
    File(&'static str),
}

impl Proof {
    fn name(&self) -> &'static str {
        match self {
            Proof::Program(name) | Proof::File(name) => name,
        }
    }

    fn is_there(&self) -> bool {
        match self {
            Proof::Program(name) => find(name).is_some(),
            Proof::File(path) => file_exists(path),
        }
    }
}

const NEEDS: &[Need] = &[
    Need {
        proof: Proof::Program("slapd"),
        package: "slapd",
        purpose: "a directory server to write to",
    },
    Need {
        proof: Proof::Program("ldapmodify"),
        package: "ldap-utils",
        purpose: "writing what we render",
    },
    Need {
        proof: Proof::Program("ldapsearch"),
        package: "ldap-utils",
        purpose: "reading back what arrived",
    },
    Need {
        proof: Proof::Program("chromium"),
        package: "chromium",
        purpose: "looking at rendered plans",
    },
    Need {
        proof: Proof::Program("python3"),
        package: "python3",
        purpose: "making test data",
    },
    Need {
        proof: Proof::Program("samba"),
        package: "samba",
        purpose: "a domain controller to write to",
    },
    Need {
        proof: Proof::Program("samba_spnupdate"),
        package: "samba",
        purpose: "letting two domain controllers know each other",
    },
    Need {
        proof: Proof::Program("samba-tool"),
        package: "samba-common-bin",
        purpose: "adding a second domain controller",
    },
    Need {
        // Another Python than the system's does not have them.
        proof: Proof::File("/usr/lib/python3/dist-packages/samba/provision/__init__.py"),
        package: "python3-samba",
        purpose: "making a domain",
    },
    Need {
        proof: Proof::File(
            "/usr/share/samba/setup/ad-schema/AD_DS_Classes__Windows_Server_2016.ldf",
        ),
        package: "samba-ad-provision",
        purpose: "the schema of a domain",
    },
    Need {
        proof: Proof::File("/usr/lib/*/samba/ldb/samba_dsdb.so"),
        package: "samba-dsdb-modules",
        purpose: "the database of a domain controller",
    },
    Need {
        proof: Proof::File("/usr/lib/*/sasl2/libgssapiv2.so"),
        package: "libsasl2-modules-gssapi-mit",
        purpose: "asking a domain controller by Kerberos",
    },
    Need {
        proof: Proof::Program("openssl"),
        package: "openssl",
        purpose: "certificates for servers",
    },
    Need {
        proof: Proof::Program("ip"),
        package: "iproute2",
        purpose: "networks that fail when a test asks for it",
    },
];

/// Where programs are looked for besides `PATH`: servers live outside a user's path.
const SYSTEM_FOLDERS: &[&str] = &["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// Sees to it that every program is there: installs what is missing where we may, and
/// names it with the command to run where we may not.
pub(crate) fn ensure() -> Result<(), Failure> {
    let missing = missing();
    if missing.is_empty() {
        println!(
            "everything is there: {}",
            list(NEEDS.iter().map(|need| need.proof.name()))
        );
        return Ok(());
    }
    for need in &missing {
        println!(
            "missing: {} ({}), Debian package {}",
            need.proof.name(),
            need.purpose,
            need.package
        );
    }
    let mut packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    packages.dedup();
    if find("apt-get").is_none() {
        return Err(Failure::new(format!(
            "install {} with this system's package manager, then run this again",
            list(missing.iter().map(|need| need.proof.name()))
        )));
    }
    if !is_root() {
        return Err(Failure::new(format!(
            "run `sudo apt-get install --no-install-recommends {}`, then this again",
            packages.join(" ")
        )));
    }
    install(&packages)?;
    let left = self::missing();
    if left.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} still missing after the installation of {}",
        list(left.iter().map(|need| need.proof.name())),
        packages.join(" ")
    )))
}

/// Installs packages without a question asked and without a service started.
fn install(packages: &[&str]) -> Result<(), Failure> {
    let _no_services = NoServices::begin()?;
    if packages.contains(&"slapd") {
        // An unconfigured slapd has nothing to start; the tests bring their own configuration.
        answer("slapd slapd/no_configuration boolean true\n")?;
    }
    let mut apt = program("apt-get");
    run(apt.args(["-q", "update"]))?;
    let mut apt = program("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-q", "install", "--yes", "--no-install-recommends"])
        .args(packages);
    run(&mut apt)
}

/// Answers a question of a package's installation beforehand.
fn answer(selection: &str) -> Result<(), Failure> {
    let failed = |e: std::io::Error| {
        Failure::new(format!(
            "cannot answer the installation's questions beforehand: {e}"
        ))
    };
    let mut child = program("debconf-set-selections")
        .stdin(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(selection.as_bytes()).map_err(failed)?;
    }
    let status = child.wait().map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "debconf-set-selections failed: {status}"
    )))
}

/// While this lives, installing a package starts none of its services (Debian Policy 9.3.3:
/// `invoke-rc.d` asks `policy-rc.d`). A policy that is already there stays.
struct NoServices {
    ours: Option<PathBuf>,
}

impl NoServices {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn begin() -> Result<NoServices, Failure> {
        let path = PathBuf::from(Self::POLICY);
        let created = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(&path);
        match created.and_then(|mut file| file.write_all(b"#!/bin/sh\nexit 101\n")) {
            Ok(()) => Ok(NoServices { ours: Some(path) }),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(NoServices { ours: None }),
            Err(e) => Err(Failure::new(format!("cannot write {}: {e}", Self::POLICY))),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(Err(e)) = self.ours.as_deref().map(fs::remove_file) {
            eprintln!("cannot remove {}: {e}; remove it by hand", Self::POLICY);
        }
    }
}

fn missing() -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| !need.proof.is_there()).collect()
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| is_file(candidate))
}

/// Whether a file is there whose path matches part by part.
fn file_exists(path: &str) -> bool {
    let mut candidates = vec![PathBuf::from("/")];
    for part in path.split('/').filter(|part| !part.is_empty()) {
        candidates = match part {
            "*" => candidates
                .iter()
                .flat_map(|folder| children(folder))
                .collect(),
            _ => candidates.iter().map(|folder| folder.join(part)).collect(),
        };
    }
    candidates.iter().any(|candidate| is_file(candidate))
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file())
}

fn is_root() -> bool {
    // The standard library does not tell the user id; `test -w /` would also do for a
    // writable root of somebody else.
    succeeds(program("sh").args(["-c", "test \"$(id -u)\" = 0"]))
}

fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_name() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program").is_none());
    }

    #[test]
    fn files_are_found_below_any_folder() {
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/src/packages.rs");
        assert!(file_exists(here));
        assert!(file_exists(&here.replace("/src/", "/*/")));
        assert!(!file_exists(&here.replace("/src/", "/*/*/")));
        assert!(!file_exists(env!("CARGO_MANIFEST_DIR")));
    }

    #[test]
    fn needs_of_one_package_stand_together() {
        // `ensure` drops neighbours only.
        let mut packages: Vec<&str> = NEEDS.iter().map(|need| need.package).collect();
        packages.dedup();
        let neighbours = packages.len();
        packages.sort_unstable();
        packages.dedup();
        assert_eq!(packages.len(), neighbours);
    }
}
