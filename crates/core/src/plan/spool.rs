//! Where the changes of a plan lie while it is made and after: in memory, or wherever the embedder puts them.

use std::io;

/// Append-only bytes that can be read back from any place.
///
/// A plan for a million new devices is larger than the memory one wants to give it; a file behind this trait holds it.
pub trait Spool: Send + Sync {
    /// Appends `bytes` and says at which offset they begin.
    ///
    /// # Errors
    /// The medium's own.
    fn append(&mut self, bytes: &[u8]) -> io::Result<u64>;

    /// Reads `length` bytes from `offset` into `out`, whose content is replaced.
    ///
    /// # Errors
    /// The medium's own; [`io::ErrorKind::UnexpectedEof`] when there are not that many bytes.
    fn read(&self, offset: u64, length: usize, out: &mut Vec<u8>) -> io::Result<()>;
}

/// A spool in memory.
#[derive(Debug, Default)]
pub struct MemorySpool(Vec<u8>);

impl Spool for MemorySpool {
    fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let offset = self.0.len() as u64;
        self.0.extend_from_slice(bytes);
        Ok(offset)
    }

    fn read(&self, offset: u64, length: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let part = usize::try_from(offset)
            .ok()
            .and_then(|start| self.0.get(start..start.checked_add(length)?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.clear();
        out.extend_from_slice(part);
        Ok(())
    }
}
