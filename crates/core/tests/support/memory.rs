//! A directory in memory that refuses what a domain controller refuses.

use device_writeback_core::apply::{
    Answer, Execution, Modification, ModificationKind, Operation, OperationResult, Outcome,
    Progress, Request, ResultCode, Target,
};
use device_writeback_core::attributes::{AttributeSet, validate};
use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::guid::{Guid, ObjectGuid};
use device_writeback_core::plan::{Change, Octets};
use device_writeback_core::schema::{Attribute, Syntax};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    pub objects: Vec<DirectoryObject>,
    /// Servers disagree: the code for a second value of a single-valued attribute.
    pub second_value: ResultCode,
    next: u64,
}

impl Memory {
    pub fn new(objects: Vec<DirectoryObject>) -> Self {
        Self {
            next: 1_000_000,
            second_value: ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
            objects,
        }
    }

    pub fn find(&self, target: &Target) -> Option<usize> {
        self.objects.iter().position(|object| match target.guid {
            Some(guid) => object.guid == Some(guid),
            None => object.dn == target.dn,
        })
    }

    pub fn read(&self, target: &Target) -> Option<DirectoryObject> {
        self.find(target).map(|index| self.objects[index].clone())
    }

    pub fn write(&mut self, operation: &Operation) -> OperationResult {
        match self.try_write(operation) {
            Ok(()) => OperationResult::SUCCESS,
            Err(code) => OperationResult::new(code, format!("{operation:?}")),
        }
    }

    fn try_write(&mut self, operation: &Operation) -> Result<(), ResultCode> {
        match operation {
            Operation::Add { dn, attributes } => {
                if self.objects.iter().any(|object| object.dn == *dn) {
                    return Err(ResultCode::ENTRY_ALREADY_EXISTS);
                }
                let mut values = AttributeSet::new();
                for (name, list) in attributes {
                    let Some(attribute) = Attribute::from_name(name) else {
                        assert!(["objectClass", "cn"].contains(name), "{name}");
                        continue;
                    };
                    list.iter()
                        .for_each(|value| values.push(attribute, &value.0));
                }
                check(&values)?;
                self.next += 1;
                let guid = ObjectGuid::from(Guid::from_bytes(u128::from(self.next).to_be_bytes()));
                self.objects.push(DirectoryObject {
                    sequence: self.next,
                    dn: dn.clone(),
                    guid: Some(guid),
                    values,
                });
                Ok(())
            }
            Operation::Modify {
                target,
                modifications,
            } => {
                let index = self.find(target).ok_or(ResultCode::NO_SUCH_OBJECT)?;
                let mut values: Vec<(Attribute, Vec<u8>)> = self.objects[index]
                    .values
                    .iter()
                    .map(|(attribute, value)| (attribute, value.to_vec()))
                    .collect();
                for modification in modifications {
                    self.modify(&mut values, modification)?;
                }
                let mut set = AttributeSet::new();
                values
                    .iter()
                    .for_each(|(attribute, value)| set.push(*attribute, value));
                check(&set)?;
                self.objects[index].values = set;
                Ok(())
            }
            Operation::Delete { target } => {
                let index = self.find(target).ok_or(ResultCode::NO_SUCH_OBJECT)?;
                self.objects.remove(index);
                Ok(())
            }
            other => panic!("{other:?}"),
        }
    }

    fn modify(
        &self,
        values: &mut Vec<(Attribute, Vec<u8>)>,
        modification: &Modification,
    ) -> Result<(), ResultCode> {
        let attribute = Attribute::from_name(modification.name).unwrap();
        assert!(!modification.values.is_empty());
        for Octets(value) in &modification.values {
            let place = values
                .iter()
                .position(|(own, old)| *own == attribute && matches(attribute, old, value));
            match (modification.kind, place) {
                (ModificationKind::Delete, Some(place)) => {
                    values.remove(place);
                }
                (ModificationKind::Delete, None) => return Err(ResultCode::NO_SUCH_ATTRIBUTE),
                (ModificationKind::Add, Some(_)) => {
                    return Err(ResultCode::ATTRIBUTE_OR_VALUE_EXISTS);
                }
                (ModificationKind::Add, None) => {
                    if attribute.schema().single_valued
                        && values.iter().any(|(own, _)| *own == attribute)
                    {
                        return Err(self.second_value);
                    }
                    values.push((attribute, value.clone()));
                }
            }
        }
        Ok(())
    }
}

/// Active Directory compares text ignoring case.
fn matches(attribute: Attribute, left: &[u8], right: &[u8]) -> bool {
    if attribute.schema().syntax == Syntax::Unicode {
        let fold = |value: &[u8]| String::from_utf8_lossy(value).to_lowercase();
        fold(left) == fold(right)
    } else {
        left == right
    }
}

fn check(values: &AttributeSet) -> Result<(), ResultCode> {
    for attribute in Attribute::ALL.iter().copied() {
        let count = values.values(attribute).count();
        if attribute.schema().mandatory && count == 0 {
            return Err(ResultCode::OBJECT_CLASS_VIOLATION);
        }
        if attribute.schema().single_valued && count > 1 {
            return Err(ResultCode::CONSTRAINT_VIOLATION);
        }
    }
    Ok(())
}

/// Whether a domain controller would take every value that the change writes.
pub fn valid(change: &Change) -> bool {
    change.attributes.iter().all(|attribute| {
        attribute
            .new
            .iter()
            .all(|value| validate(attribute.attribute, &value.0).is_ok())
    })
}

/// Carries out a change; `before` runs ahead of every request, counted from 0.
pub fn execute(
    memory: &mut Memory,
    change: Change,
    mut before: impl FnMut(&mut Memory, usize),
) -> Outcome {
    let (mut execution, mut request) = Execution::start(change);
    for number in 0..10 {
        before(memory, number);
        let answer = answer(memory, &request);
        match execution.answer(answer) {
            Progress::Next(next) => request = next,
            Progress::Finished(outcome) => return outcome,
        }
    }
    panic!("an execution does not end");
}

pub fn answer(memory: &mut Memory, request: &Request) -> Answer {
    match request {
        Request::Read(target) => Answer::Object(memory.read(target)),
        Request::Write(operation) => Answer::Result(memory.write(operation)),
    }
}
