//! The short way through a device record that looks as Graph's do.
//!
//! It reads what nearly every record consists of: members without escapes, plain integers, known members of their own type. On
//! anything else it gives up, and the JSON reader decides; it never accepts what that would refuse. The way through the JSON
//! reader takes about twice as long, and reading records is most of what a run does.

use std::borrow::Cow;

use super::json::{RawAlternativeSecurityId, RawDevice, RawLink, Text};
use super::lax::Lax;
use super::scan::string_end;

/// Objects inside of objects are followed this far.
const DEPTH: u8 = 8;

/// Reads the record at the start of `text`, and says how many bytes it took; `None` when it is not that simple.
pub(super) fn device(text: &str) -> Option<(RawDevice<'_>, usize)> {
    let mut cursor = Cursor { text, at: 0 };
    let mut raw = RawDevice::default();
    cursor.object(|cursor, key| match key {
        "id" => once(&mut raw.id, cursor.text()?),
        "deviceId" => once(&mut raw.device_id, cursor.text()?),
        "deletedDateTime" => once(&mut raw.deleted_date_time, cursor.text()?),
        "accountEnabled" => once(&mut raw.account_enabled, cursor.boolean()?),
        "alternativeSecurityIds" => {
            let ids = cursor.list(Cursor::alternative_security_id)?;
            once(&mut raw.alternative_security_ids, ids)
        }
        "approximateLastSignInDateTime" => {
            once(&mut raw.approximate_last_sign_in_date_time, cursor.text()?)
        }
        "deviceOwnership" => once(&mut raw.device_ownership, cursor.text()?),
        "deviceVersion" => once(&mut raw.device_version, cursor.integer()?),
        "displayName" => once(&mut raw.display_name, cursor.text()?),
        "isCompliant" => once(&mut raw.is_compliant, cursor.boolean()?),
        "isManaged" => once(&mut raw.is_managed, cursor.boolean()?),
        "onPremisesSecurityIdentifier" => {
            once(&mut raw.on_premises_security_identifier, cursor.text()?)
        }
        "operatingSystem" => once(&mut raw.operating_system, cursor.text()?),
        "operatingSystemVersion" => once(&mut raw.operating_system_version, cursor.text()?),
        "physicalIds" => once(&mut raw.physical_ids, cursor.list(Cursor::text)?),
        "profileType" => once(&mut raw.profile_type, cursor.text()?),
        "registeredOwners" | "registeredOwners@delta" => {
            once(&mut raw.registered_owners, cursor.list(Cursor::link)?)
        }
        "registeredUsers" | "registeredUsers@delta" => {
            once(&mut raw.registered_users, cursor.list(Cursor::link)?)
        }
        "trustType" => once(&mut raw.trust_type, cursor.text()?),
        "@removed" => None,
        _ => cursor.skip(DEPTH),
    })?;
    Some((raw, cursor.at))
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
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space.
    fn token(&mut self) -> Option<u8> {
        loop {
            match self.peek()? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    fn take(&mut self, expected: u8) -> Option<()> {
        if self.token()? != expected {
            return None;
        }
        self.at += 1;
        Some(())
    }

    /// Takes `word` if it stands here.
    fn word(&mut self, word: &[u8]) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        if !rest.starts_with(word) {
            return None;
        }
        self.at += word.len();
        Some(())
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at + 1;
        let rest = self.text.as_bytes().get(start..)?;
        let end = start + string_end(rest)?;
        if self.text.as_bytes().get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        self.text.get(start..end)
    }

    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        if self.token()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            if self.token()? != b'"' {
                return None;
            }
            let key = self.string()?;
            self.take(b':')?;
            self.token()?;
            member(self, key)?;
            match self.token()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    fn array(&mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(b'[')?;
        if self.token()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.token()?;
            item(self)?;
            match self.token()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    fn text(&mut self) -> Option<Text<'a>> {
        match self.peek()? {
            b'"' => Some(Lax::Value(Cow::Borrowed(self.string()?))),
            _ => self.null(),
        }
    }

    fn boolean(&mut self) -> Option<Lax<bool>> {
        match self.peek()? {
            b't' => self.word(b"true").map(|()| Lax::Value(true)),
            b'f' => self.word(b"false").map(|()| Lax::Value(false)),
            _ => self.null(),
        }
    }

    fn null<T>(&mut self) -> Option<Lax<T>> {
        self.word(b"null").map(|()| Lax::Null)
    }

    fn integer(&mut self) -> Option<Lax<i32>> {
        match self.peek()? {
            b'0'..=b'9' | b'-' => {
                let digits = self.number()?;
                digits.parse().ok().map(Lax::Value)
            }
            _ => self.null(),
        }
    }

    /// An integer; what has a fraction or an exponent is not that simple.
    fn number(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.at..)?;
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let length = digits
            .bytes()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let padded = length > 1 && digits.starts_with('0');
        // So few digits that the JSON reader takes them for an integer, too.
        if length == 0 || length > 18 || padded {
            return None;
        }
        let length = rest.len() - digits.len() + length;
        self.at += length;
        match self.peek()? {
            b'.' | b'e' | b'E' => None,
            _ => rest.get(..length),
        }
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Option<T>) -> Option<Lax<Vec<T>>> {
        if self.peek()? != b'[' {
            return self.null();
        }
        let mut items = Vec::new();
        self.array(|cursor| {
            items.push(item(cursor)?);
            Some(())
        })?;
        Some(Lax::Value(items))
    }

    fn alternative_security_id(&mut self) -> Option<Lax<RawAlternativeSecurityId<'a>>> {
        let mut found = RawAlternativeSecurityId::default();
        self.object(|cursor, key| {
            match key {
                "type" => found.kind = cursor.integer()?.into_value(),
                "key" => found.key = cursor.text()?.into_value(),
                _ => cursor.skip(DEPTH)?,
            }
            Some(())
        })?;
        Some(Lax::Value(found))
    }

    fn link(&mut self) -> Option<Lax<RawLink<'a>>> {
        let mut found = RawLink::default();
        self.object(|cursor, key| {
            match key {
                "id" => found.id = cursor.text()?,
                "@odata.type" => found.odata_type = cursor.text()?,
                "onPremisesSecurityIdentifier" => found.sid = cursor.text()?,
                "@removed" => return None,
                _ => cursor.skip(DEPTH)?,
            }
            Some(())
        })?;
        Some(Lax::Value(found))
    }

    /// Steps over a value of no interest.
    fn skip(&mut self, depth: u8) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'n' => self.word(b"null"),
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
