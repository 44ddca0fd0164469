//! Reading of content records without an allocation for each line.

use std::borrow::Cow;

use super::LdifError;
use super::reader::{Encoded, Lines, decode_base64, dn_line, split_encoded};
use crate::error::quoted;

/// Reads a content record line by line and decodes only what it is asked for; a million of them
/// pass through here. [`parse_record`](super::parse_record) reads the same in one go.
pub struct ContentReader<'a> {
    lines: Lines<'a>,
    dn: Cow<'a, str>,
    unfolded: Vec<u8>,
}

impl<'a> ContentReader<'a> {
    /// Reads the name of the record; `None` where there is none, only comments or the `version`
    /// line.
    ///
    /// # Errors
    /// The record does not begin with its name, or the name is not text.
    pub fn new(record: &'a [u8]) -> Result<Option<Self>, LdifError> {
        let mut lines = Lines::new(record);
        let Some(line) = dn_line(&mut lines)? else {
            return Ok(None);
        };
        let dn = line.into_text()?;
        Ok(Some(Self {
            lines,
            dn,
            unfolded: Vec::new(),
        }))
    }

    /// The object's name, not parsed.
    pub fn dn(&self) -> &str {
        &self.dn
    }

    /// The next value; `None` after the last.
    ///
    /// # Errors
    /// Refuses what [`parse_record`](super::parse_record) refuses, and change records. A value's
    /// base64 is looked at by [`ContentLine::decode_into`] alone.
    pub fn next_line(&mut self) -> Result<Option<ContentLine<'_>>, LdifError> {
        let Some(logical) = self.lines.next_logical()? else {
            return Ok(None);
        };
        let text = if logical.is_folded {
            self.unfolded.clear();
            self.lines.unfold(&logical, &mut self.unfolded);
            &self.unfolded
        } else {
            logical.first
        };
        let number = logical.number;
        let fail = |message| LdifError {
            line: number,
            message,
        };
        let (name, value) = split_encoded(text).map_err(fail)?;
        for word in ["changetype", "control"] {
            if name.eq_ignore_ascii_case(word) {
                return Err(fail(format!(
                    "{} begins a change; an object with its attributes is expected here",
                    quoted(name)
                )));
            }
        }
        if name == "-" || name.eq_ignore_ascii_case("dn") {
            return Err(fail(format!(
                "{} cannot stand among attributes; is the blank line between two records missing?",
                quoted(name)
            )));
        }
        Ok(Some(ContentLine {
            number,
            name,
            value,
        }))
    }
}

/// One value of an attribute, as [`ContentReader`] meets it.
#[derive(Clone, Copy, Debug)]
pub struct ContentLine<'a> {
    number: usize,
    name: &'a str,
    value: Encoded<'a>,
}

impl ContentLine<'_> {
    /// The attribute's name as written, options included.
    pub fn name(&self) -> &str {
        self.name
    }

    /// Appends the value's octets to `out`.
    ///
    /// # Errors
    /// The value is not base64 and should be; `out` may then hold a part of it.
    pub fn decode_into(&self, out: &mut Vec<u8>) -> Result<(), LdifError> {
        match self.value {
            Encoded::Plain(value) => {
                out.extend_from_slice(value);
                Ok(())
            }
            Encoded::Base64(base64) => {
                decode_base64(self.name, base64, out).map_err(|message| LdifError {
                    line: self.number,
                    message,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Body, parse_record};
    use super::*;

    type Values = Vec<(String, Vec<u8>)>;

    fn read(record: &[u8]) -> Result<Option<(String, Values)>, LdifError> {
        let Some(mut reader) = ContentReader::new(record)? else {
            return Ok(None);
        };
        let mut values = Vec::new();
        while let Some(line) = reader.next_line()? {
            let mut value = Vec::new();
            line.decode_into(&mut value)?;
            values.push((line.name().to_owned(), value));
        }
        Ok(Some((reader.dn().to_owned(), values)))
    }

    fn parsed(record: &[u8]) -> Result<Option<(String, Values)>, ()> {
        match parse_record(record) {
            Ok(None) => Ok(None),
            Ok(Some(record)) => match record.body {
                Body::Content(values) => {
                    let values = values.into_iter().map(|one| (one.name, one.value));
                    Ok(Some((record.dn, values.collect())))
                }
                _ => Err(()),
            },
            Err(_) => Err(()),
        }
    }

    #[test]
    fn folds_base64_and_comments() {
        let text = b"version: 1\r\n# a note\r\ndn:: Q049\r\n eA==\r\ncn: a\r\n bc\r\n# x\r\n  y\r\nb:: /w=\r\n =\r\n";
        let (dn, values) = read(text).unwrap().unwrap();
        assert_eq!(dn, "CN=x");
        let expected = [("cn", &b"abc"[..]), ("b", b"\xff")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_vec()));
        assert_eq!(values, expected);
    }

    #[test]
    fn changes_and_running_records_are_refused() {
        for text in [
            "dn: CN=x\nchangetype: delete\n",
            "dn: CN=x\ncontrol: 1.2.3\n",
            "dn: CN=x\ncn: x\ndn: CN=y\n",
            "dn: CN=x\n-\n",
            "cn: x\n",
            "dn: CN=x\ncn:: %\n",
            "dn: CN=x\ncn:< file:///etc/passwd\n",
            "dn:: /w==\n",
            "dn: CN=x\n\ncn: x\n",
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text:?}");
        }
        assert_eq!(read(b"# nothing\n").unwrap(), None);
        let error = read(b"dn: CN=x\ncn: x\nb:: %\n").unwrap_err();
        assert_eq!(error.line, 3);
    }

    proptest! {
        #[test]
        fn reads_what_parse_record_reads(
            lines in proptest::collection::vec(
                "(dn|cn|b|version|changetype|-|#)?(:|::|:<)? ?(CN=x|1|add|eA==|\u{e9})?\r?\n ?",
                0..6,
            ),
            head in "(version: 1\n)?(dn: CN=x\n)?",
        ) {
            let text = head + &lines.concat();
            prop_assert_eq!(read(text.as_bytes()).map_err(|_| ()), parsed(text.as_bytes()), "{:?}", text);
        }
    }
}
