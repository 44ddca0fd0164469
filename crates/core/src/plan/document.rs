//! The plan, and its document.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::PlanError;
use super::change::{Action, Change};
use super::planner::Setup;
use super::spool::Spool;
use super::writer::{ChangeWriter, IndexEntry};
use crate::dn::Dn;
use crate::filetime::FileTime;
use crate::guid::{DeviceId, ObjectGuid, ObjectId, TenantId};
use crate::rules::Reason;
use crate::schema::Profile;

/// `format_version` of the plan document.
pub const FORMAT_VERSION: u32 = 1;

/// How complete an import was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Completeness {
    /// Everything was read: what is missing is gone.
    Full,
    /// Chosen records only, as of a delta: what is missing says nothing.
    Partial,
    /// Everything was meant to be read, but something is missing, and why.
    Incomplete(String),
}

/// Whose devices, from where, to where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The tenant whose devices these are.
    pub tenant_id: TenantId,
    /// The configured name of the source, or empty.
    pub source_id: String,
    /// The configured name of the directory, or empty.
    pub directory_id: String,
    /// `objectGUID` of the domain, if the directory gave one.
    pub domain_guid: Option<ObjectGuid>,
    /// The container of the devices.
    pub container: Dn,
}

/// Counts of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Records that the source gave.
    pub cloud_records: u64,
    /// Of these, live devices.
    pub live_devices: u64,
    /// Of these, in scope.
    pub in_scope: u64,
    /// `msDS-Device` objects that the directory gave.
    pub directory_objects: u64,
    /// Of these, ours.
    pub our_objects: u64,
    /// Objects of ours that are as they should be.
    pub unchanged: u64,
    /// LDAP names of attributes that the profile manages and the directory's schema lacks: they are left out.
    pub missing_attributes: Vec<String>,
    /// Changes that count against the limits.
    pub retirements: u64,
    /// Changes by action.
    pub actions: BTreeMap<String, u64>,
    /// Changes, skipped, held and conflicts by reason code.
    pub reasons: BTreeMap<String, u64>,
}

/// Something that the plan names without a change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The device, where known.
    pub device_id: Option<DeviceId>,
    /// Why.
    pub code: Reason,
    /// The cloud object, where known.
    pub object_id: Option<ObjectId>,
    /// The directory object, where there is one.
    pub dn: Option<Dn>,
    /// What exactly was wrong with a record.
    pub detail: Option<String>,
    /// The sequence number of a record that could not be read; a source tells its position from it.
    pub sequence: Option<u64>,
}

impl Listed {
    /// The sentence for people.
    pub fn message(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{}: {detail}", self.code.sentence()),
            None => self.code.sentence().to_owned(),
        }
    }
}

/// What would be done and why; what would not be done and why not.
///
/// Changes lie in a [`Spool`] and come out one by one, in plan order.
pub struct Plan {
    pub(super) header: Header,
    pub(super) summary: Summary,
    pub(super) skipped: Vec<Listed>,
    pub(super) held: Vec<Listed>,
    pub(super) conflicts: Vec<Listed>,
    spool: Box<dyn Spool>,
    index: Vec<IndexEntry>,
    digest: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format_version: u32,
    #[serde(flatten)]
    pub(super) identity: Identity,
    pub(super) profile: Profile,
    #[serde(with = "hex")]
    pub(super) rules_digest: [u8; 32],
    pub(super) take_over: bool,
    pub(super) time: FileTime,
    pub(super) complete: Sides,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sides {
    pub(super) source: Completeness,
    pub(super) directory: Completeness,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("header", &self.header)
            .field("summary", &self.summary)
            .field("changes", &self.index.len())
            .finish_non_exhaustive()
    }
}

impl Plan {
    pub(super) fn assemble(
        setup: &Setup,
        (source, directory): (Completeness, Completeness),
        summary: Summary,
        [skipped, held, conflicts]: [Vec<Listed>; 3],
        spool: Box<dyn Spool>,
        index: Vec<IndexEntry>,
    ) -> Result<Self, PlanError> {
        let header = Header {
            format_version: FORMAT_VERSION,
            identity: setup.identity.clone(),
            profile: setup.rules.profile,
            rules_digest: setup.rules.digest(),
            take_over: setup.take_over,
            time: setup.now,
            complete: Sides { source, directory },
        };
        let mut plan = Self {
            header,
            summary,
            skipped,
            held,
            conflicts,
            spool,
            index,
            digest: [0; 32],
        };
        plan.count();
        plan.digest = plan.compute_digest()?;
        Ok(plan)
    }

    /// Whose devices, from where, to where.
    pub fn identity(&self) -> &Identity {
        &self.header.identity
    }

    /// The profile.
    pub fn profile(&self) -> Profile {
        self.header.profile
    }

    /// SHA-256 of the rules.
    pub fn rules_digest(&self) -> [u8; 32] {
        self.header.rules_digest
    }

    /// Whether marked objects of unknown origin were taken over.
    pub fn take_over(&self) -> bool {
        self.header.take_over
    }

    /// The moment the plan counts from.
    pub fn time(&self) -> FileTime {
        self.header.time
    }

    /// How complete the reading of the source was.
    pub fn source_completeness(&self) -> &Completeness {
        &self.header.complete.source
    }

    /// How complete the reading of the directory was.
    pub fn directory_completeness(&self) -> &Completeness {
        &self.header.complete.directory
    }

    /// Counts.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Devices that are not written, by device id.
    pub fn skipped(&self) -> &[Listed] {
        &self.skipped
    }

    /// Objects of ours that are not changed although something would call for it.
    pub fn held(&self) -> &[Listed] {
        &self.held
    }

    /// What a person has to settle.
    pub fn conflicts(&self) -> &[Listed] {
        &self.conflicts
    }

    /// SHA-256 over everything in the plan.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The changes in plan order, read from the spool one by one.
    pub fn changes(&self) -> impl Iterator<Item = Result<Change, PlanError>> {
        let mut buffer = Vec::new();
        self.index.iter().map(move |entry| {
            self.read(entry, &mut buffer)?;
            serde_json::from_slice(&buffer).map_err(|error| PlanError::document(&error))
        })
    }

    /// Devices whose change is a retirement.
    pub fn retired_devices(&self) -> impl Iterator<Item = DeviceId> {
        self.index
            .iter()
            .filter(|entry| entry.retirement)
            .map(|entry| entry.device)
    }

    /// Number of changes with `action`.
    pub fn count_of(&self, action: Action) -> u64 {
        self.index
            .iter()
            .filter(|entry| entry.action == action)
            .count() as u64
    }

    /// Writes the plan document (`format_version` 1, one change a line, UTF-8). Same plan, same bytes.
    ///
    /// # Errors
    /// The writer's, or the spool's.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_body(out)?;
        write!(out, ",\n\"digest\":\"{}\"\n}}\n", hex::encode(&self.digest))
    }

    fn read(&self, entry: &IndexEntry, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.spool.read(entry.offset, entry.length as usize, buffer)
    }

    fn count(&mut self) {
        let mut actions: BTreeMap<String, u64> = Action::ALL
            .iter()
            .map(|action| (action.as_str().to_owned(), 0))
            .collect();
        let mut reasons = BTreeMap::new();
        for entry in &self.index {
            *actions.entry(entry.action.as_str().to_owned()).or_default() += 1;
            *reasons.entry(entry.reason.code().to_owned()).or_default() += 1;
        }
        for listed in self.skipped.iter().chain(&self.held).chain(&self.conflicts) {
            *reasons.entry(listed.code.code().to_owned()).or_default() += 1;
        }
        self.summary.retirements = self.retired_devices().count() as u64;
        self.summary.actions = actions;
        self.summary.reasons = reasons;
    }

    fn compute_digest(&self) -> io::Result<[u8; 32]> {
        struct Hashing(Sha256);
        impl Write for Hashing {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.update(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut hashing = Hashing(Sha256::new());
        self.write_body(&mut hashing)?;
        Ok(hashing.0.finalize().into())
    }

    /// Everything but the digest; the digest is over these bytes, so that a document is the same after reading and writing.
    fn write_body(&self, out: &mut dyn Write) -> io::Result<()> {
        let header = serde_json::to_string(&self.header)?;
        // The header is an object: its brace stays open for the members that follow.
        out.write_all(header.strip_suffix('}').unwrap_or(&header).as_bytes())?;
        write!(out, ",\n\"summary\":")?;
        serde_json::to_writer(&mut *out, &self.summary)?;
        out.write_all(b",\n\"changes\":[")?;
        let mut buffer = Vec::new();
        for (number, entry) in self.index.iter().enumerate() {
            out.write_all(if number == 0 { b"\n" } else { b",\n" })?;
            self.read(entry, &mut buffer)?;
            out.write_all(&buffer)?;
        }
        out.write_all(b"]")?;
        for (name, list) in [
            ("skipped", &self.skipped),
            ("held", &self.held),
            ("conflicts", &self.conflicts),
        ] {
            write!(out, ",\n\"{name}\":[")?;
            for (number, listed) in list.iter().enumerate() {
                out.write_all(if number == 0 { b"\n" } else { b",\n" })?;
                serde_json::to_writer(&mut *out, &ListedDocument::from(listed))?;
            }
            out.write_all(b"]")?;
        }
        Ok(())
    }

    /// Reads a plan document and puts its changes into `spool`. The digest must be right and every member known; whether the
    /// plan may be applied is another question ([`Plan::verify`](super::Plan::verify)).
    ///
    /// # Errors
    /// [`PlanError::Document`] says what is wrong, [`PlanError::Spool`].
    pub fn parse(reader: impl io::Read, spool: Box<dyn Spool>) -> Result<Self, PlanError> {
        let mut deserializer = serde_json::Deserializer::from_reader(reader);
        let seed = read::DocumentSeed {
            writer: ChangeWriter::new(spool),
        };
        let document = serde::de::DeserializeSeed::deserialize(seed, &mut deserializer)
            .and_then(|document| deserializer.end().map(|()| document))
            .map_err(|error| PlanError::document(&error))?;
        document.into_plan()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListedDocument {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_id: Option<DeviceId>,
    code: Reason,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    object_id: Option<ObjectId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dn: Option<Dn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
}

impl From<&Listed> for ListedDocument {
    fn from(listed: &Listed) -> Self {
        Self {
            device_id: listed.device_id,
            code: listed.code,
            message: listed.message(),
            object_id: listed.object_id,
            dn: listed.dn.clone(),
            detail: listed.detail.clone(),
            sequence: listed.sequence,
        }
    }
}

impl From<ListedDocument> for Listed {
    fn from(document: ListedDocument) -> Self {
        let ListedDocument {
            device_id,
            code,
            message: _,
            object_id,
            dn,
            detail,
            sequence,
        } = document;
        Self {
            device_id,
            code,
            object_id,
            dn,
            detail,
            sequence,
        }
    }
}

mod read;

/// Bytes as lower-case hexadecimal text.
pub(crate) mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn encode(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    pub(crate) fn decode(text: &str) -> Option<[u8; 32]> {
        let bytes = text.as_bytes();
        // `from_str_radix` would take a sign for a digit.
        if bytes.len() != 64 || !bytes.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut out = [0; 32];
        for (pair, slot) in bytes.chunks_exact(2).zip(&mut out) {
            *slot = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(out)
    }

    pub(crate) fn serialize<S: Serializer>(
        bytes: &[u8; 32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        decode(&text).ok_or_else(|| serde::de::Error::custom("a digest is 64 hexadecimal digits"))
    }
}
