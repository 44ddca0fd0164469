//! What a domain controller says to a write, as far as the object alone decides it.
//!
//! The results are those that Active Directory gives; where a test domain controller is known to
//! differ (it answers `invalidAttributeSyntax` to a value out of range), Active Directory's.

use std::borrow::Cow;

use device_writeback_core::apply::{Modification, ModificationKind, OperationResult, ResultCode};
use device_writeback_core::attributes::{parse_number, validate};
use device_writeback_core::dn::Dn;
use device_writeback_core::dn_binary::DnBinary;
use device_writeback_core::plan::Octets;
use device_writeback_core::schema::{Attribute, DEVICE_CLASS, Syntax};

use super::entry::{Entry, OBJECT_CLASS};
use super::refusal::refuse;
use device_writeback_core::schema::SchemaVersion;

/// `rangeUpper` of `cn`, in UTF-16 code units ([MS-ADA1] 2.110).
const CN_MAX: usize = 64;

/// Attributes that only the system writes; `systemOnly` in the schema.
const SYSTEM_ONLY: &[&str] = &[
    "createTimeStamp",
    "distinguishedName",
    "instanceType",
    "isDeleted",
    "isRecycled",
    "lastKnownParent",
    "modifyTimeStamp",
    "objectCategory",
    "objectGUID",
    "replPropertyMetaData",
    "structuralObjectClass",
    "uSNChanged",
    "uSNCreated",
    "whenChanged",
    "whenCreated",
];

/// Attributes that every class has and that are none of a writeback's business.
const OF_TOP: &[&str] = &[
    "adminDescription",
    "adminDisplayName",
    "description",
    "displayNamePrintable",
    "extensionName",
    "flags",
    "isCriticalSystemObject",
    "nTSecurityDescriptor",
    "proxyAddresses",
    "revision",
    "showInAdvancedViewOnly",
    "url",
    "wWWHomePage",
];

/// Attributes that the schema has, but not on `msDS-Device`; those that one could take for a device's.
const OF_OTHER_CLASSES: &[&str] = &[
    "adminCount",
    "c",
    "company",
    "department",
    "dNSHostName",
    "employeeID",
    "givenName",
    "info",
    "keywords",
    "l",
    "location",
    "mail",
    "managedBy",
    "manager",
    "member",
    "mobile",
    "msDS-CloudIsEnabled",
    "msDS-DeviceDN",
    "msDS-DeviceLocation",
    "msDS-IssuerPublicCertificates",
    "msDS-MaximumRegistrationInactivityPeriod",
    "msDS-RegistrationQuota",
    "networkAddress",
    "operatingSystem",
    "operatingSystemVersion",
    "ou",
    "owner",
    "sAMAccountName",
    "serialNumber",
    "servicePrincipalName",
    "sn",
    "telephoneNumber",
    "userAccountControl",
    "userCertificate",
    "userPrincipalName",
    "userSMIMECertificate",
];

/// Classes that the schema has besides the device's.
const OTHER_CLASSES: &[&str] = &[
    "computer",
    "contact",
    "container",
    "device",
    "domainDNS",
    "group",
    "inetOrgPerson",
    "msDS-DeviceContainer",
    "msDS-DeviceRegistrationService",
    "msDS-DeviceRegistrationServiceContainer",
    "organizationalPerson",
    "organizationalUnit",
    "person",
    "serviceConnectionPoint",
    "user",
];

/// Attributes with all the values they are to have.
pub(super) type Values = Vec<(Attribute, Vec<Octets>)>;

/// Checks a new object by itself. Gives its attributes in the order they came.
pub(super) fn check_add<'a>(
    dn: &Dn,
    attributes: &'a [(&'static str, Vec<Octets>)],
    schema: SchemaVersion,
) -> Result<Vec<(Attribute, &'a [Octets])>, OperationResult> {
    check_class(dn, attributes)?;
    let mut found: Vec<(Attribute, &[Octets])> = Vec::with_capacity(attributes.len());
    for (name, values) in attributes {
        if name.eq_ignore_ascii_case(OBJECT_CLASS) {
            continue;
        }
        if name.eq_ignore_ascii_case("cn") {
            check_cn(dn, values)?;
            continue;
        }
        for given in ["objectGUID", "objectSid"] {
            if name.eq_ignore_ascii_case(given) {
                return Err(refuse(
                    ResultCode::UNWILLING_TO_PERFORM,
                    format!("{given} of {dn} is given by the directory alone"),
                ));
            }
        }
        let attribute = attribute(name, dn, schema)?;
        if found.iter().any(|(other, _)| *other == attribute) {
            return Err(refuse(
                ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
                format!("{name} of {dn} is given twice"),
            ));
        }
        let mut checked: Vec<Octets> = Vec::with_capacity(values.len());
        add_values(attribute, &mut checked, values, dn)?;
        found.push((attribute, values));
    }
    for attribute in mandatory() {
        if !found.iter().any(|(other, _)| *other == attribute) {
            return Err(missing(attribute, dn));
        }
    }
    Ok(found)
}

/// Checks modifications of an object, each one seeing those before it. Gives what changes.
pub(super) fn check_modify(
    entry: &Entry,
    modifications: &[Modification],
    schema: SchemaVersion,
) -> Result<Values, OperationResult> {
    let dn = &entry.dn;
    if modifications.is_empty() {
        return Err(refuse(
            ResultCode::UNWILLING_TO_PERFORM,
            format!("the modify of {dn} has no modifications"),
        ));
    }
    let mut now: Values = Vec::new();
    for Modification { kind, name, values } in modifications {
        let attribute = attribute(name, dn, schema)?;
        let place = match now.iter().position(|(other, _)| *other == attribute) {
            Some(place) => place,
            None => {
                now.push((attribute, stored(entry, attribute)));
                now.len() - 1
            }
        };
        let Some((_, current)) = now.get_mut(place) else {
            continue;
        };
        match kind {
            ModificationKind::Add => add_values(attribute, current, values, dn)?,
            ModificationKind::Delete => delete_values(attribute, current, values, dn)?,
        }
    }
    now.retain(|(attribute, values)| {
        let mut before = stored(entry, *attribute);
        let mut after = values.clone();
        before.sort_unstable();
        after.sort_unstable();
        before != after
    });
    for (attribute, values) in &now {
        if attribute.schema().mandatory && values.is_empty() {
            return Err(missing(*attribute, dn));
        }
    }
    Ok(now)
}

fn stored(entry: &Entry, attribute: Attribute) -> Vec<Octets> {
    entry.values(attribute.name()).map(Octets::from).collect()
}

fn mandatory() -> impl Iterator<Item = Attribute> {
    Attribute::ALL
        .iter()
        .copied()
        .filter(|attribute| attribute.schema().mandatory)
}

fn missing(attribute: Attribute, dn: &Dn) -> OperationResult {
    refuse(
        ResultCode::OBJECT_CLASS_VIOLATION,
        format!("{dn} would lack {attribute}, which is mandatory"),
    )
}

fn check_class(dn: &Dn, attributes: &[(&'static str, Vec<Octets>)]) -> Result<(), OperationResult> {
    let classes: Vec<&[u8]> = attributes
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(OBJECT_CLASS))
        .flat_map(|(_, values)| values.iter().map(AsRef::as_ref))
        .collect();
    let is = |class: &[u8], name: &str| class.eq_ignore_ascii_case(name.as_bytes());
    let mut is_device = false;
    for class in &classes {
        if is(class, DEVICE_CLASS) {
            is_device = true;
        } else if OTHER_CLASSES.iter().any(|other| is(class, other)) {
            return Err(refuse(
                ResultCode::UNWILLING_TO_PERFORM,
                format!("adding {dn}: only objects of class {DEVICE_CLASS} can be added"),
            ));
        } else if !is(class, "top") {
            return Err(refuse(
                ResultCode::NO_SUCH_ATTRIBUTE,
                format!("adding {dn}: the schema has no such objectClass"),
            ));
        }
    }
    if is_device {
        return Ok(());
    }
    Err(refuse(
        ResultCode::OBJECT_CLASS_VIOLATION,
        format!("{dn} has no structural objectClass"),
    ))
}

fn check_cn(dn: &Dn, values: &[Octets]) -> Result<(), OperationResult> {
    let rdn = dn.rdn().map(|rdn| rdn.value()).unwrap_or_default();
    match values {
        [value] => match std::str::from_utf8(value.as_ref()) {
            Ok(text) if lower(text) == lower(rdn) => Ok(()),
            Ok(_) => Err(refuse(
                ResultCode::INVALID_DN_SYNTAX,
                format!("cn of {dn} is not the value in its name"),
            )),
            Err(_) => Err(refuse(
                ResultCode::INVALID_ATTRIBUTE_SYNTAX,
                format!("cn of {dn} is not UTF-8"),
            )),
        },
        _ => Err(refuse(
            ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
            format!("cn of {dn} has one value, the one in its name"),
        )),
    }
}

/// Checks the name that a new device is to have.
pub(super) fn check_name(dn: &Dn) -> Result<(), OperationResult> {
    let Some(rdn) = dn.rdn() else {
        return Err(refuse(
            ResultCode::INVALID_DN_SYNTAX,
            "the empty name names no object",
        ));
    };
    if rdn.kind() != "CN" || rdn.is_multi_valued() {
        return Err(refuse(
            ResultCode::NAMING_VIOLATION,
            format!("{dn}: a {DEVICE_CLASS} is named by its cn alone"),
        ));
    }
    let length = rdn.value().encode_utf16().count();
    if !(1..=CN_MAX).contains(&length) {
        return Err(refuse(
            ResultCode::CONSTRAINT_VIOLATION,
            format!("cn of {dn} has {length} characters, the schema allows 1 to {CN_MAX}"),
        ));
    }
    Ok(())
}

/// The attribute of that name, if it can be written to a device.
fn attribute(name: &str, dn: &Dn, schema: SchemaVersion) -> Result<Attribute, OperationResult> {
    let is_one_of = |names: &[&str]| names.iter().any(|other| other.eq_ignore_ascii_case(name));
    let (code, why) = match Attribute::from_name(name) {
        Some(attribute) if schema.attributes().contains(attribute) => return Ok(attribute),
        Some(_) => (
            ResultCode::NO_SUCH_ATTRIBUTE,
            "is not in a schema of this version",
        ),
        None if is_one_of(&["cn", "name"]) => (
            ResultCode::NOT_ALLOWED_ON_RDN,
            "is the object's name, which a rename changes",
        ),
        None if is_one_of(SYSTEM_ONLY) => (
            ResultCode::CONSTRAINT_VIOLATION,
            "is written by the system alone",
        ),
        None if name.eq_ignore_ascii_case(OBJECT_CLASS) => (
            ResultCode::OBJECT_CLASS_VIOLATION,
            "cannot change after the object was made",
        ),
        None if name.eq_ignore_ascii_case("objectSid") => (
            ResultCode::UNWILLING_TO_PERFORM,
            "is given by the directory alone",
        ),
        None if is_one_of(OF_TOP) => (
            ResultCode::UNWILLING_TO_PERFORM,
            "is no attribute that a writeback has to do with",
        ),
        None if is_one_of(OF_OTHER_CLASSES) => (
            ResultCode::OBJECT_CLASS_VIOLATION,
            "is not in the object's class",
        ),
        None => (ResultCode::NO_SUCH_ATTRIBUTE, "is not in the schema"),
    };
    Err(refuse(code, format!("{name} of {dn} {why}")))
}

fn add_values(
    attribute: Attribute,
    current: &mut Vec<Octets>,
    values: &[Octets],
    dn: &Dn,
) -> Result<(), OperationResult> {
    if values.is_empty() {
        return Err(refuse(
            ResultCode::INVALID_ATTRIBUTE_SYNTAX,
            format!("{attribute} of {dn} is added without a value"),
        ));
    }
    for value in values {
        check_value(attribute, value.as_ref(), dn)?;
        if attribute.schema().single_valued && !current.is_empty() {
            return Err(refuse(
                ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
                format!("{attribute} of {dn} has a value already and can have one only"),
            ));
        }
        let form = match_form(attribute, value.as_ref());
        if current
            .iter()
            .any(|other| match_form(attribute, other.as_ref()) == form)
        {
            return Err(refuse(
                ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
                format!("{attribute} of {dn} has that value already"),
            ));
        }
        current.push(value.clone());
    }
    Ok(())
}

fn delete_values(
    attribute: Attribute,
    current: &mut Vec<Octets>,
    values: &[Octets],
    dn: &Dn,
) -> Result<(), OperationResult> {
    if current.is_empty() {
        return Err(refuse(
            ResultCode::NO_SUCH_ATTRIBUTE,
            format!("{attribute} of {dn} has no value to delete"),
        ));
    }
    if values.is_empty() {
        current.clear();
    }
    for value in values {
        let form = match_form(attribute, value.as_ref());
        let place = current
            .iter()
            .position(|other| match_form(attribute, other.as_ref()) == form);
        match place {
            Some(place) => {
                current.remove(place);
            }
            None => {
                return Err(refuse(
                    ResultCode::NO_SUCH_ATTRIBUTE,
                    format!("{attribute} of {dn} does not have the value to delete"),
                ));
            }
        }
    }
    Ok(())
}

fn check_value(attribute: Attribute, value: &[u8], dn: &Dn) -> Result<(), OperationResult> {
    let Err(error) = validate(attribute, value) else {
        return Ok(());
    };
    let row = attribute.schema();
    let length = match row.syntax {
        Syntax::Unicode => std::str::from_utf8(value)
            .ok()
            .map(|text| text.encode_utf16().count()),
        _ => Some(value.len()),
    };
    let is_out_of_range = match (length, row.range) {
        (Some(length), Some((low, high))) => length > 0 && !(low..=high).contains(&length),
        _ => false,
    };
    let code = if is_out_of_range {
        ResultCode::CONSTRAINT_VIOLATION
    } else {
        ResultCode::INVALID_ATTRIBUTE_SYNTAX
    };
    Err(refuse(
        code,
        format!("{attribute} of {dn}: {}", error.detail()),
    ))
}

/// A form of `value` that is the same for values which the directory holds equal: it compares
/// Unicode text without regard to case, whatever the text means.
fn match_form(attribute: Attribute, value: &[u8]) -> Cow<'_, [u8]> {
    let text = || std::str::from_utf8(value).ok();
    match attribute.schema().syntax {
        Syntax::Unicode => match text() {
            Some(text) => Cow::Owned(lower(text).into_bytes()),
            None => Cow::Borrowed(value),
        },
        Syntax::Integer | Syntax::LargeInteger => match parse_number(value) {
            Some(number) => Cow::Owned(number.to_be_bytes().to_vec()),
            None => Cow::Borrowed(value),
        },
        Syntax::DnBinary => match text().map(DnBinary::parse) {
            Some(Ok(parsed)) => {
                let mut form = parsed.data().to_vec();
                form.extend_from_slice(parsed.dn().normalized().as_bytes());
                Cow::Owned(form)
            }
            _ => Cow::Borrowed(value),
        },
        _ => Cow::Borrowed(value),
    }
}

fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}
