//! Writes that wait for the commit.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroU64;

use device_writeback_core::plan::Spool;

use crate::spool::FileSpool;

/// What becomes of the file's objects, and the new ones. The records themselves lie in a spool: a
/// million new devices take some tens of bytes each here.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    spool: FileSpool,
    /// By offset in the file; `None` is deleted.
    touched: HashMap<u64, Option<Piece>>,
    /// In the order of the writes; `None` is deleted again.
    added: Vec<Option<Piece>>,
    names: Places,
    guids: Places,
}

/// A record in the spool: one more than its place there.
type Piece = NonZeroU64;

/// Numbers of new objects by a keyed hash.
#[derive(Debug, Default)]
struct Places {
    first: HashMap<u64, u32>,
    /// Those that found their hash taken.
    more: Vec<(u64, u32)>,
}

/// What a commit does with a record of the file.
pub(super) enum Fate<'a> {
    Kept,
    Deleted,
    Replaced(&'a [u8]),
}

impl Overlay {
    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.added.iter().all(Option::is_none)
    }

    /// Adds the record of a new object.
    pub(super) fn add(&mut self, name: u64, guid: u64, record: &[u8]) -> io::Result<()> {
        let number = u32::try_from(self.added.len())
            .map_err(|_| io::Error::other("more than 2^32 new objects in one commit"))?;
        let piece = self.store(record)?;
        self.added.push(Some(piece));
        self.names.insert(name, number);
        self.guids.insert(guid, number);
        Ok(())
    }

    /// New objects whose name may have that hash.
    pub(super) fn by_name(&self, hash: u64) -> Vec<u32> {
        self.names.find(hash)
    }

    /// New objects whose GUID may have that hash.
    pub(super) fn by_guid(&self, hash: u64) -> Vec<u32> {
        self.guids.find(hash)
    }

    /// The record of a new object, as it is by now; `false` when it was deleted again.
    pub(super) fn added(&self, number: u32, out: &mut Vec<u8>) -> io::Result<bool> {
        match self.added.get(number as usize) {
            Some(Some(piece)) => self.load(*piece, out).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Puts `record` in the place of a new object's, or deletes that again.
    pub(super) fn replace_added(&mut self, number: u32, record: Option<&[u8]>) -> io::Result<()> {
        let piece = record.map(|record| self.store(record)).transpose()?;
        if let Some(place) = self.added.get_mut(number as usize) {
            *place = piece;
        }
        Ok(())
    }

    /// How many new objects there are, deleted ones included.
    pub(super) fn added_count(&self) -> u32 {
        u32::try_from(self.added.len()).unwrap_or(u32::MAX)
    }

    /// Puts `record` in the place of the file's record at `offset`, or deletes that.
    pub(super) fn replace_stored(&mut self, offset: u64, record: Option<&[u8]>) -> io::Result<()> {
        let piece = record.map(|record| self.store(record)).transpose()?;
        self.touched.insert(offset, piece);
        Ok(())
    }

    /// What becomes of the file's record at `offset`.
    pub(super) fn fate<'a>(&self, offset: u64, buffer: &'a mut Vec<u8>) -> io::Result<Fate<'a>> {
        match self.touched.get(&offset) {
            None => Ok(Fate::Kept),
            Some(None) => Ok(Fate::Deleted),
            Some(Some(piece)) => {
                self.load(*piece, buffer)?;
                Ok(Fate::Replaced(buffer))
            }
        }
    }

    fn store(&mut self, record: &[u8]) -> io::Result<Piece> {
        let at = self.spool.append(&(record.len() as u64).to_le_bytes())?;
        self.spool.append(record)?;
        Piece::new(at + 1).ok_or_else(|| io::Error::other("the spool is full"))
    }

    fn load(&self, piece: Piece, out: &mut Vec<u8>) -> io::Result<()> {
        let at = piece.get() - 1;
        self.spool.read(at, 8, out)?;
        let length = match **out {
            [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.spool.read(at + 8, length, out)
    }
}

impl Places {
    fn insert(&mut self, hash: u64, number: u32) {
        use std::collections::hash_map::Entry;
        match self.first.entry(hash) {
            Entry::Vacant(place) => {
                place.insert(number);
            }
            Entry::Occupied(_) => self.more.push((hash, number)),
        }
    }

    fn find(&self, hash: u64) -> Vec<u32> {
        let Some(first) = self.first.get(&hash) else {
            return Vec::new();
        };
        let more = self.more.iter().filter(|(own, _)| *own == hash);
        std::iter::once(*first)
            .chain(more.map(|(_, number)| *number))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_with_one_hash_are_told_apart_and_the_last_word_counts() {
        let mut overlay = Overlay::default();
        assert!(overlay.is_empty());
        overlay.add(1, 10, b"first").unwrap();
        overlay.add(1, 11, b"second").unwrap();
        assert_eq!(
            (overlay.by_name(1), overlay.by_guid(11)),
            (vec![0, 1], vec![1])
        );
        assert!(overlay.by_name(2).is_empty());

        let mut buffer = Vec::new();
        overlay.replace_added(0, Some(b"first, changed")).unwrap();
        assert!(overlay.added(0, &mut buffer).unwrap());
        assert_eq!(buffer, b"first, changed");
        overlay.replace_added(0, None).unwrap();
        overlay.replace_added(1, None).unwrap();
        assert!(!overlay.added(0, &mut buffer).unwrap());
        assert!(overlay.is_empty());

        overlay.replace_stored(7, Some(b"other")).unwrap();
        assert!(matches!(
            overlay.fate(7, &mut buffer).unwrap(),
            Fate::Replaced(b"other")
        ));
        overlay.replace_stored(7, None).unwrap();
        assert!(matches!(
            overlay.fate(7, &mut buffer).unwrap(),
            Fate::Deleted
        ));
        assert!(matches!(overlay.fate(8, &mut buffer).unwrap(), Fate::Kept));
        assert!(!overlay.is_empty());
    }
}
