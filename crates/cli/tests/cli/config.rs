//! Every mistake in a configuration has a message that names it.

use std::fs;

use crate::support::{NOW, Place, run};

const BASE: &str = r#"tenant_id = "6babcaad-604b-40ac-a9d7-9fd97c0b779f"

[source]
kind = "file"
path = "devices"
users = "users.json"

[directory]
kind = "ldif"
path = "new/directory.ldif"
base = "DC=contoso,DC=com"

[rules]
gone = "delete"

[limits]
max_retirements = 500

[state]
path = "new/state.db"
"#;

/// What is replaced, by what, what the message says, and what it advises.
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    (
        "tenant_id =",
        "tenant =",
        ":1:1: there is no key tenant",
        "did you mean tenant_id?",
    ),
    (
        "tenant_id = \"6babcaad-604b-40ac-a9d7-9fd97c0b779f\"\n",
        "",
        "tenant_id is missing",
        "add tenant_id",
    ),
    (
        "6babcaad-604b-40ac-a9d7-9fd97c0b779f",
        "00000000-0000-0000-0000-000000000000",
        "tenant_id is the zero GUID",
        "tenant's own id",
    ),
    (
        "6babcaad-604b-40ac-a9d7-9fd97c0b779f",
        "6babcaad",
        "tenant_id: invalid GUID: \"6babcaad\"",
        "",
    ),
    (
        "\"6babcaad-604b-40ac-a9d7-9fd97c0b779f\"",
        "17",
        "tenant_id: invalid type: integer `17`",
        "",
    ),
    (
        "[source]",
        "[sauce]",
        "there is no key sauce",
        "did you mean source?",
    ),
    (
        "\"file\"",
        "\"fil\"",
        ":4:8: source.kind is \"fil\"",
        "did you mean file?",
    ),
    (
        "\"file\"",
        "\"graph\"",
        "source.kind is \"graph\"",
        "this version knows file",
    ),
    (
        "\"ldif\"",
        "\"ldap\"",
        ":10:8: directory.path belongs to kind = \"ldif\"",
        "leave it out: this directory has kind = \"ldap\"",
    ),
    (
        "kind = \"file\"\n",
        "",
        "source.kind is missing",
        "add kind",
    ),
    (
        "path = \"devices\"\n",
        "",
        "source.path is missing",
        "add path",
    ),
    (
        "path = \"devices\"",
        "path = \"\"",
        "source.path is empty",
        "name a file",
    ),
    (
        "path = \"devices\"",
        "paht = \"devices\"",
        "there is no key source.paht",
        "did you mean path?",
    ),
    (
        "users =",
        "user =",
        "there is no key source.user",
        "did you mean users?",
    ),
    (
        "\"DC=contoso,DC=com\"",
        "\"contoso.com\"",
        "directory.base: invalid distinguished name: \"contoso.com\"",
        "",
    ),
    (
        "\"DC=contoso,DC=com\"",
        "\"\"",
        "directory.base is empty",
        "DC=contoso,DC=com",
    ),
    (
        "base = \"DC=contoso,DC=com\"\n",
        "",
        "directory.base is missing",
        "add base",
    ),
    (
        "[rules]",
        "container = \"CN=X,DC=fabrikam,DC=com\"\n[rules]",
        "directory.container CN=X,DC=fabrikam,DC=com is not directly under directory.base",
        "leave it out",
    ),
    (
        "[rules]",
        "container = \"CN=X,OU=Y,DC=contoso,DC=com\"\n[rules]",
        "is not directly under directory.base",
        "leave it out",
    ),
    (
        "[rules]",
        "schema = \"2019\"\n[rules]",
        "directory.schema is \"2019\"",
        "did you mean 2016?",
    ),
    (
        "[rules]",
        "schema = 2016\n[rules]",
        "directory.schema: expected text in quotes",
        "",
    ),
    (
        "gone = \"delete\"",
        "gone = \"disable-than-delete\"",
        "rules.gone is \"disable-than-delete\"",
        "did you mean disable-then-delete?",
    ),
    (
        "gone =",
        "goen =",
        "there is no key rules.goen",
        "did you mean gone?",
    ),
    (
        "gone =",
        "trust_types = [\"AzureADD\"]\ngone =",
        "rules.trust_types has \"AzureADD\"",
        "did you mean AzureAd?",
    ),
    (
        "gone =",
        "trust_types = \"AzureAd\"\ngone =",
        "rules.trust_types: invalid type",
        "",
    ),
    (
        "gone =",
        "is_managed = \"yes\"\ngone =",
        "rules.is_managed: invalid type: string \"yes\"",
        "",
    ),
    (
        "gone =",
        "include_devices = [\"nope\"]\ngone =",
        "rules.include_devices: invalid GUID: \"nope\"",
        "",
    ),
    (
        "gone =",
        "include_devices = [\"428ac969-b7f0-46a0-ad08-0f07e9ef353a\"]\nexclude_devices = [\"428ac969-b7f0-46a0-ad08-0f07e9ef353a\"]\ngone =",
        "428ac969-b7f0-46a0-ad08-0f07e9ef353a",
        "keep one",
    ),
    (
        "gone =",
        "delete_after_days = -1\ngone =",
        "rules.delete_after_days",
        "",
    ),
    (
        "gone =",
        "sid_encoding = \"base64\"\ngone =",
        "rules.sid_encoding is \"base64\"",
        "text, binary",
    ),
    (
        "max_retirements = 500",
        "max_retirement_share = 1.5",
        "limits.max_retirement_share is 1.5",
        "from 0.0 to 1.0",
    ),
    (
        "max_retirements = 500",
        "max_retirement_share = nan",
        "limits.max_retirement_share is NaN",
        "from 0.0 to 1.0",
    ),
    (
        "max_retirements = 500",
        "max_retirements = -1",
        "limits.max_retirements",
        "",
    ),
    (
        "max_retirements = 500",
        "max_retirement = 5",
        "there is no key limits.max_retirement",
        "did you mean max_retirements?",
    ),
    (
        "\"new/state.db\"",
        "\"\"",
        "state.path is empty",
        "name a file",
    ),
    ("[state]", "[rules]", ":19:", ""),
    (
        "gone = \"delete\"",
        "gone = \"delete",
        ":14:15: invalid basic string",
        "",
    ),
];

#[test]
fn mistakes_are_named_with_their_place() {
    let place = Place::new();
    let path = place.quickstart().join("mistaken.toml");
    for (from, to, message, advice) in MISTAKES {
        assert!(BASE.contains(from), "{from}");
        fs::write(&path, BASE.replacen(from, to, 1)).unwrap();
        let said = place.run_with(&path, NOW, &["sync"]);
        assert_eq!(said.code, 1, "{to}: {}", said.err);
        let head = format!("error: {}:", path.display());
        assert!(said.err.starts_with(&head), "{to}: {}", said.err);
        assert!(
            said.err.contains(message),
            "{to}: {message} in {}",
            said.err
        );
        if !advice.is_empty() {
            let help = said.err.split_once("\nhelp: ").map(|(_, help)| help);
            assert!(
                help.is_some_and(|help| help.contains(advice)),
                "{to}: {advice} in {}",
                said.err
            );
        }
        assert_eq!(said.out, "");
    }
    fs::write(&path, BASE).unwrap();
    // Without a mistake, and with paths relative to the configuration.
    place.run_with(&path, NOW, &["sync", "-q"]).expect(0);
    assert!(place.quickstart().join("new/directory.ldif").exists());
    assert!(place.quickstart().join("new/state.db").exists());
}

#[test]
fn files_that_are_named_must_be_there() {
    let place = Place::new();
    let path = place.quickstart().join("mistaken.toml");
    fs::create_dir(place.quickstart().join("empty")).unwrap();
    fs::write(place.quickstart().join("nothing.json"), " \n").unwrap();
    fs::write(
        place.quickstart().join("broken.ldif"),
        "dn: DC=contoso,DC=com\nnot a line\n",
    )
    .unwrap();
    fs::write(place.quickstart().join("state.json"), "{}").unwrap();
    for (from, to, message) in [
        (
            "path = \"devices\"",
            "path = \"no-such.json\"",
            "no-such.json",
        ),
        ("path = \"devices\"", "path = \"empty\"", "empty"),
        (
            "path = \"devices\"",
            "path = \"nothing.json\"",
            "nothing.json",
        ),
        ("\"users.json\"", "\"no-users.json\"", "no-users.json"),
        ("\"users.json\"", "\"nothing.json\"", "nothing.json"),
        (
            "path = \"new/directory.ldif\"",
            "path = \"new/directory.ldif\"\nseed = \"no-seed.ldif\"",
            "no-seed.ldif",
        ),
        (
            "path = \"new/directory.ldif\"",
            "path = \"broken.ldif\"",
            "broken.ldif",
        ),
        ("\"new/state.db\"", "\"state.json\"", "state.json"),
    ] {
        assert!(BASE.contains(from), "{from}");
        fs::write(&path, BASE.replacen(from, to, 1)).unwrap();
        let said = place.run_with(&path, NOW, &["sync"]);
        assert_eq!(said.code, 1, "{to}: {}\n{}", said.out, said.err);
        assert!(said.err.contains(message), "{to}: {}", said.err);
        assert!(said.err.contains("\nhelp: "), "{to}: {}", said.err);
        assert!(
            !place.quickstart().join("new/directory.ldif").exists(),
            "{to}"
        );
    }
}

#[test]
fn a_configuration_must_be_a_readable_text() {
    let place = Place::new();
    let missing = place
        .run_with(&place.path("no.toml"), NOW, &["sync"])
        .expect(1);
    assert!(
        missing.err.contains("no.toml cannot be read"),
        "{}",
        missing.err
    );
    assert!(
        missing.err.contains("name an existing file with --config"),
        "{}",
        missing.err
    );

    let folder = place
        .run_with(&place.quickstart(), NOW, &["sync"])
        .expect(1);
    assert!(folder.err.contains("cannot be read"), "{}", folder.err);

    let latin = place.path("latin.toml");
    fs::write(&latin, b"tenant_id = \"\xfc\"").unwrap();
    let latin = place.run_with(&latin, NOW, &["sync"]).expect(1);
    assert!(latin.err.contains("save it as UTF-8"), "{}", latin.err);
}

#[cfg(unix)]
#[test]
fn a_configuration_that_others_can_write_is_refused() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let place = Place::new();
    let path = place.config();
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o646);
    let said = place.run(&["plan"]).expect(1);
    assert!(
        said.err.contains("can be written by everybody (mode 646)"),
        "{}",
        said.err
    );
    assert!(
        said.err
            .contains(&format!("help: run chmod go-w {}", path.display())),
        "{}",
        said.err
    );
    mode(0o664);
    let metadata = fs::metadata(&path).unwrap();
    let own_group = metadata.uid() == metadata.gid();
    place
        .run(&["plan", "-q"])
        .expect(if own_group { 2 } else { 1 });
    if own_group && std::os::unix::fs::chown(&path, None, Some(metadata.gid() + 1)).is_ok() {
        let said = place.run(&["plan", "-q"]).expect(1);
        assert!(
            said.err.contains("can be written by its group"),
            "{}",
            said.err
        );
    }
    mode(0o600);
    place.run(&["plan", "-q"]).expect(2);
}

#[test]
fn the_verbs_that_read_need_a_configuration() {
    for verb in [&["plan"][..], &["sync"], &["apply", "x"], &["explain", "x"]] {
        let said = run(verb).expect(64);
        assert!(said.err.contains("--config <FILE>"), "{}", said.err);
    }
}
