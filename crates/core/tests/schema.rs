//! The schema table against what Microsoft documents of `msDS-Device`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use device_writeback_core::schema::{
    Attribute, Equality, Profile, Syntax, VERSION_2012_R2, VERSION_2016,
};

fn names(attributes: impl Iterator<Item = Attribute>) -> Vec<&'static str> {
    let mut names: Vec<_> = attributes.map(Attribute::name).collect();
    names.sort_unstable();
    names
}

/// "Attributes synchronized", device writeback, less `dn` and the key, which needs a source.
#[test]
fn profile_connect_is_exactly_the_documented_list() {
    let connect = Attribute::managed(Profile::Connect, VERSION_2016);
    assert_eq!(
        names(connect.iter()),
        [
            "altSecurityIdentities",
            "displayName",
            "msDS-CloudAnchor",
            "msDS-DeviceID",
            "msDS-DeviceOSType",
            "msDS-DeviceOSVersion",
            "msDS-DeviceObjectVersion",
            "msDS-DevicePhysicalIDs",
            "msDS-IsCompliant",
            "msDS-IsEnabled",
            "msDS-IsManaged",
            "msDS-RegisteredOwner",
        ]
    );
    let adfs = Attribute::managed(Profile::Adfs, VERSION_2016);
    assert!(adfs.is_superset(connect));
    assert_eq!(
        names(adfs.difference(connect).iter()),
        [
            "msDS-ApproximateLastLogonTimeStamp",
            "msDS-CloudIsManaged",
            "msDS-ComputerSID",
            "msDS-DeviceTrustType",
            "msDS-RegisteredUsers",
        ]
    );
}

#[test]
fn an_older_schema_has_fewer_attributes() {
    let new = Attribute::available(VERSION_2016);
    let old = Attribute::available(VERSION_2012_R2);
    assert!(new.is_superset(old));
    assert_eq!(
        names(new.difference(old).iter()),
        [
            "msDS-ComputerSID",
            "msDS-DeviceMDMStatus",
            "msDS-DeviceTrustType",
            "msDS-IsCompliant",
            "msDS-KeyCredentialLink",
        ]
    );
    assert!(Attribute::available(VERSION_2012_R2 - 1).is_empty());
}

/// `mustContain` of the class ([MS-ADSC] 2.136).
#[test]
fn the_class_requires_four_attributes() {
    let mandatory = Attribute::ALL
        .iter()
        .copied()
        .filter(|attribute| attribute.schema().mandatory);
    assert_eq!(
        names(mandatory),
        [
            "altSecurityIdentities",
            "displayName",
            "msDS-DeviceID",
            "msDS-IsEnabled",
        ]
    );
}

#[test]
fn every_row_is_found_by_its_name_and_makes_sense() {
    for attribute in Attribute::ALL.iter().copied() {
        let row = attribute.schema();
        assert_eq!(
            Attribute::from_name(&row.name.to_uppercase()),
            Some(attribute)
        );
        assert_eq!(attribute.to_string(), row.name);
        assert_eq!(row.managed_by(Profile::Adfs), row.adfs);
        assert_eq!(row.managed_by(Profile::Connect), row.connect);
        // What is managed has a source, what has none is not.
        assert_eq!(
            row.adfs || row.connect,
            !row.graph.is_empty(),
            "{attribute}"
        );
        // Connect's list is part of ours; what the class requires is in both.
        assert!(row.adfs || !row.connect, "{attribute}");
        assert!(row.connect || !row.mandatory, "{attribute}");
        assert!(row.range.is_none_or(|(low, high)| low <= high));
        let fits = match row.equality {
            Equality::CaseIgnore => row.syntax == Syntax::Unicode,
            Equality::Number => row.syntax == Syntax::Integer,
            Equality::Raised => row.syntax == Syntax::LargeInteger,
            Equality::Sid => matches!(row.syntax, Syntax::Sid | Syntax::Octets),
            Equality::CloudAnchor => row.syntax == Syntax::Octets,
            _ => true,
        };
        assert!(fits, "{attribute}");
    }
    assert_eq!(Attribute::from_name("msDS-Device"), None);
    assert_eq!(Attribute::from_name(""), None);
}
