//! 128-bit keyed digests of the managed attributes.
//!
//! The key is drawn for each run, so that nobody who chooses device names can prepare two records that look equal.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::attributes::{AttributeMask, AttributeSet, canonical};
use crate::schema::Equality;

/// Takes digests of attribute sets; keeps its buffers between records.
#[derive(Debug)]
pub(super) struct Digester {
    key: [u8; 16],
    forms: Vec<u8>,
    ends: Vec<usize>,
    order: Vec<(usize, usize)>,
}

impl Digester {
    pub(super) fn new(key: [u8; 16]) -> Self {
        Self {
            key,
            forms: Vec::new(),
            ends: Vec::new(),
            order: Vec::new(),
        }
    }

    /// The digest of what `values` say about the attributes of `mask`: equal for equal meaning.
    /// Time stamps that are only ever raised are left to the join.
    pub(super) fn digest(&mut self, values: &AttributeSet, mask: AttributeMask) -> [u64; 2] {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        for attribute in mask.iter() {
            if attribute.schema().equality == Equality::Raised {
                continue;
            }
            self.forms.clear();
            self.ends.clear();
            for value in values.values(attribute) {
                canonical(attribute, value, &mut self.forms);
                self.ends.push(self.forms.len());
            }
            self.order.clear();
            let mut start = 0;
            for &end in &self.ends {
                self.order.push((start, end));
                start = end;
            }
            let forms = &self.forms;
            let form = |&(start, end): &(usize, usize)| forms.get(start..end).unwrap_or_default();
            if self.order.len() > 1 {
                self.order
                    .sort_unstable_by(|left, right| form(left).cmp(form(right)));
                self.order.dedup_by(|left, right| form(left) == form(right));
            }
            hasher.write_u8(attribute as u8);
            hasher.write_u32(u32::try_from(self.order.len()).unwrap_or(u32::MAX));
            for span in &self.order {
                let form = form(span);
                hasher.write_u32(u32::try_from(form.len()).unwrap_or(u32::MAX));
                hasher.write(form);
            }
        }
        let hash = hasher.finish128();
        [hash.h1, hash.h2]
    }

    /// A 64-bit digest of some bytes.
    pub(super) fn short(&self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(bytes);
        hasher.finish128().h1
    }
}
