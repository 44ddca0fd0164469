//! The limits on what a plan may retire, and the override of one plan.

use device_writeback_core::graph::{CloudItem, CloudRecord, Field};
use device_writeback_core::plan::{Completeness, History, Limits, Override, Plan, RefusalCode};
use device_writeback_core::rules::Retire;

use crate::forge::{cloud_device, object, small};
use crate::support::generate::device_id;
use crate::support::world::{self, World};

fn retiring(ours: u8, retired: u8) -> Plan {
    let mut world = World::empty();
    world.directory = (1..=ours).map(|number| object(number, true)).collect();
    world.known = (1..=ours).map(device_id).collect();
    world.cloud = (retired + 1..=ours)
        .map(|number| {
            let mut device = cloud_device(number);
            device.registered_owners = Field::Absent;
            CloudRecord {
                sequence: u64::from(number),
                item: CloudItem::Device(Box::new(device)),
            }
        })
        .collect();
    let plan = world::plan(&world);
    assert_eq!(plan.summary().retirements, u64::from(retired));
    plan
}

fn limits(most: u64, share: f64, above: u64) -> Limits {
    let mut limits = Limits::default();
    limits.max_retirements = most;
    limits.max_retirement_share = share;
    limits.share_applies_above = above;
    limits
}

fn refusal(plan: &Plan, limits: &Limits, retired: &[u8]) -> Option<RefusalCode> {
    let history = History {
        retired: retired.iter().copied().map(device_id).collect(),
        our_objects: None,
    };
    plan.check_limits(limits, &history)
        .err()
        .map(|refusal| refusal.code)
}

#[test]
fn every_limit_at_its_boundary() {
    let plan = retiring(20, 4);
    let count = |most, retired: &[u8]| refusal(&plan, &limits(most, 1.0, 0), retired);
    assert_eq!(count(4, &[]), None);
    assert_eq!(count(3, &[]), Some(RefusalCode::TooManyRetirements));
    assert_eq!(count(6, &[31, 32]), None);
    assert_eq!(
        count(5, &[31, 32]),
        Some(RefusalCode::TooManyRetirementsInADay)
    );
    // A device that was retired before counts once.
    assert_eq!(count(5, &[1, 2, 31]), None);
    assert_eq!(count(0, &[]), Some(RefusalCode::TooManyRetirements));

    let share = |share, above, retired: &[u8]| refusal(&plan, &limits(500, share, above), retired);
    assert_eq!(share(0.20, 0, &[]), None);
    assert_eq!(share(0.199, 0, &[]), Some(RefusalCode::ShareTooLarge));
    assert_eq!(share(0.0, 4, &[]), None);
    assert_eq!(share(0.0, 3, &[]), Some(RefusalCode::ShareTooLarge));
    assert_eq!(
        share(0.20, 4, &[31]),
        Some(RefusalCode::ShareTooLargeInADay)
    );
    assert_eq!(share(0.25, 4, &[31]), None);
    assert_eq!(share(1.0, 0, &[]), None);
    for nonsense in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
        assert_eq!(
            share(nonsense, 0, &[]),
            Some(RefusalCode::ShareTooLarge),
            "{nonsense}"
        );
    }
}

#[test]
fn an_empty_source_and_an_empty_scope_are_refused() {
    let mut world = small();
    world.cloud.clear();
    let limits = Limits::default();
    assert_eq!(
        refusal(&world::plan(&world), &limits, &[]),
        Some(RefusalCode::EmptySource)
    );
    world.cloud_end = Completeness::Incomplete("cut off".into());
    assert_eq!(
        refusal(&world::plan(&world), &limits, &[]),
        Some(RefusalCode::EmptySource)
    );
    world.cloud_end = Completeness::Partial;
    assert_eq!(refusal(&world::plan(&world), &limits, &[]), None);
    let mut world = small();
    world.rules.trust_types = vec!["AzureAd".into()];
    for record in &mut world.cloud {
        if let CloudItem::Device(device) = &mut record.item {
            device.trust_type = Field::Value("Workplace".into());
        }
    }
    assert_eq!(
        refusal(&world::plan(&world), &limits, &[]),
        Some(RefusalCode::EmptyScope)
    );
}

#[test]
fn disabling_what_the_cloud_disabled_is_no_retirement() {
    let mut world = small();
    for record in &mut world.cloud {
        if let CloudItem::Device(device) = &mut record.item {
            device.account_enabled = Field::Value(false);
        }
    }
    world.rules.gone = Retire::Keep;
    let plan = world::plan(&world);
    assert_eq!(plan.summary().actions["disable"], 3);
    assert_eq!(refusal(&plan, &limits(0, 0.0, 0), &[]), None);
}

#[test]
fn a_mass_soft_delete_trips_the_limits() {
    let mut world = small();
    for record in &mut world.cloud {
        if let CloudItem::Device(device) = &mut record.item {
            device.deleted = true;
        }
    }
    // Somebody is left, so that the source is not empty.
    world.cloud.push(CloudRecord {
        sequence: 1_000,
        item: CloudItem::Device(Box::new(cloud_device(9))),
    });
    world.rules.gone = Retire::Keep;
    let plan = world::plan(&world);
    assert_eq!(plan.summary().retirements, 3);
    assert_eq!(plan.summary().actions["disable"], 3);
    assert_eq!(
        refusal(&plan, &limits(2, 1.0, 10), &[]),
        Some(RefusalCode::TooManyRetirements)
    );
}

#[test]
fn an_override_is_good_for_one_plan() {
    let none = limits(0, 0.0, 0);
    let history = History::default();
    let plan = retiring(20, 4);
    let digest = plan.digest();
    let other = Override {
        digest: retiring(20, 5).digest(),
    };
    let (plan, refusal) = *plan.approve(&none, &history, Some(other)).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::TooManyRetirements);
    assert_eq!(
        refusal.to_string(),
        "refused (too_many_retirements): 4 retirements are planned, limits.max_retirements allows 0"
    );
    let approved = plan
        .approve(&none, &history, Some(Override { digest }))
        .unwrap();
    assert_eq!(approved.plan().digest(), digest);
    assert_eq!(approved.into_plan().digest(), digest);
    let approved = retiring(20, 4).approve(&Limits::default(), &history, None);
    assert!(approved.is_ok());
}
