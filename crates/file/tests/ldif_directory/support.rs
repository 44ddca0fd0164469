//! A folder with a directory file, and short ways to write operations.

use std::fs;
use std::path::PathBuf;

use device_writeback_core::apply::{
    Modification, ModificationKind, Operation, OperationResult, ResultCode, Target,
};
use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::dn::Dn;
use device_writeback_core::guid::{DeviceId, ObjectGuid};
use device_writeback_core::plan::Octets;
use device_writeback_core::schema::SchemaVersion;
use device_writeback_engine::error::Error;
use device_writeback_engine::ports::{Directory, DirectoryFacts, DirectoryImport};
use device_writeback_file::{LdifDirectory, LdifOptions};
use futures_executor::block_on;
use tempfile::TempDir;

pub(crate) const BASE: &str = "DC=contoso,DC=com";
pub(crate) const CONTAINER: &str = "CN=RegisteredDevices,DC=contoso,DC=com";
/// The device that [`DOMAIN`] holds.
pub(crate) const DEVICE: &str = "11111111-1111-1111-1111-111111111111";

/// A device that is not there yet.
pub(crate) const NEW: &str = "22222222-2222-2222-2222-222222222222";

pub(crate) const DOMAIN: &str = "version: 1

dn: DC=contoso,DC=com
objectClass: top
objectClass: domain
objectClass: domainDNS
objectGUID:: 19Dh8WQhvU28Bp5jOOdhPg==
objectSid:: AQQAAAAAAAUVAAAAQ+RAVwXBAa0JBxo0

dn: CN=Users,DC=contoso,DC=com
objectClass: top
objectClass: container

dn: CN=RegisteredDevices,DC=contoso,DC=com
objectClass: top
objectClass: msDS-DeviceContainer
objectGUID:: 6aQXO44DxkyOjd+Cl+GygQ==

dn: CN=11111111-1111-1111-1111-111111111111,CN=RegisteredDevices,DC=contoso,DC=com
objectClass: top
objectClass: msDS-Device
cn: 11111111-1111-1111-1111-111111111111
displayName: one
altSecurityIdentities: X509:<SHA1-TP-PUBKEY>one
msDS-DeviceID:: EREREREREREREREREREREQ==
msDS-IsEnabled: TRUE
msDS-DevicePhysicalIDs: [GID]:g:1
msDS-DevicePhysicalIDs: [HWID]:h:1
msDS-DeviceObjectVersion: 2
description: not ours
objectGUID:: AAAAAAAAAAAAAAAAAAAAAQ==
";

pub(crate) struct Lab {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
}

impl Lab {
    /// A folder with a directory file of that content.
    pub(crate) fn new(content: &str) -> Self {
        let lab = Self::empty();
        fs::write(&lab.path, content).unwrap();
        lab
    }

    /// A folder without a directory file.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("directory.ldif");
        Self { folder, path }
    }

    pub(crate) fn options(&self) -> LdifOptions {
        LdifOptions::new(&self.path, dn(BASE))
    }

    pub(crate) fn open(&self) -> LdifDirectory {
        LdifDirectory::open(self.options()).unwrap()
    }

    pub(crate) fn open_2012(&self) -> LdifDirectory {
        let options = LdifOptions {
            schema: SchemaVersion::Windows2012R2,
            ..self.options()
        };
        LdifDirectory::open(options).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    /// Names of the files in the folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub(crate) fn dn(text: &str) -> Dn {
    Dn::parse(text).unwrap()
}

pub(crate) fn facts(directory: &LdifDirectory) -> DirectoryFacts {
    block_on(directory.facts()).unwrap()
}

pub(crate) fn write(directory: &LdifDirectory, operation: &Operation) -> OperationResult {
    block_on(directory.write(operation)).unwrap()
}

/// Performs a write that has to succeed.
pub(crate) fn done(directory: &LdifDirectory, operation: &Operation) {
    let result = write(directory, operation);
    assert_eq!(result.code, ResultCode::SUCCESS, "{operation:?}: {result}");
}

pub(crate) fn commit(directory: &LdifDirectory) {
    block_on(directory.commit()).unwrap();
}

pub(crate) fn read(directory: &LdifDirectory, name: &str) -> Option<DirectoryObject> {
    block_on(directory.read(&by_dn(name))).unwrap()
}

/// Everything an import gives, by name.
pub(crate) fn import(directory: &LdifDirectory) -> Vec<DirectoryObject> {
    let mut objects = try_import(directory).unwrap();
    objects.sort_by(|one, other| one.dn.cmp(&other.dn));
    objects
}

pub(crate) fn try_import(directory: &LdifDirectory) -> Result<Vec<DirectoryObject>, Error> {
    block_on(async {
        let mut import = directory.import().await?;
        let mut objects = Vec::new();
        while let Some(page) = import.next_page().await? {
            assert!(!page.is_empty());
            objects.extend(page);
        }
        assert!(import.next_page().await?.is_none());
        Ok(objects)
    })
}

pub(crate) fn by_dn(text: &str) -> Target {
    Target {
        dn: dn(text),
        guid: None,
    }
}

pub(crate) fn by_guid(guid: ObjectGuid) -> Target {
    Target {
        dn: dn("CN=somewhere else,DC=contoso,DC=com"),
        guid: Some(guid),
    }
}

pub(crate) fn device_name(device: &str) -> String {
    format!("CN={device},{CONTAINER}")
}

pub(crate) fn octets(values: &[&[u8]]) -> Vec<Octets> {
    values.iter().map(|value| Octets::from(*value)).collect()
}

pub(crate) type Attributes = Vec<(&'static str, Vec<Octets>)>;

/// The attributes that a new device needs.
pub(crate) fn needed(device: &str) -> Attributes {
    let id = DeviceId::parse(device).unwrap();
    vec![
        ("objectClass", octets(&[b"top", b"msDS-Device"])),
        ("cn", octets(&[device.as_bytes()])),
        ("displayName", octets(&[b"new"])),
        (
            "altSecurityIdentities",
            octets(&[b"X509:<SHA1-TP-PUBKEY>x"]),
        ),
        ("msDS-DeviceID", octets(&[&id.to_le_bytes()])),
        ("msDS-IsEnabled", octets(&[b"TRUE"])),
    ]
}

pub(crate) fn add(device: &str) -> Operation {
    Operation::Add {
        dn: dn(&device_name(device)),
        attributes: needed(device),
    }
}

pub(crate) fn modify(
    target: Target,
    modifications: &[(char, &'static str, &[&[u8]])],
) -> Operation {
    let modifications = modifications
        .iter()
        .map(|(kind, name, values)| Modification {
            kind: match kind {
                '+' => ModificationKind::Add,
                '-' => ModificationKind::Delete,
                _ => panic!("{kind}"),
            },
            name,
            values: octets(values),
        })
        .collect();
    Operation::Modify {
        target,
        modifications,
    }
}

pub(crate) fn delete(text: &str) -> Operation {
    Operation::Delete {
        target: by_dn(text),
    }
}

/// An add of [`NEW`] with one attribute changed, added, or removed (no values at all).
pub(crate) fn with(name: &'static str, values: &[&[u8]]) -> Operation {
    let mut attributes = needed(NEW);
    attributes.retain(|(own, _)| *own != name);
    if !values.is_empty() {
        attributes.push((name, octets(values)));
    }
    Operation::Add {
        dn: dn(&device_name(NEW)),
        attributes,
    }
}

/// An add of a device of that name.
pub(crate) fn named(name: &str) -> Operation {
    let dn = dn(name);
    let mut attributes = needed(NEW);
    attributes.retain(|(own, _)| *own != "cn");
    Operation::Add { dn, attributes }
}

/// Performs writes that have to be refused, and sees that nothing came of them.
pub(crate) fn refused(lab: &Lab, cases: &[(&str, Operation, ResultCode)]) {
    let (directory, before) = (lab.open(), lab.text());
    let objects = import(&directory);
    for (case, operation, code) in cases {
        let result = write(&directory, operation);
        assert_eq!(result.code, *code, "{case}: {result}");
        let (win32, detail) = result.message.split_once(": ").unwrap();
        assert!(u32::from_str_radix(win32, 16).is_ok(), "{case}: {result}");
        assert!(!detail.is_empty(), "{case}");
    }
    commit(&directory);
    assert_eq!(import(&directory), objects);
    assert_eq!(lab.text(), before);
}
