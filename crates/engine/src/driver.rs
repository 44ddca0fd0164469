//! A run from its beginning to its end: what it is about, its plan, its checks.

use std::collections::BTreeSet;

use device_writeback_core::directory::device_dn;
use device_writeback_core::dn::Dn;
use device_writeback_core::filetime::FileTime;
use device_writeback_core::guid::{DeviceId, ObjectId, TenantId};
use device_writeback_core::plan::{
    Action, Completeness, Expected, History, Identity, Limits, Plan, PlanError, Planner, Refusal,
    Setup, Spool, VerifyError,
};
use device_writeback_core::rules::{Forest, Principals, Reason, Rules};

use crate::control::Control;
use crate::error::{Error, ErrorKind};
use crate::ports::{
    CloudSource, Directory, DirectoryFacts, DirectoryImport as _, RunEnd, StateStore,
};
use crate::reading::{LOOKED_UP, matched};
use crate::report::Report;
use crate::watch::Watch;

/// What a run is about, besides its ports.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Whose devices.
    pub tenant_id: TenantId,
    /// Name of the source, carried in plans.
    pub source_id: String,
    /// Name of the directory, carried in plans.
    pub directory_id: String,
    /// The rules.
    pub rules: Rules,
    /// The limits.
    pub limits: Limits,
    /// Now: the engine has no clock.
    pub now: FileTime,
    /// Take over marked objects that the source has never known.
    pub take_over: bool,
    /// How many records a side the planner keeps whole.
    pub keep_whole: usize,
}

impl Options {
    /// Options with default rules and limits.
    pub fn new(tenant_id: TenantId, now: FileTime) -> Self {
        Self {
            tenant_id,
            source_id: String::new(),
            directory_id: String::new(),
            rules: Rules::default(),
            limits: Limits::default(),
            now,
            take_over: false,
            keep_whole: 5_000,
        }
    }

    /// The options of a configuration.
    pub fn from_config(config: &crate::config::Config, now: FileTime) -> Self {
        Self {
            source_id: config.source.id.clone(),
            directory_id: config.directory.id.clone(),
            rules: config.rules.clone(),
            limits: config.limits.clone(),
            ..Self::new(config.tenant_id, now)
        }
    }
}

/// A source, a directory and a state, and what is to be done with them.
#[derive(Debug)]
pub struct Engine<S, D, T> {
    pub(crate) source: S,
    pub(crate) directory: D,
    pub(crate) state: T,
    pub(crate) options: Options,
}

/// A plan with what its making has shown.
#[derive(Debug)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// What happened before, as the limits see it.
    pub history: History,
    /// What the directory said about itself.
    pub facts: DirectoryFacts,
    pub(crate) learned: Learned,
}

impl Planned {
    /// Checks the limits without giving permission.
    ///
    /// # Errors
    /// The limit that trips.
    pub fn check_limits(&self, limits: &Limits) -> Result<(), Refusal> {
        self.plan.check_limits(limits, &self.history)
    }
}

/// What a reading of both sides has shown, for the state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Learned {
    pub(crate) known: Vec<(DeviceId, ObjectId)>,
    pub(crate) our_objects: Option<u64>,
    pub(crate) waiting: Vec<DeviceId>,
}

impl Learned {
    pub(crate) fn from_plan(plan: &Plan, known: Vec<(DeviceId, ObjectId)>) -> Self {
        let full = *plan.source_completeness() == Completeness::Full
            && *plan.directory_completeness() == Completeness::Full;
        let mut waiting: Vec<_> = plan
            .held()
            .iter()
            .filter(|held| held.code == Reason::HeldGrace)
            .filter_map(|held| held.device_id)
            .collect();
        waiting.sort_unstable();
        Self {
            known,
            our_objects: full.then_some(plan.summary().our_objects),
            waiting,
        }
    }
}

/// How a whole run ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum SyncEnd {
    /// A limit refused the plan: nothing was written.
    Refused(Box<Plan>, Refusal),
    /// The plan was carried out, as far as the report says.
    Applied(Box<Plan>, Report),
}

impl<S: CloudSource, D: Directory, T: StateStore> Engine<S, D, T> {
    /// An engine over three ports.
    pub fn new(source: S, directory: D, state: T, options: Options) -> Self {
        Self {
            source,
            directory,
            state,
            options,
        }
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The source.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The directory.
    pub fn directory(&self) -> &D {
        &self.directory
    }

    /// Reads both sides and says what would be done. Writes nothing; a state that is new learns whose it is.
    ///
    /// # Errors
    /// The first port that fails; [`ErrorKind::Cancelled`].
    pub async fn plan(&self, spool: Box<dyn Spool>, control: &Control) -> Result<Planned, Error> {
        self.plan_watching(spool, control, &mut Watch::nothing())
            .await
    }

    /// Plans, checks the limits, applies and reports: what a timer runs.
    ///
    /// # Errors
    /// As [`Engine::plan`] and [`Engine::apply`].
    pub async fn sync(&self, spool: Box<dyn Spool>, control: &Control) -> Result<SyncEnd, Error> {
        let planned = self.plan(spool, control).await?;
        let Planned {
            plan,
            history,
            facts,
            learned,
        } = planned;
        if !plan.is_empty() {
            has_container(&facts)?;
        }
        match plan.approve(&self.options.limits, &history, None) {
            Err(refused) => {
                let (plan, refusal) = *refused;
                Ok(SyncEnd::Refused(Box::new(plan), refusal))
            }
            Ok(approved) => {
                let report = self
                    .carry_out(&approved, learned, &BTreeSet::new(), control)
                    .await?;
                Ok(SyncEnd::Applied(Box::new(approved.into_plan()), report))
            }
        }
    }

    /// Checks that a saved plan may be applied here and now; the limits are another check ([`Plan::approve`] with
    /// [`Engine::history`]).
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] says what does not fit; [`ErrorKind::Directory`] when the container does not exist.
    pub async fn verify(&self, plan: &Plan) -> Result<(), Error> {
        self.verified(plan).await.map(drop)
    }

    /// [`Engine::verify`]; gives the devices that the plan would create and that have an object of another name by now.
    pub(crate) async fn verified(&self, plan: &Plan) -> Result<BTreeSet<DeviceId>, Error> {
        let facts = self.directory.facts().await?;
        has_container(&facts)?;
        let forest = self.forest(&facts);
        let identity = self.identity(&facts);
        self.state.claim(&identity).await?;
        let mut principals = Principals::new();
        let sids = plan.sids_to_look_up(&forest).map_err(plan_error)?;
        for chunk in sids.chunks(LOOKED_UP) {
            let answers = self.directory.principals(chunk).await?;
            for (sid, facts) in matched("the directory", chunk, answers)? {
                principals.insert(*sid, facts);
            }
        }
        let expected = Expected {
            identity: &identity,
            rules: &self.options.rules,
            forest: &forest,
            principals: &principals,
            limits: &self.options.limits,
            now: self.options.now,
        };
        plan.verify(&expected).map_err(|error| match error {
            VerifyError::Plan(error) => plan_error(error),
            other => Error::new(ErrorKind::Refused, other.to_string()),
        })?;
        self.verify_retirements(plan).await?;
        self.look_at_objects(plan, &facts.container).await
    }

    /// What a plan says about the directory and the past is as unsigned as the rest of it: the share of our objects is of the
    /// objects that are there, and a device is gone for being absent only if the source is known to have had it.
    async fn verify_retirements(&self, plan: &Plan) -> Result<(), Error> {
        let mut absent = Vec::new();
        for change in plan.changes() {
            let change = change.map_err(plan_error)?;
            if change.reason == Reason::GoneAbsent {
                absent.push(change.device_id);
            }
        }
        if !plan.take_over() {
            for chunk in absent.chunks(LOOKED_UP) {
                let answers = self.state.provenance(chunk).await?;
                for (device, provenance) in matched("the state", chunk, answers)? {
                    if !provenance.known {
                        return Err(Error::new(
                            ErrorKind::Refused,
                            format!(
                                "the plan is refused: device {device} would be retired for being absent, but the state does not know that this source ever had it"
                            ),
                        )
                        .with_remedy("make a new plan here; --take-over if these objects are yours"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the container once: how many objects are ours, and whether a device that is to be created has one.
    async fn look_at_objects(
        &self,
        plan: &Plan,
        container: &Dn,
    ) -> Result<BTreeSet<DeviceId>, Error> {
        let mut created = BTreeSet::new();
        for change in plan.changes() {
            let change = change.map_err(plan_error)?;
            if change.action == Action::Create {
                created.insert(change.device_id);
            }
        }
        let mut taken = BTreeSet::new();
        if plan.summary().retirements == 0 && created.is_empty() {
            return Ok(taken);
        }
        let mut import = self.directory.import().await?;
        let mut ours = 0_u64;
        while let Some(page) = import.next_page().await? {
            for object in page {
                ours += u64::from(object.is_marked());
                // Devices match by their id, never by name: an object elsewhere would get a twin.
                if let Ok(device) = object.device_id()
                    && created.contains(&device)
                    && object.dn != device_dn(device, container)
                {
                    taken.insert(device);
                }
            }
        }
        // What an earlier try has deleted was there when the plan was made.
        let claimed = plan.summary().our_objects;
        if plan.summary().retirements > 0
            && claimed > ours.saturating_add(plan.count_of(Action::Delete))
        {
            return Err(Error::new(
                ErrorKind::Refused,
                format!("the plan is refused: it counts {claimed} objects of ours, the directory has {ours}"),
            )
            .with_remedy("make a new plan"));
        }
        Ok(taken)
    }

    /// What happened before, as the limits see it.
    ///
    /// # Errors
    /// The state's.
    pub async fn history(&self) -> Result<History, Error> {
        self.state.history(self.options.now).await
    }

    /// Marks a permission to exceed the limits as used.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when it was used before; the state's.
    pub async fn use_override(&self, digest: [u8; 32]) -> Result<(), Error> {
        if self.state.use_override(digest, self.options.now).await? {
            return Err(Error::new(
                ErrorKind::Refused,
                "the permission to exceed the limits was used before for this very plan",
            )
            .with_remedy("make a new plan and look at it"));
        }
        Ok(())
    }

    pub(crate) async fn plan_watching(
        &self,
        spool: Box<dyn Spool>,
        control: &Control,
        watch: &mut Watch,
    ) -> Result<Planned, Error> {
        let facts = self.directory.facts().await?;
        let identity = self.identity(&facts);
        self.state.claim(&identity).await?;
        let history = self.history().await?;
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                "drawing a random key for the run's digests failed",
            )
            .with_source(error.to_string())
        })?;
        let options = &self.options;
        let mut setup = Setup::new(
            identity,
            options.rules.clone(),
            self.forest(&facts),
            options.now,
            key,
        );
        setup.take_over = options.take_over;
        setup.keep_whole = options.keep_whole;
        let mut planner = Planner::new(setup, spool);
        self.read_both(&mut planner, &facts, control, watch).await?;
        self.resolve(&mut planner, control).await?;
        self.look_again(&facts, control, watch).await?;
        watch.judge(&planner);
        let mut known: Vec<_> = planner.known_devices().collect();
        known.sort_unstable();
        let plan = planner.finish().map_err(plan_error)?;
        let learned = Learned::from_plan(&plan, known);
        Ok(Planned {
            plan,
            history,
            facts,
            learned,
        })
    }

    fn identity(&self, facts: &DirectoryFacts) -> Identity {
        Identity {
            tenant_id: self.options.tenant_id,
            source_id: self.options.source_id.clone(),
            directory_id: self.options.directory_id.clone(),
            domain_guid: facts.domain_guid,
            container: facts.container.clone(),
        }
    }

    fn forest(&self, facts: &DirectoryFacts) -> Forest {
        let mut forest = Forest::new(facts.schema);
        forest.domain_sids = facts.domain_sids.clone();
        forest.inactivity_days = facts.inactivity_days;
        forest
    }

    pub(crate) fn run_end(&self, run: Option<u64>, learned: Learned) -> RunEnd {
        let Learned {
            known,
            our_objects,
            waiting,
        } = learned;
        RunEnd {
            run,
            time: self.options.now,
            tenant_id: self.options.tenant_id,
            known,
            our_objects,
            waiting,
        }
    }
}

pub(crate) fn plan_error(error: PlanError) -> Error {
    let kind = match &error {
        PlanError::Document(_) => ErrorKind::Data,
        _ => ErrorKind::Internal,
    };
    let message = error.to_string();
    match error {
        PlanError::Spool(source) => Error::new(kind, message)
            .with_remedy("make room where temporary files lie (TMPDIR)")
            .with_source(source),
        _ => Error::new(kind, message),
    }
}

/// Without the container every single write would be refused.
fn has_container(facts: &DirectoryFacts) -> Result<(), Error> {
    if facts.container_exists {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Directory,
        format!("the container {} does not exist", facts.container),
    )
    .with_remedy("prepare the forest first, or correct directory.container"))
}
