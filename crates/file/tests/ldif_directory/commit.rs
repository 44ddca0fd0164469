//! What lasts, and when.

use std::fs;

use device_writeback_core::apply::ResultCode;
use device_writeback_core::schema::Attribute;
use device_writeback_engine::error::ErrorKind;
use device_writeback_engine::ports::Directory;
use device_writeback_file::LdifDirectory;
use futures_executor::block_on;

use crate::support::*;

const OTHER: &str = "33333333-3333-3333-3333-333333333333";

#[test]
fn create_update_delete_and_back() {
    let lab = Lab::new(DOMAIN);
    let directory = lab.open();
    facts(&directory);
    done(&directory, &add(NEW));
    let waiting = read(&directory, &device_name(NEW)).unwrap();
    let guid = waiting.guid.unwrap();
    assert_eq!(lab.text(), DOMAIN, "nothing lasts before the commit");
    assert_eq!(import(&directory).len(), 1);
    done(
        &directory,
        &modify(by_guid(guid), &[('+', "msDS-IsManaged", &[b"FALSE"])]),
    );
    commit(&directory);

    let objects = import(&directory);
    assert_eq!(objects.len(), 2);
    let stored = objects.iter().find(|one| one.guid == Some(guid)).unwrap();
    assert_eq!(
        stored.values.first(Attribute::IsManaged),
        Some(&b"FALSE"[..])
    );
    assert_eq!(stored.device_id().unwrap().to_string(), NEW);

    done(
        &directory,
        &modify(by_guid(guid), &[('-', "msDS-IsManaged", &[b"FALSE"])]),
    );
    done(&directory, &delete(&device_name(DEVICE)));
    let gone = write(&directory, &delete(&device_name(DEVICE)));
    assert_eq!(gone.code, ResultCode::NO_SUCH_OBJECT);
    commit(&directory);
    let objects = import(&lab.open());
    assert_eq!(objects.len(), 1);
    assert!(!objects[0].values.has(Attribute::IsManaged));
    assert_eq!(objects[0].guid, Some(guid));
}

#[test]
fn a_name_can_be_given_again_before_and_after_a_commit() {
    let lab = Lab::new(DOMAIN);
    let directory = lab.open();
    let name = device_name(DEVICE);
    let before = read(&directory, &name).unwrap().guid;
    for _ in 0..2 {
        done(&directory, &delete(&name));
        done(&directory, &add(DEVICE));
        let exists = write(&directory, &add(DEVICE));
        assert_eq!(exists.code, ResultCode::ENTRY_ALREADY_EXISTS);
    }
    commit(&directory);
    let after = import(&directory);
    assert_eq!(after.len(), 1);
    assert_ne!(after[0].guid, before);
    assert!(
        block_on(directory.read(&by_guid(before.unwrap())))
            .unwrap()
            .is_none()
    );
}

#[test]
fn every_new_object_has_a_guid_of_its_own() {
    let lab = Lab::new(DOMAIN);
    let directory = lab.open();
    for device in [NEW, OTHER] {
        done(&directory, &add(device));
    }
    commit(&directory);
    let mut guids: Vec<_> = import(&directory)
        .iter()
        .map(|one| one.guid.unwrap())
        .collect();
    guids.sort();
    guids.dedup();
    assert_eq!(guids.len(), 3);
}

#[test]
fn an_empty_prepared_domain() {
    let lab = Lab::empty();
    let directory = lab.open();
    let first = facts(&directory);
    assert_eq!(first.container, dn(CONTAINER));
    assert!(first.container_exists);
    assert_eq!(first.inactivity_days, Some(90));
    assert_eq!(first.domain_sids.len(), 1);
    assert!(import(&directory).is_empty());
    assert!(read(&directory, CONTAINER).is_some());
    assert!(lab.files().is_empty(), "looking makes no file");

    done(&directory, &add(NEW));
    commit(&directory);
    let after = facts(&lab.open());
    assert_eq!(after.domain_guid, first.domain_guid);
    assert!(after.domain_guid.is_some());
    assert_eq!(after.domain_sids, first.domain_sids);
    assert_eq!(import(&lab.open()).len(), 1);
    assert_eq!(lab.files(), ["directory.ldif", "directory.ldif.lock"]);
    let text = lab.text();
    assert!(text.starts_with("version: 1\n# "));
    for class in [
        "domainDNS",
        "msDS-DeviceRegistrationServiceContainer",
        "msDS-DeviceContainer",
    ] {
        assert!(text.contains(&format!("objectClass: {class}\n")), "{class}");
    }

    // The same base gives the same domain, another one another.
    let other = Lab::empty();
    assert_eq!(facts(&other.open()).domain_guid, first.domain_guid);
    let mut options = other.options();
    options.base = dn("DC=fabrikam,DC=com");
    let fabrikam = facts(&LdifDirectory::open(options.clone()).unwrap());
    assert_ne!(fabrikam.domain_guid, first.domain_guid);
    assert_ne!(fabrikam.domain_sids, first.domain_sids);

    options.container = Some(dn("CN=Devices,DC=fabrikam,DC=com"));
    let found = facts(&LdifDirectory::open(options.clone()).unwrap());
    assert_eq!(found.container, dn("CN=Devices,DC=fabrikam,DC=com"));
    assert!(found.container_exists);
    for (base, container) in [
        ("DC=fabrikam,DC=com", "CN=Devices,OU=x,DC=fabrikam,DC=com"),
        (
            "OU=x,DC=fabrikam,DC=com",
            "CN=Devices,OU=x,DC=fabrikam,DC=com",
        ),
    ] {
        options.base = dn(base);
        options.container = Some(dn(container));
        let directory = LdifDirectory::open(options.clone()).unwrap();
        let error = block_on(directory.facts()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
}

#[test]
fn a_seed_is_where_one_begins() {
    let lab = Lab::empty();
    let seed = lab.folder.path().join("seed.ldif");
    let mut options = lab.options();
    options.seed = Some(seed.clone());
    let error = block_on(LdifDirectory::open(options.clone()).unwrap().facts()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);

    fs::write(&seed, DOMAIN).unwrap();
    let directory = LdifDirectory::open(options.clone()).unwrap();
    assert_eq!(facts(&directory).container, dn(CONTAINER));
    assert_eq!(import(&directory).len(), 1);
    commit(&directory);
    assert_eq!(lab.files(), ["seed.ldif"], "reading makes no file");

    done(&directory, &add(NEW));
    commit(&directory);
    assert_eq!(fs::read_to_string(&seed).unwrap(), DOMAIN);
    assert!(lab.text().starts_with(DOMAIN));
    assert_eq!(import(&directory).len(), 2);

    // From now on the file counts.
    fs::remove_file(&seed).unwrap();
    assert_eq!(import(&LdifDirectory::open(options).unwrap()).len(), 2);
}

#[test]
fn a_second_writer_is_refused() {
    let lab = Lab::new(DOMAIN);
    let (one, two) = (lab.open(), lab.open());
    facts(&two);
    done(&one, &add(NEW));
    let error = block_on(two.write(&add(OTHER))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Directory);
    assert!(
        error.to_string().contains("another run is writing"),
        "{error}"
    );
    assert_eq!(import(&two).len(), 1, "reading is free");
    commit(&one);
    let error = block_on(two.write(&add(OTHER))).unwrap_err();
    assert!(error.to_string().contains("another run"), "{error}");
    drop(one);
    // What the second one has read is not there any more.
    let error = block_on(two.write(&add(OTHER))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);
    facts(&two);
    done(&two, &add(OTHER));
    commit(&two);
    assert_eq!(import(&lab.open()).len(), 3);
}

#[test]
fn a_file_that_changed_underneath_is_left_alone() {
    let lab = Lab::new(DOMAIN);
    let directory = lab.open();
    facts(&directory);
    done(&directory, &add(NEW));
    let foreign = format!("{DOMAIN}# somebody was here\n");
    fs::write(&lab.path, &foreign).unwrap();
    let error = block_on(directory.commit()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);
    assert!(error.remedy().unwrap().contains("plan again"));
    assert_eq!(lab.text(), foreign);
    assert_eq!(lab.files(), ["directory.ldif", "directory.ldif.lock"]);
    // The writes are gone, and one can begin anew.
    facts(&directory);
    assert!(read(&directory, &device_name(NEW)).is_none());
    done(&directory, &add(NEW));
    commit(&directory);
    assert!(lab.text().starts_with(&foreign));

    // Taken away, and replaced by a file of the same length.
    drop(directory);
    let directory = lab.open();
    facts(&directory);
    let text = lab.text();
    fs::rename(&lab.path, lab.folder.path().join("old")).unwrap();
    assert_eq!(try_import(&directory).unwrap_err().kind(), ErrorKind::Stale);
    fs::write(&lab.path, text).unwrap();
    assert_eq!(try_import(&directory).unwrap_err().kind(), ErrorKind::Stale);
    let error = block_on(directory.write(&add(OTHER))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);
}

#[test]
fn a_file_that_appears_is_not_overwritten() {
    let lab = Lab::empty();
    let directory = lab.open();
    done(&directory, &add(NEW));
    fs::write(&lab.path, DOMAIN).unwrap();
    assert_eq!(
        block_on(directory.commit()).unwrap_err().kind(),
        ErrorKind::Stale
    );
    assert_eq!(lab.text(), DOMAIN);
}

#[test]
fn what_was_not_committed_never_was() {
    let lab = Lab::new(DOMAIN);
    let directory = lab.open();
    done(&directory, &add(NEW));
    done(&directory, &delete(&device_name(DEVICE)));
    drop(directory);
    assert_eq!(lab.text(), DOMAIN);
    assert_eq!(import(&lab.open()).len(), 1);
    assert_eq!(lab.files(), ["directory.ldif", "directory.ldif.lock"]);
}

#[test]
fn what_a_killed_run_has_left_is_removed() {
    let lab = Lab::new(DOMAIN);
    let left = lab.folder.path().join(".directory.ldif.Xy12.unfinished");
    let foreign = lab.folder.path().join(".other.ldif.Xy12.unfinished");
    fs::write(&left, "half").unwrap();
    fs::write(&foreign, "half").unwrap();
    let directory = lab.open();
    facts(&directory);
    assert!(left.exists(), "reading removes nothing");
    done(&directory, &add(NEW));
    assert!(!left.exists());
    assert!(foreign.exists());
}

#[cfg(unix)]
#[test]
fn mode_and_links_are_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

    let lab = Lab::new(DOMAIN);
    fs::set_permissions(&lab.path, fs::Permissions::from_mode(0o640)).unwrap();
    let link = lab.folder.path().join("link.ldif");
    symlink("directory.ldif", &link).unwrap();
    let mut options = lab.options();
    options.path = link.clone();
    let directory = LdifDirectory::open(options).unwrap();
    done(&directory, &add(NEW));
    commit(&directory);
    assert_eq!(mode(&lab.path), 0o640);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(import(&lab.open()).len(), 2);

    let lab = Lab::empty();
    let directory = lab.open();
    done(&directory, &add(NEW));
    commit(&directory);
    assert_eq!(mode(&lab.path), 0o600);
}

#[cfg(unix)]
#[test]
fn a_commit_that_fails_leaves_the_old_file_and_nothing_else() {
    let lab = Lab::new(DOMAIN);
    let directory = lab.open();
    done(&directory, &add(NEW));
    // A folder in the file's place cannot be replaced by a file.
    fs::remove_file(&lab.path).unwrap();
    fs::create_dir(&lab.path).unwrap();
    assert!(block_on(directory.commit()).is_err());
    assert_eq!(lab.files(), ["directory.ldif", "directory.ldif.lock"]);
    assert!(lab.path.is_dir());
}
