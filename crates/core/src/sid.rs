//! Security identifiers ([MS-DTYP] 2.4.2), as text and as octets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{InvalidValue, quoted, quoted_bytes};

/// Most sub-authorities a SID can have ([MS-DTYP] 2.4.2.2).
const MAX_SUB_AUTHORITIES: usize = 15;

/// Largest identifier authority: 48 bits.
const MAX_AUTHORITY: u64 = 0xffff_ffff_ffff;

/// A security identifier: revision 1, one to fifteen sub-authorities.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid {
    authority: u64,
    /// Unused places are zero, so that the derived comparisons hold.
    sub: [u32; MAX_SUB_AUTHORITIES],
    len: u8,
}

/// How a SID stands in an octet string attribute.
///
/// `msDS-RegisteredOwner` and `msDS-RegisteredUsers` are documented as holding a SID without
/// saying which form; both are in use.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum SidEncoding {
    /// ASCII text, `S-1-5-21-...`.
    #[default]
    Text,
    /// The packet form, [MS-DTYP] 2.4.2.2.
    Binary,
}

impl Sid {
    /// Reads the text form ([MS-DTYP] 2.4.2.1): `S-1-`, the authority in decimal or as `0x` and
    /// hex digits, and the sub-authorities in decimal. Letter case does not matter.
    ///
    /// # Errors
    /// Refuses other text, and numbers that do not fit.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        parse_text(text).map_err(|why| InvalidValue::new("SID", format!("{} {why}", quoted(text))))
    }

    /// Reads the packet form ([MS-DTYP] 2.4.2.2), as `objectSid` holds it.
    ///
    /// # Errors
    /// Refuses another revision, a wrong length, and a SID without sub-authorities.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidValue> {
        let Some((&[revision, count, a, b, c, d, e, f], rest)) = bytes.split_first_chunk::<8>()
        else {
            return Err(InvalidValue::new(
                "SID",
                format!(
                    "a binary SID has at least 12 octets, this value has {}",
                    bytes.len()
                ),
            ));
        };
        if revision != 1 {
            return Err(InvalidValue::new(
                "SID",
                format!("revision {revision} is unknown, only 1 is defined"),
            ));
        }
        let len = usize::from(count);
        if len == 0 || len > MAX_SUB_AUTHORITIES {
            return Err(InvalidValue::new(
                "SID",
                format!("{count} sub-authorities, 1 to {MAX_SUB_AUTHORITIES} are possible"),
            ));
        }
        if rest.len() != len * 4 {
            return Err(InvalidValue::new(
                "SID",
                format!(
                    "{count} sub-authorities need {} octets, this value has {}",
                    8 + len * 4,
                    bytes.len()
                ),
            ));
        }
        let mut sid = Self {
            authority: u64::from_be_bytes([0, 0, a, b, c, d, e, f]),
            sub: [0; MAX_SUB_AUTHORITIES],
            len: count,
        };
        let (chunks, _) = rest.as_chunks::<4>();
        for (sub, chunk) in sid.sub.iter_mut().zip(chunks) {
            *sub = u32::from_le_bytes(*chunk);
        }
        Ok(sid)
    }

    /// The packet form ([MS-DTYP] 2.4.2.2).
    pub fn to_bytes(&self) -> Vec<u8> {
        let [_, _, authority @ ..] = self.authority.to_be_bytes();
        let mut out = Vec::with_capacity(8 + usize::from(self.len) * 4);
        out.extend_from_slice(&[1, self.len]);
        out.extend_from_slice(&authority);
        for sub in self.sub_authorities() {
            out.extend_from_slice(&sub.to_le_bytes());
        }
        out
    }

    /// Reads an octet string that holds either form.
    ///
    /// # Errors
    /// A value that is neither is refused.
    pub fn decode_either(value: &[u8]) -> Result<(Self, SidEncoding), InvalidValue> {
        // The packet form starts with the revision, 1, so the forms cannot be confused.
        if let [b'S' | b's', b'-', ..] = value {
            let text = std::str::from_utf8(value).map_err(|_| {
                InvalidValue::new("SID", format!("{} is not ASCII text", quoted_bytes(value)))
            })?;
            return Ok((Self::parse(text)?, SidEncoding::Text));
        }
        Ok((Self::from_bytes(value)?, SidEncoding::Binary))
    }

    /// The octets of the chosen form.
    pub fn encode(self, encoding: SidEncoding) -> Vec<u8> {
        match encoding {
            SidEncoding::Text => self.to_string().into_bytes(),
            SidEncoding::Binary => self.to_bytes(),
        }
    }

    /// The identifier authority, 5 for everything Windows issues. 48 bits.
    pub const fn authority(&self) -> u64 {
        self.authority
    }

    /// The sub-authorities, outermost first; never empty.
    pub fn sub_authorities(&self) -> &[u32] {
        self.sub.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// The relative identifier: the last sub-authority of a SID that has a domain part.
    ///
    /// `None` for a SID with one sub-authority, such as `S-1-1-0`.
    pub fn rid(&self) -> Option<u32> {
        match self.sub_authorities() {
            [_, .., rid] => Some(*rid),
            _ => None,
        }
    }

    /// The SID without its relative identifier: for a user, the SID of the domain.
    ///
    /// `None` for a SID with one sub-authority.
    pub fn domain(&self) -> Option<Self> {
        let len = self.len.checked_sub(1).filter(|len| *len > 0)?;
        let mut domain = Self { len, ..*self };
        *domain.sub.get_mut(usize::from(len))? = 0;
        Some(domain)
    }

    /// Whether this is a SID that the domain with SID `domain` issued.
    pub fn is_in_domain(&self, domain: &Self) -> bool {
        self.domain().as_ref() == Some(domain)
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Authorities of 2^32 and above are written in hex, [MS-DTYP] 2.4.2.1.
        if u32::try_from(self.authority).is_ok() {
            write!(f, "S-1-{}", self.authority)?;
        } else {
            write!(f, "S-1-0x{:012x}", self.authority)?;
        }
        for sub in self.sub_authorities() {
            write!(f, "-{sub}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sid {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::parse(text)
    }
}

impl Serialize for Sid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl de::Visitor<'_> for TextVisitor {
    type Value = Sid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SID as text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Sid, E> {
        Sid::parse(text).map_err(E::custom)
    }
}

fn parse_text(text: &str) -> Result<Sid, &'static str> {
    let mut parts = text.split('-');
    if !parts
        .next()
        .is_some_and(|part| part.eq_ignore_ascii_case("S"))
    {
        return Err("does not start with S-1-");
    }
    if parts.next() != Some("1") {
        return Err("does not start with S-1-");
    }
    let authority = parts
        .next()
        .and_then(parse_authority)
        .ok_or("has no identifier authority of at most 48 bits after S-1-")?;
    let mut sid = Sid {
        authority,
        sub: [0; MAX_SUB_AUTHORITIES],
        len: 0,
    };
    for part in parts {
        let place = sid
            .sub
            .get_mut(usize::from(sid.len))
            .ok_or("has more than 15 sub-authorities")?;
        *place = parse_decimal(part)
            .and_then(|number| u32::try_from(number).ok())
            .ok_or("has a sub-authority that is not a decimal number of at most 32 bits")?;
        sid.len += 1;
    }
    if sid.len == 0 {
        return Err("has no sub-authority");
    }
    Ok(sid)
}

fn parse_authority(text: &str) -> Option<u64> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let number = match hex {
        // `from_str_radix` alone would take a sign.
        Some(hex) if hex.len() <= 12 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            u64::from_str_radix(hex, 16).ok()?
        }
        Some(_) => return None,
        None => parse_decimal(text)?,
    };
    (number <= MAX_AUTHORITY).then_some(number)
}

/// A decimal number without sign and without leading zeros beyond what 15 digits hold.
fn parse_decimal(text: &str) -> Option<u64> {
    if text.len() > 15 || !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USER: &str = "S-1-5-21-3623811015-3361044348-30300820-1013";

    fn sid(text: &str) -> Sid {
        Sid::parse(text).unwrap()
    }

    #[test]
    fn octets_of_a_well_known_group() {
        // BUILTIN\Administrators.
        let bytes = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
        let admins = Sid::from_bytes(&bytes).unwrap();
        assert_eq!(admins.to_string(), "S-1-5-32-544");
        assert_eq!(admins.to_bytes(), bytes);
        assert_eq!(admins.authority(), 5);
        assert_eq!(admins.sub_authorities(), [32, 544]);
    }

    #[test]
    fn domain_and_rid() {
        let user = sid(USER);
        let domain = sid("S-1-5-21-3623811015-3361044348-30300820");
        assert_eq!(user.rid(), Some(1013));
        assert_eq!(user.domain(), Some(domain));
        assert!(user.is_in_domain(&domain));
        assert!(!user.is_in_domain(&user));
        assert!(!sid("S-1-5-21-3623811015-3361044348-30300821-1013").is_in_domain(&domain));
        assert!(!sid("S-1-5-21-3623811015-3361044348-30300820-5-1013").is_in_domain(&domain));
        let everyone = sid("S-1-1-0");
        assert_eq!((everyone.rid(), everyone.domain()), (None, None));
    }

    #[test]
    fn large_authorities_are_hex() {
        let text = "S-1-0x100000000000-7";
        assert_eq!(sid(text).to_string(), text);
        assert_eq!(sid("s-1-0X5-18"), sid("S-1-5-18"));
        assert_eq!(sid("S-1-4294967295-1").to_string(), "S-1-4294967295-1");
        assert_eq!(sid("S-1-4294967296-1").to_string(), "S-1-0x000100000000-1");
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in [
            "",
            "S",
            "S-1",
            "S-1-5",
            "S-1-5-",
            "S-2-5-18",
            "X-1-5-18",
            "S-1-5-18-",
            "S-1-5--18",
            "S-1-5-+18",
            "S-1-5-4294967296",
            "S-1-5-0x12",
            "S-1-0x1000000000000-1",
            "S-1-281474976710656-1",
            "S-1-0x-1",
            "S-1-5-18 ",
            " S-1-5-18",
            "S-1-5-18\0",
            "S-1-5-1-2-3-4-5-6-7-8-9-10-11-12-13-14-15-16",
        ] {
            assert!(Sid::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn malformed_octets_are_refused() {
        let good = sid(USER).to_bytes();
        assert_eq!(good.len(), 28);
        assert!(Sid::from_bytes(&good[..27]).is_err());
        assert!(Sid::from_bytes(&[good.clone(), vec![0]].concat()).is_err());
        let mut revision = good.clone();
        revision[0] = 2;
        assert_eq!(
            Sid::from_bytes(&revision).unwrap_err().to_string(),
            "invalid SID: revision 2 is unknown, only 1 is defined"
        );
        assert!(Sid::from_bytes(&[1, 0, 0, 0, 0, 0, 0, 5]).is_err());
        let mut long = vec![1, 16, 0, 0, 0, 0, 0, 5];
        long.resize(8 + 64, 0);
        assert!(Sid::from_bytes(&long).is_err());
    }

    #[test]
    fn either_form_is_read_and_named() {
        let user = sid(USER);
        for encoding in [SidEncoding::Text, SidEncoding::Binary] {
            assert_eq!(
                Sid::decode_either(&user.encode(encoding)),
                Ok((user, encoding))
            );
        }
        assert!(Sid::decode_either(b"").is_err());
        assert!(Sid::decode_either(b"S-1-5-\xff").is_err());
        assert!(Sid::decode_either(b"CONTOSO\\adele").is_err());
    }

    #[test]
    fn json_is_text() {
        let json = serde_json::to_string(&sid(USER)).unwrap();
        assert_eq!(json, format!("\"{USER}\""));
        assert_eq!(serde_json::from_str::<Sid>(&json).unwrap(), sid(USER));
    }

    proptest! {
        #[test]
        fn round_trips(
            authority in 0..=MAX_AUTHORITY,
            sub in prop::collection::vec(any::<u32>(), 1..=MAX_SUB_AUTHORITIES),
        ) {
            let mut bytes = vec![1, u8::try_from(sub.len()).unwrap()];
            bytes.extend_from_slice(&authority.to_be_bytes()[2..]);
            bytes.extend(sub.iter().flat_map(|sub| sub.to_le_bytes()));
            let sid = Sid::from_bytes(&bytes).unwrap();
            prop_assert_eq!(sid.sub_authorities(), &sub[..]);
            prop_assert_eq!(sid.to_bytes(), bytes);
            prop_assert_eq!(Sid::parse(&sid.to_string()), Ok(sid));
            prop_assert_eq!(Sid::parse(&sid.to_string().to_lowercase()), Ok(sid));
            if let Some(domain) = sid.domain() {
                prop_assert!(sid.is_in_domain(&domain));
                prop_assert_eq!(Sid::parse(&domain.to_string()), Ok(domain));
            }
        }

        #[test]
        fn never_panics(value: Vec<u8>) {
            let _ = Sid::decode_either(&value);
        }
    }
}
