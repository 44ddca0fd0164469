//! From the JSON of one record to the model.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::MapAccess;

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
    #[serde(borrow, default)]
    pub(super) alternative_security_ids: Lax<Vec<Lax<RawAlternativeSecurityId<'a>>>>,
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
    #[serde(borrow, default)]
    pub(super) physical_ids: Lax<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    pub(super) profile_type: Text<'a>,
    // Seen in the field: a plain list that answers an expanded link under its delta spelling.
    #[serde(borrow, default, alias = "registeredOwners@delta")]
    pub(super) registered_owners: Lax<Vec<Lax<RawLink<'a>>>>,
    #[serde(borrow, default, alias = "registeredUsers@delta")]
    pub(super) registered_users: Lax<Vec<Lax<RawLink<'a>>>>,
    #[serde(borrow, default)]
    pub(super) trust_type: Text<'a>,
    #[serde(borrow, default, rename = "@removed")]
    pub(super) removed: Lax<RawRemoved<'a>>,
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
    Ok((item(&raw), length))
}

fn item(raw: &RawDevice<'_>) -> CloudItem {
    device(raw).unwrap_or_else(|detail| {
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
    first::<RawDevice<'_>>(json).map(|(raw, length)| (item(&raw), length))
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

fn device(raw: &RawDevice<'_>) -> Result<CloudItem, String> {
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
        account_enabled: plain("accountEnabled", &raw.account_enabled)?,
        alternative_security_ids: alternative_security_ids(&raw.alternative_security_ids)?,
        approximate_last_sign_in: parsed(
            "approximateLastSignInDateTime",
            &raw.approximate_last_sign_in_date_time,
            |text| FileTime::parse_rfc3339(text).map_err(|error| error.to_string()),
        )?,
        device_ownership: text("deviceOwnership", &raw.device_ownership)?,
        device_version: plain("deviceVersion", &raw.device_version)?,
        display_name: text("displayName", &raw.display_name)?,
        is_compliant: plain("isCompliant", &raw.is_compliant)?,
        is_managed: plain("isManaged", &raw.is_managed)?,
        on_premises_security_identifier: parsed(
            "onPremisesSecurityIdentifier",
            &raw.on_premises_security_identifier,
            sid,
        )?,
        operating_system: text("operatingSystem", &raw.operating_system)?,
        operating_system_version: text("operatingSystemVersion", &raw.operating_system_version)?,
        physical_ids: physical_ids(&raw.physical_ids)?,
        profile_type: text("profileType", &raw.profile_type)?,
        registered_owners: links("registeredOwners", &raw.registered_owners)?,
        registered_users: links("registeredUsers", &raw.registered_users)?,
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

fn plain<T: Copy>(member: &str, value: &Lax<T>) -> Result<Field<T>, String> {
    match value {
        Lax::Absent => Ok(Field::Absent),
        Lax::Null => Ok(Field::Null),
        Lax::Value(value) => Ok(Field::Value(*value)),
        Lax::Wrong => Err(wrong(member)),
    }
}

fn list<T, U>(
    member: &str,
    value: &Lax<Vec<T>>,
    item: impl FnMut(&T) -> Result<Option<U>, String>,
) -> Result<Field<Vec<U>>, String> {
    match value {
        Lax::Absent => Ok(Field::Absent),
        Lax::Null => Ok(Field::Null),
        Lax::Value(items) => items
            .iter()
            .map(item)
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()
            .map(Field::Value),
        Lax::Wrong => Err(wrong(member)),
    }
}

fn physical_ids(value: &Lax<Vec<Text<'_>>>) -> Result<Field<Vec<Box<str>>>, String> {
    list("physicalIds", value, |item| match item {
        Lax::Value(text) => Ok(Some(Box::from(&**text))),
        Lax::Absent | Lax::Null => Ok(None),
        Lax::Wrong => Err(wrong("a member of physicalIds")),
    })
}

fn alternative_security_ids(
    value: &Lax<Vec<Lax<RawAlternativeSecurityId<'_>>>>,
) -> Result<Field<AlternativeSecurityIds>, String> {
    let mut found = AlternativeSecurityIds::default();
    let items = match value {
        Lax::Absent => return Ok(Field::Absent),
        Lax::Null => return Ok(Field::Null),
        Lax::Wrong => return Err(wrong("alternativeSecurityIds")),
        Lax::Value(items) => items,
    };
    for item in items {
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
            Some(id) => found.usable.push(id),
            None => found.unusable = found.unusable.saturating_add(1),
        }
    }
    Ok(Field::Value(found))
}

fn links(
    member: &str,
    value: &Lax<Vec<Lax<RawLink<'_>>>>,
) -> Result<Field<Vec<LinkedObject>>, String> {
    list(member, value, |item| {
        let link = match item {
            Lax::Value(link) if link.removed => return Ok(None),
            Lax::Value(link) => link,
            Lax::Absent | Lax::Null | Lax::Wrong => {
                return Err(wrong(&format!("a member of {member}")));
            }
        };
        let id = identifier(&link.id).ok_or_else(|| format!("a member of {member} has no id"))?;
        let other_kind = match &link.odata_type {
            Lax::Value(kind) => !kind.to_ascii_lowercase().ends_with("graph.user"),
            _ => false,
        };
        let sid = match &link.sid {
            // Members that the app may not read come with every property null: no knowledge of the SID either way.
            Lax::Null | Lax::Absent => Field::Absent,
            other => parsed("onPremisesSecurityIdentifier of an owner", other, |text| {
                text.parse::<Sid>().map_err(|error| error.to_string())
            })?,
        };
        Ok(Some(LinkedObject {
            id,
            other_kind,
            sid,
        }))
    })
}
