//! Certificates of the labs' controllers. Samba's own ones name no host that TLS clients accept.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::LabError;
use crate::lab::run_to_success;

/// Changes when the authorities are made in another way: a part of the templates' names.
pub(crate) const RECIPE: &str = "P-256, 3650 days, authority and stranger";

/// Days that a controller's certificate holds: the most that some TLS clients take.
const DAYS: &str = "825";

const TIMEOUT: Duration = Duration::from_secs(60);

const NEW_KEY: [&str; 6] = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-sha256",
];

/// Makes an authority (`authority.pem`, `authority.key`) and another one (`stranger.pem`).
pub(crate) fn make_authorities(folder: &Path) -> Result<(), LabError> {
    fs::create_dir_all(folder).map_err(LabError::file("create an authority's folder"))?;
    for name in ["authority", "stranger"] {
        let mut openssl = Command::new("openssl");
        openssl
            .args(["req", "-x509"])
            .args(NEW_KEY)
            .args(["-days", "3650", "-subj"])
            .arg(format!("/O=Contoso test lab/CN=Test {name}"))
            .args(["-addext", "basicConstraints=critical,CA:TRUE,pathlen:0"])
            .args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"])
            .arg("-keyout")
            .arg(folder.join(format!("{name}.key")))
            .arg("-out")
            .arg(folder.join(format!("{name}.pem")));
        run_to_success(&mut openssl, b"", folder, TIMEOUT)?;
    }
    Ok(())
}

/// Makes `tls/key.pem` and `tls/cert.pem` in `folder`: for the host names and the address, signed
/// by the authority of the folder `authority`.
pub(crate) fn issue(
    authority: &Path,
    folder: &Path,
    names: &[&str],
    address: Ipv4Addr,
) -> Result<(), LabError> {
    let tls = folder.join("tls");
    fs::create_dir_all(&tls).map_err(LabError::file("create a folder for certificates"))?;
    let path = |name: &str| tls.join(name);
    let alternatives: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
    let extensions = format!(
        "basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
subjectAltName={},IP:{address}
",
        alternatives.join(",")
    );
    fs::write(path("extensions"), extensions)
        .map_err(LabError::file("write a certificate's extensions"))?;
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-new"])
        .args(NEW_KEY)
        .arg("-subj")
        .arg(format!(
            "/CN={}",
            names.first().copied().unwrap_or_default()
        ))
        .arg("-keyout")
        .arg(path("key.pem"))
        .arg("-out")
        .arg(path("request.pem"));
    run_to_success(&mut openssl, b"", folder, TIMEOUT)?;
    let mut openssl = Command::new("openssl");
    openssl
        .args(["x509", "-req", "-sha256", "-days", DAYS, "-in"])
        .arg(path("request.pem"))
        .arg("-CA")
        .arg(authority.join("authority.pem"))
        .arg("-CAkey")
        .arg(authority.join("authority.key"))
        // A random serial, written beside the request and not into the shared authority.
        .args(["-CAcreateserial", "-CAserial"])
        .arg(path("serial"))
        .arg("-extfile")
        .arg(path("extensions"))
        .arg("-out")
        .arg(path("cert.pem"));
    run_to_success(&mut openssl, b"", folder, TIMEOUT)?;
    // Samba refuses a key that others may read.
    fs::set_permissions(path("key.pem"), fs::Permissions::from_mode(0o600))
        .map_err(LabError::file("protect a controller's key"))
}
