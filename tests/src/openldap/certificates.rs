//! Certificates of a server that lives for one test, made with the `openssl` program.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::LabError;
use crate::lab::run_to_success;

/// The authority's certificate, for those who connect.
pub(super) const AUTHORITY: &str = "ca.pem";
/// The server's certificate.
pub(super) const CERTIFICATE: &str = "server.pem";
/// The server's key.
pub(super) const KEY: &str = "server.key";

/// The key is on P-256, and the names are those of this machine alone.
const SETTINGS: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = localhost
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
";

/// Writes [`AUTHORITY`], [`CERTIFICATE`] and [`KEY`] to `folder`. They hold for two days.
pub(super) fn make(folder: &Path, timeout: Duration) -> Result<(), LabError> {
    fs::write(folder.join("openssl.cnf"), SETTINGS)
        .map_err(LabError::file("write the settings of openssl"))?;
    let key = |name: &str, certificate: &str, extensions: &str, more: &[&str]| {
        let mut command = Command::new("openssl");
        command
            .current_dir(folder)
            .args(["req", "-x509", "-new", "-nodes", "-newkey", "ec"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-sha256"])
            .args(["-days", "2", "-config", "openssl.cnf"])
            .args(["-extensions", extensions, "-keyout", name])
            .args(["-out", certificate])
            .args(more);
        run_to_success(&mut command, b"", folder, timeout).map(drop)
    };
    let authority = ["-subj", "/CN=Throw-away authority"];
    key("ca.key", AUTHORITY, "authority", &authority)?;
    let signed = ["-CA", AUTHORITY, "-CAkey", "ca.key"];
    key(KEY, CERTIFICATE, "server", &signed)
}
