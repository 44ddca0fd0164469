//! `kind = "ldap"`: a domain controller.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use device_writeback_engine::config::{
    Config, DirectoryKind, LdapAuth, LdapConfig, MAX_IN_FLIGHT, Secret,
};

use super::{SOURCE, TENANT, least, parse, refuses};

const DIRECTORY: &str = "[directory]\nkind = \"ldap\"\nurls = [\"ldaps://dc1.contoso.com\"]\nbind_dn = \"svc@contoso.com\"\npassword_file = \"password\"\n";

/// The least there can be, 9 lines, and `more` after it.
fn all(more: &str) -> String {
    format!("{TENANT}{SOURCE}{DIRECTORY}{more}")
}

/// The same with other URLs, in line 7.
fn urls(urls: &str, more: &str) -> String {
    all(more).replace("[\"ldaps://dc1.contoso.com\"]", urls)
}

fn ldap(config: &Config) -> &LdapConfig {
    match &config.directory.kind {
        DirectoryKind::Ldap(ldap) => ldap,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_least_there_can_be_has_the_documented_defaults() {
    let config = parse(&all("")).unwrap();
    assert_eq!(config.directory.id, "");
    assert_eq!(config.directory.base, None);
    assert_eq!(config.directory.container, None);
    let ldap = ldap(&config);
    assert_eq!(ldap.urls, ["ldaps://dc1.contoso.com"]);
    assert!(!ldap.start_tls);
    assert_eq!(
        ldap.auth,
        LdapAuth::Simple {
            bind_dn: "svc@contoso.com".into(),
            password: Secret::File("/etc/dwb/password".into()),
        }
    );
    assert_eq!(ldap.ca_file, None);
    assert_eq!(ldap.connect_timeout, Duration::from_secs(10));
    assert_eq!(ldap.operation_timeout, Duration::from_secs(60));
    assert_eq!(ldap.reconnect, Duration::from_secs(30));
    assert_eq!(ldap.max_in_flight, 256);
    assert_eq!(ldap.max_in_flight, MAX_IN_FLIGHT);
    assert_eq!(ldap.max_operations_per_second, None);
}

#[test]
fn every_key_is_accepted() {
    let text = format!(
        r#"{TENANT}{SOURCE}
[directory]
kind = "ldap"
id = "contoso.com"
urls = ["ldaps://dc1.contoso.com", " LDAP://dc1.contoso.com:389/", "ldaps://dc1.contoso.com:3636"]
start_tls = true
auth = "simple"
bind_dn = 'CONTOSO\svc-writeback'
password_env = "WRITEBACK_PASSWORD"
ca_file = "ca.pem"
base = "DC=contoso,DC=com"
container = "CN=RegisteredDevices,DC=contoso,DC=com"
connect_timeout_seconds = 1
operation_timeout_seconds = 3600
reconnect_seconds = 0
max_in_flight = 1
max_operations_per_second = 50
"#
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.directory.id, "contoso.com");
    assert_eq!(
        config.directory.base,
        Some("DC=contoso,DC=com".parse().unwrap())
    );
    assert_eq!(
        config.directory.container,
        Some("CN=RegisteredDevices,DC=contoso,DC=com".parse().unwrap())
    );
    let ldap = ldap(&config);
    assert_eq!(
        ldap.urls,
        [
            "ldaps://dc1.contoso.com",
            "LDAP://dc1.contoso.com:389/",
            "ldaps://dc1.contoso.com:3636"
        ]
    );
    assert!(ldap.start_tls);
    assert_eq!(
        ldap.auth,
        LdapAuth::Simple {
            bind_dn: r"CONTOSO\svc-writeback".into(),
            password: Secret::Environment("WRITEBACK_PASSWORD".into()),
        }
    );
    assert_eq!(ldap.ca_file, Some(PathBuf::from("/etc/dwb/ca.pem")));
    assert_eq!(ldap.connect_timeout, Duration::from_secs(1));
    assert_eq!(ldap.operation_timeout, Duration::from_secs(3600));
    assert_eq!(ldap.reconnect, Duration::ZERO);
    assert_eq!(ldap.max_in_flight, 1);
    assert_eq!(ldap.max_operations_per_second, NonZeroU32::new(50));
}

#[test]
fn numbers_have_their_ranges() {
    for (line, largest) in [
        ("connect_timeout_seconds = 3600", 3600),
        ("operation_timeout_seconds = 1", 1),
        ("reconnect_seconds = 3600", 3600),
    ] {
        let config = parse(&all(line)).unwrap();
        let ldap = ldap(&config);
        let found = [ldap.connect_timeout, ldap.operation_timeout, ldap.reconnect];
        assert!(found.contains(&Duration::from_secs(largest)), "{line}");
    }
    // More than can be said is no limit that anything would meet.
    let config = parse(&all("max_operations_per_second = 5_000_000_000")).unwrap();
    assert_eq!(
        ldap(&config).max_operations_per_second,
        Some(NonZeroU32::MAX)
    );
}

#[test]
fn the_forms_of_a_bind_name_are_accepted() {
    for name in [
        "svc-writeback@contoso.com",
        r"CONTOSO\svc-writeback",
        "CN=svc-writeback,CN=Users,DC=contoso,DC=com",
    ] {
        let config = parse(&all("").replace("\"svc@contoso.com\"", &format!("'{name}'"))).unwrap();
        let LdapAuth::Simple { bind_dn, .. } = &ldap(&config).auth else {
            panic!("{name}");
        };
        assert_eq!(bind_dn, name);
    }
}

#[test]
fn absolute_paths_stay_as_they_are() {
    let config = parse(&all("ca_file = \"/etc/ssl/ca.pem\"\n")).unwrap();
    assert_eq!(
        ldap(&config).ca_file.as_deref(),
        Some(Path::new("/etc/ssl/ca.pem"))
    );
    assert_eq!(config.state.path, Path::new("/etc/dwb/state.db"));
}

#[test]
fn a_password_that_was_written_is_not_repeated() {
    for text in [
        all("password = \"Secret-17\"\n"),
        all("").replace("ldaps://dc1", "ldaps://svc:Secret-17@dc1"),
        // A value without quotes, and a quote that does not end.
        all("password_env = Secret-17\n"),
        all("password = \"Secret-17\n"),
    ] {
        let error = parse(&text).unwrap_err();
        let said = format!("{error} {:?} {error:?}", error.remedy());
        assert!(!said.contains("Secret-17"), "{said}");
    }
}

#[test]
fn keys_of_another_kind_are_refused() {
    const LEAVE: &str = "leave it out: this directory has kind = \"ldap\"";
    const LEAVE_LDIF: &str = "leave it out: this directory has kind = \"ldif\"";
    refuses(vec![
        (
            all("path = \"directory.ldif\"\n"),
            ":10:8: directory.path belongs to kind = \"ldif\"",
            LEAVE,
        ),
        (
            all("seed = \"seed.ldif\"\n"),
            ":10:8: directory.seed belongs to kind = \"ldif\"",
            LEAVE,
        ),
        (
            all("schema = \"2016\"\n"),
            ":10:10: directory.schema belongs to kind = \"ldif\"",
            LEAVE,
        ),
        (
            least("urls = []\n"),
            ":9:8: directory.urls belongs to kind = \"ldap\"",
            LEAVE_LDIF,
        ),
        (
            least("start_tls = false\n"),
            ":9:13: directory.start_tls belongs to kind = \"ldap\"",
            LEAVE_LDIF,
        ),
        (
            least("auth = \"simple\"\n"),
            ":9:8: directory.auth belongs to kind = \"ldap\"",
            LEAVE_LDIF,
        ),
        (
            least("bind_dn = \"\"\n"),
            ":9:11: directory.bind_dn belongs to kind = \"ldap\"",
            LEAVE_LDIF,
        ),
        (
            least("password_file = \"x\"\n"),
            ":9:17: directory.password_file belongs to kind = \"ldap\"",
            LEAVE_LDIF,
        ),
        (
            least("password_env = \"x\"\n"),
            ":9:16: directory.password_env belongs to kind = \"ldap\"",
            LEAVE_LDIF,
        ),
        (
            least("ca_file = \"x\"\n"),
            ":9:11: directory.ca_file belongs to kind = \"ldap\"",
            LEAVE_LDIF,
        ),
        (
            least("connect_timeout_seconds = 0\n"),
            ":9:27: directory.connect_timeout_seconds belongs to kind = \"ldap\"",
            LEAVE_LDIF,
        ),
        (
            least("operation_timeout_seconds = 0\n"),
            ":9:29: directory.operation_timeout_seconds belongs to kind = \"ldap\"",
            LEAVE_LDIF,
        ),
        (
            least("reconnect_seconds = 0\n"),
            ":9:21: directory.reconnect_seconds belongs to kind = \"ldap\"",
            LEAVE_LDIF,
        ),
        (
            least("max_in_flight = 0\n"),
            ":9:17: directory.max_in_flight belongs to kind = \"ldap\"",
            LEAVE_LDIF,
        ),
        (
            least("max_operations_per_second = 0\n"),
            ":9:29: directory.max_operations_per_second belongs to kind = \"ldap\"",
            LEAVE_LDIF,
        ),
    ]);
}

#[test]
fn every_mistake_about_servers_is_named_with_its_place_and_remedy() {
    refuses(vec![
        (
            all("").replace("urls = [\"ldaps://dc1.contoso.com\"]\n", ""),
            ":5:1: directory.urls is missing",
            "add urls = ... under [directory]",
        ),
        (
            urls("[]", ""),
            ":7:8: directory.urls is empty",
            "name a domain controller, as ldaps://dc1.contoso.com",
        ),
        (
            urls("\"ldaps://dc1.contoso.com\"", ""),
            ":7:8: directory.urls: invalid type: string \"ldaps://dc1.contoso.com\", expected a list in [ ]",
            "",
        ),
        (
            urls("[\"ldaps://dc1.contoso.com\",\n  17]", ""),
            ":8:3: directory.urls: invalid type: integer `17`, expected text in quotes",
            "",
        ),
        (
            urls("[\"\"]", ""),
            ":7:9: directory.urls has \"\", which is no LDAP URL",
            "write it as ldaps://dc1.contoso.com",
        ),
        (
            urls("[\"ldaps://dc1\",\n  \"dc2.contoso.com\"]", ""),
            ":8:3: directory.urls has \"dc2.contoso.com\", which is no LDAP URL",
            "write it as ldaps://dc1.contoso.com",
        ),
        (
            urls("[\"https://dc1\"]", ""),
            ":7:9: directory.urls has \"https://dc1\", which is no LDAP URL",
            "write it as ldaps://dc1.contoso.com",
        ),
        (
            urls("[\"ldaps://svc@dc1\"]", ""),
            ":7:9: directory.urls has a URL with a user in it",
            "give the account under bind_dn and its password in a file; both out of the URL",
        ),
        (
            urls("[\"ldaps://dc1\", \"LDAPS://DC1:636/\"]", ""),
            ":7:24: directory.urls has \"LDAPS://DC1:636/\" twice",
            "name every server once",
        ),
        (
            urls("[\"ldap://dc1.contoso.com\"]", ""),
            ":7:9: directory.urls has \"ldap://dc1.contoso.com\": a simple bind is refused without TLS",
            "write ldaps:// for it, or set start_tls = true",
        ),
        (
            urls("[\"ldaps://dc1\", \"ldap://dc2\"]", "start_tls = false\n"),
            ":7:24: directory.urls has \"ldap://dc2\": a simple bind is refused without TLS",
            "write ldaps:// for it, or set start_tls = true",
        ),
        (
            all("start_tls = true\n"),
            ":10:13: directory.start_tls is true, and every URL is ldaps://, where TLS comes before LDAP",
            "leave start_tls out, or write ldap:// for the servers to be asked for StartTLS",
        ),
        (
            all("start_tls = \"yes\"\n"),
            ":10:13: directory.start_tls: invalid type: string \"yes\", expected a boolean",
            "",
        ),
        (
            all("url = \"ldaps://dc1\"\n"),
            ":10:1: there is no key directory.url",
            "did you mean urls?",
        ),
    ]);
}

#[test]
fn every_mistake_about_the_account_is_named_with_its_place_and_remedy() {
    const NO_SECRETS: &str = "secrets are never stored in the configuration: name a file with password_file, or an environment variable with password_env";
    const BIND: &str =
        "write \"svc-writeback@contoso.com\", 'CONTOSO\\svc-writeback' or the account's DN";
    let without = |line: &str| all("").replace(line, "");
    refuses(vec![
        (
            all("auth = \"kerberos\"\n"),
            ":10:8: directory.auth is \"kerberos\"",
            "this version knows simple",
        ),
        (
            all("auth = \"external\"\n"),
            ":10:8: directory.auth is \"external\"",
            "this version knows simple",
        ),
        (
            all("auth = \"sinple\"\n"),
            ":10:8: directory.auth is \"sinple\"",
            "did you mean simple?",
        ),
        (
            without("bind_dn = \"svc@contoso.com\"\n"),
            ":5:1: directory.bind_dn is missing",
            "add bind_dn = ... under [directory]",
        ),
        (
            all("").replace("svc@contoso.com", " "),
            ":8:11: directory.bind_dn is empty",
            BIND,
        ),
        (
            all("").replace("svc@contoso.com", "administrator"),
            ":8:11: directory.bind_dn is \"administrator\", a name without its domain",
            BIND,
        ),
        (
            all("").replace("svc@contoso.com", "CONTOSO\\backup"),
            ":8:11: directory.bind_dn is \"CONTOSO\\u{8}ackup\", with a control character",
            "a backslash in double quotes begins an escape: write it in single quotes, as 'CONTOSO\\svc-writeback'",
        ),
        (
            all("").replace("svc@contoso.com", "CONTOSO\\svc"),
            ":8:20: this backslash begins an escape that there is not",
            "write text with a backslash in single quotes, as 'CONTOSO\\svc-writeback'",
        ),
        (
            all("").replace("svc@contoso.com", "CONTOSO\\user"),
            ":8:21: this backslash begins an escape that there is not",
            "write text with a backslash in single quotes, as 'CONTOSO\\svc-writeback'",
        ),
        (
            without("password_file = \"password\"\n"),
            ":5:1: directory has neither password_file nor password_env",
            "put the password into a file that only this account can read, and add password_file = ... under [directory]",
        ),
        (
            all("password_env = \"PASSWORD\"\n"),
            ":10:16: directory.password_env stands beside directory.password_file",
            "keep one of the two",
        ),
        (
            all("").replace("\"password\"", "\"\""),
            ":9:17: directory.password_file is empty",
            "name a file",
        ),
        (
            all("").replace("password_file = \"password\"", "password_env = \"\""),
            ":9:16: directory.password_env is \"\"",
            "give the name of an environment variable, as DEVICE_WRITEBACK_PASSWORD",
        ),
        (
            all("").replace("password_file = \"password\"", "password_env = \"A=b\""),
            ":9:16: directory.password_env is \"A=b\"",
            "give the name of an environment variable, as DEVICE_WRITEBACK_PASSWORD",
        ),
        (
            all("password = \"x\"\n"),
            ":10:1: there is no key directory.password",
            NO_SECRETS,
        ),
        (
            all("bind_password = \"x\"\n"),
            ":10:1: there is no key directory.bind_password",
            NO_SECRETS,
        ),
        (
            all("password_fil = \"x\"\n"),
            ":10:1: there is no key directory.password_fil",
            "did you mean password_file?",
        ),
    ]);
}

#[test]
fn every_other_mistake_is_named_with_its_place_and_remedy() {
    refuses(vec![
        (
            all("ca_file = \"\"\n"),
            ":10:11: directory.ca_file is empty",
            "name a file",
        ),
        (
            all("[state]\npath = \"password\"\n"),
            ":11:8: state.path and directory.password_file name the same file",
            "give each a file of its own",
        ),
        (
            all("ca_file = \"ca.pem\"\n[state]\npath = \"ca.pem\"\n"),
            ":12:8: state.path and directory.ca_file name the same file",
            "give each a file of its own",
        ),
        (
            all("base = \"\"\n"),
            ":10:8: directory.base is empty",
            "give the DN of the domain, as DC=contoso,DC=com",
        ),
        (
            all("container = \"\"\n"),
            ":10:13: directory.container is empty",
            "give its DN, as CN=RegisteredDevices,DC=contoso,DC=com, or leave it out",
        ),
        (
            all("base = \"DC=contoso,DC=com\"\ncontainer = \"CN=X,OU=Y,DC=contoso,DC=com\"\n"),
            ":11:13: directory.container CN=X,OU=Y,DC=contoso,DC=com is not directly under directory.base DC=contoso,DC=com",
            "give CN=RegisteredDevices,DC=contoso,DC=com or leave it out",
        ),
        (
            all("connect_timeout_seconds = 0\n"),
            ":10:27: directory.connect_timeout_seconds is 0",
            "give seconds from 1 to 3600",
        ),
        (
            all("operation_timeout_seconds = 3601\n"),
            ":10:29: directory.operation_timeout_seconds is 3601",
            "give seconds from 1 to 3600",
        ),
        (
            all("reconnect_seconds = 86400\n"),
            ":10:21: directory.reconnect_seconds is 86400",
            "give seconds from 0 to 3600",
        ),
        (
            all("reconnect_seconds = -1\n"),
            ":10:21: directory.reconnect_seconds: invalid value: integer `-1`, expected a whole number from 0",
            "",
        ),
        (
            all("max_in_flight = 0\n"),
            ":10:17: directory.max_in_flight is 0",
            "give a number from 1 to 256",
        ),
        (
            all("max_in_flight = 257\n"),
            ":10:17: directory.max_in_flight is 257",
            "give a number from 1 to 256",
        ),
        (
            all("max_operations_per_second = 0\n"),
            ":10:29: directory.max_operations_per_second is 0",
            "give a number from 1, or leave it out: then there is no such limit",
        ),
        (
            all("max_operations_per_second = 0.5\n"),
            ":10:29: directory.max_operations_per_second: invalid type: floating point `0.5`, expected a whole number from 0",
            "",
        ),
    ]);
}
