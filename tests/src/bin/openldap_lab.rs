//! An OpenLDAP server for `cargo xtask bench ldap`: with TLS, Active Directory's indexes, and its data in memory where
//! the system has a place for that.
//!
//! `openldap_lab [FILE]` holds the LDIF content records of the file; prints its settings as one line of JSON and lives
//! until its standard input closes.
#![allow(
    clippy::print_stdout,
    reason = "the settings are what this program is asked for"
)]

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use device_writeback_tests::openldap::{
    DEVICES, OpenLdap, OpenLdapOptions, ROOT_DN, ROOT_PASSWORD, SUFFIX,
};

/// A file system in memory, on Linux.
const MEMORY: &str = "/dev/shm";

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), String> {
    let options = OpenLdapOptions {
        tls: true,
        adlike_indexes: true,
        database_parent: Path::new(MEMORY).is_dir().then(|| PathBuf::from(MEMORY)),
        content: std::env::args_os().nth(1).map(PathBuf::from),
    };
    let server = OpenLdap::start_with(&options).map_err(|error| error.to_string())?;
    let ldaps_url = server.ldaps_url().unwrap_or_default();
    println!(
        "{{\"url\":\"{}\",\"ldaps_url\":\"{ldaps_url}\",\"ca_file\":{:?},\"bind_dn\":\"{ROOT_DN}\",\
         \"password\":\"{ROOT_PASSWORD}\",\"base\":\"{SUFFIX}\",\"container\":\"{DEVICES}\",\"process_id\":{},\
         \"in_memory\":{}}}",
        server.url(),
        server.ca_file().display().to_string(),
        server.process_id(),
        options.database_parent.is_some(),
    );
    let closed = io::stdout()
        .flush()
        .and_then(|()| io::copy(&mut io::stdin(), &mut io::sink()));
    closed.map(drop).map_err(|error| error.to_string())
}
