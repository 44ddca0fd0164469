//! One planned change.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cloud_anchor;
use crate::dn::Dn;
use crate::filetime::FileTime;
use crate::guid::{DeviceId, ObjectGuid, ObjectId};
use crate::rules::{Notice, Reason};
use crate::schema::{Attribute, Equality, Syntax};
use crate::sid::Sid;

/// What is done to an object. The order is the order of a plan: what locks out a device that should be locked out comes first,
/// what cannot be taken back comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Action {
    /// `msDS-IsEnabled` becomes `FALSE`, with whatever else changes.
    Disable,
    /// Attributes change.
    Update,
    /// The object is created.
    Create,
    /// The object is deleted.
    Delete,
}

impl Action {
    /// Every action, in plan order.
    pub const ALL: &'static [Self] = &[Self::Disable, Self::Update, Self::Create, Self::Delete];

    /// The action's name in a plan document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Update => "update",
            Self::Create => "create",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A change of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What is done.
    pub action: Action,
    /// Which device.
    pub device_id: DeviceId,
    /// The cloud object behind it, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_id: Option<ObjectId>,
    /// The object's name.
    pub dn: Dn,
    /// The object's `displayName` as it was read, for people; absent for a create.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The object's `objectGUID`; absent for a create, and where the directory has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_guid: Option<ObjectGuid>,
    /// Why.
    pub reason: Reason,
    /// The octets of `msDS-CloudAnchor` as they were read: the mark that every write asserts. Absent for a create and for an adoption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Octets>,
    /// What changes, in schema table order. A delete lists the values that are lost.
    pub attributes: Vec<AttributeChange>,
    /// Remarks on values that are not written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
}

impl Change {
    /// Whether this counts as a retirement: a delete, or a disable because the device is gone (for good, or soft-deleted) or
    /// out of scope. A disable that only follows the cloud's own flag is none.
    pub fn is_retirement(&self) -> bool {
        match self.action {
            Action::Delete => true,
            Action::Disable => {
                matches!(
                    self.reason,
                    Reason::GoneAbsent
                        | Reason::GoneRemoved
                        | Reason::SoftDeleted
                        | Reason::OutOfScope
                )
            }
            Action::Create | Action::Update => false,
        }
    }

    /// The change of `attribute`.
    pub fn attribute(&self, attribute: Attribute) -> Option<&AttributeChange> {
        self.attributes
            .iter()
            .find(|change| change.attribute == attribute)
    }

    /// What the device is called, for people: the new name where the change sets one.
    pub fn name(&self) -> Option<String> {
        let set = self
            .attribute(Attribute::DisplayName)
            .and_then(|change| change.new.first().or(change.old.first()))
            .map(|value| String::from_utf8_lossy(&value.0).into_owned());
        set.or_else(|| self.display_name.clone())
    }
}

/// Old and new values of one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeChange {
    /// The attribute.
    pub attribute: Attribute,
    /// The values as they were read, in a fixed order.
    pub old: Vec<Octets>,
    /// The values as they will be, in a fixed order.
    pub new: Vec<Octets>,
}

/// A value in LDAP wire encoding.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Octets(pub Vec<u8>);

impl AsRef<[u8]> for Octets {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Octets {
    fn from(value: &[u8]) -> Self {
        Self(value.to_vec())
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// What a value means, where its octets do not say it plainly: a GUID, a SID, a time.
pub fn meaning(attribute: Attribute, value: &[u8]) -> Option<String> {
    let row = attribute.schema();
    match (attribute, row.equality, row.syntax) {
        (Attribute::DeviceId, ..) => Some(DeviceId::from_le_slice(value).ok()?.to_string()),
        (Attribute::DeviceTrustType, ..) => match value {
            b"0" => Some("Workplace".into()),
            b"1" => Some("AzureAd".into()),
            b"2" => Some("ServerAd".into()),
            _ => None,
        },
        (_, Equality::Raised, _) => Some(FileTime::parse_ticks(value).ok()?.to_string()),
        (_, Equality::CloudAnchor, _) if !is_plain(value) => {
            Some(format!("Device_{}", cloud_anchor::decode(value).ok()?))
        }
        (_, Equality::Sid, _) if !is_plain(value) => {
            let (sid, _): (Sid, _) = Sid::decode_either(value).ok()?;
            Some(sid.to_string())
        }
        _ => None,
    }
}

/// A value as the plan document shows it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueDocument {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    meaning: Option<String>,
}

impl ValueDocument {
    fn new(attribute: Option<Attribute>, value: &[u8]) -> Self {
        let text = match attribute.map(|attribute| (attribute, attribute.schema().syntax)) {
            Some((Attribute::DeviceId, _)) => None,
            Some((_, Syntax::Unicode)) => std::str::from_utf8(value).ok(),
            _ if is_plain(value) => std::str::from_utf8(value).ok(),
            _ => None,
        };
        Self {
            text: text.map(str::to_owned),
            base64: if text.is_none() {
                Some(BASE64.encode(value))
            } else {
                None
            },
            meaning: attribute.and_then(|attribute| meaning(attribute, value)),
        }
    }

    fn octets<E: serde::de::Error>(self, attribute: Option<Attribute>) -> Result<Octets, E> {
        let octets = match (&self.text, &self.base64) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(text)) => BASE64
                .decode(text)
                .map_err(|_| E::custom("a value's base64 is not base64"))?,
            _ => return Err(E::custom("a value has either text or base64")),
        };
        // The meaning is what a person approves: it must be the value's own.
        if self.meaning != attribute.and_then(|attribute| meaning(attribute, &octets)) {
            return Err(E::custom("a value's meaning is not what its octets mean"));
        }
        Ok(Octets(octets))
    }
}

fn is_plain(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|byte| (0x20..0x7F).contains(byte))
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ValueDocument::new(None, &self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ValueDocument::deserialize(deserializer)?.octets(None)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttributeChangeDocument {
    name: String,
    old: Vec<ValueDocument>,
    new: Vec<ValueDocument>,
}

impl Serialize for AttributeChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let documents = |values: &[Octets]| {
            values
                .iter()
                .map(|value| ValueDocument::new(Some(self.attribute), &value.0))
                .collect()
        };
        AttributeChangeDocument {
            name: self.attribute.name().to_owned(),
            old: documents(&self.old),
            new: documents(&self.new),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AttributeChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let document = AttributeChangeDocument::deserialize(deserializer)?;
        let attribute = Attribute::from_name(&document.name).ok_or_else(|| {
            D::Error::custom(format!(
                "{} is no attribute of msDS-Device",
                document.name.escape_debug()
            ))
        })?;
        let octets = |values: Vec<ValueDocument>| {
            values
                .into_iter()
                .map(|value| value.octets(Some(attribute)))
                .collect::<Result<_, _>>()
        };
        Ok(Self {
            attribute,
            old: octets(document.old)?,
            new: octets(document.new)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoticeDocument {
    attribute: String,
    code: Reason,
}

impl Serialize for Notice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        NoticeDocument {
            attribute: self.attribute.name().to_owned(),
            code: self.reason,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Notice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let document = NoticeDocument::deserialize(deserializer)?;
        let attribute = Attribute::from_name(&document.attribute)
            .ok_or_else(|| D::Error::custom("a notice names no attribute of msDS-Device"))?;
        Ok(Self {
            attribute,
            reason: document.code,
        })
    }
}
