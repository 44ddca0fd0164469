//! The live schema, as the subschema subentry tells it ([RFC 4512] 4.1.1).

use std::collections::{BTreeMap, BTreeSet};

use device_writeback_core::attributes::AttributeMask;
use device_writeback_core::schema::Attribute;

/// Object classes by name.
#[derive(Debug, Default)]
pub(crate) struct ObjectClasses(BTreeMap<String, ObjectClass>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ObjectClass {
    superiors: Vec<String>,
    attributes: Vec<String>,
}

impl ObjectClasses {
    /// Reads `objectClasses` values; what is no description of a class is left out.
    pub(crate) fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut classes = BTreeMap::new();
        for value in values {
            let Ok(text) = std::str::from_utf8(value) else {
                continue;
            };
            let (names, class) = description(text);
            for name in names {
                classes.insert(name.to_ascii_lowercase(), class.clone());
            }
        }
        Self(classes)
    }

    /// The attributes of the schema table that the class has, its own and those of its superclasses.
    pub(crate) fn attributes_of(&self, class: &str) -> Option<AttributeMask> {
        let mut mask = AttributeMask::EMPTY;
        let mut waiting = vec![class.to_ascii_lowercase()];
        let mut seen = BTreeSet::new();
        self.0.get(waiting.first()?)?;
        while let Some(name) = waiting.pop() {
            if let Some(class) = self.0.get(&name)
                && seen.insert(name)
            {
                waiting.extend(class.superiors.iter().map(|name| name.to_ascii_lowercase()));
                for attribute in class
                    .attributes
                    .iter()
                    .filter_map(|name| Attribute::from_name(name))
                {
                    mask.insert(attribute);
                }
            }
        }
        Some(mask)
    }
}

/// `( 1.2.3 NAME 'msDS-Device' SUP top STRUCTURAL MUST ( a $ b ) MAY c )`
fn description(text: &str) -> (Vec<String>, ObjectClass) {
    let mut class = ObjectClass::default();
    let mut names = Vec::new();
    let mut words = words(text).into_iter().peekable();
    while let Some(word) = words.next() {
        let list = match word.as_str() {
            "NAME" => &mut names,
            "SUP" => &mut class.superiors,
            "MUST" | "MAY" => &mut class.attributes,
            _ => continue,
        };
        match words.next().as_deref() {
            Some("(") => {
                for word in words.by_ref() {
                    match word.as_str() {
                        ")" => break,
                        "$" => {}
                        _ => list.push(word),
                    }
                }
            }
            Some(word) => list.push(word.to_owned()),
            None => {}
        }
    }
    (names, class)
}

/// Words, brackets and dollars; quotes are taken off.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            character if character.is_whitespace() => {}
            '(' | ')' | '$' => words.push(character.to_string()),
            '\'' => words.push(rest.by_ref().take_while(|next| *next != '\'').collect()),
            first => {
                let mut word = String::from(first);
                while let Some(next) =
                    rest.next_if(|next| !next.is_whitespace() && !matches!(next, '(' | ')' | '$'))
                {
                    word.push(next);
                }
                words.push(word);
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(values: &[&str]) -> ObjectClasses {
        ObjectClasses::parse(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn a_class_has_its_own_attributes_and_those_above() {
        let classes = classes(&[
            "( 2.5.6.0 NAME 'top' ABSTRACT MUST (objectClass $ instanceType ) MAY (cn $ msDS-CloudAnchor ) )",
            "( 1.2.840.113556.1.5.286 NAME 'msDS-Device' SUP top STRUCTURAL MUST (displayName $ altSecurityIdentities $ msDS-IsEnabled $ msDS-DeviceID ) MAY (msDS-DeviceOSType$msDS-IsCompliant) )",
            "( 1.2.3 NAME ( 'other' 'another' ) DESC 'MAY be anything' SUP ( top $ msDS-Device ) MAY msDS-DeviceMDMStatus )",
            "not a class",
        ]);
        let device = classes.attributes_of("msds-device").unwrap();
        for (attribute, expected) in [
            (Attribute::DisplayName, true),
            (Attribute::CloudAnchor, true),
            (Attribute::IsCompliant, true),
            (Attribute::DeviceMdmStatus, false),
        ] {
            assert_eq!(device.contains(attribute), expected, "{attribute:?}");
        }
        let another = classes.attributes_of("another").unwrap();
        assert!(
            another.contains(Attribute::DeviceMdmStatus) && another.contains(Attribute::DeviceId)
        );
        assert_eq!(classes.attributes_of("computer"), None);
    }

    #[test]
    fn classes_above_each_other_end() {
        let classes = classes(&[
            "( 1 NAME 'a' SUP b MAY displayName )",
            "( 2 NAME 'b' SUP a )",
        ]);
        assert!(
            classes
                .attributes_of("a")
                .unwrap()
                .contains(Attribute::DisplayName)
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[ ()'$A-Za-z0-9.]{0,80}") {
            let classes = classes(&[&text]);
            let _ = classes.attributes_of("a");
        }
    }
}
