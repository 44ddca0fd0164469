//! Records out of Graph JSON that arrives in pieces.
//!
//! Understood: a page (`{"value": [...], "@odata.nextLink": ...}`), an array, single objects, and any number of these one
//! after the other (NDJSON of devices or of pages). Records are parsed where they lie in the buffer; only a record that
//! fails is looked at a second time, to find where it ends.

use std::marker::PhantomData;

use super::scan::{Key, Scan, value_length};
use super::{BadRecord, CloudItem, CloudUser, parse_device, parse_user};

/// A kind of record that [`Reader`] can give.
pub trait Resource: Sized {
    /// Parses one JSON object at the start of `json`; says how many bytes it took.
    ///
    /// # Errors
    /// The JSON reader's own error; `is_eof()` means that `json` ends inside the object.
    fn parse(json: &str) -> Result<(Self, usize), serde_json::Error>;

    /// Stands for an object that could not be read at all.
    fn unreadable(record: BadRecord) -> Self;
}

impl Resource for CloudItem {
    fn parse(json: &str) -> Result<(Self, usize), serde_json::Error> {
        parse_device(json)
    }

    fn unreadable(record: BadRecord) -> Self {
        Self::Bad(record)
    }
}

impl Resource for Result<CloudUser, BadRecord> {
    fn parse(json: &str) -> Result<(Self, usize), serde_json::Error> {
        parse_user(json)
    }

    fn unreadable(record: BadRecord) -> Self {
        Err(record)
    }
}

/// A record and where it begins, in bytes from the start of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element<R> {
    /// Offset of the record's opening brace.
    pub offset: u64,
    /// The record.
    pub record: R,
}

/// A record larger than this ends the reading: no device comes near it.
const LARGEST_RECORD: usize = 16 << 20;

/// U+FEFF in UTF-8: some editors put it at the start of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Stands for each byte that is no UTF-8, as its name says. JSON forbids it inside strings, so that the record around it is
/// refused; everything keeps its offset.
const SUBSTITUTE: char = '\u{1a}';

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between top-level values.
    Top,
    /// Inside an array of records; `page` when it is the `value` of a page object.
    Array { page: bool },
    /// Inside a page object, between its members.
    Page,
    /// The input is not what it should be from here on.
    Broken,
}

/// The incremental reader. See the module's head for what it takes.
#[derive(Debug)]
pub struct Reader<R> {
    /// Checked once as it arrives, and not string by string: that is a tenth of the reading's time.
    buffer: String,
    /// The beginning of a character whose end is in the next piece.
    pending: Vec<u8>,
    at: usize,
    base: u64,
    state: State,
    ended: bool,
    next_link: bool,
    delta_link: bool,
    problem: Option<String>,
    records: PhantomData<fn() -> R>,
}

impl<R: Resource> Default for Reader<R> {
    fn default() -> Self {
        Self::new()
    }
}

enum Step<R> {
    Found(Element<R>),
    Again,
    NeedMore,
}

impl<R: Resource> Reader<R> {
    /// A reader at the start of an input.
    pub fn new() -> Self {
        Self {
            buffer: String::new(),
            pending: Vec::new(),
            at: 0,
            base: 0,
            state: State::Top,
            ended: false,
            next_link: false,
            delta_link: false,
            problem: None,
            records: PhantomData,
        }
    }

    /// Takes the next piece of the input.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.base = self.base.saturating_add(self.at as u64);
        self.at = 0;
        self.buffer.reserve(bytes.len());
        // Checked and copied while it is in the processor's nearest cache.
        for bytes in bytes.chunks(16 << 10) {
            let rest = self.complete_pending(bytes);
            self.append(rest);
        }
    }

    /// Says that no further piece will come.
    pub fn end(&mut self) {
        self.ended = true;
        self.substitute(self.pending.len());
        self.pending.clear();
    }

    /// The next record, or `None` when more input is needed or, after [`Self::end`], when all has been read.
    pub fn next_record(&mut self) -> Option<Element<R>> {
        loop {
            let step = match self.state {
                State::Broken => return None,
                State::Top => self.top(),
                State::Array { page } => self.array(page),
                State::Page => self.page(),
            };
            match step {
                Step::Found(element) => return Some(element),
                Step::Again => {}
                Step::NeedMore => {
                    if self.buffer.len().saturating_sub(self.at) > LARGEST_RECORD {
                        return self.broken("a record is larger than 16 MiB".into());
                    }
                    if self.ended && self.state != State::Top && self.state != State::Broken {
                        return self
                            .broken("the input ends inside a JSON value; it is cut off".into());
                    }
                    return None;
                }
            }
        }
    }

    /// Why the reading stopped before the end of the input, with the offset. A source that has one is incomplete.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The page read last ended with an `@odata.nextLink`: there is a further page.
    pub fn has_next_link(&self) -> bool {
        self.next_link
    }

    /// A page carried an `@odata.deltaLink`: the input is a delta answer.
    pub fn has_delta_link(&self) -> bool {
        self.delta_link
    }

    /// Puts the character together that the last piece ended in; gives what is left of `bytes`.
    fn complete_pending<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        while !self.pending.is_empty()
            && let Some((&byte, behind)) = bytes.split_first()
        {
            self.pending.push(byte);
            match std::str::from_utf8(&self.pending) {
                Ok(character) => self.buffer.push_str(character),
                Err(error) if error.error_len().is_none() => {
                    bytes = behind;
                    continue;
                }
                // What came before was the beginning of a character, so it is this byte that does not belong there.
                Err(_) => {
                    self.substitute(self.pending.len() - 1);
                    self.pending.clear();
                    break;
                }
            }
            self.pending.clear();
            bytes = behind;
        }
        bytes
    }

    fn append(&mut self, mut bytes: &[u8]) {
        loop {
            let error = match std::str::from_utf8(bytes) {
                Ok(text) => return self.buffer.push_str(text),
                Err(error) => error,
            };
            let (valid, rest) = bytes.split_at(error.valid_up_to());
            self.buffer
                .push_str(std::str::from_utf8(valid).unwrap_or_default());
            let Some(length) = error.error_len() else {
                self.pending.extend_from_slice(rest);
                return;
            };
            self.substitute(length);
            bytes = rest.get(length..).unwrap_or_default();
        }
    }

    fn substitute(&mut self, bytes: usize) {
        self.buffer.extend(std::iter::repeat_n(SUBSTITUTE, bytes));
    }

    fn text(&self) -> &str {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    fn rest(&self) -> &[u8] {
        self.text().as_bytes()
    }

    fn offset(&self) -> u64 {
        self.base.saturating_add(self.at as u64)
    }

    fn skip_space(&mut self) -> Option<u8> {
        while let Some(&byte) = self.buffer.as_bytes().get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    fn broken<T>(&mut self, what: String) -> Option<T> {
        self.problem = Some(format!("{what} (at byte {})", self.offset()));
        self.state = State::Broken;
        None
    }

    fn stop(&mut self, what: &str) -> Step<R> {
        self.broken::<()>(what.to_owned());
        Step::Again
    }

    fn top(&mut self) -> Step<R> {
        match self.skip_space() {
            None => Step::NeedMore,
            Some(b'[') => {
                self.at += 1;
                self.next_link = false;
                self.state = State::Array { page: false };
                Step::Again
            }
            // Commas between top-level values: seen in hand-joined exports, harmless.
            Some(b',') => {
                self.at += 1;
                Step::Again
            }
            Some(b'{') => self.object(),
            Some(_) if self.offset() == 0 && self.text().starts_with(BYTE_ORDER_MARK) => {
                self.at += BYTE_ORDER_MARK.len_utf8();
                Step::Again
            }
            Some(_) if self.offset() == 0 && self.text().starts_with(SUBSTITUTE) => {
                self.stop("the input is no UTF-8 (UTF-16, perhaps); save it as UTF-8")
            }
            Some(0x1F) if self.offset() == 0 => {
                self.stop("the input is compressed; give the file a name that ends in .gz")
            }
            Some(_) => self.stop("this is no Graph JSON: expected an object or an array"),
        }
    }

    /// A top-level object is a page if it has an array `value`, else a record.
    fn object(&mut self) -> Step<R> {
        let mut scan = Scan {
            bytes: self.rest(),
            at: 1,
        };
        let (mut next_link, mut delta_link) = (false, false);
        loop {
            let Some(key) = scan.key() else {
                return self.undecided();
            };
            match key {
                Key::End => return self.record(),
                Key::Named(name) => {
                    if name == b"id" || name == b"deviceId" {
                        return self.record();
                    }
                    let Some(first) = scan.space() else {
                        return self.undecided();
                    };
                    if name == b"value" && first == b'[' {
                        let length = scan.at + 1;
                        self.next_link = next_link;
                        self.delta_link |= delta_link;
                        self.at += length;
                        self.state = State::Array { page: true };
                        return Step::Again;
                    }
                    // A link may stand ahead of the list as well as behind it.
                    next_link |= name == b"@odata.nextLink" && first == b'"';
                    delta_link |= name == b"@odata.deltaLink" && first == b'"';
                    if !scan.value() {
                        return self.undecided();
                    }
                }
                Key::Bad => return self.record(),
            }
        }
    }

    fn undecided(&mut self) -> Step<R> {
        if self.ended {
            self.record()
        } else {
            Step::NeedMore
        }
    }

    fn record(&mut self) -> Step<R> {
        let offset = self.offset();
        match R::parse(self.text()) {
            Ok((record, length)) => {
                self.at += length;
                Step::Found(Element { offset, record })
            }
            Err(error) if error.is_eof() && !self.ended => Step::NeedMore,
            Err(error) => match value_length(self.rest()) {
                Some(length) => {
                    let text = self.text().get(..length).unwrap_or_default();
                    let record = R::unreadable(salvage(text, &error));
                    self.at += length;
                    Step::Found(Element { offset, record })
                }
                None if !self.ended => Step::NeedMore,
                None => self.stop(&format!(
                    "the input is cut off or no JSON: {}",
                    json_problem(&error)
                )),
            },
        }
    }

    fn array(&mut self, page: bool) -> Step<R> {
        match self.skip_space() {
            None => Step::NeedMore,
            Some(b',') => {
                self.at += 1;
                Step::Again
            }
            Some(b']') => {
                self.at += 1;
                self.state = if page { State::Page } else { State::Top };
                Step::Again
            }
            Some(b'{') => self.record(),
            Some(_) => {
                let offset = self.offset();
                match value_length(self.rest()) {
                    // A stray bracket or colon is no value: nothing can be stepped over.
                    Some(0) => self.stop("a member of the list is no JSON"),
                    Some(length) if length < self.rest().len() || self.ended => {
                        self.at += length;
                        let record = R::unreadable(BadRecord {
                            id: None,
                            device_id: None,
                            detail: "a member of the list is no object".into(),
                        });
                        Step::Found(Element { offset, record })
                    }
                    _ if !self.ended => Step::NeedMore,
                    _ => self.stop("a member of the list is no JSON"),
                }
            }
        }
    }

    /// The members behind the array of a page.
    fn page(&mut self) -> Step<R> {
        let mut scan = Scan {
            bytes: self.rest(),
            at: 0,
        };
        let (next, delta) = match scan.key() {
            None => return Step::NeedMore,
            Some(Key::Bad) => return self.stop("a page is no JSON behind its list"),
            Some(Key::End) => {
                self.at += scan.at;
                self.state = State::Top;
                return Step::Again;
            }
            Some(Key::Named(name)) => (name == b"@odata.nextLink", name == b"@odata.deltaLink"),
        };
        let Some(first) = scan.space() else {
            return Step::NeedMore;
        };
        if !scan.value() {
            return Step::NeedMore;
        }
        let length = scan.at;
        self.at += length;
        self.next_link |= next && first == b'"';
        self.delta_link |= delta && first == b'"';
        Step::Again
    }
}

/// A record with a member that no JSON reader takes (a lone surrogate, a repeated member) may still say whose it is.
fn salvage(record: &str, error: &serde_json::Error) -> BadRecord {
    let bytes = record.as_bytes();
    let text = |name: &[u8]| {
        let mut scan = Scan { bytes, at: 1 };
        loop {
            match scan.key()? {
                Key::Named(key) if key == name => {
                    scan.space()?;
                    let start = scan.at;
                    scan.value().then_some(())?;
                    let raw = record.get(start..scan.at)?;
                    return serde_json::from_str::<String>(raw).ok();
                }
                Key::Named(_) => scan.value().then_some(())?,
                Key::End | Key::Bad => return None,
            }
        }
    };
    BadRecord {
        id: text(b"id").and_then(|id| id.parse().ok()),
        device_id: text(b"deviceId").and_then(|id| id.parse().ok()),
        detail: if record.contains(SUBSTITUTE) {
            "the record is no UTF-8".into()
        } else {
            json_problem(error)
        },
    }
}

fn json_problem(error: &serde_json::Error) -> String {
    // The reader's own line and column count from the record; the record's offset is reported beside it.
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}
