//! A file, record by record.

use std::io::{self, Read, Seek, SeekFrom};

use device_writeback_core::ldif::record_end;

/// What is read at once.
const CHUNK: usize = 1 << 20;
/// What is read at once where a single record is wanted; most devices fit.
const SMALL: usize = 4096;
/// A record that is larger is no object of a directory.
const MAX_RECORD: usize = 64 << 20;

/// Reads records in constant memory.
pub(super) struct Records<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
    at_eof: bool,
}

impl<R: Read> Records<R> {
    /// Reads from the beginning of `input`.
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            offset: 0,
            at_eof: false,
        }
    }

    /// The next record, the blank lines after it included, and the offset at which it begins.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        loop {
            let rest = self.buffer.get(self.start..self.end).unwrap_or_default();
            if let Some(length) = record_end(rest, self.at_eof) {
                let (offset, from) = (self.offset, self.start);
                self.offset += length as u64;
                self.start += length;
                let record = self.buffer.get(from..self.start).unwrap_or_default();
                return Ok(Some((offset, record)));
            }
            if self.at_eof {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end > MAX_RECORD {
            return Err(too_large(self.offset));
        }
        if self.buffer.len() - self.end < CHUNK / 2 {
            self.buffer.resize((self.buffer.len() * 2).max(CHUNK), 0);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        match self.input.read(room) {
            Ok(0) => self.at_eof = true,
            Ok(read) => self.end += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Reads the record at `offset` into `buffer`; empty at the end of the file.
pub(super) fn read_record_at<R: Read + Seek>(
    input: &mut R,
    offset: u64,
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    buffer.clear();
    input.seek(SeekFrom::Start(offset))?;
    let mut want = SMALL;
    loop {
        let read = input.by_ref().take(want as u64).read_to_end(buffer)?;
        let at_eof = read < want;
        if let Some(length) = record_end(buffer, at_eof) {
            buffer.truncate(length);
            return Ok(());
        }
        if at_eof {
            return Ok(());
        }
        if buffer.len() > MAX_RECORD {
            return Err(too_large(offset));
        }
        want = buffer.len();
    }
}

fn too_large(offset: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the record at byte {offset} is larger than {MAX_RECORD} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Gives few octets at a time.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(7).min(self.0.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn sample() -> Vec<u8> {
        let mut text = b"version: 1\n\n\n".to_vec();
        for number in 0..4000 {
            let end = if number % 3 == 0 { "\r\n" } else { "\n" };
            let value = "v".repeat(number % 900);
            text.extend_from_slice(format!("dn: CN={number}{end}cn: {value}{end}{end}").as_bytes());
        }
        text.extend_from_slice(b"dn: CN=last");
        text
    }

    #[test]
    fn pieces_are_the_file_and_can_be_read_again_by_offset() {
        let text = sample();
        for trickle in [false, true] {
            let input: Box<dyn Read> = match trickle {
                true => Box::new(Trickle(&text)),
                false => Box::new(Cursor::new(text.clone())),
            };
            let mut records = Records::new(input);
            let (mut joined, mut buffer, mut count) = (Vec::new(), Vec::new(), 0);
            while let Some((offset, record)) = records.next().unwrap() {
                assert_eq!(offset, joined.len() as u64);
                joined.extend_from_slice(record);
                count += 1;
                if count % 100 == 1 || record.len() > 850 {
                    read_record_at(&mut Cursor::new(&text), offset, &mut buffer).unwrap();
                    assert_eq!(buffer, record);
                }
            }
            assert_eq!(joined, text);
            assert_eq!(count, 4002);
        }
    }

    #[test]
    fn a_large_record_is_read_in_growing_steps() {
        let mut text = b"dn: CN=x\ndescription: ".to_vec();
        text.resize(5 << 20, b'y');
        text.extend_from_slice(b"\n\ndn: CN=z\n");
        let mut records = Records::new(&*text);
        let (_, first) = records.next().unwrap().unwrap();
        assert_eq!(first.len(), (5 << 20) + 2);
        let mut buffer = Vec::new();
        read_record_at(&mut Cursor::new(&text), 0, &mut buffer).unwrap();
        assert_eq!(buffer.len(), (5 << 20) + 2);
        read_record_at(&mut Cursor::new(&text), text.len() as u64, &mut buffer).unwrap();
        assert!(buffer.is_empty());
    }
}
