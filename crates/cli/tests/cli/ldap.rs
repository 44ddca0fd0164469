//! A domain controller as the directory: what is refused before one is asked, and what is said when none answers as it should.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;

use crate::support::{NOW, Place, Said, command};

const BASE: &str = r#"tenant_id = "6babcaad-604b-40ac-a9d7-9fd97c0b779f"

[source]
kind = "file"
path = "devices"
users = "users.json"

[directory]
kind = "ldap"
urls = ["ldaps://127.0.0.1:1"]
bind_dn = "svc-writeback@contoso.com"
password_file = "password"

[state]
path = "state.db"
"#;

const SECRET: &str = "Not-to-be-seen-17";

/// A quickstart with a configuration that names a domain controller, changed as given, and a password file.
struct Lab {
    place: Place,
    config: PathBuf,
}

impl Lab {
    fn new(changes: &[(&str, &str)]) -> Self {
        let place = Place::new();
        let mut text = BASE.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from} is not in the configuration");
            text = text.replace(from, to);
        }
        let config = place.quickstart().join("ldap.toml");
        fs::write(&config, text).unwrap();
        let lab = Self { place, config };
        fs::write(lab.password(), format!("{SECRET}\n")).unwrap();
        lab.set_mode(0o600);
        lab
    }

    fn password(&self) -> PathBuf {
        self.place.quickstart().join("password")
    }

    fn set_mode(&self, mode: u32) {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(self.password(), fs::Permissions::from_mode(mode)).unwrap();
        }
        let _ = mode;
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let said = self.place.run_with(&self.config, NOW, arguments);
        assert!(!said.err.contains(SECRET), "{}", said.err);
        assert!(!said.out.contains(SECRET), "{}", said.out);
        said
    }

    /// Fails the test unless the run fails with this message and remedy.
    fn refuses(&self, message: &str, remedy: &str) {
        let said = self.run(&["plan"]).expect(1);
        assert!(said.err.contains(message), "{message} in {}", said.err);
        let help = said.err.split_once("\nhelp: ").map(|(_, help)| help);
        assert!(
            help.is_some_and(|help| help.contains(remedy)),
            "{remedy} in {}",
            said.err
        );
        assert_eq!(said.out, "");
    }
}

#[test]
fn passwords_do_not_cross_the_network_in_the_clear() {
    let lab = Lab::new(&[("ldaps://127.0.0.1:1", "ldap://127.0.0.1:1")]);
    lab.refuses(
        "ldap.toml:10:9: directory.urls has \"ldap://127.0.0.1:1\": a simple bind is refused without TLS",
        "write ldaps:// for it, or set start_tls = true",
    );
}

#[test]
fn passwords_are_in_one_place_and_not_in_the_configuration() {
    Lab::new(&[("password_file", "password")]).refuses(
        "there is no key directory.password",
        "secrets are never stored in the configuration",
    );
    Lab::new(&[("password_file = \"password\"\n", "")]).refuses(
        "directory has neither password_file nor password_env",
        "add password_file = ... under [directory]",
    );
    let both = "password_env = \"PW\"\npassword_file";
    Lab::new(&[("password_file", both)]).refuses(
        "directory.password_env stands beside directory.password_file",
        "keep one of the two",
    );
}

#[cfg(unix)]
#[test]
fn a_password_file_that_others_can_read_is_refused() {
    let lab = Lab::new(&[]);
    let name = lab.password();
    let name = name.display();
    for (mode, who) in [
        (0o644, "everybody (mode 644)"),
        (0o640, "its group (mode 640)"),
    ] {
        lab.set_mode(mode);
        lab.refuses(
            &format!("the password file {name} is open to {who}"),
            &format!("run chmod 600 {name}"),
        );
    }
}

#[test]
fn a_password_must_be_there() {
    let lab = Lab::new(&[]);
    fs::write(lab.password(), "\n").unwrap();
    lab.refuses("password is empty", "put the password into it");
    fs::remove_file(lab.password()).unwrap();
    lab.refuses("password cannot be read", "make it");
    let variable = (
        "password_file = \"password\"",
        "password_env = \"DWB_NO_SUCH\"",
    );
    Lab::new(&[variable]).refuses(
        "the environment variable DWB_NO_SUCH, which directory.password_env names, is not set",
        "set it for the process that runs this",
    );
}

#[test]
fn addresses_that_cannot_be_written_to_are_refused() {
    Lab::new(&[("ldaps://127.0.0.1:1", "ldaps://dc1.contoso.com:3269")]).refuses(
        "the server \"ldaps://dc1.contoso.com:3269\" is a global catalog",
        "leave out the port",
    );
}

#[test]
fn certificates_must_be_certificates() {
    let ca_file = ("[state]", "ca_file = \"ca.pem\"\n[state]");
    let lab = Lab::new(&[ca_file]);
    lab.refuses(
        "ca.pem, which directory.ca_file names, cannot be read",
        "name the PEM file of the CA",
    );
    fs::write(lab.place.quickstart().join("ca.pem"), "no PEM\n").unwrap();
    lab.refuses(
        "the directory cannot be opened with",
        "directory.ca_file is the PEM text",
    );
}

#[test]
fn plans_are_not_saved_over_secrets_and_certificates() {
    let ca_file = ("[state]", "ca_file = \"ca.pem\"\n[state]");
    let lab = Lab::new(&[ca_file]);
    for (file, name) in [
        ("password", "directory.password_file"),
        ("ca.pem", "directory.ca_file"),
    ] {
        let path = lab.place.quickstart().join(file);
        let said = lab
            .run(&["plan", "--out", path.to_str().unwrap()])
            .expect(1);
        assert!(
            said.err.contains(&format!("that is {name}")),
            "{}",
            said.err
        );
    }
    assert_eq!(
        fs::read_to_string(lab.password()).unwrap(),
        format!("{SECRET}\n")
    );
}

#[test]
fn the_example_of_the_readme_is_a_configuration() {
    const README: &str = include_str!("../../../../README.md");
    let (_, text) = README.split_once("```toml\n").unwrap();
    let (text, _) = text.split_once("```").unwrap();
    let lab = Lab::new(&[]);
    fs::write(&lab.config, text.replace("# max_", "max_")).unwrap();
    // The first thing that the example does not bring along.
    lab.refuses(
        "contoso-ca.pem, which directory.ca_file names, cannot be read",
        "name the PEM file of the CA",
    );
}

/// An address of this machine where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// The certificates of a CA that has issued nothing, so that no test depends on what this machine trusts.
const CA: &str = include_str!("../data/ca.pem");

fn with_ca(changes: &[(&str, &str)]) -> Lab {
    let mut changes = changes.to_vec();
    changes.push(("[state]", "ca_file = \"ca.pem\"\n[state]"));
    let lab = Lab::new(&changes);
    fs::write(lab.place.quickstart().join("ca.pem"), CA).unwrap();
    lab
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let (first, second) = (nobody(), nobody());
    let lab = with_ca(&[("127.0.0.1:1", &first)]);
    for verb in [&["plan"][..], &["sync"], &["explain", "x"]] {
        let said = lab.run(verb).expect(1);
        assert!(
            said.err.contains(&format!("connecting to ldaps://{first}")),
            "{}",
            said.err
        );
        assert!(said.err.contains("\nhelp: "), "{}", said.err);
    }
    let lab = with_ca(&[(
        "\"ldaps://127.0.0.1:1\"",
        &format!("\"ldaps://{first}\", \"ldaps://{second}\""),
    )]);
    let said = lab.run(&["sync"]).expect(1);
    for server in [first, second] {
        assert!(
            said.err.contains(&format!("ldaps://{server}")),
            "{}",
            said.err
        );
    }
}

#[test]
fn a_password_comes_from_the_environment() {
    let server = nobody();
    let lab = with_ca(&[
        ("127.0.0.1:1", &server),
        (
            "password_file = \"password\"",
            "password_env = \"DWB_PASSWORD\"",
        ),
    ]);
    let said: Said = command()
        .args(["plan", "--now", NOW, "--config"])
        .arg(&lab.config)
        .env("DWB_PASSWORD", SECRET)
        .output()
        .unwrap()
        .into();
    let said = said.expect(1);
    assert!(
        said.err
            .contains(&format!("connecting to ldaps://{server}")),
        "{}",
        said.err
    );
    assert!(!said.err.contains(SECRET), "{}", said.err);
}

#[test]
fn an_answer_that_is_not_ldap_is_no_crash() {
    // A message without anything in it, an octet string, and another protocol.
    for answer in [
        &b"\x30\x00"[..],
        b"\x04\x00",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ] {
        for level in ["warn", "debug"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let server = listener.local_addr().unwrap().to_string();
            let lab = with_ca(&[
                ("ldaps://127.0.0.1:1", &format!("ldap://{server}")),
                ("password_file", "start_tls = true\npassword_file"),
            ]);
            let peer = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                // The request for StartTLS.
                let mut request = [0; 256];
                assert!(stream.read(&mut request).unwrap() > 0);
                stream.write_all(answer).unwrap();
                let _ = stream.read(&mut request);
            });
            let said = lab.run(&["plan", "--log-level", level]).expect(1);
            peer.join().unwrap();
            let named = format!("error: connecting to ldap://{server}");
            assert!(said.err.contains(&named), "{}", said.err);
            for word in ["panicked", "RUST_BACKTRACE"] {
                assert!(!said.err.contains(word), "{}", said.err);
            }
            assert!(
                said.err.contains("does not answer StartTLS"),
                "{}",
                said.err
            );
        }
    }
}
