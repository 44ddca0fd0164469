//! A walk over the structure of JSON that checks nothing else.

/// The length of the JSON value at the start of `bytes`, by its brackets and strings alone; `None` when it does not end.
pub(super) fn value_length(bytes: &[u8]) -> Option<usize> {
    let mut scan = Scan { bytes, at: 0 };
    scan.space()?;
    scan.value().then_some(scan.at)
}

/// What comes next inside an object.
pub(super) enum Key<'a> {
    Named(&'a [u8]),
    End,
    Bad,
}

/// A position in JSON.
pub(super) struct Scan<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn space(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// The next member's name with its colon taken, or the object's end; `None` when the bytes end first.
    pub(super) fn key(&mut self) -> Option<Key<'a>> {
        loop {
            match self.space()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(Key::End);
                }
                b'"' => {
                    let start = self.at + 1;
                    if !self.string() {
                        return None;
                    }
                    let name = self.bytes.get(start..self.at - 1)?;
                    return Some(match self.space()? {
                        b':' => {
                            self.at += 1;
                            Key::Named(name)
                        }
                        _ => Key::Bad,
                    });
                }
                _ => return Some(Key::Bad),
            }
        }
    }

    /// Steps over one value; `false` when the bytes end first.
    pub(super) fn value(&mut self) -> bool {
        let mut depth = 0_usize;
        loop {
            // What stands between strings and brackets inside of a value does not tell where it ends.
            if depth > 0 {
                let rest = self.bytes.get(self.at..).unwrap_or_default();
                let plain = rest
                    .iter()
                    .position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'));
                self.at += plain.unwrap_or(rest.len());
            }
            let Some(first) = self.space() else {
                return false;
            };
            match first {
                b'"' => {
                    if !self.string() {
                        return false;
                    }
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                b',' | b':' => return true,
                _ => {
                    let rest = self.bytes.get(self.at..).unwrap_or_default();
                    let length = rest
                        .iter()
                        .position(|byte| b",:]}[{\" \t\r\n".contains(byte));
                    let Some(length) = length else {
                        self.at = self.bytes.len();
                        return false;
                    };
                    self.at += length;
                }
            }
            if depth == 0 {
                return true;
            }
        }
    }

    /// Steps over a string that begins here; `false` when the bytes end first.
    fn string(&mut self) -> bool {
        self.at += 1;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let Some(found) = memchr::memchr2(b'"', b'\\', rest) else {
                self.at = self.bytes.len();
                return false;
            };
            let escape = rest.get(found) == Some(&b'\\');
            self.at += found + if escape { 2 } else { 1 };
            if !escape {
                return true;
            }
        }
    }
}

/// Where the next byte is that ends a string or is special in it: a quote, a backslash or a control character. Most strings
/// are short: eight bytes at a time beat a search that has to be set up.
pub(super) fn string_end(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // The lowest bit that these set belongs to the first such byte of `word`; the bits above it may be wrong.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGHS;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let (words, tail) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = equal(word, b'"') | equal(word, b'\\') | below(word, b' ');
        if found != 0 {
            return Some(place * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let found = tail
        .iter()
        .position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ')?;
    Some(words.len() * 8 + found)
}
