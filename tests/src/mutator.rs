//! Deterministic random changes to seed inputs, for fuzz runs without a fuzzer.

/// Makes mutated inputs; the same name gives the same sequence on every machine.
#[derive(Clone, Debug)]
pub struct Mutator {
    /// xorshift64* (Vigna, 2014); never 0.
    state: u64,
}

/// Octets that mean something to the parsers under test.
const TELLING: &[u8] =
    b"\0\n\r \t\"#%'()*+,-./0189:;<=>?@AFGZ[\\]_`afgz{|}~\x7f\x80\xbf\xc3\xe2\xed\xf0\xff";

/// Longest input that is made.
const MAX_LENGTH: usize = 4096;

impl Mutator {
    /// A sequence of its own for each `name`.
    #[must_use]
    pub fn new(name: &str) -> Mutator {
        // FNV-1a, only to spread the names.
        let state = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
        });
        Mutator {
            state: state.max(1),
        }
    }

    /// One of the seeds with one to eight changes; empty without seeds.
    pub fn mutate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.pick(seeds).cloned().unwrap_or_default();
        for _ in 0..=self.below(8) {
            self.change(&mut input, seeds);
        }
        input.truncate(MAX_LENGTH);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        match self.below(8) {
            0 => self.overwrite(input, at, |octet, random| octet ^ (1 << (random % 8))),
            1 => self.overwrite(input, at, |_, random| random.to_le_bytes()[0]),
            2 => {
                let telling = self.telling();
                self.overwrite(input, at, |_, _| telling);
            }
            3 => {
                let telling = self.telling();
                input.insert(at, telling);
            }
            4 => {
                let length = self.below(8.min(input.len() - at) + 1);
                input.drain(at..at + length);
            }
            5 => input.truncate(at),
            6 => {
                // A piece of the input again, somewhere else.
                let length = self.below(64.min(input.len() - at) + 1);
                let piece: Vec<u8> = input.iter().skip(at).take(length).copied().collect();
                let to = self.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            _ => {
                // The head of this one and the tail of another.
                let other = self.pick(seeds).cloned().unwrap_or_default();
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend(other.into_iter().skip(from));
            }
        }
    }

    fn overwrite(&mut self, input: &mut [u8], at: usize, new: impl FnOnce(u8, u64) -> u8) {
        let random = self.next();
        if let Some(octet) = input.get_mut(at) {
            *octet = new(*octet, random);
        }
    }

    fn telling(&mut self) -> u8 {
        self.pick(TELLING).copied().unwrap_or_default()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }

    /// A number below `limit`, 0 for 0. The slight bias does not matter here.
    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % limit).unwrap_or_default()
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn seeds() -> Vec<Vec<u8>> {
        vec![b"CN=a,DC=b".to_vec(), b"x: y".to_vec()]
    }

    #[test]
    fn the_sequence_is_the_same_every_time_and_differs_by_name() {
        let sequence = |name: &str| {
            let mut mutator = Mutator::new(name);
            (0..50)
                .map(|_| mutator.mutate(&seeds()))
                .collect::<Vec<_>>()
        };
        assert_eq!(sequence("dn"), sequence("dn"));
        assert_ne!(sequence("dn"), sequence("ldif"));
    }

    #[test]
    fn inputs_vary_and_stay_short() {
        let mut mutator = Mutator::new("dn");
        let made: BTreeSet<Vec<u8>> = (0..5_000).map(|_| mutator.mutate(&seeds())).collect();
        assert!(made.len() > 3_000, "{}", made.len());
        assert!(made.iter().all(|input| input.len() <= MAX_LENGTH));
    }

    #[test]
    fn no_seeds_and_empty_seeds_are_fine() {
        let mut mutator = Mutator::new("dn");
        for _ in 0..1_000 {
            mutator.mutate(&[]);
            mutator.mutate(&[Vec::new()]);
        }
    }
}
