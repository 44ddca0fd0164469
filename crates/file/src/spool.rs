//! A spool that begins in memory and moves to a temporary file when a plan grows large.

use std::fs::File;
use std::io::{self, Write as _};

use device_writeback_core::plan::{MemorySpool, Spool};

/// Up to this many bytes a plan stays in memory: tens of thousands of changes.
const IN_MEMORY: u64 = 32 << 20;
/// Appends are gathered to pieces of this size before they reach the file.
const GATHERED: usize = 1 << 20;

/// A [`Spool`] for plans of any size. The file is unnamed: it vanishes with the process, however that ends.
#[derive(Debug, Default)]
pub struct FileSpool {
    memory: MemorySpool,
    file: Option<File>,
    /// Bytes that have left memory.
    in_file: u64,
    /// Appended, but not in the file yet.
    gathered: Vec<u8>,
    length: u64,
}

impl FileSpool {
    /// An empty spool.
    pub fn new() -> Self {
        Self::default()
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(&self.gathered)?;
            self.in_file += self.gathered.len() as u64;
            self.gathered.clear();
        }
        Ok(())
    }

    /// Moves what is in memory to a temporary file.
    fn spill(&mut self) -> io::Result<()> {
        let mut file = tempfile::tempfile()?;
        let mut piece = Vec::new();
        let mut at = 0;
        while at < self.length {
            let length =
                usize::try_from((self.length - at).min(GATHERED as u64)).unwrap_or(GATHERED);
            self.memory.read(at, length, &mut piece)?;
            file.write_all(&piece)?;
            at += length as u64;
        }
        self.memory = MemorySpool::default();
        self.in_file = self.length;
        self.file = Some(file);
        Ok(())
    }
}

impl Spool for FileSpool {
    fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let offset = self.length;
        if self.file.is_none() && self.length + bytes.len() as u64 > IN_MEMORY {
            self.spill()?;
        }
        if self.file.is_some() {
            self.gathered.extend_from_slice(bytes);
            if self.gathered.len() >= GATHERED {
                self.flush()?;
            }
        } else {
            self.memory.append(bytes)?;
        }
        self.length += bytes.len() as u64;
        Ok(offset)
    }

    fn read(&self, offset: u64, length: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let Some(file) = &self.file else {
            return self.memory.read(offset, length, out);
        };
        if offset >= self.in_file {
            let start =
                usize::try_from(offset - self.in_file).map_err(|_| io::ErrorKind::UnexpectedEof)?;
            let part = start
                .checked_add(length)
                .and_then(|end| self.gathered.get(start..end))
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            out.clear();
            out.extend_from_slice(part);
            return Ok(());
        }
        out.resize(length, 0);
        read_at(file, out, offset)
    }
}

#[cfg(unix)]
fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut out: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !out.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, out, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        offset += read as u64;
        out = out.get_mut(read..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_was_appended_in_memory_and_after_moving_to_a_file() {
        let mut spool = FileSpool::new();
        let mut places = Vec::new();
        for number in 0_u32..6_000 {
            let record: Vec<u8> = number.to_be_bytes().repeat(2_000);
            places.push((spool.append(&record).unwrap(), record.len(), number));
        }
        assert!(spool.file.is_some(), "48 MB do not stay in memory");
        let mut out = Vec::new();
        for (offset, length, number) in places {
            spool.read(offset, length, &mut out).unwrap();
            assert!(
                out.chunks_exact(4)
                    .all(|chunk| chunk == number.to_be_bytes())
            );
        }
        assert!(spool.read(spool.length, 1, &mut out).is_err());
    }
}
