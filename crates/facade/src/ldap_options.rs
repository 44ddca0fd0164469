//! From the configuration to what an LDAP directory is opened with.

use std::path::Path;

use device_writeback_engine::config::{DirectoryConfig, LdapAuth, LdapConfig};
use device_writeback_engine::{Error, ErrorKind};
use device_writeback_ldap::{Auth, LdapOptions, Roots, ServerUrl, Timeouts};

use crate::platform::Platform;
use crate::secret;

/// Reads the files and variables that `ldap` names.
///
/// # Errors
/// [`ErrorKind::Config`] with the remedy.
pub(crate) fn options(
    config: &DirectoryConfig,
    ldap: &LdapConfig,
    platform: &Platform,
) -> Result<LdapOptions, Error> {
    let servers = ldap
        .urls
        .iter()
        .map(|url| ServerUrl::parse(url))
        .collect::<Result<Vec<_>, _>>()?;
    let roots = match &ldap.ca_file {
        Some(path) => Roots::Pem(certificates(path)?),
        None if platform.has_system_roots() => Roots::System,
        None => {
            return Err(Error::new(
                ErrorKind::Config,
                "opening the directory: directory.ca_file is missing, and this program lets the system's roots be",
            )
            .with_remedy(
                "name the PEM file of the CA under directory.ca_file; a program gives the system's roots with Platform::with_system_roots",
            ));
        }
    };
    let auth = match &ldap.auth {
        LdapAuth::Simple { bind_dn, password } => Auth::Simple {
            name: bind_dn.clone(),
            password: secret::password(password, platform)?,
        },
        _ => {
            return Err(Error::new(
                ErrorKind::Config,
                "this build has no authentication of that kind",
            )
            .with_remedy("use auth = \"simple\""));
        }
    };
    let mut options = LdapOptions::new(servers, roots, auth);
    options.start_tls = ldap.start_tls;
    options.base = config.base.clone();
    options.container = config.container.clone();
    options.timeouts = Timeouts {
        connect: ldap.connect_timeout,
        operation: ldap.operation_timeout,
        reconnect: ldap.reconnect,
    };
    options.max_in_flight = ldap.max_in_flight;
    options.max_operations_per_second = ldap.max_operations_per_second;
    Ok(options)
}

fn certificates(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| {
        let name = path.display();
        Error::new(
            ErrorKind::Config,
            format!("the file {name}, which directory.ca_file names, cannot be read"),
        )
        .with_remedy("name the PEM file of the CA that issued the server's certificate")
        .with_source(error)
    })
}

/// Says in which file the certificates are that were refused.
pub(crate) fn name_certificates(ldap: &LdapConfig, error: Error) -> Error {
    let Some(path) = &ldap.ca_file else {
        return error;
    };
    let remedy = error.remedy().map(str::to_owned);
    let named = Error::new(
        error.kind(),
        format!(
            "the directory cannot be opened with {}, which directory.ca_file names",
            path.display()
        ),
    )
    .with_source(error);
    match remedy {
        Some(remedy) => named.with_remedy(remedy),
        None => named,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use device_writeback_engine::config::{Config, DirectoryKind, MAX_IN_FLIGHT};
    use device_writeback_ldap::MAX_WINDOW;

    use super::*;

    const CONFIG: &str = r#"
tenant_id = "11111111-2222-4333-8444-555566667777"
[source]
kind = "file"
path = "devices.json"
[directory]
kind = "ldap"
urls = ["ldap://dc1.contoso.com", "ldaps://dc2.contoso.com"]
start_tls = true
bind_dn = "svc@contoso.com"
password_env = "PW"
base = "DC=contoso,DC=com"
container = "CN=RegisteredDevices,DC=contoso,DC=com"
connect_timeout_seconds = 1
operation_timeout_seconds = 2
reconnect_seconds = 3
max_in_flight = 4
max_operations_per_second = 5
"#;

    fn read(text: &str, folder: PathBuf, platform: &Platform) -> Result<LdapOptions, Error> {
        let config = Config::parse(text, "config.toml", &folder).unwrap();
        match &config.directory.kind {
            DirectoryKind::Ldap(ldap) => options(&config.directory, ldap, platform),
            other => panic!("{other:?}"),
        }
    }

    fn everything() -> Platform {
        Platform::none()
            .with_environment(|_| Some("x".into()))
            .with_system_roots()
    }

    #[test]
    fn every_key_arrives() {
        let options = read(CONFIG, PathBuf::from("."), &everything()).unwrap();
        let servers: Vec<_> = options.servers.iter().map(ServerUrl::to_string).collect();
        assert_eq!(
            servers,
            ["ldap://dc1.contoso.com", "ldaps://dc2.contoso.com"]
        );
        assert!(options.start_tls);
        assert!(matches!(options.roots, Roots::System));
        assert!(matches!(&options.auth, Auth::Simple { name, .. } if name == "svc@contoso.com"));
        assert_eq!(options.base.unwrap().to_string(), "DC=contoso,DC=com");
        assert_eq!(
            options.container.unwrap().to_string(),
            "CN=RegisteredDevices,DC=contoso,DC=com"
        );
        assert_eq!(options.timeouts.connect.as_secs(), 1);
        assert_eq!(options.timeouts.operation.as_secs(), 2);
        assert_eq!(options.timeouts.reconnect.as_secs(), 3);
        assert_eq!(options.max_in_flight, 4);
        assert_eq!(options.max_operations_per_second.unwrap().get(), 5);
    }

    #[test]
    fn both_sides_know_one_largest_window() {
        assert_eq!(MAX_IN_FLIGHT, MAX_WINDOW);
    }

    #[test]
    fn the_configured_certificates_come_before_the_systems() {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join("ca.pem"), "PEM").unwrap();
        let text = CONFIG.replace("base = ", "ca_file = \"ca.pem\"\nbase = ");
        for platform in [
            everything(),
            Platform::none().with_environment(|_| Some("x".into())),
        ] {
            let options = read(&text, folder.path().to_owned(), &platform).unwrap();
            assert!(matches!(options.roots, Roots::Pem(pem) if pem == b"PEM"));
        }
        let missing = folder.path().join("none");
        let error = read(&text, missing.clone(), &everything()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the file {}, which directory.ca_file names, cannot be read",
                missing.join("ca.pem").display()
            )
        );
        assert!(error.remedy().is_some());
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "PEM").unwrap();
        let text = CONFIG.replace("base = ", "ca_file = \"ca.pem\"\nbase = ");
        let config = Config::parse(&text, "config.toml", folder.path()).unwrap();
        let error = crate::open_directory(&config.directory, &everything()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(
            error.to_string(),
            format!(
                "the directory cannot be opened with {}, which directory.ca_file names",
                path.display()
            )
        );
        assert!(std::error::Error::source(&error).is_some());
        assert!(error.remedy().is_some());
    }

    #[test]
    fn the_systems_certificates_are_not_taken_unasked() {
        let platform = Platform::none().with_environment(|_| Some("x".into()));
        let error = read(CONFIG, PathBuf::from("."), &platform).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            error.to_string().contains("directory.ca_file is missing"),
            "{error}"
        );
        assert!(error.remedy().is_some());
    }

    #[test]
    fn addresses_that_are_none_are_refused() {
        for (url, message) in [
            ("ldap://dc1.contoso.com:3268", "global catalog"),
            (
                "ldap://dc1.contoso.com/DC=contoso",
                "says more than a server",
            ),
        ] {
            let text = CONFIG.replace("ldap://dc1.contoso.com", url);
            let error = read(&text, PathBuf::from("."), &everything()).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }
}
