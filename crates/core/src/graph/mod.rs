//! Microsoft Graph's `device` and `user` resources: what is read of them, and how.
//!
//! [`Reader`] takes the bytes of Graph pages in pieces of any size and gives records; it opens nothing itself. Unknown members
//! are ignored (the type is open), a member of the wrong type makes that record a [`BadRecord`] and leaves its neighbours alone.

mod fast;
mod json;
mod lax;
mod reader;
mod scan;
#[cfg(test)]
mod tests;

pub use json::{parse_device, parse_user};
pub use reader::{Element, Reader, Resource};

use std::fmt;

use crate::alt_security_id::AltSecurityId;
use crate::filetime::FileTime;
use crate::guid::{DeviceId, ObjectId};
use crate::sid::Sid;

/// A property as Graph answered it: absent is unknown, `null` is empty.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Field<T> {
    /// Not in the answer: the directory's value is kept.
    #[default]
    Absent,
    /// `null`: there is no value.
    Null,
    /// A value.
    Value(T),
}

impl<T> Field<T> {
    /// The value, if there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// Whether the property was not in the answer.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// A `device` of Microsoft Graph v1.0, as far as writeback uses it. Strings are Graph's, unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudDevice {
    /// `id`: the directory object id; key of removal records and of the cloud anchor.
    pub id: ObjectId,
    /// `deviceId`, when it is a GUID other than zero; the join key.
    pub device_id: Option<DeviceId>,
    /// `deletedDateTime` is set: the device is soft-deleted and can still be restored.
    pub deleted: bool,
    /// `accountEnabled`.
    pub account_enabled: Field<bool>,
    /// `alternativeSecurityIds`.
    pub alternative_security_ids: Field<AlternativeSecurityIds>,
    /// `approximateLastSignInDateTime`.
    pub approximate_last_sign_in: Field<FileTime>,
    /// `deviceOwnership`.
    pub device_ownership: Field<Box<str>>,
    /// `deviceVersion`.
    pub device_version: Field<i32>,
    /// `displayName`.
    pub display_name: Field<Box<str>>,
    /// `isCompliant`; `null` means not known to the service.
    pub is_compliant: Field<bool>,
    /// `isManaged`; `null` means not known to the service.
    pub is_managed: Field<bool>,
    /// `onPremisesSecurityIdentifier`: SID of the computer account of a hybrid-joined device.
    pub on_premises_security_identifier: Field<Sid>,
    /// `operatingSystem`.
    pub operating_system: Field<Box<str>>,
    /// `operatingSystemVersion`.
    pub operating_system_version: Field<Box<str>>,
    /// `physicalIds`.
    pub physical_ids: Field<Vec<Box<str>>>,
    /// `profileType`.
    pub profile_type: Field<Box<str>>,
    /// `registeredOwners`.
    pub registered_owners: Field<Vec<LinkedObject>>,
    /// `registeredUsers`.
    pub registered_users: Field<Vec<LinkedObject>>,
    /// `trustType`: `Workplace`, `AzureAd` or `ServerAd`.
    pub trust_type: Field<Box<str>>,
}

impl CloudDevice {
    /// A device of that object id whose properties are all absent.
    pub fn new(id: ObjectId) -> Self {
        Self {
            id,
            device_id: None,
            deleted: false,
            account_enabled: Field::Absent,
            alternative_security_ids: Field::Absent,
            approximate_last_sign_in: Field::Absent,
            device_ownership: Field::Absent,
            device_version: Field::Absent,
            display_name: Field::Absent,
            is_compliant: Field::Absent,
            is_managed: Field::Absent,
            on_premises_security_identifier: Field::Absent,
            operating_system: Field::Absent,
            operating_system_version: Field::Absent,
            physical_ids: Field::Absent,
            profile_type: Field::Absent,
            registered_owners: Field::Absent,
            registered_users: Field::Absent,
            trust_type: Field::Absent,
        }
    }
}

/// What `alternativeSecurityIds` held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlternativeSecurityIds {
    /// The device certificates: entries of type 2 in the form AD FS looks up.
    pub usable: Vec<AltSecurityId>,
    /// Entries that are no device certificates or could not be read.
    pub unusable: u32,
}

/// A member of `registeredOwners` or `registeredUsers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedObject {
    /// `id` of the member.
    pub id: ObjectId,
    /// Not a user (a service principal, say): never written as an owner.
    pub other_kind: bool,
    /// The user's `onPremisesSecurityIdentifier`; absent when the user could not be read.
    pub sid: Field<Sid>,
}

/// A `user` of Microsoft Graph, as far as writeback uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudUser {
    /// `id`.
    pub id: ObjectId,
    /// `onPremisesSecurityIdentifier`; `null` for a cloud-only user.
    pub sid: Field<Sid>,
}

/// One record of the cloud side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudItem {
    /// A device, alive or soft-deleted.
    Device(Box<CloudDevice>),
    /// A removal record of a delta answer (`@removed`).
    Removed {
        /// The object that was removed.
        id: ObjectId,
        /// `changed`: soft-deleted and restorable; `deleted`: gone.
        reason: Removal,
    },
    /// A record that could not be read.
    Bad(BadRecord),
}

/// The `reason` of an `@removed` annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Soft-deleted, restorable.
    Changed,
    /// Gone.
    Deleted,
}

/// A record that could not be read; it is that device's problem only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// The object id, if that much could be read.
    pub id: Option<ObjectId>,
    /// The device id, if that much could be read.
    pub device_id: Option<DeviceId>,
    /// What is wrong, naming the member.
    pub detail: String,
}

impl BadRecord {
    /// Whether it is known which device this is.
    pub fn has_id(&self) -> bool {
        self.id.is_some() || self.device_id.is_some()
    }
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.device_id, self.id) {
            (Some(device), _) => write!(f, "device {device}: {}", self.detail),
            (None, Some(id)) => write!(f, "object {id}: {}", self.detail),
            (None, None) => f.write_str(&self.detail),
        }
    }
}

/// A record with the number that orders it among the records of its import: of two records of one object the higher
/// number wins. A file source uses the record's position, so that the same number finds the record again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudRecord {
    /// Order within the import.
    pub sequence: u64,
    /// The record.
    pub item: CloudItem,
}
