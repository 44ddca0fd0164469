//! The laws of the product, as properties over random worlds.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helper functions too"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use device_writeback_core::attributes::AttributeSet;
use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::graph::{CloudItem, CloudRecord};
use device_writeback_core::guid::DeviceId;
use device_writeback_core::plan::{Action, Change, Completeness, History, Limits, Plan};
use device_writeback_core::rules::{Adopt, Reason};
use device_writeback_core::schema::{Attribute, Profile};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use support::generate::{self, bad, tuning, world};
use support::memory::{Memory, execute, valid};
use support::model::{self, Expected};
use support::world::{World, bytes, changes, parse, plan, plan_with};

fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        // `PROPTEST_CASES` asks for more.
        cases: usual.cases.max(512),
        // A failure is printed whole; no file beside the sources remembers it.
        failure_persistence: None,
        ..usual
    }
}

/// Applies every change; the outcomes in plan order.
fn apply(memory: &mut Memory, plan: &Plan) -> Vec<(Change, device_writeback_core::apply::Outcome)> {
    changes(plan)
        .into_iter()
        .map(|change| {
            let outcome = execute(memory, change.clone(), |_, _| {});
            (change, outcome)
        })
        .collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_planner_agrees_with_the_decision_table(world in world(), tuning in tuning()) {
        let expected = model::expected(&world);
        prop_assert_eq!(&Expected::of(&plan(&world)), &expected);
        prop_assert_eq!(&Expected::of(&plan_with(&world, &tuning)), &expected);
    }

    /// Law 1.
    #[test]
    fn applying_a_plan_and_planning_again_gives_no_change(world in world()) {
        let first = plan(&world);
        let mut memory = Memory::new(world.directory.clone());
        let mut after = world.clone();
        for (change, outcome) in apply(&mut memory, &first) {
            prop_assert!(valid(&change), "{:?}", change);
            prop_assert_eq!(outcome.verdict.as_str(), "done", "{:?}: {}", change, outcome);
            if change.action == Action::Disable {
                // As the state remembers it.
                after.disabled_since.insert(change.device_id, world.now);
            }
        }
        after.directory = memory.objects;
        let second = plan(&after);
        // A name that the first plan freed may be used by the second.
        let waiting: BTreeSet<_> = first
            .conflicts()
            .iter()
            .filter(|listed| listed.code == Reason::NameTaken)
            .filter_map(|listed| listed.device_id)
            .collect();
        for change in changes(&second) {
            prop_assert!(change.action == Action::Create && waiting.contains(&change.device_id), "{:?}", change);
        }
    }

    /// Law 2.
    #[test]
    fn the_order_of_arrival_never_changes_a_byte(world in world(), left in tuning(), right in tuning()) {
        let written = bytes(&plan_with(&world, &left));
        let again = bytes(&plan_with(&world, &right));
        prop_assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&again));
        let read = parse(&written);
        prop_assert!(read.is_ok(), "{:?}", read);
        prop_assert_eq!(bytes(&read.unwrap()), written);
    }

    /// Law 3.
    #[test]
    fn an_attribute_we_do_not_manage_never_appears(world in world()) {
        for change in changes(&plan(&world)) {
            for attribute in &change.attributes {
                let row = attribute.attribute.schema();
                let managed = match world.rules.profile {
                    Profile::Connect => row.connect,
                    _ => row.adfs,
                };
                prop_assert!(
                    // A delete names what is lost with the object.
                    (managed && world.forest.schema.contains(attribute.attribute))
                        || (change.action == Action::Delete && attribute.new.is_empty()),
                    "{:?}", change
                );
            }
        }
    }

    /// Law 4.
    #[test]
    fn nothing_that_is_not_ours_is_changed_or_deleted(world in world()) {
        for change in changes(&plan(&world)) {
            let object = world.directory.iter().find(|object| object.dn == change.dn);
            match (change.action, object) {
                (Action::Create, None) => {}
                (Action::Create, Some(object)) => prop_assert!(false, "{:?} is there", object),
                (_, None) => prop_assert!(false, "{:?} is of nothing", change),
                (_, Some(object)) => {
                    prop_assert_eq!(object.device_id().ok(), Some(change.device_id));
                    let adopted = change.reason == Reason::Adopted
                        && world.rules.adopt == Adopt::SameDeviceId
                        && change.action == Action::Update;
                    prop_assert!(object.is_marked() != adopted, "{:?}", change);
                }
            }
        }
    }

    /// Law 5, for devices that are named once: a removal or a duplicate that a later record settles is another matter.
    #[test]
    fn taking_a_record_out_of_a_partial_import_never_adds_a_delete(world in world(), index in any::<prop::sample::Index>()) {
        let mut world = world;
        world.cloud_end = Completeness::Partial;
        let mut objects = BTreeSet::new();
        let mut devices = BTreeSet::new();
        world.cloud.retain(|record| match &record.item {
            CloudItem::Device(device) => {
                objects.insert(device.id) && device.device_id.is_none_or(|id| devices.insert(id))
            }
            CloudItem::Removed { .. } => false,
            CloudItem::Bad(bad) => {
                bad.id.is_none_or(|id| objects.insert(id))
                    && bad.device_id.is_none_or(|id| devices.insert(id))
            }
        });
        if world.cloud.is_empty() {
            return Ok(());
        }
        let before = deleted(&plan(&world));
        let taken = index.index(world.cloud.len());
        world.cloud.remove(taken);
        prop_assert!(deleted(&plan(&world)).is_subset(&before));
    }

    /// Law 5, for everything else: a delete of a partial import is one that a record asks for.
    #[test]
    fn a_partial_import_deletes_only_what_a_record_names(world in world()) {
        let mut world = world;
        world.cloud_end = Completeness::Partial;
        for change in changes(&plan(&world)) {
            if change.action != Action::Delete {
                continue;
            }
            let named = world.cloud.iter().any(|record| match &record.item {
                CloudItem::Device(device) => device.device_id == Some(change.device_id),
                CloudItem::Removed { id, .. } => Some(*id) == change.object_id,
                CloudItem::Bad(_) => false,
            });
            prop_assert!(named, "{:?}", change);
        }
    }

    /// Law 6.
    #[test]
    fn tighter_limits_never_approve_more(
        world in world(),
        loose in limits(),
        tight in limits(),
        retired in prop::collection::btree_set((0..6_u8).prop_map(generate::device_id), 0..6),
        ours in proptest::option::of(0..200_u64),
    ) {
        let mut tight = tight;
        tight.max_retirements = tight.max_retirements.min(loose.max_retirements);
        tight.max_retirement_share = tight.max_retirement_share.min(loose.max_retirement_share);
        tight.share_applies_above = tight.share_applies_above.min(loose.share_applies_above);
        let plan = plan(&world);
        let more = History { retired, our_objects: ours };
        let fewer = History { our_objects: ours, ..History::default() };
        for (limits, history) in [(&tight, &more), (&tight, &fewer), (&loose, &more)] {
            if plan.check_limits(limits, history).is_ok() {
                prop_assert!(plan.check_limits(&loose, &fewer).is_ok());
            }
        }
    }

    /// Law 8: before the change begins, someone else writes.
    #[test]
    fn a_change_made_before_apply_is_not_overwritten(world in world(), edits in edits()) {
        let plan = plan(&world);
        let mut memory = Memory::new(world.directory.clone());
        let mut expected = Vec::new();
        for edit in &edits {
            expected.extend(edit.perform(&mut memory));
        }
        let seen = memory.clone();
        let outcomes = apply(&mut memory, &plan);
        for (dn, attribute, value) in expected {
            let now = memory.objects.iter().find(|object| object.dn == dn);
            let change = outcomes.iter().find(|(change, _)| change.dn == dn);
            let Some(object) = now else {
                // Deleted: only with the mark, the device and the keys that were planned, and not after it was enabled.
                let (change, _) = change.unwrap();
                let then = seen.objects.iter().find(|object| object.dn == dn).unwrap();
                prop_assert_eq!(change.action, Action::Delete);
                prop_assert!(!PROTECTING.contains(&attribute) || value.is_empty(), "{}", attribute);
                prop_assert_eq!(
                    then.values.first(Attribute::CloudAnchor),
                    change.mark.as_ref().map(|mark| &mark.0[..])
                );
                continue;
            };
            let kept = object.values.values(attribute).any(|own| own == value);
            prop_assert!(kept || value.is_empty(), "{} of {} was overwritten: {:?}", attribute, dn, change);
        }
    }

    /// Law 8: while the change is under way, someone else writes.
    #[test]
    fn a_change_made_during_apply_is_not_overwritten(
        world in world(),
        edit in edit(),
        at in 0..3_usize,
        second_value in proptest::bool::ANY,
    ) {
        let plan = plan(&world);
        for change in changes(&plan) {
            let mut memory = Memory::new(world.directory.clone());
            if second_value {
                memory.second_value = device_writeback_core::apply::ResultCode::CONSTRAINT_VIOLATION;
            }
            let mut edit = edit.clone();
            let Some(index) = memory.objects.iter().position(|object| object.dn == change.dn) else {
                continue;
            };
            edit.object = index;
            let mut written = None;
            let dn = change.dn.clone();
            let action = change.action;
            let outcome = execute(&mut memory, change, |memory, number| {
                if number == at {
                    written = edit.perform(memory);
                }
            });
            let Some((_, attribute, value)) = written else { continue };
            let Some(object) = memory.objects.iter().find(|object| object.dn == dn) else {
                prop_assert_eq!(action, Action::Delete);
                // After the mark was asserted nothing holds a delete back.
                prop_assert!(at == 2 || attribute != Attribute::CloudAnchor);
                continue;
            };
            prop_assert!(
                object.values.values(attribute).any(|own| own == value),
                "{} was overwritten: {}", attribute, outcome
            );
        }
    }

    /// Law 9: a record that nobody can identify stops deletes by absence and nothing else.
    #[test]
    fn a_bad_record_is_its_own_problem(world in world()) {
        let before = changes(&plan(&world));
        let mut with = world.clone();
        let sequence = 1_000;
        with.cloud.push(CloudRecord { sequence, item: bad(None, None) });
        let after = plan(&with);
        let kept: Vec<_> = before
            .into_iter()
            .filter(|change| {
                let by_absence = matches!(change.reason, Reason::GoneAbsent | Reason::GraceOver);
                // Of a soft-deletion of another registration one cannot tell either.
                let soft = change.reason == Reason::SoftDeleted;
                !((by_absence || soft) && world.cloud_end == Completeness::Full)
                    || changes(&after).contains(change)
            })
            .collect();
        prop_assert_eq!(changes(&after), kept);
        prop_assert!(after.skipped().iter().any(|listed| listed.sequence == Some(sequence)));
    }

    /// Law 9: a bad record that names a device holds that device.
    #[test]
    fn a_bad_record_holds_its_device(world in world(), number in 0..6_u8, object in proptest::option::of(20..22_u8)) {
        let device = generate::device_id(number);
        let mut with = world.clone();
        with.cloud.push(CloudRecord {
            sequence: 1_000,
            item: bad(object.map(generate::object_id), Some(device)),
        });
        let after = changes(&plan(&with));
        prop_assert!(!after.iter().any(|change| change.device_id == device), "{:?}", after);
        // Its certificates may have been what kept another device from being written.
        let before = changes(&plan(&world));
        for change in before {
            prop_assert!(change.device_id == device || after.contains(&change), "{:?}", change);
        }
    }

    /// Law 10.
    #[test]
    fn applying_a_plan_twice_finds_everything_done(world in world()) {
        let plan = plan(&world);
        let mut memory = Memory::new(world.directory.clone());
        apply(&mut memory, &plan);
        let once = memory.clone();
        for (change, outcome) in apply(&mut memory, &plan) {
            prop_assert_eq!(outcome.verdict.as_str(), "done", "{:?}: {}", change, outcome);
            prop_assert!(outcome.already, "{:?}", change);
        }
        prop_assert_eq!(memory, once);
    }

    /// Law 10: cut off before or after any request of any change.
    #[test]
    fn applying_a_plan_after_a_crash_finds_what_is_done(
        world in world(),
        crash in any::<prop::sample::Index>(),
        at in 0..4_usize,
        lost in proptest::bool::ANY,
    ) {
        let plan = plan(&world);
        let all = changes(&plan);
        if all.is_empty() {
            return Ok(());
        }
        let mut smooth = Memory::new(world.directory.clone());
        apply(&mut smooth, &plan);
        let mut memory = Memory::new(world.directory.clone());
        let crash = crash.index(all.len());
        for change in &all[..crash] {
            execute(&mut memory, change.clone(), |_, _| {});
        }
        let outcome = cut_off(&mut memory, all[crash].clone(), at, lost);
        if let Some(outcome) = outcome {
            prop_assert!(["done", "retry"].contains(&outcome.verdict.as_str()), "{}", outcome);
        }
        for (change, outcome) in apply(&mut memory, &plan) {
            prop_assert_eq!(outcome.verdict.as_str(), "done", "{:?}: {}", change, outcome);
        }
        prop_assert_eq!(content(&memory), content(&smooth));
    }
}

/// Runs a change until its request number `at`, which is performed while its answer is lost. With `lost` the driver goes on
/// and says so; without, the process ends there.
fn cut_off(
    memory: &mut Memory,
    change: Change,
    at: usize,
    lost: bool,
) -> Option<device_writeback_core::apply::Outcome> {
    use device_writeback_core::apply::{Execution, Progress, Request};
    let (mut execution, mut request) = Execution::start(change);
    for number in 0..10 {
        let answer = support::memory::answer(memory, &request);
        let cut = number == at && matches!(request, Request::Write(_));
        let progress = match (cut, lost) {
            (true, false) => return None,
            (true, true) => execution.uncertain(),
            (false, _) => execution.answer(answer),
        };
        match progress {
            Progress::Next(next) => request = next,
            Progress::Finished(outcome) => return Some(outcome),
        }
    }
    panic!("an execution does not end");
}

type Values = BTreeSet<(Attribute, Vec<u8>)>;

/// What a directory holds, whatever its objects' order and age.
fn content(memory: &Memory) -> BTreeMap<String, Values> {
    memory
        .objects
        .iter()
        .map(|object| {
            let values = object
                .values
                .iter()
                .map(|(attribute, value)| (attribute, value.to_vec()))
                .collect();
            (object.dn.normalized(), values)
        })
        .collect()
}

fn deleted(plan: &Plan) -> BTreeSet<DeviceId> {
    changes(plan)
        .into_iter()
        .filter(|change| change.action == Action::Delete)
        .map(|change| change.device_id)
        .collect()
}

fn limits() -> impl Strategy<Value = Limits> {
    (0..6_u64, 0.0..=1.0_f64, 0..4_u64).prop_map(|(most, share, above)| {
        let mut limits = Limits::default();
        limits.max_retirements = most;
        limits.max_retirement_share = share;
        limits.share_applies_above = above;
        limits
    })
}

/// Edits of these attributes keep an object from being deleted.
const PROTECTING: [Attribute; 3] = [
    Attribute::CloudAnchor,
    Attribute::DeviceId,
    Attribute::KeyCredentialLink,
];

/// A write by somebody else; its values are ones that no plan writes.
#[derive(Clone, Debug)]
struct Edit {
    object: usize,
    attribute: Attribute,
    value: Vec<u8>,
}

impl Edit {
    /// Sets the value, or adds it where there can be several; says what must survive.
    fn perform(
        &self,
        memory: &mut Memory,
    ) -> Option<(device_writeback_core::dn::Dn, Attribute, Vec<u8>)> {
        let count = memory.objects.len();
        let object: &mut DirectoryObject = memory.objects.get_mut(self.object % count.max(1))?;
        let mut values = AttributeSet::new();
        for (attribute, value) in object.values.iter() {
            if attribute != self.attribute || !attribute.schema().single_valued {
                values.push(attribute, value);
            }
        }
        values.push(self.attribute, &self.value);
        object.values = values;
        Some((object.dn.clone(), self.attribute, self.value.clone()))
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let value = prop_oneof![
        Just((Attribute::DisplayName, b"renamed by hand".to_vec())),
        Just((Attribute::DeviceOsVersion, b"99".to_vec())),
        Just((Attribute::DeviceObjectVersion, b"77".to_vec())),
        Just((Attribute::DevicePhysicalIds, b"[HAND]:1".to_vec())),
        Just((
            Attribute::RegisteredOwner,
            b"S-1-5-21-11-22-33-4711".to_vec()
        )),
        Just((
            Attribute::RegisteredUsers,
            b"S-1-5-21-11-22-33-4711".to_vec()
        )),
        Just((Attribute::CloudAnchor, b"Device_hand".to_vec())),
        Just((Attribute::DeviceId, vec![0x33; 16])),
        Just((
            Attribute::AltSecurityIdentities,
            generate::certificate(200).as_str().as_bytes().to_vec()
        )),
        Just((
            Attribute::KeyCredentialLink,
            b"B:4:FFFF:CN=somebody".to_vec()
        )),
    ];
    (0..9_usize, value).prop_map(|(object, (attribute, value))| Edit {
        object,
        attribute,
        value,
    })
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(edit(), 1..4).prop_map(|mut edits| {
        // Two edits of one attribute would overwrite each other.
        let mut seen = BTreeSet::new();
        edits.retain(|edit| seen.insert(edit.attribute));
        edits
    })
}

#[test]
fn an_empty_world_gives_an_empty_plan() {
    let plan = plan(&World::empty());
    assert!(plan.is_empty());
    assert_eq!(plan.len(), 0);
}

/// What the generators never make, the laws say nothing about.
#[test]
fn the_generators_reach_every_reason_and_action() {
    let mut runner = TestRunner::deterministic();
    let mut reasons = BTreeSet::new();
    let mut actions = BTreeSet::new();
    let all: BTreeSet<Reason> = Reason::ALL
        .iter()
        .copied()
        // Only a record that changes between two readings is held so.
        .filter(|reason| *reason != Reason::HeldChanging)
        .collect();
    for _ in 0..20_000 {
        let world = world().new_tree(&mut runner).unwrap().current();
        let plan = plan(&world);
        for change in changes(&plan) {
            actions.insert(change.action);
            reasons.insert(change.reason);
            reasons.extend(change.notices.iter().map(|notice| notice.reason));
        }
        let listed = [plan.skipped(), plan.held(), plan.conflicts()];
        reasons.extend(
            listed
                .iter()
                .flat_map(|list| list.iter())
                .map(|listed| listed.code),
        );
        if reasons.is_superset(&all) {
            break;
        }
    }
    let missing: Vec<_> = all.difference(&reasons).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(actions, Action::ALL.iter().copied().collect());
}
