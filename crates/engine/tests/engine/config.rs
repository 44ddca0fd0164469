//! The configuration: what it may say, and what it is told when it says something else.

mod ldap;

use std::path::{Path, PathBuf};

use device_writeback_core::cloud_anchor::CloudAnchorEncoding;
use device_writeback_core::plan::Limits;
use device_writeback_core::rules::{Adopt, NullFlag, Retire, Rules, Stale};
use device_writeback_core::schema::{Profile, VERSION_2012_R2, VERSION_2016};
use device_writeback_core::sid::SidEncoding;
use device_writeback_engine::config::{
    Config, DirectoryKind, LdifConfig, SchemaVersion, SourceKind,
};
use device_writeback_engine::{Error, ErrorKind, Options};

use super::support::{device_id, today};

const TENANT: &str = "tenant_id = \"11111111-2222-4333-8444-555566667777\"\n";
const SOURCE: &str = "[source]\nkind = \"file\"\npath = \"devices.json\"\n";
const DIRECTORY: &str =
    "[directory]\nkind = \"ldif\"\npath = \"directory.ldif\"\nbase = \"DC=contoso,DC=com\"\n";

/// The least there can be, 8 lines, and `more` after it.
fn least(more: &str) -> String {
    format!("{TENANT}{SOURCE}{DIRECTORY}{more}")
}

fn parse(text: &str) -> Result<Config, Error> {
    Config::parse(text, "writeback.toml", Path::new("/etc/dwb"))
}

fn ldif(config: &Config) -> &LdifConfig {
    match &config.directory.kind {
        DirectoryKind::Ldif(ldif) => ldif,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_least_there_can_be_has_the_documented_defaults() {
    let config = parse(&least("")).unwrap();
    assert_eq!(config.source.kind, SourceKind::File);
    assert_eq!(config.source.id, "");
    assert_eq!(config.source.users, None);
    assert!(!config.source.partial);
    assert_eq!(config.directory.id, "");
    assert_eq!(
        config.directory.base,
        Some("DC=contoso,DC=com".parse().unwrap())
    );
    assert_eq!(config.directory.container, None);
    assert_eq!(ldif(&config).seed, None);
    assert_eq!(ldif(&config).schema.object_version(), VERSION_2016);
    assert_eq!(config.rules, Rules::default());
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.limits.max_retirements, 500);
    assert!((config.limits.max_retirement_share - 0.10).abs() < 1e-9);
    assert_eq!(config.limits.share_applies_above, 10);
    assert_eq!(config.limits.max_plan_age_hours, 24);
    assert_eq!(config.state.path, Path::new("/etc/dwb/state.db"));
}

#[test]
fn relative_paths_are_relative_to_the_folder() {
    let more = "seed = \"seed.ldif\"\n[state]\npath = \"/var/lib/state.db\"\n";
    let text = least(more).replace("devices.json\"", "../in\"\nusers = \"users.json.gz\"");
    let config = parse(&text).unwrap();
    assert_eq!(config.source.path, Path::new("/etc/dwb/../in"));
    assert_eq!(
        config.source.users,
        Some(PathBuf::from("/etc/dwb/users.json.gz"))
    );
    assert_eq!(ldif(&config).path, Path::new("/etc/dwb/directory.ldif"));
    assert_eq!(
        ldif(&config).seed,
        Some(PathBuf::from("/etc/dwb/seed.ldif"))
    );
    assert_eq!(config.state.path, Path::new("/var/lib/state.db"));
}

#[test]
fn every_key_is_accepted() {
    let text = format!(
        r#"
tenant_id = "11111111-2222-4333-8444-555566667777"

[source]
kind = "file"
id = "contoso"
path = "devices.json"
users = "users.json"
partial = true

[directory]
kind = "ldif"
id = "contoso.com"
path = "directory.ldif"
seed = "seed.ldif"
base = "DC=contoso,DC=com"
container = "cn=registereddevices, dc=CONTOSO, dc=com"
schema = "2012r2"

[rules]
profile = "connect"
trust_types = ["AzureAd", "serverad"]
is_managed = true
is_compliant = false
account_enabled = true
operating_systems = ["Windows"]
profile_types = ["RegisteredDevice"]
ownerships = ["company"]
require_on_premises_owner = true
max_sign_in_age_days = 90
include_devices = ["{}"]
exclude_devices = ["{}"]
adopt = "same-device-id"
null_flag = "false"
sid_encoding = "binary"
cloud_anchor = "binary"
allow_protected_owners = true
last_logon_min_days = 7
gone = "disable-then-delete"
out_of_scope = "keep"
delete_after_days = 60
stale = "ignore"
delete_objects_with_keys = true

[limits]
max_retirements = 5
max_retirement_share = 0.5
share_applies_above = 2
max_plan_age_hours = 1

[state]
path = "state.db"
"#,
        device_id(1),
        device_id(2)
    );
    let config = parse(&text).unwrap();
    let rules = &config.rules;
    assert_eq!(rules.profile, Profile::Connect);
    assert_eq!(rules.trust_types, ["AzureAd", "serverad"]);
    assert_eq!(
        (rules.is_managed, rules.is_compliant, rules.account_enabled),
        (Some(true), Some(false), Some(true))
    );
    assert_eq!(rules.operating_systems, ["Windows"]);
    assert_eq!(rules.profile_types, ["RegisteredDevice"]);
    assert_eq!(rules.ownerships, ["company"]);
    assert!(rules.require_on_premises_owner);
    assert_eq!(rules.max_sign_in_age_days, Some(90));
    assert_eq!(rules.include_devices, [device_id(1)]);
    assert_eq!(rules.exclude_devices, [device_id(2)]);
    assert_eq!(rules.adopt, Adopt::SameDeviceId);
    assert_eq!(rules.null_flag, NullFlag::False);
    assert_eq!(rules.sid_encoding, SidEncoding::Binary);
    assert_eq!(rules.cloud_anchor, CloudAnchorEncoding::Binary);
    assert!(rules.allow_protected_owners);
    assert_eq!(rules.last_logon_min_days, 7);
    assert_eq!(rules.gone, Retire::DisableThenDelete);
    assert_eq!(rules.out_of_scope, Retire::Keep);
    assert_eq!(rules.delete_after_days, 60);
    assert_eq!(rules.stale, Stale::Ignore);
    assert!(rules.delete_objects_with_keys);
    assert_eq!(ldif(&config).schema, SchemaVersion::Windows2012R2);
    assert_eq!(ldif(&config).schema.object_version(), VERSION_2012_R2);
    assert_eq!(config.limits.max_retirements, 5);
    assert_eq!(config.limits.max_plan_age_hours, 1);

    let options = Options::from_config(&config, today());
    assert_eq!(options.rules, config.rules);
    assert_eq!(options.limits, config.limits);
    assert_eq!(options.source_id, "contoso");
    assert_eq!(options.directory_id, "contoso.com");
    assert_eq!(options.now, today());
    assert!(!options.take_over);

    // Every rule has its key above: what is written out has no other.
    let written = serde_json::to_value(&config.rules).unwrap();
    for key in written.as_object().unwrap().keys() {
        assert!(text.contains(&format!("\n{key} = ")), "{key}");
    }
}

/// A configuration that has a mistake, the beginning of the message, and the remedy.
fn mistakes() -> Vec<(String, &'static str, &'static str)> {
    let all = |more: &str| least(more);
    vec![
        // What is missing.
        (
            String::new(),
            ":1:1: tenant_id is missing",
            "add tenant_id = \"...\" at the top",
        ),
        (
            TENANT.into(),
            ":1:1: source is missing",
            "add a section [source]",
        ),
        (
            format!("{TENANT}{SOURCE}"),
            ":1:1: directory is missing",
            "add a section [directory]",
        ),
        (
            all("").replace("path = \"devices.json\"\n", ""),
            ":2:1: source.path is missing",
            "add path = ... under [source]",
        ),
        (
            all("").replace("base = \"DC=contoso,DC=com\"\n", ""),
            ":5:1: directory.base is missing",
            "add base = ... under [directory]",
        ),
        (
            all("").replace("kind = \"ldif\"\n", ""),
            ":5:1: directory.kind is missing",
            "add kind = ... under [directory]",
        ),
        // Keys that do not exist, at every level.
        (
            all("").replace("tenant_id", "tenantid"),
            ":1:1: there is no key tenantid",
            "did you mean tenant_id?",
        ),
        (
            all("[rule]\ngone = \"keep\"\n"),
            ":9:2: there is no key rule",
            "did you mean rules?",
        ),
        (
            all("").replace("path = \"devices", "paths = \"devices"),
            ":4:1: there is no key source.paths",
            "did you mean path?",
        ),
        (
            all("bas = 1\n"),
            ":9:1: there is no key directory.bas",
            "did you mean base?",
        ),
        (
            all("[rules]\nout_of_scop = \"keep\"\n"),
            ":10:1: there is no key rules.out_of_scop",
            "did you mean out_of_scope?",
        ),
        (
            all("[rules]\ntrustTypes = []\n"),
            ":10:1: there is no key rules.trustTypes",
            "did you mean trust_types?",
        ),
        (
            all("[limits]\nmax_retirement = 5\n"),
            ":10:1: there is no key limits.max_retirement",
            "did you mean max_retirements?",
        ),
        (
            all("[state]\nfile = \"x\"\n"),
            ":10:1: there is no key state.file",
            "the keys here are path",
        ),
        (
            all("[limits]\nx = 1\n"),
            ":10:1: there is no key limits.x",
            "the keys here are max_retirements, max_retirement_share, share_applies_above, max_plan_age_hours",
        ),
        // Words that are none of those a key takes.
        (
            all("[rules]\ngone = \"delet\"\n"),
            ":10:8: rules.gone is \"delet\"",
            "did you mean delete?",
        ),
        (
            all("[rules]\nout_of_scope = \"forget it\"\n"),
            ":10:16: rules.out_of_scope is \"forget it\"",
            "it is one of delete, disable-then-delete, disable, keep",
        ),
        (
            all("[rules]\nprofile = \"conect\"\n"),
            ":10:11: rules.profile is \"conect\"",
            "did you mean connect?",
        ),
        (
            all("[rules]\nadopt = \"SameDeviceId\"\n"),
            ":10:9: rules.adopt is \"SameDeviceId\"",
            "did you mean same-device-id?",
        ),
        (
            all("schema = \"2019\"\n"),
            ":9:10: directory.schema is \"2019\"",
            "did you mean 2016?",
        ),
        (
            all("").replace("\"file\"", "\"graph\""),
            ":3:8: source.kind is \"graph\"",
            "this version knows file",
        ),
        (
            all("").replace("\"ldif\"", "\"ldpa\""),
            ":6:8: directory.kind is \"ldpa\"",
            "did you mean ldap?",
        ),
        (
            all("").replace("\"ldif\"", "\"openldap\""),
            ":6:8: directory.kind is \"openldap\"",
            "it is one of ldif, ldap",
        ),
        (
            all("").replace("\"file\"", "\"flie\""),
            ":3:8: source.kind is \"flie\"",
            "did you mean file?",
        ),
        // Values of another type.
        (
            all("").replace("\"11111111-2222-4333-8444-555566667777\"", "5"),
            ":1:13: tenant_id: invalid type: integer `5`, expected a GUID as text",
            "",
        ),
        (
            all("[rules]\ndelete_after_days = -1\n"),
            ":10:21: rules.delete_after_days: invalid value: integer `-1`, expected a whole number from 0",
            "",
        ),
        (
            all("[rules]\ndelete_after_days = \"30\"\n"),
            ":10:21: rules.delete_after_days: invalid type: string \"30\", expected a whole number from 0",
            "",
        ),
        (
            all("[rules]\ntrust_types = \"AzureAd\"\n"),
            ":10:15: rules.trust_types: invalid type: string \"AzureAd\", expected a list in [ ]",
            "",
        ),
        (
            all("[rules]\nis_managed = \"yes\"\n"),
            ":10:14: rules.is_managed: invalid type: string \"yes\", expected a boolean",
            "",
        ),
        (
            all("[limits]\nmax_retirements = 1.5\n"),
            ":10:19: limits.max_retirements: invalid type: floating point `1.5`, expected a whole number from 0",
            "",
        ),
        (
            all("[limits]\nmax_retirement_share = \"10 %\"\n"),
            ":10:24: limits.max_retirement_share: invalid type: string \"10 %\", expected a number",
            "",
        ),
        (
            all("[state]\npath = 3\n"),
            ":10:8: state.path: invalid type: integer `3`, expected a path in quotes",
            "",
        ),
        (
            all("schema = 2016\n"),
            ":9:10: directory.schema: expected text in quotes",
            "",
        ),
        (
            format!("source = 3\n{TENANT}"),
            ":1:10: source: invalid type: integer `3`, expected a section",
            "",
        ),
        // Values that are not what their type asks for.
        (
            all("").replace("1111-2222", "1111-xxxx"),
            ":1:13: tenant_id: invalid GUID: \"11111111-xxxx-4333-8444-555566667777\" is not of the form",
            "",
        ),
        (
            all("").replace("DC=contoso,DC=com", "contoso.com"),
            ":8:8: directory.base: invalid distinguished name: \"contoso.com\"",
            "",
        ),
        (
            all("container = \"CN\"\n"),
            ":9:13: directory.container: invalid distinguished name: \"CN\"",
            "",
        ),
        (
            all("[rules]\ninclude_devices = [\n  \"a\"]\n"),
            ":11:3: rules.include_devices: invalid GUID: \"a\"",
            "",
        ),
        // TOML itself.
        ("x =".into(), ":1:4: string values must be quoted", ""),
        (
            all("[rules]\ngone = \"keep\"\ngone = \"keep\"\n"),
            ":11:1: this key stands here for the second time",
            "",
        ),
        (
            all("[rules]\nä\n"),
            ":10:2: key with no value, expected `=`",
            "",
        ),
        // What the values mean.
        (
            all("").replace(
                "11111111-2222-4333-8444-555566667777",
                "00000000-0000-0000-0000-000000000000",
            ),
            ":1:13: tenant_id is the zero GUID",
            "give the tenant's own id, as Entra ID shows it under Overview",
        ),
        (
            all("").replace("devices.json", ""),
            ":4:8: source.path is empty",
            "name a file",
        ),
        (
            all("seed = \"\"\n"),
            ":9:8: directory.seed is empty",
            "name a file",
        ),
        (
            all("[state]\npath = \"\"\n"),
            ":10:8: state.path is empty",
            "name a file",
        ),
        (
            all("[state]\npath = \"directory.ldif\"\n"),
            ":7:8: directory.path and state.path name the same file",
            "give each a file of its own",
        ),
        (
            all("").replace("directory.ldif", "devices.json"),
            ":7:8: directory.path and source.path name the same file",
            "give each a file of its own",
        ),
        (
            all("").replace("directory.ldif", "state.db"),
            ":7:8: directory.path and state.path name the same file",
            "give each a file of its own",
        ),
        (
            all("").replace("DC=contoso,DC=com", ""),
            ":8:8: directory.base is empty",
            "give the DN of the domain, as DC=contoso,DC=com",
        ),
        (
            all("container = \"CN=RegisteredDevices,OU=x,DC=contoso,DC=com\"\n"),
            ":9:13: directory.container CN=RegisteredDevices,OU=x,DC=contoso,DC=com is not directly under directory.base DC=contoso,DC=com",
            "give CN=RegisteredDevices,DC=contoso,DC=com or leave it out",
        ),
        (
            all("container = \"DC=contoso,DC=com\"\n"),
            ":9:13: directory.container DC=contoso,DC=com is not directly under",
            "give CN=RegisteredDevices,DC=contoso,DC=com or leave it out",
        ),
        (
            all(&format!(
                "[rules]\ninclude_devices = [\"{0}\"]\nexclude_devices = [\"{0}\"]\n",
                device_id(7)
            )),
            ":11:19: rules.exclude_devices has device 00000007-1111-4222-8333-444455556666, which is in rules.include_devices too",
            "keep one of the two",
        ),
        (
            all("[rules]\ntrust_types = [\"AzureAd\", \"ServerAdd\"]\n"),
            ":10:15: rules.trust_types has \"ServerAdd\"",
            "did you mean ServerAd?",
        ),
        (
            all("[rules]\ntrust_types = [\"\"]\n"),
            ":10:15: rules.trust_types has \"\"",
            "the trust types are AzureAd, ServerAd, Workplace",
        ),
        (
            all("[limits]\nmax_retirement_share = 10\n"),
            ":10:24: limits.max_retirement_share is 10",
            "give a share from 0.0 to 1.0: 0.1 is a tenth",
        ),
        (
            all("[limits]\nmax_retirement_share = -0.1\n"),
            ":10:24: limits.max_retirement_share is -0.1",
            "give a share from 0.0 to 1.0: 0.1 is a tenth",
        ),
        (
            all("[limits]\nmax_retirement_share = nan\n"),
            ":10:24: limits.max_retirement_share is NaN",
            "give a share from 0.0 to 1.0: 0.1 is a tenth",
        ),
        // Keys written in another way.
        (
            format!("rules.gone = \"kep\"\n{}", least("")),
            ":1:14: rules.gone is \"kep\"",
            "did you mean keep?",
        ),
        (
            format!("limits = {{ max_retirement_share = 2.0 }}\n{}", least("")),
            ":1:35: limits.max_retirement_share is 2",
            "give a share from 0.0 to 1.0: 0.1 is a tenth",
        ),
        (
            all("\r\n[rules]\r\ngone = \"x\"\r\n"),
            ":11:8: rules.gone is \"x\"",
            "it is one of delete, disable-then-delete, disable, keep",
        ),
    ]
}

#[test]
fn every_mistake_is_named_with_its_place_and_remedy() {
    refuses(mistakes());
}

/// Fails the test unless every configuration is refused with a message that begins as given, and the remedy.
fn refuses(mistakes: Vec<(String, &'static str, &'static str)>) {
    let mut wrong = Vec::new();
    for (text, message, remedy) in mistakes {
        let error = parse(&text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{text}");
        let found = error.to_string();
        if !found.starts_with(&format!("writeback.toml{message}"))
            || error.remedy().unwrap_or_default() != remedy
        {
            wrong.push(format!("{text}\n  {found:?}\n  {:?}", error.remedy()));
        }
        assert!(!found.contains('\n') && !found.ends_with('.'), "{found:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
