//! From the JSON of one record to the model.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess};

use super::lax::{Lax, Scalar};
use super::{
    AlternativeSecurityIds, BadRecord, CloudDevice, CloudItem, CloudUser, Field, LinkedObject,
    Removal, fast,
};
use crate::alt_security_id::AltSecurityId;
use crate::filetime::FileTime;
use crate::guid::ObjectId;
use crate::sid::Sid;

pub(super) type Text<'a> = Lax<Cow<'a, str>>;

/// `alternativeSecurityIds[].type` of a device certificate.
const CERTIFICATE: i32 = 2;

/// Members that `physicalIds` usually has.
pub(super) const PHYSICAL_IDS: usize = 4;

/// Members that `registeredOwners` and `registeredUsers` usually have.
pub(super) const LINKS: usize = 1;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawDevice<'a> {
    #[serde(borrow, default)]
    pub(super) id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) device_id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) deleted_date_time: Text<'a>,
    #[serde(default)]
    pub(super) account_enabled: Lax<bool>,
    #[serde(default)]
    pub(super) alternative_security_ids: Lax<AlternativeSecurityIds>,
    #[serde(borrow, default)]
    pub(super) approximate_last_sign_in_date_time: Text<'a>,
    #[serde(borrow, default)]
    pub(super) device_ownership: Text<'a>,
    #[serde(default)]
    pub(super) device_version: Lax<i32>,
    #[serde(borrow, default)]
    pub(super) display_name: Text<'a>,
    #[serde(default)]
    pub(super) is_compliant: Lax<bool>,
    #[serde(default)]
    pub(super) is_managed: Lax<bool>,
    #[serde(borrow, default)]
    pub(super) on_premises_security_identifier: Text<'a>,
    #[serde(borrow, default)]
    pub(super) operating_system: Text<'a>,
    #[serde(borrow, default)]
    pub(super) operating_system_version: Text<'a>,
    #[serde(default)]
    pub(super) physical_ids: Lax<Listed<Box<str>>>,
    #[serde(borrow, default)]
    pub(super) profile_type: Text<'a>,
    // Seen in the field: a plain list that answers an expanded link under its delta spelling.
    #[serde(default, alias = "registeredOwners@delta")]
    pub(super) registered_owners: Lax<Listed<LinkedObject>>,
    #[serde(default, alias = "registeredUsers@delta")]
    pub(super) registered_users: Lax<Listed<LinkedObject>>,
    #[serde(borrow, default)]
    pub(super) trust_type: Text<'a>,
    #[serde(borrow, default, rename = "@removed")]
    pub(super) removed: Lax<RawRemoved<'a>>,
}

/// The members of a list, or why it is of no use.
pub(super) struct Listed<T>(Result<Vec<T>, String>);

impl<T> Listed<T> {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self(Ok(Vec::with_capacity(capacity)))
    }

    pub(super) fn push(&mut self, item: Result<Option<T>, String>) {
        match (&mut self.0, item) {
            (Ok(items), Ok(Some(item))) => items.push(item),
            (Ok(_), Err(error)) => self.0 = Err(error),
            (Ok(_), Ok(None)) | (Err(_), _) => {}
        }
    }
}

#[derive(Default)]
pub(super) struct RawAlternativeSecurityId<'a> {
    pub(super) kind: Option<i32>,
    pub(super) key: Option<Cow<'a, str>>,
}

#[derive(Default)]
pub(super) struct RawLink<'a> {
    pub(super) id: Text<'a>,
    pub(super) odata_type: Text<'a>,
    pub(super) sid: Text<'a>,
    pub(super) removed: bool,
}

pub(super) struct RawRemoved<'a> {
    reason: Text<'a>,
}

impl<'de: 'a, 'a> Scalar<'de> for RawAlternativeSecurityId<'a> {
    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut found = Self::default();
        while let Some(name) = map.next_key::<Key<'a>>()? {
            match &*name.0 {
                "type" => found.kind = map.next_value::<Lax<i32>>()?.into_value(),
                "key" => found.key = map.next_value::<Text<'a>>()?.into_value(),
                _ => skip(&mut map)?,
            }
        }
        Ok(Some(found))
    }
}

impl<'de: 'a, 'a> Scalar<'de> for RawLink<'a> {
    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut found = Self::default();
        while let Some(name) = map.next_key::<Key<'a>>()? {
            match &*name.0 {
                "id" => found.id = map.next_value()?,
                "@odata.type" => found.odata_type = map.next_value()?,
                "onPremisesSecurityIdentifier" => found.sid = map.next_value()?,
                "@removed" => {
                    found.removed = true;
                    skip(&mut map)?;
                }
                _ => skip(&mut map)?,
            }
        }
        Ok(Some(found))
    }
}

impl<'de: 'a, 'a> Scalar<'de> for RawRemoved<'a> {
    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let mut reason = Lax::Absent;
        while let Some(name) = map.next_key::<Key<'a>>()? {
            match &*name.0 {
                "reason" => reason = map.next_value()?,
                _ => skip(&mut map)?,
            }
        }
        Ok(Some(Self { reason }))
    }
}

impl<'de> Scalar<'de> for AlternativeSecurityIds {
    fn from_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Option<Self>, A::Error> {
        let mut found = Self::default();
        while let Some(item) = seq.next_element::<Lax<RawAlternativeSecurityId<'de>>>()? {
            add_alternative_security_id(&mut found, &item);
        }
        Ok(Some(found))
    }
}

impl<'de> Scalar<'de> for Listed<Box<str>> {
    fn from_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Option<Self>, A::Error> {
        let mut found = Self::with_capacity(PHYSICAL_IDS);
        while let Some(item) = seq.next_element::<Text<'de>>()? {
            found.push(physical_id(&item));
        }
        Ok(Some(found))
    }
}

impl<'de> Scalar<'de> for Listed<LinkedObject> {
    fn from_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Option<Self>, A::Error> {
        let mut found = Self::with_capacity(LINKS);
        while let Some(item) = seq.next_element::<Lax<RawLink<'de>>>()? {
            found.push(link(&item));
        }
        Ok(Some(found))
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<serde::de::IgnoredAny>().map(drop)
}

/// Reads one JSON object at the start of `json` as a device record and says how many bytes it took.
///
/// # Errors
/// The JSON reader's own error: `is_eof()` means that `json` ends inside the record.
pub fn parse_device(json: &str) -> Result<(CloudItem, usize), serde_json::Error> {
    let (raw, length) = match fast::device(json) {
        Some(found) => found,
        None => first::<RawDevice<'_>>(json)?,
    };
    Ok((item(raw), length))
}

fn item(mut raw: RawDevice<'_>) -> CloudItem {
    device(&mut raw).unwrap_or_else(|detail| {
        CloudItem::Bad(BadRecord {
            id: identifier(&raw.id),
            device_id: identifier(&raw.device_id),
            detail,
        })
    })
}

/// The way of [`parse_device`] for every record; what [`fast`] has to agree with.
#[cfg(test)]
pub(super) fn parse_device_slowly(json: &str) -> Result<(CloudItem, usize), serde_json::Error> {
    first::<RawDevice<'_>>(json).map(|(raw, length)| (item(raw), length))
}

/// Reads one JSON object at the start of `json` as a user and says how many bytes it took. The inner error says why a
/// well-formed record is of no use.
///
/// # Errors
/// As [`parse_device`].
pub fn parse_user(json: &str) -> Result<(Result<CloudUser, BadRecord>, usize), serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct RawUser<'a> {
        #[serde(borrow, default)]
        id: Text<'a>,
        #[serde(borrow, default)]
        on_premises_security_identifier: Text<'a>,
    }
    let (raw, length) = first::<RawUser<'_>>(json)?;
    let id = identifier::<ObjectId>(&raw.id);
    let bad = |detail: String| BadRecord {
        id,
        device_id: None,
        detail,
    };
    let user = match id {
        None => Err(bad("id is missing or no GUID".into())),
        Some(id) => parsed(
            "onPremisesSecurityIdentifier",
            &raw.on_premises_security_identifier,
            |text| text.parse::<Sid>().map_err(|error| error.to_string()),
        )
        .map(|sid| CloudUser { id, sid })
        .map_err(bad),
    };
    Ok((user, length))
}

fn first<'a, T: Deserialize<'a>>(json: &'a str) -> Result<(T, usize), serde_json::Error> {
    let mut stream = serde_json::Deserializer::from_str(json).into_iter::<T>();
    match stream.next() {
        Some(Ok(value)) => Ok((value, stream.byte_offset())),
        Some(Err(error)) => Err(error),
        None => Err(serde::de::Error::custom("no JSON value here")),
    }
}

fn device(raw: &mut RawDevice<'_>) -> Result<CloudItem, String> {
    let id: ObjectId = identifier(&raw.id).ok_or("id is missing or no GUID")?;
    match &raw.removed {
        Lax::Absent | Lax::Null => {}
        Lax::Wrong => return Err(wrong("@removed")),
        Lax::Value(removed) => {
            let reason = match &removed.reason {
                Lax::Value(text) if text.eq_ignore_ascii_case("deleted") => Removal::Deleted,
                Lax::Value(text) if text.eq_ignore_ascii_case("changed") => Removal::Changed,
                _ => return Err("@removed has a reason that is neither changed nor deleted".into()),
            };
            return Ok(CloudItem::Removed { id, reason });
        }
    }
    if matches!(raw.device_id, Lax::Wrong) {
        return Err(wrong("deviceId"));
    }
    let sid = |text: &str| text.parse::<Sid>().map_err(|error| error.to_string());
    Ok(CloudItem::Device(Box::new(CloudDevice {
        id,
        device_id: identifier(&raw.device_id),
        deleted: text("deletedDateTime", &raw.deleted_date_time)?
            .value()
            .is_some(),
        account_enabled: taken("accountEnabled", &mut raw.account_enabled)?,
        alternative_security_ids: taken(
            "alternativeSecurityIds",
            &mut raw.alternative_security_ids,
        )?,
        approximate_last_sign_in: parsed(
            "approximateLastSignInDateTime",
            &raw.approximate_last_sign_in_date_time,
            |text| FileTime::parse_rfc3339(text).map_err(|error| error.to_string()),
        )?,
        device_ownership: text("deviceOwnership", &raw.device_ownership)?,
        device_version: taken("deviceVersion", &mut raw.device_version)?,
        display_name: text("displayName", &raw.display_name)?,
        is_compliant: taken("isCompliant", &mut raw.is_compliant)?,
        is_managed: taken("isManaged", &mut raw.is_managed)?,
        on_premises_security_identifier: parsed(
            "onPremisesSecurityIdentifier",
            &raw.on_premises_security_identifier,
            sid,
        )?,
        operating_system: text("operatingSystem", &raw.operating_system)?,
        operating_system_version: text("operatingSystemVersion", &raw.operating_system_version)?,
        physical_ids: list("physicalIds", &mut raw.physical_ids)?,
        profile_type: text("profileType", &raw.profile_type)?,
        registered_owners: list("registeredOwners", &mut raw.registered_owners)?,
        registered_users: list("registeredUsers", &mut raw.registered_users)?,
        trust_type: text("trustType", &raw.trust_type)?,
    })))
}

fn wrong(member: &str) -> String {
    format!("{member} is of the wrong type")
}

fn identifier<T: std::str::FromStr>(value: &Text<'_>) -> Option<T> {
    match value {
        Lax::Value(text) => text.parse().ok(),
        Lax::Absent | Lax::Null | Lax::Wrong => None,
    }
}

fn parsed<T>(
    member: &str,
    value: &Text<'_>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Field<T>, String> {
    match value {
        Lax::Absent => Ok(Field::Absent),
        Lax::Null => Ok(Field::Null),
        Lax::Value(text) => match parse(text) {
            Ok(value) => Ok(Field::Value(value)),
            Err(error) => Err(format!("{member}: {error}")),
        },
        Lax::Wrong => Err(wrong(member)),
    }
}

fn text(member: &str, value: &Text<'_>) -> Result<Field<Box<str>>, String> {
    parsed(member, value, |text| Ok(text.into()))
}

fn taken<T>(member: &str, value: &mut Lax<T>) -> Result<Field<T>, String> {
    match std::mem::take(value) {
        Lax::Absent => Ok(Field::Absent),
        Lax::Null => Ok(Field::Null),
        Lax::Value(value) => Ok(Field::Value(value)),
        Lax::Wrong => Err(wrong(member)),
    }
}

fn list<T>(member: &str, value: &mut Lax<Listed<T>>) -> Result<Field<Vec<T>>, String> {
    match taken(member, value)? {
        Field::Absent => Ok(Field::Absent),
        Field::Null => Ok(Field::Null),
        Field::Value(Listed(items)) => items
            .map(Field::Value)
            .map_err(|error| format!("{member}: {error}")),
    }
}

pub(super) fn physical_id(item: &Text<'_>) -> Result<Option<Box<str>>, String> {
    match item {
        Lax::Value(text) => Ok(Some(Box::from(&**text))),
        Lax::Absent | Lax::Null => Ok(None),
        Lax::Wrong => Err(wrong("a member")),
    }
}

pub(super) fn add_alternative_security_id(
    found: &mut AlternativeSecurityIds,
    item: &Lax<RawAlternativeSecurityId<'_>>,
) {
    // The property is documented as "internal use only": whatever else stands there is not ours to judge.
    let certificate = match item {
        Lax::Value(RawAlternativeSecurityId {
            kind: Some(CERTIFICATE),
            key: Some(key),
        }) => AltSecurityId::from_graph_key(key).ok(),
        _ => None,
    };
    match certificate {
        Some(id) if found.usable.contains(&id) => {}
        Some(id) => {
            if found.usable.is_empty() {
                found.usable.reserve_exact(1);
            }
            found.usable.push(id);
        }
        None => found.unusable = found.unusable.saturating_add(1),
    }
}

pub(super) fn link(item: &Lax<RawLink<'_>>) -> Result<Option<LinkedObject>, String> {
    let link = match item {
        Lax::Value(link) if link.removed => return Ok(None),
        Lax::Value(link) => link,
        Lax::Absent | Lax::Null | Lax::Wrong => return Err(wrong("a member")),
    };
    let id = identifier(&link.id).ok_or("a member has no id")?;
    let other_kind = match &link.odata_type {
        Lax::Value(kind) => !is_user(kind),
        _ => false,
    };
    let sid = match &link.sid {
        // Members that the app may not read come with every property null: no knowledge of the SID either way.
        Lax::Null | Lax::Absent => Field::Absent,
        other => parsed("onPremisesSecurityIdentifier of a member", other, |text| {
            text.parse::<Sid>().map_err(|error| error.to_string())
        })?,
    };
    Ok(Some(LinkedObject {
        id,
        other_kind,
        sid,
    }))
}

fn is_user(odata_type: &str) -> bool {
    const USER: &[u8] = b"graph.user";
    odata_type
        .as_bytes()
        .split_last_chunk::<{ USER.len() }>()
        .is_some_and(|(_, end)| end.eq_ignore_ascii_case(USER))
}
