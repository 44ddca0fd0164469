//! Random writes against a naive directory: the same results, the same objects.

use std::collections::BTreeMap;

use device_writeback_core::apply::{Operation, ResultCode};
use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::guid::DeviceId;
use device_writeback_core::schema::Attribute;
use proptest::prelude::*;

use crate::support::*;

/// What is done; devices and values are small numbers so that they meet.
#[derive(Clone, Debug)]
enum Step {
    Add(u8),
    Delete(u8),
    /// Sets the display name.
    Rename(u8, u8),
    /// Adds a physical id.
    Attach(u8, u8),
    /// Removes a physical id.
    Detach(u8, u8),
    Commit,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u8).prop_map(Step::Add),
        2 => (0..6_u8).prop_map(Step::Delete),
        3 => (0..6_u8, 0..3_u8).prop_map(|(device, name)| Step::Rename(device, name)),
        4 => (0..6_u8, 0..4_u8).prop_map(|(device, value)| Step::Attach(device, value)),
        2 => (0..6_u8, 0..4_u8).prop_map(|(device, value)| Step::Detach(device, value)),
        2 => Just(Step::Commit),
        1 => Just(Step::Reopen),
    ]
}

/// Display name and physical ids.
type Device = (Vec<u8>, Vec<Vec<u8>>);

fn id(device: u8) -> String {
    DeviceId::from_bytes([device + 1; 16]).to_string()
}

fn name(name: u8) -> Vec<u8> {
    [&b"plain"[..], "\u{fc}mlaut".as_bytes(), b" leading"][usize::from(name)].to_vec()
}

fn physical(value: u8) -> Vec<u8> {
    format!("[ID]:{value}:{}", "x".repeat(usize::from(value) * 40)).into_bytes()
}

/// What the naive directory says, changing `devices` when it agrees.
fn naive(devices: &mut BTreeMap<u8, Device>, step: &Step) -> ResultCode {
    match step {
        Step::Add(device) => match devices.get(device) {
            Some(_) => ResultCode::ENTRY_ALREADY_EXISTS,
            None => {
                devices.insert(*device, (b"new".to_vec(), Vec::new()));
                ResultCode::SUCCESS
            }
        },
        Step::Delete(device) => match devices.remove(device) {
            Some(_) => ResultCode::SUCCESS,
            None => ResultCode::NO_SUCH_OBJECT,
        },
        Step::Rename(device, to) => match devices.get_mut(device) {
            Some((own, _)) => {
                *own = name(*to);
                ResultCode::SUCCESS
            }
            None => ResultCode::NO_SUCH_OBJECT,
        },
        Step::Attach(device, value) => match devices.get_mut(device) {
            Some((_, own)) if own.contains(&physical(*value)) => {
                ResultCode::ATTRIBUTE_OR_VALUE_EXISTS
            }
            Some((_, own)) => {
                own.push(physical(*value));
                ResultCode::SUCCESS
            }
            None => ResultCode::NO_SUCH_OBJECT,
        },
        Step::Detach(device, value) => match devices.get_mut(device) {
            Some((_, own)) => match own.iter().position(|own| *own == physical(*value)) {
                Some(at) => {
                    own.remove(at);
                    ResultCode::SUCCESS
                }
                None => ResultCode::NO_SUCH_ATTRIBUTE,
            },
            None => ResultCode::NO_SUCH_OBJECT,
        },
        Step::Commit | Step::Reopen => ResultCode::SUCCESS,
    }
}

fn operation(devices: &BTreeMap<u8, Device>, step: &Step) -> Option<Operation> {
    let on = |device: &u8, changes: &[(char, &'static str, &[&[u8]])]| {
        modify(by_dn(&device_name(&id(*device))), changes)
    };
    let ids = "msDS-DevicePhysicalIDs";
    Some(match step {
        Step::Add(device) => add(&id(*device)),
        Step::Delete(device) => delete(&device_name(&id(*device))),
        Step::Rename(device, to) => {
            let old = devices
                .get(device)
                .map(|device| device.0.clone())
                .unwrap_or_default();
            on(
                device,
                &[
                    ('-', "displayName", &[&old]),
                    ('+', "displayName", &[&name(*to)]),
                ],
            )
        }
        Step::Attach(device, value) => on(device, &[('+', ids, &[&physical(*value)])]),
        Step::Detach(device, value) => on(device, &[('-', ids, &[&physical(*value)])]),
        Step::Commit | Step::Reopen => return None,
    })
}

fn device(object: &DirectoryObject) -> Device {
    let values = |attribute| object.values.values(attribute).map(<[u8]>::to_vec);
    let mut ids: Vec<Vec<u8>> = values(Attribute::DevicePhysicalIds).collect();
    ids.sort();
    (values(Attribute::DisplayName).next().unwrap(), ids)
}

fn sorted(devices: &BTreeMap<u8, Device>) -> BTreeMap<String, Device> {
    devices
        .iter()
        .map(|(device, (name, ids))| {
            let mut ids = ids.clone();
            ids.sort();
            (id(*device), (name.clone(), ids))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn same_results_and_same_objects(
        steps in proptest::collection::vec(step(), 1..60),
        windows in any::<bool>(),
    ) {
        let mut text = DOMAIN.split_once("dn: CN=11111111").unwrap().0.to_owned();
        if windows {
            text = text.replace('\n', "\r\n");
        }
        let lab = Lab::new(&text);
        let mut directory = Some(lab.open());
        let (mut waiting, mut committed) = (BTreeMap::new(), BTreeMap::new());
        for step in steps.iter().chain([&Step::Commit]) {
            let open = directory.as_ref().unwrap();
            if let Some(operation) = operation(&waiting, step) {
                let result = write(open, &operation);
                prop_assert_eq!(result.code, naive(&mut waiting, step), "{:?}: {}", step, result);
                let at = operation.dn().to_string();
                let found = read(open, &at).map(|object| device(&object));
                let known = sorted(&waiting).remove(operation.dn().rdn().unwrap().value());
                prop_assert_eq!(found, known);
                continue;
            }
            match step {
                Step::Reopen => {
                    // A crash: what was not committed never was.
                    waiting = committed.clone();
                    drop(directory.take());
                    directory = Some(lab.open());
                }
                _ => {
                    commit(open);
                    committed = waiting.clone();
                }
            }
            let objects: BTreeMap<String, Device> = import(directory.as_ref().unwrap())
                .iter()
                .map(|object| (object.device_id().unwrap().to_string(), device(object)))
                .collect();
            prop_assert_eq!(objects, sorted(&committed));
            prop_assert!(lab.text().starts_with(&text), "what was there stays");
        }
    }
}
