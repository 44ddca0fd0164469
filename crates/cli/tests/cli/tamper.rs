//! A saved plan is an unsigned write order: whatever is wrong with it, nothing is written.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::support::{NOW, Place, Said};

/// Gives the text of a plan the digest that belongs to it, as somebody would who knows how.
fn redigest(text: &str) -> String {
    let (body, _) = text.rsplit_once(",\n\"digest\":\"").unwrap();
    let digest: String = Sha256::digest(body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{body},\n\"digest\":\"{digest}\"\n}}\n")
}

struct Saved {
    place: Place,
    path: PathBuf,
    text: String,
}

impl Saved {
    fn new() -> Self {
        let place = Place::new();
        let (path, _) = place.save_plan();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(redigest(&text), text, "the tests know how digests are made");
        Self { place, path, text }
    }

    fn apply_with(&self, config: &Path, now: &str, text: &str, arguments: &[&str]) -> Said {
        fs::write(&self.path, text).unwrap();
        let mut all = vec!["apply", self.path.to_str().unwrap()];
        all.extend_from_slice(arguments);
        let said = self.place.run_with(config, now, &all);
        assert!(self.place.is_untouched(), "{}\n{}", said.out, said.err);
        said
    }

    fn apply(&self, text: &str) -> Said {
        self.apply_with(&self.place.config(), NOW, text, &[])
    }

    /// The lines of the changes with `action`.
    fn changes(&self, action: &str) -> Vec<&str> {
        let begin = format!("{{\"action\":\"{action}\"");
        self.text
            .lines()
            .filter(|line| line.starts_with(&begin))
            .collect()
    }
}

fn assert_refused(said: Said, why: &str) {
    let said = said.expect(1);
    assert!(said.err.contains(why), "{why} in {}", said.err);
    assert!(said.err.starts_with("error: "), "{}", said.err);
    assert!(said.err.contains("\nhelp: "), "{}", said.err);
    assert_eq!(said.out, "");
}

#[test]
fn a_document_that_was_touched_is_refused() {
    let saved = Saved::new();
    let text = &saved.text;
    let flipped = text.replacen("LAPTOP-", "LAPTQP-", 1);
    assert_refused(
        saved.apply(&flipped),
        "its digest does not match its content",
    );
    assert_refused(saved.apply(&text[..text.len() / 2]), "EOF while parsing");
    assert_refused(saved.apply(""), "EOF while parsing");
    assert_refused(saved.apply(&format!("{text}{text}")), "trailing characters");
    assert_refused(
        saved.apply(&redigest(&text.replacen(
            ",\n\"summary\"",
            ",\"approved\":true,\n\"summary\"",
            1,
        ))),
        "unknown or repeated member approved",
    );
    assert_refused(
        saved.apply(&text.replacen("\"format_version\":1", "\"format_version\":2", 1)),
        "its format_version is 2",
    );
    assert_refused(
        saved.apply(&redigest(&text.replacen("\"delete\":4", "\"delete\":3", 1))),
        "its summary does not count what it contains",
    );
    assert_refused(
        saved.apply(&redigest(&text.replacen(
            "the object holds a key that could not be written again",
            "all is well",
            1,
        ))),
        "a message under held_key is not that code's",
    );
    // Without a tampering hand it is applied.
    fs::write(&saved.path, text).unwrap();
    saved
        .place
        .run(&["apply", saved.path.to_str().unwrap()])
        .expect(0);
}

#[test]
fn another_digest_than_the_one_asked_for_is_refused() {
    let saved = Saved::new();
    let said = saved.apply_with(
        &saved.place.config(),
        NOW,
        &saved.text,
        &["--digest", &"0".repeat(64)],
    );
    assert_refused(said, "is not the one that --digest names");
}

#[test]
fn a_plan_for_elsewhere_is_refused() {
    let saved = Saved::new();
    // Another forest: the registration service names another container.
    let folder = saved.place.quickstart();
    let forest = fs::read_to_string(folder.join("directory.ldif")).unwrap();
    let location = "msDS-DeviceLocation: CN=RegisteredDevices,";
    assert!(forest.contains(location));
    let other = forest.replace(location, "msDS-DeviceLocation: CN=Elsewhere,")
        + "\ndn: CN=Elsewhere,DC=contoso,DC=com\nobjectClass: top\nobjectClass: msDS-DeviceContainer\ncn: Elsewhere\n";
    fs::write(folder.join("elsewhere.ldif"), other).unwrap();
    let elsewhere = [
        (
            "tenant",
            vec![
                ("6babcaad-604b", "7babcaad-604b"),
                ("quickstart/state.db", "quickstart/other.db"),
            ],
            "it was made for tenant 6babcaad-604b-40ac-a9d7-9fd97c0b779f, this configuration has 7babcaad",
        ),
        (
            "source",
            vec![("id = \"contoso\"", "id = \"fabrikam\"")],
            "it was made for source contoso, this configuration has fabrikam",
        ),
        (
            "directory",
            vec![("id = \"contoso.com\"", "id = \"lab\"")],
            "it was made for directory contoso.com, this configuration has lab",
        ),
        (
            "container",
            vec![("seed = \"directory.ldif\"", "seed = \"elsewhere.ldif\"")],
            "it was made for container CN=RegisteredDevices,DC=contoso,DC=com, this configuration has CN=Elsewhere",
        ),
        (
            "rules",
            vec![("[rules]", "[rules]\ngone = \"keep\"")],
            "it was made for the rules",
        ),
    ];
    for (name, changes, why) in elsewhere {
        let config = saved
            .place
            .changed_config(&format!("{name}.toml"), &changes);
        assert_refused(saved.apply_with(&config, NOW, &saved.text, &[]), why);
    }
}

#[test]
fn a_plan_of_another_time_is_refused() {
    let saved = Saved::new();
    let at = |now| saved.apply_with(&saved.place.config(), now, &saved.text, &[]);
    assert_refused(
        at("2026-06-03T08:00:00Z"),
        "older than limits.max_plan_age_hours (24)",
    );
    assert_refused(at("2026-05-31T08:00:00Z"), "which is in the future");
}

#[test]
fn a_plan_over_the_limits_is_refused() {
    let saved = Saved::new();
    let config = saved.place.changed_config(
        "tight.toml",
        &[("max_retirements = 500", "max_retirements = 3")],
    );
    let said = saved.apply_with(&config, NOW, &saved.text, &[]).expect(3);
    assert!(said.err.contains("too_many_retirements"), "{}", said.err);
}

#[test]
fn writes_that_no_configuration_could_have_planned_are_refused() {
    let saved = Saved::new();
    let text = &saved.text;
    let container = ",CN=RegisteredDevices,DC=contoso,DC=com";
    let update = saved
        .changes("update")
        .into_iter()
        .find(|line| line.contains("\"name\":\"displayName\""))
        .unwrap();
    let dn = update
        .split("\"dn\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    let owner = text
        .split("\"name\":\"msDS-RegisteredOwner\",\"old\":[],\"new\":[{\"text\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    let (domain, _) = owner.rsplit_once('-').unwrap();
    let create = saved.changes("create")[0];
    let disable = saved.changes("disable")[0];
    let id = |line: &str| {
        line.split("\"device_id\":\"")
            .nth(1)
            .and_then(|rest| rest.get(..36))
            .unwrap()
            .to_owned()
    };
    let tampered: [(&str, &str, String, &str); 10] = [
        (
            "foreign DN",
            dn,
            format!("CN=Administrator,CN=Users{}", ",DC=contoso,DC=com"),
            "is no direct child of",
        ),
        (
            "deeper DN",
            dn,
            format!("CN=x,{dn}"),
            "is no direct child of",
        ),
        (
            "unmanaged attribute",
            "\"name\":\"displayName\"",
            "\"name\":\"servicePrincipalName\"".into(),
            "servicePrincipalName is no attribute of msDS-Device",
        ),
        (
            "key",
            update,
            update.replace(
                "\"name\":\"displayName\"",
                "\"name\":\"msDS-KeyCredentialLink\"",
            ),
            "msDS-KeyCredentialLink",
        ),
        (
            "foreign SID",
            owner,
            "S-1-5-21-1-2-3-1104".into(),
            "is of no domain of this forest",
        ),
        (
            "administrator's SID",
            owner,
            format!("{domain}-500"),
            "RID below 1000",
        ),
        (
            "unknown SID",
            owner,
            format!("{domain}-99999"),
            "resolves to no user",
        ),
        (
            "another device",
            create,
            create.replacen(&id(create), "00000001-0002-0003-0004-000000000005", 1),
            "is not named",
        ),
        (
            "no disabling",
            disable,
            disable.replace(
                "\"new\":[{\"text\":\"FALSE\"}]",
                "\"new\":[{\"text\":\"TRUE\"}]",
            ),
            "does not disable",
        ),
        (
            "meaning",
            create,
            create.replacen(
                &format!("\"meaning\":\"{}\"", id(create)),
                "\"meaning\":\"harmless\"",
                1,
            ),
            "a value's meaning is not what its octets mean",
        ),
    ];
    for (name, from, to, why) in tampered {
        assert!(text.contains(from), "{name}: {from}");
        assert_ne!(from, to, "{name}");
        let said = saved.apply(&redigest(&text.replacen(from, &to, 1)));
        assert_eq!(said.code, 1, "{name}: {}", said.err);
        assert!(said.err.contains(why), "{name}: {why} in {}", said.err);
    }
    // A mark that is not there cannot be asserted.
    let (before, rest) = update.split_once(",\"mark\":").unwrap();
    let (_, after) = rest.split_once("},").unwrap();
    let unmarked = format!("{before},{after}");
    assert_refused(
        saved.apply(&redigest(&text.replacen(update, &unmarked, 1))),
        "the object carries no mark of ours",
    );
    assert!(dn.ends_with(container));
}
