//! The files of an export: which there are, and how their bytes reach a reader.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use device_writeback_core::graph::{Element, Reader, Resource};
use device_writeback_engine::error::{Error, ErrorKind};
use flate2::read::MultiGzDecoder;

/// Bytes that a reader gets at once.
const CHUNK: usize = 1 << 19;

/// Offsets have to fit below this: the bits above number the files.
pub(super) const LARGEST_FILE: u64 = 1 << OFFSET_BITS;

/// Bits of a sequence number that hold the offset.
pub(super) const OFFSET_BITS: u32 = 40;

/// Why something in a folder is no page of the export.
const FOLDER: &str = "it is a folder";
const NO_FILE: &str = "it is no regular file";
const OTHER_NAME: &str =
    "its name ends neither in .json, .ndjson nor .jsonl, nor in one of these with .gz";

/// A file of an export.
#[derive(Debug)]
pub(super) struct Input {
    path: PathBuf,
    /// The configuration key that named it, for remedies.
    setting: &'static str,
    /// Compressed with gzip, in one member or several.
    pub(super) gzip: bool,
}

/// How the reading of a file ended.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// The number of records.
    pub(super) records: u64,
    /// What is wrong with the file.
    pub(super) problem: Option<String>,
    /// The last page names a further one.
    pub(super) next_link: bool,
    /// The receiver of the records wanted no more.
    pub(super) stopped: bool,
}

/// The files of an export.
#[derive(Debug)]
pub(super) struct Inputs {
    /// The file, or the files of the folder, in their order.
    pub(super) files: Vec<Input>,
    /// What else the folder holds, the first of it: it may be a part of the export, such as a page that is still being
    /// copied, and then the files are not all of it.
    pub(super) stray: Option<String>,
}

/// The file, or what the folder holds.
pub(super) fn inputs(path: &Path, setting: &'static str) -> Result<Inputs, Error> {
    let metadata = fs::metadata(path).map_err(|cause| failure(path, setting, cause))?;
    let (paths, stray) = if metadata.is_dir() {
        folder(path, setting)?
    } else {
        (vec![path.to_owned()], None)
    };
    let inputs: Vec<Input> = paths
        .into_iter()
        .map(|path| Input {
            gzip: is_gzip(&path),
            path,
            setting,
        })
        .collect();
    if inputs.len() as u64 > 1 << (u64::BITS - OFFSET_BITS) {
        return Err(Error::new(
            ErrorKind::Source,
            format!("reading {}: too many files", path.display()),
        ));
    }
    // A file that cannot be opened is better known before anything is read.
    for input in &inputs {
        let file = input.file()?;
        let metadata = file.metadata().map_err(|cause| input.failure(cause))?;
        if !metadata.is_file() {
            return Err(Error::new(
                ErrorKind::Source,
                format!(
                    "reading {}: it is neither a file nor a folder",
                    input.name()
                ),
            )
            .with_remedy(format!("give {setting} a file or a folder")));
        }
        if !input.gzip && metadata.len() > LARGEST_FILE {
            return Err(input.too_large());
        }
    }
    Ok(Inputs {
        files: inputs,
        stray,
    })
}

fn folder(path: &Path, setting: &'static str) -> Result<(Vec<PathBuf>, Option<String>), Error> {
    let (mut names, mut strays) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(path).map_err(|cause| failure(path, setting, cause))? {
        let entry = entry.map_err(|cause| failure(path, setting, cause))?;
        let name = entry.file_name();
        if is_hidden(&name) {
            continue;
        }
        let metadata = fs::metadata(entry.path());
        if !is_export(&name) {
            let is_folder = metadata.is_ok_and(|metadata| metadata.is_dir());
            strays.push((name, if is_folder { FOLDER } else { OTHER_NAME }));
            continue;
        }
        let metadata = metadata.map_err(|cause| failure(&entry.path(), setting, cause))?;
        if metadata.is_file() {
            names.push(name);
        } else {
            strays.push((name, if metadata.is_dir() { FOLDER } else { NO_FILE }));
        }
    }
    if names.is_empty() {
        return Err(Error::new(
            ErrorKind::Source,
            format!("reading {}: the folder holds no export", path.display()),
        )
        .with_remedy(
            "the names of the files have to end in .json, .ndjson or .jsonl, or these with .gz",
        ));
    }
    let order = |a: &OsStr, b: &OsStr| natural_order(a.as_encoded_bytes(), b.as_encoded_bytes());
    names.sort_by(|a, b| order(a, b));
    let stray = strays
        .into_iter()
        .min_by(|(a, _), (b, _)| order(a, b))
        .map(|(name, why)| {
            format!(
                "{} is no page file: {why}; move it away",
                path.join(name).display()
            )
        });
    let paths = names.into_iter().map(|name| path.join(name)).collect();
    Ok((paths, stray))
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn is_export(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes().to_ascii_lowercase();
    let plain = name.strip_suffix(b".gz").unwrap_or(&name);
    [&b".json"[..], b".ndjson", b".jsonl"]
        .iter()
        .any(|end| plain.ends_with(end))
}

fn is_gzip(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

/// Bytewise, but numbers by their value: `page-10` comes after `page-9`, so that the last file is the last page.
fn natural_order(a: &[u8], b: &[u8]) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (first, second) = (number(&mut left), number(&mut right));
        let order = match (first, second) {
            // Without leading zeros the longer number is the larger one.
            (Some(first), Some(second)) => first.len().cmp(&second.len()).then(first.cmp(second)),
            _ => Ordering::Equal,
        };
        if order != Ordering::Equal {
            return order;
        }
        match (first, second) {
            (Some(_), Some(_)) => continue,
            (Some(_), None) | (None, Some(_)) => return a.cmp(b),
            (None, None) => {}
        }
        match (left.split_first(), right.split_first()) {
            (Some((x, behind_x)), Some((y, behind_y))) if x == y => {
                (left, right) = (behind_x, behind_y);
            }
            (Some((x, _)), Some((y, _))) => return x.cmp(y),
            _ => return left.len().cmp(&right.len()).then(a.cmp(b)),
        }
    }
}

/// Takes the digits at the start of `text` and gives them without leading zeros.
fn number<'a>(text: &mut &'a [u8]) -> Option<&'a [u8]> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at_checked(digits)?;
    if number.is_empty() {
        return None;
    }
    *text = rest;
    let zeros = number.iter().take_while(|&&byte| byte == b'0').count();
    number.get(zeros..)
}

impl Input {
    /// The name, for people.
    pub(super) fn name(&self) -> impl std::fmt::Display {
        self.path.display()
    }

    /// Opens the file as it lies on the disk.
    pub(super) fn file(&self) -> Result<File, Error> {
        File::open(&self.path).map_err(|cause| self.failure(cause))
    }

    /// Opens the file for its JSON.
    pub(super) fn open(&self) -> Result<Box<dyn Read + Send>, Error> {
        let file = self.file()?;
        Ok(if self.gzip {
            Box::new(MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        })
    }

    /// Gives every record of the file to `each`, until it breaks off.
    ///
    /// # Errors
    /// The file cannot be read, is empty or too large. What is wrong with its JSON is told in [`Ending::problem`].
    pub(super) fn read<R: Resource>(
        &self,
        mut each: impl FnMut(Element<R>) -> ControlFlow<()>,
    ) -> Result<Ending, Error> {
        let mut file = self.open()?;
        let mut reader = Reader::<R>::new();
        let mut chunk = vec![0; CHUNK];
        let mut ending = Ending::default();
        let (mut length, mut blank) = (0_u64, true);
        loop {
            let read = fill(&mut file, &mut chunk).map_err(|cause| self.failure(cause))?;
            let piece = chunk.get(..read).unwrap_or_default();
            if piece.is_empty() {
                reader.end();
            } else {
                length += piece.len() as u64;
                if length > LARGEST_FILE {
                    return Err(self.too_large());
                }
                blank = blank
                    && piece
                        .iter()
                        .all(|byte| b" \t\r\n\xEF\xBB\xBF".contains(byte));
                reader.push(piece);
            }
            while let Some(element) = reader.next_record() {
                ending.records += 1;
                if each(element).is_break() {
                    ending.stopped = true;
                    return Ok(ending);
                }
            }
            if piece.is_empty() || reader.problem().is_some() {
                break;
            }
        }
        if blank {
            return Err(Error::new(
                ErrorKind::Data,
                format!("reading {}: the file is empty", self.name()),
            )
            .with_remedy("make the export again; an export without records is {\"value\": []}"));
        }
        ending.problem = reader.problem().map(str::to_owned);
        ending.next_link = reader.has_next_link();
        Ok(ending)
    }

    /// The error for a failed read of this file.
    pub(super) fn failure(&self, cause: io::Error) -> Error {
        failure(&self.path, self.setting, cause)
    }

    fn too_large(&self) -> Error {
        Error::new(
            ErrorKind::Source,
            format!("reading {}: the file is larger than 1 TiB", self.name()),
        )
        .with_remedy("split the export into several files in a folder")
    }
}

fn failure(path: &Path, setting: &str, cause: io::Error) -> Error {
    let remedy = match cause.kind() {
        io::ErrorKind::NotFound => format!("make the export, or correct {setting}"),
        io::ErrorKind::PermissionDenied => {
            "let the account that this program runs as read the file".to_owned()
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            "the compressed file is cut off or damaged: copy it again or make the export again"
                .to_owned()
        }
        _ => "check the file and its disk, then run again".to_owned(),
    };
    Error::new(
        ErrorKind::Source,
        format!("reading {} failed", path.display()),
    )
    .with_remedy(remedy)
    .with_source(cause)
}

/// Reads until `buffer` is full or the input ends; gives the number of bytes.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        match input.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_by_their_value() {
        let mut names = [
            "p-10", "p-9", "p-010", "p", "p-9b", "q", "p-9a2", "p-9a10", "P-1", "p-00",
        ];
        names.sort_by(|a, b| natural_order(a.as_bytes(), b.as_bytes()));
        assert_eq!(
            names,
            [
                "P-1", "p", "p-00", "p-9", "p-9a2", "p-9a10", "p-9b", "p-010", "p-10", "q"
            ]
        );
    }

    #[test]
    fn exports_are_known_by_their_names() {
        for name in ["a.json", "A.JSON", "b.ndjson.gz", "c.jsonl", "d.json.GZ"] {
            assert!(is_export(OsStr::new(name)), "{name}");
        }
        assert!(is_hidden(OsStr::new(".a.json")) && !is_hidden(OsStr::new("a.json")));
        for name in ["a.txt", "a.json.bak", "json", "a.gz", "a.json.zip"] {
            assert!(!is_export(OsStr::new(name)), "{name}");
        }
    }
}
