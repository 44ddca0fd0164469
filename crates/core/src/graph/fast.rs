//! The short way through a device record that looks as Graph's do.
//!
//! It reads what nearly every record consists of: members without escapes, plain integers, known members of their own type. On
//! anything else it gives up, and the JSON reader decides; it never accepts what that would refuse. The way through the JSON
//! reader takes about twice as long, and reading records is most of what a run does.

use std::borrow::Cow;

use super::json::{
    LINKS, Listed, PHYSICAL_IDS, RawAlternativeSecurityId, RawDevice, RawLink, Text,
    add_alternative_security_id, link, physical_id,
};
use super::lax::Lax;
use super::{AlternativeSecurityIds, LinkedObject};

/// Objects inside of objects are followed this far.
const DEPTH: u8 = 8;

/// `extensionAttributes` of a device that uses none of them, as Graph writes it: a fifth of the record, in nearly every record.
const NO_EXTENSIONS: &[u8] = concat!(
    r#"{"extensionAttribute1":null,"extensionAttribute2":null,"extensionAttribute3":null,"#,
    r#""extensionAttribute4":null,"extensionAttribute5":null,"extensionAttribute6":null,"#,
    r#""extensionAttribute7":null,"extensionAttribute8":null,"extensionAttribute9":null,"#,
    r#""extensionAttribute10":null,"extensionAttribute11":null,"extensionAttribute12":null,"#,
    r#""extensionAttribute13":null,"extensionAttribute14":null,"extensionAttribute15":null}"#,
)
.as_bytes();

/// Reads the record at the start of `text`, and says how many bytes it took; `None` when it is not that simple.
#[inline]
pub(super) fn device(text: &str) -> Option<(RawDevice<'_>, usize)> {
    let mut cursor = Cursor {
        text,
        rest: text.as_bytes(),
    };
    let mut raw = RawDevice::default();
    cursor.object(|cursor, key| member(&mut raw, cursor, key))?;
    Some((raw, text.len() - cursor.rest.len()))
}

fn member<'a>(raw: &mut RawDevice<'a>, cursor: &mut Cursor<'a>, key: &[u8]) -> Option<()> {
    // By length first: most members of a device are of no interest.
    match (key.len(), key) {
        (2, b"id") => cursor.text(&mut raw.id),
        (8, b"deviceId") => cursor.text(&mut raw.device_id),
        (8, b"@removed") => None,
        (9, b"isManaged") => once(&mut raw.is_managed, cursor.boolean()?),
        (9, b"trustType") => cursor.text(&mut raw.trust_type),
        (11, b"displayName") => cursor.text(&mut raw.display_name),
        (11, b"isCompliant") => once(&mut raw.is_compliant, cursor.boolean()?),
        (11, b"physicalIds") => once(&mut raw.physical_ids, cursor.physical_ids()?),
        (11, b"profileType") => cursor.text(&mut raw.profile_type),
        (13, b"deviceVersion") => once(&mut raw.device_version, cursor.integer()?),
        (14, b"accountEnabled") => once(&mut raw.account_enabled, cursor.boolean()?),
        (15, b"deletedDateTime") => cursor.text(&mut raw.deleted_date_time),
        (15, b"deviceOwnership") => cursor.text(&mut raw.device_ownership),
        (15, b"operatingSystem") => cursor.text(&mut raw.operating_system),
        (15, b"registeredUsers") | (21, b"registeredUsers@delta") => {
            once(&mut raw.registered_users, cursor.links()?)
        }
        (16, b"registeredOwners") | (22, b"registeredOwners@delta") => {
            once(&mut raw.registered_owners, cursor.links()?)
        }
        (19, b"extensionAttributes") => match cursor.rest.strip_prefix(NO_EXTENSIONS) {
            Some(behind) => {
                cursor.rest = behind;
                Some(())
            }
            None => cursor.skip(DEPTH),
        },
        (22, b"alternativeSecurityIds") => once(
            &mut raw.alternative_security_ids,
            cursor.alternative_security_ids()?,
        ),
        (22, b"operatingSystemVersion") => cursor.text(&mut raw.operating_system_version),
        (28, b"onPremisesSecurityIdentifier") => {
            cursor.text(&mut raw.on_premises_security_identifier)
        }
        (29, b"approximateLastSignInDateTime") => {
            cursor.text(&mut raw.approximate_last_sign_in_date_time)
        }
        _ => cursor.skip(DEPTH),
    }
}

/// A member that comes twice is for the JSON reader to refuse.
fn once<T>(place: &mut Lax<T>, value: Lax<T>) -> Option<()> {
    if !matches!(place, Lax::Absent) {
        return None;
    }
    *place = value;
    Some(())
}

/// A position in a record. Every method gives up with `None`.
struct Cursor<'a> {
    text: &'a str,
    /// What is left of `text`.
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// The next byte that is no white space.
    #[inline(always)]
    fn token(&mut self) -> Option<u8> {
        match *self.rest.first()? {
            byte @ b'!'.. => Some(byte),
            _ => self.token_behind_space(),
        }
    }

    #[cold]
    fn token_behind_space(&mut self) -> Option<u8> {
        loop {
            match self.rest {
                [b' ' | b'\n' | b'\r' | b'\t', behind @ ..] => self.rest = behind,
                [byte, ..] => return Some(*byte),
                [] => return None,
            }
        }
    }

    /// Takes the next byte that is no white space.
    #[inline(always)]
    fn take(&mut self) -> Option<u8> {
        let byte = self.token()?;
        let (_, behind) = self.rest.split_first()?;
        self.rest = behind;
        Some(byte)
    }

    /// Takes `word` if it stands here.
    #[inline]
    fn word<const N: usize>(&mut self, word: &[u8; N]) -> Option<()> {
        let (found, behind) = self.rest.split_first_chunk::<N>()?;
        if found != word {
            return None;
        }
        self.rest = behind;
        Some(())
    }

    /// Takes a string without escapes that begins here.
    #[inline]
    fn string(&mut self) -> Option<&'a [u8]> {
        let (_, body) = self.rest.split_first()?;
        let (content, behind) = body.split_at_checked(string_end(body)?)?;
        let [b'"', behind @ ..] = behind else {
            return None;
        };
        self.rest = behind;
        Some(content)
    }

    #[inline]
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        if self.take()? != b'{' {
            return None;
        }
        if self.token()? == b'}' {
            return self.take().map(drop);
        }
        loop {
            if self.token()? != b'"' {
                return None;
            }
            let key = self.string()?;
            if self.take()? != b':' {
                return None;
            }
            self.token()?;
            member(self, key)?;
            match self.take()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    #[inline]
    fn array(&mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if self.take()? != b'[' {
            return None;
        }
        if self.token()? == b']' {
            return self.take().map(drop);
        }
        loop {
            self.token()?;
            item(self)?;
            match self.take()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    fn text(&mut self, place: &mut Text<'a>) -> Option<()> {
        if !matches!(place, Lax::Absent) {
            return None;
        }
        *place = if self.rest.first()? == &b'"' {
            let content = self.string()?;
            let end = self.text.len() - self.rest.len() - 1;
            Lax::Value(Cow::Borrowed(self.text.get(end - content.len()..end)?))
        } else {
            self.null()?
        };
        Some(())
    }

    fn boolean(&mut self) -> Option<Lax<bool>> {
        match self.rest.first()? {
            b't' => self.word(b"true").map(|()| Lax::Value(true)),
            b'f' => self.word(b"false").map(|()| Lax::Value(false)),
            _ => self.null(),
        }
    }

    #[inline]
    fn null<T>(&mut self) -> Option<Lax<T>> {
        self.word(b"null").map(|()| Lax::Null)
    }

    fn integer(&mut self) -> Option<Lax<i32>> {
        if self.rest.first()? == &b'n' {
            return self.null();
        }
        let number = self.number()?;
        i32::try_from(number).ok().map(Lax::Value)
    }

    /// An integer; what has a fraction or an exponent is not that simple.
    fn number(&mut self) -> Option<i64> {
        let (digits, sign) = match self.rest {
            [b'-', digits @ ..] => (digits, -1),
            digits => (digits, 1),
        };
        let length = digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (digits, behind) = digits.split_at_checked(length)?;
        // So few digits that the JSON reader takes them for an integer, too.
        if !matches!(digits, [b'0'] | [b'1'..=b'9', ..]) || length > 18 {
            return None;
        }
        self.rest = behind;
        match behind.first()? {
            b'.' | b'e' | b'E' => None,
            _ => Some(
                digits
                    .iter()
                    .fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
                    * sign,
            ),
        }
    }

    fn physical_ids(&mut self) -> Option<Lax<Listed<Box<str>>>> {
        if self.rest.first()? != &b'[' {
            return self.null();
        }
        let mut found = Listed::with_capacity(PHYSICAL_IDS);
        self.array(|cursor| {
            let mut item = Lax::Absent;
            cursor.text(&mut item)?;
            found.push(physical_id(&item));
            Some(())
        })?;
        Some(Lax::Value(found))
    }

    fn alternative_security_ids(&mut self) -> Option<Lax<AlternativeSecurityIds>> {
        if self.rest.first()? != &b'[' {
            return self.null();
        }
        let mut found = AlternativeSecurityIds::default();
        self.array(|cursor| {
            let mut raw = RawAlternativeSecurityId::default();
            let mut text = Lax::Absent;
            cursor.object(|cursor, key| match key {
                b"type" => {
                    raw.kind = cursor.integer()?.into_value();
                    Some(())
                }
                b"key" => cursor.text(&mut text),
                _ => cursor.skip(DEPTH),
            })?;
            raw.key = text.into_value();
            add_alternative_security_id(&mut found, &Lax::Value(raw));
            Some(())
        })?;
        Some(Lax::Value(found))
    }

    fn links(&mut self) -> Option<Lax<Listed<LinkedObject>>> {
        if self.rest.first()? != &b'[' {
            return self.null();
        }
        let mut found = Listed::with_capacity(LINKS);
        self.array(|cursor| {
            let mut raw = RawLink::default();
            cursor.object(|cursor, key| match key {
                b"id" => cursor.text(&mut raw.id),
                b"@odata.type" => cursor.text(&mut raw.odata_type),
                b"onPremisesSecurityIdentifier" => cursor.text(&mut raw.sid),
                b"@removed" => None,
                _ => cursor.skip(DEPTH),
            })?;
            found.push(link(&Lax::Value(raw)));
            Some(())
        })?;
        Some(Lax::Value(found))
    }

    /// Steps over a value of no interest, which is nothing most of the time.
    #[inline]
    fn skip(&mut self, depth: u8) -> Option<()> {
        match self.word(b"null") {
            Some(()) => Some(()),
            None => self.skip_value(depth),
        }
    }

    fn skip_value(&mut self, depth: u8) -> Option<()> {
        match self.rest.first()? {
            b'"' => self.string().map(drop),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'{' => {
                let depth = depth.checked_sub(1)?;
                self.object(|cursor, _| cursor.skip(depth))
            }
            b'[' => {
                let depth = depth.checked_sub(1)?;
                self.array(|cursor| cursor.skip(depth))
            }
            _ => self.number().map(drop),
        }
    }
}

/// Where the quote is that ends a string, or a byte ahead of it that makes it no plain one: a backslash or a control character.
/// Most strings are short: eight bytes at a time beat a search that has to be set up.
#[inline]
fn string_end(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    const QUOTES: u64 = ONES * b'"' as u64;
    const BACKSLASHES: u64 = ONES * b'\\' as u64;
    const SPACES: u64 = ONES * b' ' as u64;
    let (words, _) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().take(SHORT / 8).enumerate() {
        let word = u64::from_le_bytes(*word);
        // A byte that borrows is one of those that are sought, so that the lowest bit is right whatever stands above it.
        let found = (word ^ QUOTES).wrapping_sub(ONES)
            | (word ^ BACKSLASHES).wrapping_sub(ONES)
            | word.wrapping_sub(SPACES);
        let found = found & !word & HIGHS;
        if found != 0 {
            return Some(place * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    long_string_end(bytes)
}

/// Strings up to this long count as short.
const SHORT: usize = 40;

#[inline(never)]
fn long_string_end(bytes: &[u8]) -> Option<usize> {
    let end = memchr::memchr2(b'"', b'\\', bytes)?;
    let lowest = bytes
        .get(..end)?
        .iter()
        .fold(u8::MAX, |lowest, &byte| lowest.min(byte));
    (lowest >= b' ').then_some(end)
}
