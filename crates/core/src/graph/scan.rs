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
