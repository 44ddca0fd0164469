//! The program over a scripted domain controller.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use device_writeback_tests::scripted_ldap::{
    Kind, LdapResult, Malformed, NoticeEncoding, Options, Reply, Rule, SERVICE_NAME,
    SERVICE_PASSWORD, ScriptedLdap, code,
};
use serde_json::json;

use super::support::*;
use crate::product::{self, Said};

struct Scene {
    folder: tempfile::TempDir,
    config: PathBuf,
}

impl Scene {
    /// A source of the devices 0 to `count` and a configuration for these servers.
    fn new(servers: &[&ScriptedLdap], count: u32) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let devices: Vec<_> = (0..count)
            .map(|number| {
                // X509:<SHA1-TP-PUBKEY>, 40 digits and the hash of a key, in UTF-16.
                let text = format!(
                    "X509:<SHA1-TP-PUBKEY>{number:040X}k2vB1W6Jr1u6gkIQ0pEsD9lB0wTr4mB1lH1n1pG0S0c="
                );
                let octets: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
                json!({
                    "id": object_id(number),
                    "deviceId": device_id(number),
                    "displayName": format!("PC {number}"),
                    "accountEnabled": true,
                    "trustType": "AzureAd",
                    "alternativeSecurityIds": [{"type": 2, "key": base64(&octets)}],
                })
            })
            .collect();
        fs::write(
            path("devices.json"),
            json!({ "value": devices }).to_string(),
        )
        .unwrap();
        let authorities: String = servers.iter().map(|server| server.ca_pem()).collect();
        fs::write(path("ca.pem"), authorities).unwrap();
        let urls: Vec<_> = servers.iter().map(|server| server.url()).collect();
        let text = format!(
            "tenant_id = \"6babcaad-604b-40ac-a9d7-9fd97c0b779f\"\n\
             [source]\nkind = \"file\"\npath = \"devices.json\"\n\
             [directory]\nkind = \"ldap\"\nurls = {urls:?}\nbind_dn = {SERVICE_NAME:?}\n\
             password_file = \"password\"\nca_file = \"ca.pem\"\n\
             operation_timeout_seconds = 1\nreconnect_seconds = 1\n\
             [state]\npath = \"state.db\"\n"
        );
        let config = path("config.toml");
        fs::write(&config, text).unwrap();
        let scene = Scene { folder, config };
        scene.password(SERVICE_PASSWORD);
        scene
    }

    fn password(&self, password: &str) {
        let path = self.folder.path().join("password");
        fs::write(&path, password).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let said = product::run(self.folder.path(), &self.config, arguments);
        for text in [&said.out, &said.err] {
            assert!(!text.contains("panicked"), "{text}");
            assert!(!text.contains(SERVICE_PASSWORD), "{text}");
        }
        said
    }
}

fn base64(octets: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(octets)
}

#[test]
fn a_run_goes_through_whatever_its_connections_do() {
    for reply in [
        Reply::Cut,
        Reply::Notice(NoticeEncoding::ActiveDirectory, refusal(code::UNAVAILABLE)),
        Reply::Silence,
        Reply::Malformed(Malformed::MessageIdNotInteger),
        Reply::Malformed(Malformed::ResultWithoutCode),
    ] {
        let server = start(Options::default());
        let scene = Scene::new(&[&server], 10);
        server.script(
            Rule::on(Kind::Search)
                .only(is_paged)
                .perform_then(reply.clone()),
        );
        server.script(Rule::on(Kind::Add).skip(4).perform_then(reply.clone()));
        let said = scene.run(&["sync", "--format", "json"]).expect(0);
        let report = said.json();
        assert_eq!(report["result"]["done"], 10, "{reply:?}: {}", said.out);
        assert_eq!(server.unused_rules(), 0);
        assert_eq!(server.requests_of(Kind::Add).len(), 10);
        assert_eq!(count(&server), 10);
        server.forget_requests();
        scene.run(&["plan", "-q"]).expect(0);
        assert!(writes(&server).is_empty());
    }
}

#[test]
fn a_reading_that_was_cut_short_deletes_nothing() {
    for (reply, expected) in [
        (
            Reply::Partial(20, refusal(code::SIZE_LIMIT_EXCEEDED)),
            "sizeLimitExceeded (4)",
        ),
        (
            Reply::Partial(20, LdapResult::success()),
            "whether it is the last one",
        ),
    ] {
        let server = start(Options::default());
        let scene = Scene::new(&[&server], 40);
        scene.run(&["sync", "-q"]).expect(0);
        server.forget_requests();
        let scene = Scene {
            config: scene.config.clone(),
            ..scene
        };
        let text = fs::read_to_string(scene.folder.path().join("devices.json")).unwrap();
        let mut page: serde_json::Value = serde_json::from_str(&text).unwrap();
        page["value"].as_array_mut().unwrap().truncate(38);
        fs::write(scene.folder.path().join("devices.json"), page.to_string()).unwrap();
        server.script(
            Rule::on(Kind::Search)
                .only(is_paged)
                .always()
                .perform_then(reply),
        );
        let said = scene.run(&["sync"]).expect(1);
        assert!(said.err.contains(expected), "{}", said.err);
        assert!(writes(&server).is_empty());
        // Complete again: the two that are gone go.
        server.clear_script();
        scene.run(&["sync", "-q"]).expect(0);
        assert_eq!(count(&server), 38);
    }
}

#[test]
fn a_wrong_password_is_one_bind_and_one_sentence() {
    let servers = [start(Options::default()), start(Options::default())];
    let scene = Scene::new(&[&servers[0], &servers[1]], 1);
    scene.password("not this one");
    let said = scene.run(&["sync"]).expect(1);
    assert!(
        said.err.contains("the name or the password is wrong"),
        "{}",
        said.err
    );
    assert!(!said.err.contains("not this one"), "{}", said.err);
    assert_eq!(servers[0].requests_of(Kind::Bind).len(), 1);
    assert_eq!(servers[1].stats().connections_total, 0);
}

#[test]
fn the_second_server_takes_over() {
    let (one, two) = (start(Options::default()), start(Options::default()));
    one.set_listening(false);
    let scene = Scene::new(&[&one, &two], 5);
    scene.run(&["sync", "-q"]).expect(0);
    assert_eq!(count(&two), 5);
    // Both gone: each is named.
    two.set_listening(false);
    let said = scene.run(&["sync"]).expect(1);
    for server in [&one, &two] {
        assert!(said.err.contains(&server.url()), "{}", said.err);
    }
}
