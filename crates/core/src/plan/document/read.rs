//! Reading a plan document as a stream: the changes go to the spool one by one.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::super::PlanError;
use super::super::change::Change;
use super::super::writer::ChangeWriter;
use super::{FORMAT_VERSION, Header, Identity, Listed, ListedDocument, Plan, Sides, Summary, hex};

/// A document whose digest has not been compared yet.
pub(super) struct Document {
    plan: Header,
    summary: Summary,
    skipped: Vec<Listed>,
    held: Vec<Listed>,
    conflicts: Vec<Listed>,
    digest: [u8; 32],
    writer: ChangeWriter,
}

impl Document {
    pub(super) fn into_plan(self) -> Result<Plan, PlanError> {
        let Self {
            plan: header,
            summary,
            skipped,
            held,
            conflicts,
            digest,
            writer,
        } = self;
        let (spool, index) = writer.into_parts();
        let mut plan = Plan {
            header,
            summary: summary.clone(),
            skipped,
            held,
            conflicts,
            spool,
            index,
            digest,
        };
        plan.count();
        if plan.summary != summary {
            return Err(PlanError::Document(
                "its summary does not count what it contains".into(),
            ));
        }
        if plan.compute_digest()? != digest {
            return Err(PlanError::Document(
                "its digest does not match its content; it was changed after it was written. Make a new plan".into(),
            ));
        }
        Ok(plan)
    }
}

/// Collects a document, its changes into a spool.
pub(super) struct DocumentSeed {
    pub(super) writer: ChangeWriter,
}

impl<'de> DeserializeSeed<'de> for DocumentSeed {
    type Value = Document;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for DocumentSeed {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plan document")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Document, A::Error> {
        let (mut version, mut tenant_id, mut source_id, mut directory_id) =
            (None, None, None, None);
        let (mut domain_guid, mut container, mut profile, mut rules_digest) =
            (None, None, None, None);
        let (mut take_over, mut time, mut complete, mut summary) = (None, None, None, None);
        let (mut skipped, mut held, mut conflicts, mut digest) = (None, None, None, None);
        let mut changes = false;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "format_version" => {
                    let found: u32 = map.next_value()?;
                    if found != FORMAT_VERSION {
                        return Err(A::Error::custom(format!(
                            "its format_version is {found}, this program reads {FORMAT_VERSION}"
                        )));
                    }
                    once(&mut version, &name, found)?;
                }
                "tenant_id" => once(&mut tenant_id, &name, map.next_value()?)?,
                "source_id" => once(&mut source_id, &name, map.next_value()?)?,
                "directory_id" => once(&mut directory_id, &name, map.next_value()?)?,
                "domain_guid" => once(&mut domain_guid, &name, map.next_value()?)?,
                "container" => once(&mut container, &name, map.next_value()?)?,
                "profile" => once(&mut profile, &name, map.next_value()?)?,
                "rules_digest" => {
                    once(
                        &mut rules_digest,
                        &name,
                        digest_of(&map.next_value::<String>()?)?,
                    )?;
                }
                "take_over" => once(&mut take_over, &name, map.next_value()?)?,
                "time" => once(&mut time, &name, map.next_value()?)?,
                "complete" => once(&mut complete, &name, map.next_value::<Sides>()?)?,
                "summary" => once(&mut summary, &name, map.next_value::<Summary>()?)?,
                "changes" if !changes => {
                    map.next_value_seed(ChangesSeed(&mut self.writer))?;
                    changes = true;
                }
                "skipped" => once(&mut skipped, &name, listed(map.next_value()?)?)?,
                "held" => once(&mut held, &name, listed(map.next_value()?)?)?,
                "conflicts" => once(&mut conflicts, &name, listed(map.next_value()?)?)?,
                "digest" => once(&mut digest, &name, digest_of(&map.next_value::<String>()?)?)?,
                other => {
                    return Err(A::Error::custom(format!(
                        "it has an unknown or repeated member {}",
                        other.escape_debug()
                    )));
                }
            }
        }
        if !changes {
            return Err(missing("changes"));
        }
        Ok(Document {
            plan: Header {
                format_version: version.ok_or_else(|| missing("format_version"))?,
                identity: Identity {
                    tenant_id: tenant_id.ok_or_else(|| missing("tenant_id"))?,
                    source_id: source_id.ok_or_else(|| missing("source_id"))?,
                    directory_id: directory_id.ok_or_else(|| missing("directory_id"))?,
                    domain_guid: domain_guid.ok_or_else(|| missing("domain_guid"))?,
                    container: container.ok_or_else(|| missing("container"))?,
                },
                profile: profile.ok_or_else(|| missing("profile"))?,
                rules_digest: rules_digest.ok_or_else(|| missing("rules_digest"))?,
                take_over: take_over.ok_or_else(|| missing("take_over"))?,
                time: time.ok_or_else(|| missing("time"))?,
                complete: complete.ok_or_else(|| missing("complete"))?,
            },
            summary: summary.ok_or_else(|| missing("summary"))?,
            skipped: skipped.ok_or_else(|| missing("skipped"))?,
            held: held.ok_or_else(|| missing("held"))?,
            conflicts: conflicts.ok_or_else(|| missing("conflicts"))?,
            digest: digest.ok_or_else(|| missing("digest"))?,
            writer: self.writer,
        })
    }
}

fn missing<E: Error>(member: &str) -> E {
    E::custom(format!("it has no member {member}"))
}

fn once<T, E: Error>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom(format!("it has the member {name} twice"))),
    }
}

fn digest_of<E: Error>(text: &str) -> Result<[u8; 32], E> {
    hex::decode(text).ok_or_else(|| E::custom("a digest is 64 hexadecimal digits"))
}

/// What a reader is shown must be what the codes say.
fn listed<E: Error>(documents: Vec<ListedDocument>) -> Result<Vec<Listed>, E> {
    documents
        .into_iter()
        .map(|document| {
            let message = document.message.clone();
            let listed = Listed::from(document);
            if listed.message() == message {
                Ok(listed)
            } else {
                Err(E::custom(format!(
                    "a message under {} is not that code's",
                    listed.code
                )))
            }
        })
        .collect()
}

struct ChangesSeed<'a>(&'a mut ChangeWriter);

impl<'de> DeserializeSeed<'de> for ChangesSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ChangesSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of changes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(change) = seq.next_element::<Change>()? {
            self.0.push(&change).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}
