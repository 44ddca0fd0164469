//! Adds, modifies and deletes, refused as Active Directory refuses them.
//!
//! The device class is checked as the schema describes it; other objects take what they are given.

use device_writeback_core::dn::Dn;
use device_writeback_core::schema::{Attribute, CONTAINER_CLASS, DEVICE_CLASS};

use super::directory::{Directory, Key, key};
use super::message::{AttributeValues, LdapResult, ModifyKind, code};
use super::values::{Entry, equal, refusal};

/// Attributes that only the server writes.
const SYSTEM: &[&str] = &[
    "distinguishedName",
    "instanceType",
    "isDeleted",
    "objectGUID",
    "objectSid",
    "uSNChanged",
    "uSNCreated",
    "whenChanged",
    "whenCreated",
];

/// What any object may have.
const OF_TOP: &[&str] = &["cn", "description", "name", "objectClass"];

impl Directory {
    pub(super) fn add(&mut self, dn: &str, attributes: &[AttributeValues]) -> LdapResult {
        let place = match self.locate(dn) {
            Ok(place) => place,
            Err(result) => return result,
        };
        if self.entries.contains_key(&place) {
            let message = "00002071: UpdErr: DSID-0305038D, problem 6005 (ENTRY_EXISTS), data 0\n";
            return LdapResult::new(code::ENTRY_ALREADY_EXISTS, message);
        }
        let mut entry = Entry::new(dn);
        for (name, values) in attributes {
            if SYSTEM
                .iter()
                .any(|system| system.eq_ignore_ascii_case(name))
            {
                let message = "0000057: SvcErr: problem 5003 (WILL_NOT_PERFORM), data 0\n";
                return LdapResult::new(code::UNWILLING_TO_PERFORM, message);
            }
            if values.is_empty() || !entry.values(name).is_empty() {
                let message = format!(
                    "00000057: comment: Error in attribute conversion operation, data 0, {name}"
                );
                return LdapResult::new(code::PROTOCOL_ERROR, &message);
            }
            entry.set(name, values.clone());
        }
        // Without the parent there is nothing to say about the class.
        let parent = place.split_last().map(|(_, parent)| parent.to_vec());
        let Some(parent) = parent.filter(|parent| self.entries.contains_key(parent)) else {
            return self.nowhere(dn, &place);
        };
        if let Err(result) = self.check(&entry, Some(&parent)) {
            return result;
        }
        if !entry.has_class("top") {
            let mut classes = entry.values("objectClass").to_vec();
            classes.insert(0, b"top".to_vec());
            entry.set("objectClass", classes);
        }
        match self.insert(entry) {
            Ok(()) => LdapResult::success(),
            Err(error) => LdapResult::new(code::INVALID_DN_SYNTAX, &error.to_string()),
        }
    }

    /// All changes or none. `permissive` is the control 1.2.840.113556.1.4.1413: a value to add
    /// that is there and one to delete that is not are no errors.
    pub(super) fn modify(
        &mut self,
        dn: &str,
        changes: &[(ModifyKind, AttributeValues)],
        permissive: bool,
    ) -> LdapResult {
        let place = match self.existing(dn) {
            Ok(place) => place,
            Err(result) => return result,
        };
        let Some(mut entry) = self.entries.get(&place).cloned() else {
            return self.nowhere(dn, &place);
        };
        for (kind, (name, values)) in changes {
            if let Err(result) = change(&mut entry, *kind, name, values, permissive) {
                return result;
            }
        }
        if let Err(result) = self.check(&entry, None) {
            return result;
        }
        self.touch(&mut entry);
        self.entries.insert(place, entry);
        LdapResult::success()
    }

    pub(super) fn delete(&mut self, dn: &str) -> LdapResult {
        let place = match self.existing(dn) {
            Ok(place) => place,
            Err(result) => return result,
        };
        if self.below(&place).next().is_some() {
            let message =
                "00002015: UpdErr: DSID-031A12D2, problem 6003 (CANT_ON_NON_LEAF), data 0\n";
            return LdapResult::new(code::NOT_ALLOWED_ON_NON_LEAF, message);
        }
        self.remove_key(&place);
        LdapResult::success()
    }

    /// What the schema demands of an object that is about to be stored.
    fn check(&self, entry: &Entry, parent: Option<&Key>) -> Result<(), LdapResult> {
        if entry.values("objectClass").is_empty() {
            let message =
                "0000207B: UpdErr: DSID-030503D5, problem 6002 (OBJ_CLASS_VIOLATION), data 0\n";
            return Err(LdapResult::new(code::OBJECT_CLASS_VIOLATION, message));
        }
        if !entry.has_class(DEVICE_CLASS) {
            return Ok(());
        }
        let container = parent.and_then(|parent| self.entries.get(parent));
        if container.is_some_and(|container| !container.has_class(CONTAINER_CLASS)) {
            let message =
                "00002099: NameErr: DSID-03050F78, problem 2003 (BAD_ATT_SYNTAX), data 0\n";
            return Err(LdapResult::new(code::NAMING_VIOLATION, message));
        }
        for (name, values) in entry.attributes() {
            let known = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
            let attribute = Attribute::from_name(name)
                .filter(|attribute| attribute.schema().since <= self.schema.object_version());
            match attribute {
                Some(attribute) => {
                    if let Some((code, message)) = refusal(attribute, values) {
                        let message = format!("{message}, data 0, Att ({name})");
                        return Err(LdapResult::new(code, &message));
                    }
                }
                None if known(SYSTEM) || known(OF_TOP) => {}
                None => {
                    let message = format!(
                        "00000057: LdapErr: DSID-0C090D8A, comment: Error in attribute conversion operation, data 0 ({name})"
                    );
                    return Err(LdapResult::new(code::NO_SUCH_ATTRIBUTE, &message));
                }
            }
        }
        for attribute in Attribute::ALL {
            if attribute.schema().mandatory && entry.values(attribute.name()).is_empty() {
                let message = format!(
                    "0000207C: UpdErr: DSID-0315166E, problem 6002 (OBJ_CLASS_VIOLATION), data 0, Att ({attribute})\n"
                );
                return Err(LdapResult::new(code::OBJECT_CLASS_VIOLATION, &message));
            }
        }
        let names_itself = Dn::parse(&entry.dn).is_ok_and(|dn| {
            let own = dn.rdn().map(|rdn| (rdn.kind(), rdn.value()));
            let cn = entry.values("cn").first();
            own.is_some_and(|(kind, value)| {
                kind == "CN" && cn.is_none_or(|cn| equal("cn", cn, value.as_bytes()))
            }) && !key(&dn).is_empty()
        });
        if !names_itself {
            let message = "00002016: UpdErr: DSID-031A1256, problem 6004 (CANT_ON_RDN), data 0\n";
            return Err(LdapResult::new(code::NOT_ALLOWED_ON_RDN, message));
        }
        Ok(())
    }
}

/// One change of one attribute.
fn change(
    entry: &mut Entry,
    kind: ModifyKind,
    name: &str,
    values: &[Vec<u8>],
    permissive: bool,
) -> Result<(), LdapResult> {
    if SYSTEM
        .iter()
        .any(|system| system.eq_ignore_ascii_case(name))
    {
        let message = format!("00000057: comment: attribute is owned by the system, Att ({name})");
        return Err(LdapResult::new(code::CONSTRAINT_VIOLATION, &message));
    }
    let mut held = entry.values(name).to_vec();
    let holds = |held: &[Vec<u8>], value: &[u8]| held.iter().any(|own| equal(name, own, value));
    match kind {
        ModifyKind::Replace => held.clear(),
        ModifyKind::Delete if values.is_empty() => {
            if held.is_empty() && !permissive {
                return Err(absent(name));
            }
            held.clear();
        }
        ModifyKind::Add | ModifyKind::Delete => {}
    }
    for value in values {
        match (kind, holds(&held, value)) {
            (ModifyKind::Delete, true) => held.retain(|own| !equal(name, own, value)),
            (ModifyKind::Delete, false) if permissive => {}
            (ModifyKind::Delete, false) => return Err(absent(name)),
            (ModifyKind::Add, true) if permissive => {}
            (_, true) => return Err(present(name)),
            (_, false) => held.push(value.clone()),
        }
    }
    let single = Attribute::from_name(name).is_some_and(|row| row.schema().single_valued);
    if single && kind == ModifyKind::Add && held.len() > 1 {
        return Err(present(name));
    }
    entry.set(name, held);
    Ok(())
}

fn absent(name: &str) -> LdapResult {
    let message = format!(
        "00002085: AtrErr: DSID-03153438, #1:\n\t0: 00002085: DSID-03153438, problem 1001 (NO_ATTRIBUTE_OR_VAL), data 0, Att ({name})\n"
    );
    LdapResult::new(code::NO_SUCH_ATTRIBUTE, &message)
}

fn present(name: &str) -> LdapResult {
    let message = format!(
        "00002083: AtrErr: DSID-03151904, #1:\n\t0: 00002083: DSID-03151904, problem 1006 (ATT_OR_VALUE_EXISTS), data 0, Att ({name})\n"
    );
    LdapResult::new(code::ATTRIBUTE_OR_VALUE_EXISTS, &message)
}
