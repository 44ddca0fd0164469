//! Devices on both sides, the adapter over scripted servers, and answers made by hand.

use std::time::Duration;

use device_writeback::core::alt_security_id::AltSecurityId;
use device_writeback::core::apply::{Operation, OperationResult, Target};
use device_writeback::core::cloud_anchor::{self, CloudAnchorEncoding};
use device_writeback::core::directory::{DirectoryObject, device_dn};
use device_writeback::core::dn::Dn;
use device_writeback::core::filetime::FileTime;
use device_writeback::core::graph::{
    AlternativeSecurityIds, CloudDevice, CloudItem, CloudRecord, Field,
};
use device_writeback::core::guid::{DeviceId, ObjectId};
use device_writeback::core::plan::{Completeness, MemorySpool, Octets, Plan};
use device_writeback::engine::memory::{MemorySource, MemoryState};
use device_writeback::engine::ports::{Directory as _, DirectoryImport as _};
use device_writeback::engine::{Control, Engine, Error, Options as RunOptions, Report, SyncEnd};
use device_writeback::ldap::{Auth, LdapDirectory, LdapOptions, Password, Roots, ServerUrl};
use device_writeback_tests::scripted_ldap::{
    self as scripted, DEVICES, Entry, Kind, Options, Request, SERVICE_NAME, SERVICE_PASSWORD,
    ScriptedLdap,
};
use lber::common::TagClass;
use lber::structure::{PL, StructureTag};

/// Nothing here takes that long: a test that does hangs.
pub(super) const HANG: Duration = Duration::from_secs(30);

pub(super) type LdapEngine = Engine<MemorySource, LdapDirectory, MemoryState>;

pub(super) fn start(options: Options) -> ScriptedLdap {
    ScriptedLdap::start(options).unwrap()
}

/// Options for these servers in their order, with short time-outs.
pub(super) fn options(servers: &[&ScriptedLdap]) -> LdapOptions {
    options_of(servers.iter().map(|server| server.url()), servers)
}

/// Options for servers under chosen URLs.
pub(super) fn options_of(
    urls: impl IntoIterator<Item = String>,
    servers: &[&ScriptedLdap],
) -> LdapOptions {
    let urls = urls.into_iter();
    let urls = urls.map(|url| ServerUrl::parse(&url).unwrap()).collect();
    let roots: String = servers.iter().map(|server| server.ca_pem()).collect();
    let auth = Auth::Simple {
        name: SERVICE_NAME.to_owned(),
        password: Password::new(SERVICE_PASSWORD),
    };
    let mut options = LdapOptions::new(urls, Roots::Pem(roots.into_bytes()), auth);
    options.timeouts.connect = Duration::from_secs(5);
    options.timeouts.operation = Duration::from_secs(5);
    options.timeouts.reconnect = Duration::from_secs(1);
    options
}

pub(super) fn open(server: &ScriptedLdap) -> LdapDirectory {
    LdapDirectory::open(options(&[server])).unwrap()
}

/// The adapter with that time-out of an operation.
pub(super) fn impatient(server: &ScriptedLdap, operation: Duration) -> LdapDirectory {
    let mut options = options(&[server]);
    options.timeouts.operation = operation;
    LdapDirectory::open(options).unwrap()
}

/// What `future` gives, unless it hangs.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, future).await.expect("it hangs")
}

/// Everything in the container.
pub(super) async fn listing(directory: &LdapDirectory) -> Result<Vec<DirectoryObject>, Error> {
    let mut objects = Vec::new();
    let mut import = directory.import().await?;
    while let Some(page) = import.next_page().await? {
        objects.extend(page);
    }
    Ok(objects)
}

/// An error with its causes.
pub(super) fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

pub(super) fn device_id(number: u32) -> DeviceId {
    let text = format!("{number:08x}-1111-4222-8333-444455556666");
    text.parse().unwrap()
}

pub(super) fn object_id(number: u32) -> ObjectId {
    let text = format!("{number:08x}-aaaa-4bbb-8ccc-ddddeeeeffff");
    text.parse().unwrap()
}

pub(super) fn dn(number: u32) -> Dn {
    device_dn(device_id(number), &Dn::parse(DEVICES).unwrap())
}

fn alt_id(number: u32) -> String {
    let key = "k2vB1W6Jr1u6gkIQ0pEsD9lB0wTr4mB1lH1n1pG0S0c=";
    format!("X509:<SHA1-TP-PUBKEY>{number:040X}{key}")
}

fn anchor(number: u32) -> Vec<u8> {
    cloud_anchor::encode(object_id(number), CloudAnchorEncoding::Text)
}

/// A device of ours as it stands in the directory.
pub(super) fn entry(number: u32) -> Entry {
    Entry::new(&dn(number).to_string())
        .with("objectClass", ["top", "msDS-Device"])
        .with("displayName", [format!("PC {number}")])
        .with("altSecurityIdentities", [alt_id(number)])
        .with("msDS-DeviceID", [device_id(number).to_le_bytes()])
        .with("msDS-IsEnabled", ["TRUE"])
        .with("msDS-CloudAnchor", [anchor(number)])
}

/// Puts devices of ours there.
pub(super) fn fill(server: &ScriptedLdap, numbers: impl IntoIterator<Item = u32>) {
    let mut directory = server.directory();
    for number in numbers {
        directory.insert(entry(number)).unwrap();
    }
}

/// How many devices the server has.
pub(super) fn count(server: &ScriptedLdap) -> usize {
    server.directory().children(DEVICES).len()
}

/// The add of a device.
pub(super) fn add(number: u32) -> Operation {
    let text = |text: &str| vec![Octets::from(text.as_bytes())];
    Operation::Add {
        dn: dn(number),
        attributes: vec![
            ("objectClass", text("msDS-Device")),
            ("displayName", text(&format!("PC {number}"))),
            ("altSecurityIdentities", text(&alt_id(number))),
            (
                "msDS-DeviceID",
                vec![Octets::from(&device_id(number).to_le_bytes()[..])],
            ),
            ("msDS-IsEnabled", text("TRUE")),
            ("msDS-CloudAnchor", vec![Octets(anchor(number))]),
        ],
    }
}

/// A device object by its name.
pub(super) fn target(number: u32) -> Target {
    Target {
        dn: dn(number),
        guid: None,
    }
}

pub(super) fn delete(number: u32) -> Operation {
    Operation::Delete {
        target: target(number),
    }
}

pub(super) fn today() -> FileTime {
    FileTime::parse_rfc3339("2026-03-01T12:00:00Z").unwrap()
}

/// A device in scope, called `PC <number>`.
pub(super) fn device(number: u32) -> CloudDevice {
    let mut device = CloudDevice::new(object_id(number));
    device.device_id = Some(device_id(number));
    device.account_enabled = Field::Value(true);
    device.display_name = Field::Value(format!("PC {number}").into());
    device.alternative_security_ids = Field::Value(AlternativeSecurityIds {
        usable: vec![AltSecurityId::parse(&alt_id(number)).unwrap()],
        unusable: 0,
    });
    device
}

/// A device that has another name than its object.
pub(super) fn renamed(number: u32) -> CloudDevice {
    let mut device = device(number);
    device.display_name = Field::Value(format!("new {number}").into());
    device
}

pub(super) fn source(devices: impl IntoIterator<Item = CloudDevice>) -> MemorySource {
    let records = devices.into_iter().enumerate();
    let records = records.map(|(number, device)| CloudRecord {
        sequence: number as u64,
        item: CloudItem::Device(Box::new(device)),
    });
    MemorySource::new(records.collect(), Completeness::Full)
}

/// A run over these devices: whatever carries our mark is ours.
pub(super) fn engine(
    devices: impl IntoIterator<Item = CloudDevice>,
    directory: LdapDirectory,
) -> LdapEngine {
    let tenant = "11111111-2222-4333-8444-555566667777".parse().unwrap();
    let mut options = RunOptions::new(tenant, today());
    options.take_over = true;
    Engine::new(source(devices), directory, MemoryState::new(), options)
}

/// A run that is not refused by a limit.
pub(super) async fn sync(engine: &LdapEngine) -> Result<(Box<Plan>, Report), Error> {
    let control = Control::new();
    let run = engine.sync(Box::<MemorySpool>::default(), &control);
    match soon(run).await? {
        SyncEnd::Applied(plan, report) => Ok((plan, report)),
        other => panic!("{other:?}"),
    }
}

/// A write that was answered.
pub(super) async fn written(directory: &LdapDirectory, operation: &Operation) -> OperationResult {
    soon(directory.write(operation)).await.unwrap()
}

/// Ends every connection, and waits for their ends.
pub(super) fn cut(server: &ScriptedLdap) {
    server.cut();
    assert!(server.wait_until(HANG, |stats| stats.connections_open == 0));
}

/// The writes that the server has read.
pub(super) fn writes(server: &ScriptedLdap) -> Vec<Request> {
    let mut requests = server.requests();
    requests.retain(|request| matches!(request.kind(), Kind::Add | Kind::Modify | Kind::Delete));
    requests
}

/// Whether a request is for a page.
pub(super) fn is_paged(request: &Request) -> bool {
    request.control(PAGED).is_some()
}

pub(super) const PAGED: &str = "1.2.840.113556.1.4.319";

fn tag(class: TagClass, id: u64, parts: Vec<StructureTag>) -> StructureTag {
    let payload = PL::C(parts);
    StructureTag { class, id, payload }
}

fn primitive(id: u64, octets: &[u8]) -> StructureTag {
    let payload = PL::P(octets.to_vec());
    let class = TagClass::Universal;
    StructureTag { class, id, payload }
}

fn octets(octets: impl AsRef<[u8]>) -> StructureTag {
    primitive(4, octets.as_ref())
}

fn sequence(parts: Vec<StructureTag>) -> StructureTag {
    tag(TagClass::Universal, 16, parts)
}

fn encode(tag: StructureTag) -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    lber::write::encode_into(&mut bytes, tag).unwrap();
    bytes.to_vec()
}

fn message(id: i64, operation: StructureTag, controls: Vec<StructureTag>) -> Vec<u8> {
    let id = u32::try_from(id).unwrap().to_be_bytes();
    let mut parts = vec![primitive(2, &id), operation];
    if !controls.is_empty() {
        parts.push(tag(TagClass::Context, 0, controls));
    }
    encode(sequence(parts))
}

/// A continuation reference.
pub(super) fn reference(id: i64, url: &str) -> Vec<u8> {
    message(
        id,
        tag(TagClass::Application, 19, vec![octets(url)]),
        Vec::new(),
    )
}

/// A search result entry.
pub(super) fn found(id: i64, dn: &str, attributes: &[(&str, Vec<Vec<u8>>)]) -> Vec<u8> {
    let attributes = attributes.iter().map(|(name, values)| {
        let values = values.iter().map(octets).collect();
        sequence(vec![octets(name), tag(TagClass::Universal, 17, values)])
    });
    let parts = vec![octets(dn), sequence(attributes.collect())];
    message(id, tag(TagClass::Application, 4, parts), Vec::new())
}

/// The successful end of a search, with a cookie if there are pages.
pub(super) fn end(id: i64, cookie: Option<&[u8]>) -> Vec<u8> {
    let parts = vec![primitive(10, &[0]), octets(""), octets("")];
    let controls = cookie.map(|cookie| {
        let value = encode(sequence(vec![primitive(2, &[0]), octets(cookie)]));
        sequence(vec![octets(PAGED), octets(value)])
    });
    let operation = tag(TagClass::Application, 5, parts);
    message(id, operation, controls.into_iter().collect())
}

/// A refusal with a message as Active Directory has it.
pub(super) fn refusal(code: u32) -> scripted::LdapResult {
    scripted::LdapResult::new(code, "0000202B: SvcErr: DSID-1, problem 5, data 0\n\0")
}
