//! Reading both sides into the planner: side by side, then again what is unresolved.

use std::pin::Pin;

use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::graph::CloudRecord;
use device_writeback_core::guid::DeviceId;
use device_writeback_core::plan::{Completeness, Planner, Unresolved};
use futures_util::future::{Either, Future, ready, select};

use crate::control::{Control, Stage};
use crate::driver::{Engine, plan_error};
use crate::error::{Error, ErrorKind};
use crate::ports::{
    CloudImport, CloudSource, Directory, DirectoryFacts, DirectoryImport, StateStore,
};
use crate::watch::Watch;

/// About how many SIDs the directory is asked at once.
pub(crate) const LOOKED_UP: usize = 500;

impl<S: CloudSource, D: Directory, T: StateStore> Engine<S, D, T> {
    pub(crate) async fn read_both(
        &self,
        planner: &mut Planner,
        facts: &DirectoryFacts,
        control: &Control,
        watch: &mut Watch,
    ) -> Result<(), Error> {
        let (mut records, mut objects) = (0_u64, 0_u64);
        let mut cloud = Some(pull_cloud(self.source.import().await?));
        let mut directory = None;
        if facts.container_exists {
            directory = Some(pull_directory(self.directory.import().await?));
        } else {
            // Nothing is in a container that is not there; a domain controller would refuse to look.
            planner.end_directory(Completeness::Full);
        }
        let mut directory_first = false;
        loop {
            control.check()?;
            directory_first = !directory_first;
            let next = match (cloud.take(), directory.take()) {
                (None, None) => return Ok(()),
                (Some(left), None) => Either::Left(left.await),
                (None, Some(right)) => Either::Right(right.await),
                // Each side is looked at first in turn: one that always has a page ready would keep the other one waiting.
                (Some(left), Some(right)) if directory_first => match select(right, left).await {
                    Either::Left((done, rest)) => {
                        cloud = Some(rest);
                        Either::Right(done)
                    }
                    Either::Right((done, rest)) => {
                        directory = Some(rest);
                        Either::Left(done)
                    }
                },
                (Some(left), Some(right)) => match select(left, right).await {
                    Either::Left((done, rest)) => {
                        directory = Some(rest);
                        Either::Left(done)
                    }
                    Either::Right((done, rest)) => {
                        cloud = Some(rest);
                        Either::Right(done)
                    }
                },
            };
            match next {
                Either::Left((import, page)) => match page? {
                    None => {
                        let completeness = import.completeness();
                        if let Completeness::Incomplete(what) = &completeness {
                            tracing::warn!(%what, "the source was not read completely: absence proves nothing in this run");
                        }
                        planner.end_cloud(completeness);
                    }
                    Some(page) => {
                        records += page.len() as u64;
                        self.look_up(planner, &page, &mut directory).await?;
                        for record in page {
                            watch.see_cloud(&record);
                            planner.cloud(record);
                        }
                        control.progress(Stage::Source, records, None);
                        cloud = Some(pull_cloud(import));
                    }
                },
                Either::Right((import, page)) => match page? {
                    None => planner.end_directory(Completeness::Full),
                    Some(page) => {
                        objects += page.len() as u64;
                        for object in page {
                            watch.see_directory(&object);
                            planner.directory(object);
                        }
                        control.progress(Stage::Directory, objects, None);
                        directory = Some(pull_directory(import));
                    }
                },
            }
        }
    }

    /// Asks the directory about the people in `page`. The directory's own reading goes on meanwhile: a directory that does one
    /// thing at a time could not answer before its page is taken.
    async fn look_up(
        &self,
        planner: &mut Planner,
        page: &[CloudRecord],
        reading: &mut Option<Pulled<D::Import, DirectoryObject>>,
    ) -> Result<(), Error> {
        let mut sids = Vec::new();
        for record in page {
            sids.append(&mut planner.sids_to_look_up(record));
        }
        sids.sort_unstable();
        sids.dedup();
        for chunk in sids.chunks(LOOKED_UP) {
            let asked = Box::pin(self.directory.principals(chunk));
            let answers = match reading.take() {
                None => asked.await,
                Some(pulled) => match select(asked, pulled).await {
                    Either::Left((answers, pulled)) => {
                        *reading = Some(pulled);
                        answers
                    }
                    Either::Right((pulled, asked)) => {
                        *reading = Some(Box::pin(ready(pulled)));
                        asked.await
                    }
                },
            };
            for (sid, facts) in matched("the directory", chunk, answers?)? {
                planner.principal(*sid, facts);
            }
        }
        Ok(())
    }

    /// A question by name or by object id finds one side only when the other side has another name or mark: reads the sides
    /// again for the device ids that have come up.
    pub(crate) async fn look_again(
        &self,
        facts: &DirectoryFacts,
        control: &Control,
        watch: &mut Watch,
    ) -> Result<(), Error> {
        if facts.container_exists && watch.look_for_more_in_directory() {
            let mut import = self.directory.import().await?;
            while let Some(page) = import.next_page().await? {
                control.check()?;
                page.iter().for_each(|object| watch.see_directory(object));
            }
        }
        if watch.look_for_more_in_cloud() {
            let mut import = self.source.import().await?;
            while let Some(page) = import.next_page().await? {
                control.check()?;
                page.iter().for_each(|record| watch.see_cloud(record));
            }
        }
        Ok(())
    }

    pub(crate) async fn resolve(
        &self,
        planner: &mut Planner,
        control: &Control,
    ) -> Result<(), Error> {
        let mut done = 0_u64;
        loop {
            control.check()?;
            let open = planner.unresolved().map_err(plan_error)?;
            if open.is_empty() {
                return Ok(());
            }
            let Unresolved {
                provenance,
                cloud,
                directory,
                ..
            } = open;
            if !provenance.is_empty() {
                let answers = self.state.provenance(&provenance).await?;
                for (device, answer) in matched("the state", &provenance, answers)? {
                    planner.answer_provenance(*device, answer);
                }
                continue;
            }
            let asked: Vec<DeviceId> = cloud
                .iter()
                .map(|key| key.device_id)
                .chain(directory.iter().map(|key| key.device_id))
                .collect();
            if !cloud.is_empty() {
                for record in self.source.reread(&cloud).await? {
                    planner.resolve_cloud(record).map_err(plan_error)?;
                }
            }
            if !directory.is_empty() {
                for (device, object) in self.directory.reread(&directory).await? {
                    planner
                        .resolve_directory(device, object)
                        .map_err(plan_error)?;
                }
            }
            // Whatever was asked for and did not come is gone; the planner ignores devices that are settled.
            for device in asked {
                planner.resolve_vanished(device).map_err(plan_error)?;
                done += 1;
            }
            control.progress(Stage::Resolve, done, None);
        }
    }
}

/// Each question with its answer. An adapter that leaves one out would have it asked for ever.
pub(crate) fn matched<'a, Q, A>(
    who: &str,
    questions: &'a [Q],
    answers: Vec<A>,
) -> Result<impl Iterator<Item = (&'a Q, A)> + use<'a, Q, A>, Error> {
    if questions.len() != answers.len() {
        return Err(Error::new(
            ErrorKind::Internal,
            format!(
                "{who} was asked {} questions and gave {} answers",
                questions.len(),
                answers.len()
            ),
        )
        .with_remedy("report this as a defect of the adapter"));
    }
    Ok(questions.iter().zip(answers))
}

type Pulled<I, P> = Pin<Box<dyn Future<Output = (I, Result<Option<Vec<P>>, Error>)> + Send>>;

/// A future that owns its import can wait beside the other side's without being dropped half-way.
fn pull_cloud<I: CloudImport + 'static>(mut import: I) -> Pulled<I, CloudRecord> {
    Box::pin(async move {
        let page = import.next_page().await;
        (import, page)
    })
}

fn pull_directory<I: DirectoryImport + 'static>(mut import: I) -> Pulled<I, DirectoryObject> {
    Box::pin(async move {
        let page = import.next_page().await;
        (import, page)
    })
}
