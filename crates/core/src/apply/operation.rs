//! The operations of a change.

use serde::Serialize;

use crate::boolean::ldap_boolean;
use crate::dn::Dn;
use crate::guid::ObjectGuid;
use crate::plan::{Action, Change, Octets};
use crate::schema::{Attribute, DEVICE_CLASS, Syntax};

/// Names an object: by its `objectGUID` where the directory gave one (`<GUID=...>`), which survives a rename and never
/// hits another object of the same name; else by its DN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target {
    /// The DN as it was read.
    pub dn: Dn,
    /// The `objectGUID`.
    pub guid: Option<ObjectGuid>,
}

/// What a modification does with its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ModificationKind {
    /// Add these values.
    Add,
    /// Delete these values.
    Delete,
}

/// One modification of one attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Modification {
    /// Add or delete.
    pub kind: ModificationKind,
    /// LDAP name of the attribute.
    pub name: &'static str,
    /// The values; never empty.
    pub values: Vec<Octets>,
}

/// An LDAP write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Operation {
    /// Add an object.
    Add {
        /// Its name.
        dn: Dn,
        /// Its attributes with their values, `objectClass` and `cn` first.
        attributes: Vec<(&'static str, Vec<Octets>)>,
    },
    /// Modify an object, all modifications or none ([RFC 4511] 4.6).
    Modify {
        /// The object.
        target: Target,
        /// In this order.
        modifications: Vec<Modification>,
    },
    /// Delete an object.
    Delete {
        /// The object.
        target: Target,
    },
}

impl Operation {
    /// The DN that the operation is about.
    pub fn dn(&self) -> &Dn {
        match self {
            Self::Add { dn, .. } => dn,
            Self::Modify { target, .. } | Self::Delete { target } => &target.dn,
        }
    }
}

/// The operations that carry out `change`, in order.
///
/// Every modify deletes and re-adds the mark and the device id that were read, and deletes old values by value: the server
/// itself refuses it when another hand was there in between. A delete is first a modify that asserts the mark and disables.
pub fn operations(change: &Change) -> Vec<Operation> {
    match change.action {
        Action::Create => vec![add(change)],
        Action::Update | Action::Disable => vec![modify(change)],
        Action::Delete => {
            let enabled = change
                .attribute(Attribute::IsEnabled)
                .map_or(&[][..], |change| &change.old);
            vec![
                mark_for_deletion(change, enabled),
                Operation::Delete {
                    target: target(change),
                },
            ]
        }
    }
}

pub(super) fn target(change: &Change) -> Target {
    Target {
        dn: change.dn.clone(),
        guid: change.object_guid,
    }
}

/// Asserts the mark and the device id, and disables an object whose `msDS-IsEnabled` is `enabled`.
pub(super) fn mark_for_deletion(change: &Change, enabled: &[Octets]) -> Operation {
    let mut modifications = assertions(change);
    let disabled = vec![Octets::from(ldap_boolean(false))];
    swap(&mut modifications, Attribute::IsEnabled, enabled, &disabled);
    Operation::Modify {
        target: target(change),
        modifications,
    }
}

fn add(change: &Change) -> Operation {
    let text = |text: &str| Octets(text.as_bytes().to_vec());
    let name = change
        .dn
        .rdn()
        .map(|rdn| rdn.value().to_owned())
        .unwrap_or_default();
    let mut attributes = vec![
        ("objectClass", vec![text("top"), text(DEVICE_CLASS)]),
        ("cn", vec![text(&name)]),
    ];
    attributes.extend(
        change
            .attributes
            .iter()
            .map(|change| (change.attribute.name(), change.new.clone())),
    );
    Operation::Add {
        dn: change.dn.clone(),
        attributes,
    }
}

/// Whether a change is read before and after the write: deleting by value asserts numbers and flags exactly, text and sets
/// need eyes.
pub(super) fn needs_reading(change: &Change) -> bool {
    change.mark.is_none()
        || change.attributes.iter().any(|change| {
            let row = change.attribute.schema();
            !row.single_valued || row.syntax == Syntax::Unicode
        })
}

fn modify(change: &Change) -> Operation {
    let mut modifications = assertions(change);
    for change in &change.attributes {
        if !matches!(
            change.attribute,
            Attribute::CloudAnchor | Attribute::DeviceId
        ) {
            swap(
                &mut modifications,
                change.attribute,
                &change.old,
                &change.new,
            );
        }
    }
    Operation::Modify {
        target: Target {
            // Without a reading only the name says that the object is still in the container.
            guid: change.object_guid.filter(|_| needs_reading(change)),
            dn: change.dn.clone(),
        },
        modifications,
    }
}

/// The mark and the device id, deleted and added again, or replaced where the change does that.
fn assertions(change: &Change) -> Vec<Modification> {
    let mut modifications = Vec::new();
    let marks: Vec<Octets> = change.mark.iter().cloned().collect();
    let anchor = match change.action {
        Action::Delete => None,
        _ => change.attribute(Attribute::CloudAnchor),
    };
    let new_marks = anchor.map_or(&marks, |anchor| &anchor.new);
    push(
        &mut modifications,
        ModificationKind::Delete,
        Attribute::CloudAnchor,
        &marks,
    );
    push(
        &mut modifications,
        ModificationKind::Add,
        Attribute::CloudAnchor,
        new_marks,
    );
    let device = [Octets(change.device_id.to_le_bytes().to_vec())];
    push(
        &mut modifications,
        ModificationKind::Delete,
        Attribute::DeviceId,
        &device,
    );
    push(
        &mut modifications,
        ModificationKind::Add,
        Attribute::DeviceId,
        &device,
    );
    modifications
}

/// Deletes the values that are only in `old` and adds those that are only in `new`; where they are the same, asserts them.
fn swap(
    modifications: &mut Vec<Modification>,
    attribute: Attribute,
    old: &[Octets],
    new: &[Octets],
) {
    let same = old == new;
    let only = |left: &[Octets], right: &[Octets]| -> Vec<Octets> {
        left.iter()
            .filter(|value| same || !right.contains(value))
            .cloned()
            .collect()
    };
    push(
        modifications,
        ModificationKind::Delete,
        attribute,
        &only(old, new),
    );
    push(
        modifications,
        ModificationKind::Add,
        attribute,
        &only(new, old),
    );
}

fn push(
    modifications: &mut Vec<Modification>,
    kind: ModificationKind,
    attribute: Attribute,
    values: &[Octets],
) {
    if !values.is_empty() {
        modifications.push(Modification {
            kind,
            name: attribute.name(),
            values: values.to_vec(),
        });
    }
}
