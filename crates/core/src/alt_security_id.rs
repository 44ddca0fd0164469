//! `altSecurityIdentities` of a device: what AD FS finds the device by when it is presented with
//! its certificate.
//!
//! The text is `X509:<SHA1-TP-PUBKEY>`, the certificate's SHA-1 thumbprint as 40 hex digits, and
//! the base64 of a SHA-256 over the public key ([MS-DVRE] 2.3.3). The specification prints a `+`
//! between the last two; values in use do not have it. Graph carries the text, in UTF-16LE and
//! base64, as `key` of an alternative security id of type 2.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::oid::ObjectIdentifier;

use crate::error::{InvalidValue, quoted};
use crate::guid::{hex_pair, hex_value};

const WHAT: &str = "alternative security id";
const PREFIX: &[u8] = b"X509:<SHA1-TP-PUBKEY>";
const THUMBPRINT_DIGITS: usize = 40;
const KEY_HASH_CHARACTERS: usize = 44;

/// Longest text accepted, the optional `+` included.
const MAX_TEXT: usize = PREFIX.len() + THUMBPRINT_DIGITS + 1 + KEY_HASH_CHARACTERS;

/// Octets for the decoded form of the longest acceptable Graph key: two for each character, and
/// what the decoder wants to spare.
const KEY_BUFFER: usize = MAX_TEXT * 2 + 8;

/// rsaEncryption, [RFC 8017] appendix C.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Graph's `Edm.Binary` is the standard alphabet, but both alphabets occur, with and without
/// padding.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE_LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// A certificate's entry in `altSecurityIdentities`.
///
/// Compared exactly: the base64 at its end is case-sensitive, and a value that differs in one
/// letter is not found by AD FS. The letter case of the thumbprint is kept as it came.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AltSecurityId(Box<str>);

impl AltSecurityId {
    /// Reads the text form. A `+` between thumbprint and key hash, as the specification prints
    /// it, is dropped.
    ///
    /// # Errors
    /// Refuses any other kind of alternative id, and hashes that are not complete.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        Self::from_ascii(text.as_bytes())
            .map_err(|why| InvalidValue::new(WHAT, format!("{} {why}", quoted(text))))
    }

    /// Reads `alternativeSecurityIds[].key` of a Graph device of type 2: base64 of the text in
    /// UTF-16LE.
    ///
    /// # Errors
    /// Refuses what is not base64 of UTF-16LE, and text that [`parse`](Self::parse) refuses.
    pub fn from_graph_key(key: &str) -> Result<Self, InvalidValue> {
        let error = |why: &str| InvalidValue::new(WHAT, format!("key {} {why}", quoted(key)));
        // Checked first, because the decoder judges the room by the length of its input.
        if key.len() > MAX_TEXT * 2 / 3 * 4 + 4 {
            return Err(error("is longer than a certificate's entry can be"));
        }
        let url_safe = memchr::memchr2(b'-', b'_', key.as_bytes()).is_some();
        let engine = if url_safe {
            &URL_SAFE_LENIENT
        } else {
            &STANDARD_LENIENT
        };
        let mut buffer = [0; KEY_BUFFER];
        let decoded = engine
            .decode_slice(key, &mut buffer)
            .ok()
            .and_then(|len| buffer.get(..len))
            .ok_or_else(|| error("is not base64"))?;
        let (units, odd) = decoded.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(error(
                "is not UTF-16LE text: it has an odd number of octets",
            ));
        }
        let mut text = [0; KEY_BUFFER / 2];
        let mut others = 0;
        for (place, &[low, high]) in text.iter_mut().zip(units) {
            others |= high | low & 0x80;
            *place = low;
        }
        if others != 0 {
            return Err(error(
                "holds characters that a certificate's entry cannot have",
            ));
        }
        let text = text.get(..units.len()).unwrap_or(&[]);
        Self::from_ascii(text).map_err(|why| {
            let text = String::from_utf8_lossy(text);
            InvalidValue::new(WHAT, format!("key text {} {why}", quoted(&text)))
        })
    }

    /// The entry for a certificate, given in DER.
    ///
    /// What is hashed for the second part is the PKCS#1 `RSAPublicKey`: the content of the
    /// `subjectPublicKey` bit string, without the `SubjectPublicKeyInfo` around it.
    ///
    /// # Errors
    /// Refuses what is not one X.509 certificate, and keys other than RSA, for which the form is
    /// not defined.
    pub fn from_certificate(der: &[u8]) -> Result<Self, InvalidValue> {
        let certificate = Certificate::from_der(der).map_err(|error| {
            InvalidValue::new(
                WHAT,
                format!(
                    "these {} octets are not an X.509 certificate in DER: {error}",
                    der.len()
                ),
            )
        })?;
        let key = certificate.tbs_certificate().subject_public_key_info();
        if key.algorithm.oid != RSA_ENCRYPTION {
            return Err(InvalidValue::new(
                WHAT,
                format!(
                    "the certificate's key is of type {}, only RSA is defined",
                    key.algorithm.oid
                ),
            ));
        }
        let Some(public_key) = key.subject_public_key.as_bytes() else {
            return Err(InvalidValue::new(
                WHAT,
                "the certificate's key is not whole octets",
            ));
        };
        let mut text = String::with_capacity(MAX_TEXT);
        text.push_str("X509:<SHA1-TP-PUBKEY>");
        for octet in Sha1::digest(der) {
            text.extend(hex_pair(octet).map(|digit| char::from(digit.to_ascii_uppercase())));
        }
        STANDARD.encode_string(Sha256::digest(public_key), &mut text);
        Ok(Self(text.into_boxed_str()))
    }

    /// The text as it stands in `altSecurityIdentities`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// SHA-1 of the certificate.
    pub fn thumbprint(&self) -> [u8; 20] {
        let mut out = [0; 20];
        let (pairs, _) = self.parts().0.as_chunks::<2>();
        for (octet, &[high, low]) in out.iter_mut().zip(pairs) {
            *octet = hex_value(high) << 4 | hex_value(low) & 0x0f;
        }
        out
    }

    /// SHA-256 of the certificate's PKCS#1 public key.
    pub fn key_hash(&self) -> [u8; 32] {
        // Decoded once before, when the value was made.
        decode_key_hash(self.parts().1).unwrap_or_default()
    }

    /// The value of `key` with which Graph would carry this entry.
    pub fn to_graph_key(&self) -> String {
        let utf16: Vec<u8> = self.0.encode_utf16().flat_map(u16::to_le_bytes).collect();
        STANDARD.encode(utf16)
    }

    fn from_ascii(text: &[u8]) -> Result<Self, &'static str> {
        let rest = text.strip_prefix(PREFIX).ok_or(
            "does not start with X509:<SHA1-TP-PUBKEY>, so it is not a device certificate",
        )?;
        let Some((thumbprint, rest)) = rest.split_at_checked(THUMBPRINT_DIGITS) else {
            return Err("ends within the thumbprint of 40 hex digits");
        };
        // Without a branch for each digit: whether it is a letter cannot be foreseen.
        let digits = thumbprint
            .iter()
            .fold(0, |seen, &digit| seen | hex_value(digit));
        if digits > 15 {
            return Err("has a thumbprint that is not 40 hex digits");
        }
        // The hash itself can start with a plus sign, so only a longer rest has a separator.
        let key_hash = match rest {
            [b'+', key_hash @ ..] if key_hash.len() == KEY_HASH_CHARACTERS => key_hash,
            _ => rest,
        };
        if decode_key_hash(key_hash).is_none() {
            return Err("does not end with a SHA-256 in 44 characters of base64");
        }
        let mut out = String::with_capacity(MAX_TEXT - 1);
        for part in [PREFIX, thumbprint, key_hash] {
            out.push_str(std::str::from_utf8(part).map_err(|_| "is not ASCII text")?);
        }
        Ok(Self(out.into_boxed_str()))
    }

    /// Thumbprint and key hash as text.
    fn parts(&self) -> (&[u8], &[u8]) {
        self.0
            .as_bytes()
            .split_at_checked(PREFIX.len())
            .and_then(|(_, rest)| rest.split_at_checked(THUMBPRINT_DIGITS))
            .unwrap_or_default()
    }
}

impl fmt::Display for AltSecurityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for AltSecurityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AltSecurityId({})", self.0)
    }
}

impl AsRef<str> for AltSecurityId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for AltSecurityId {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::parse(text)
    }
}

impl Serialize for AltSecurityId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AltSecurityId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl de::Visitor<'_> for TextVisitor {
    type Value = AltSecurityId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an alternative security id as text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<AltSecurityId, E> {
        AltSecurityId::parse(text).map_err(E::custom)
    }
}

fn decode_key_hash(text: &[u8]) -> Option<[u8; 32]> {
    if text.len() != KEY_HASH_CHARACTERS {
        return None;
    }
    let mut buffer = [0; 33];
    let len = STANDARD.decode_slice(text, &mut buffer).ok()?;
    buffer.get(..len)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "X509:<SHA1-TP-PUBKEY>D09A73223D16855752C5E820A70540BA6450103E\
                        fAEQj2hW5Ox+vjZP9wx5rOLbJypnn7SVJ8aw+GVD42Y=";
    const HASH: &str = "fAEQj2hW5Ox+vjZP9wx5rOLbJypnn7SVJ8aw+GVD42Y=";

    fn graph_key(text: &str) -> String {
        STANDARD.encode(
            text.encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn published_value() {
        let id = AltSecurityId::parse(TEXT).unwrap();
        assert_eq!(id.as_str(), TEXT);
        assert_eq!(id.as_str().len(), 105);
        assert_eq!(id.thumbprint()[..4], [0xd0, 0x9a, 0x73, 0x22]);
        assert_eq!(STANDARD.encode(id.key_hash()), HASH);
        assert_eq!(AltSecurityId::from_graph_key(&id.to_graph_key()), Ok(id));
    }

    #[test]
    fn letter_case_is_kept_and_compared() {
        let upper = AltSecurityId::parse(TEXT).unwrap();
        let lower = AltSecurityId::parse(&TEXT.replace("D09A", "d09a")).unwrap();
        assert!(lower.as_str().contains(">d09a73"));
        assert_eq!(lower.thumbprint(), upper.thumbprint());
        assert_ne!(lower, upper);
        assert!(AltSecurityId::parse(&TEXT.to_lowercase()).is_err());
    }

    #[test]
    fn plus_between_the_parts_is_dropped() {
        let with_plus = TEXT.replace("103EfAEQ", "103E+fAEQ");
        assert_eq!(AltSecurityId::parse(&with_plus), AltSecurityId::parse(TEXT));
        assert_eq!(
            AltSecurityId::from_graph_key(&graph_key(&with_plus)),
            AltSecurityId::parse(TEXT)
        );
        // A hash that starts with a plus sign keeps it.
        let plus_hash = TEXT.replace("103EfAEQ", "103E+AEQ");
        assert_eq!(
            AltSecurityId::parse(&plus_hash).unwrap().as_str(),
            plus_hash
        );
        let both = TEXT.replace("103EfAEQ", "103E++AEQ");
        assert_eq!(AltSecurityId::parse(&both).unwrap().as_str(), plus_hash);
        assert!(AltSecurityId::parse(&TEXT.replace("103E", "103E++")).is_err());
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in [
            String::new(),
            "X509:<SHA1-TP-PUBKEY>".to_owned(),
            "X509:<UPN>adele@contoso.com".to_owned(),
            TEXT.to_lowercase(),
            format!(" {TEXT}"),
            format!("{TEXT} "),
            format!("{TEXT}\0"),
            format!("\u{feff}{TEXT}"),
            TEXT.replace('=', ""),
            TEXT.replace("D09A", "G09A"),
            TEXT.replace("D09A", "D0é"),
            TEXT.replace("GVD", "-VD"),
            // Bits beyond the 32 octets that are not zero.
            TEXT.replace("42Y=", "42Z="),
            // 33 and 31 octets.
            TEXT.replace("42Y=", "42YA"),
            TEXT.replace("42Y=", "4w=="),
        ] {
            assert!(AltSecurityId::parse(&text).is_err(), "{text}");
            assert!(
                AltSecurityId::from_graph_key(&graph_key(&text)).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn graph_keys_in_every_base64() {
        let id = AltSecurityId::parse(TEXT).unwrap();
        let key = id.to_graph_key();
        for key in [
            key.clone(),
            key.trim_end_matches('=').to_owned(),
            key.replace('+', "-").replace('/', "_"),
        ] {
            assert_eq!(AltSecurityId::from_graph_key(&key), Ok(id.clone()));
        }
    }

    #[test]
    fn other_graph_keys_are_refused_with_the_cause() {
        let message = |key: &str| AltSecurityId::from_graph_key(key).unwrap_err().to_string();
        assert!(message("!").ends_with("is not base64"));
        assert!(message(&STANDARD.encode("X50")).ends_with("odd number of octets"));
        assert!(message(&STANDARD.encode(TEXT)).contains("odd number of octets"));
        assert!(message(&STANDARD.encode("X509")).contains("cannot have"));
        assert!(message(&graph_key("é")).contains("cannot have"));
        assert!(message(&graph_key("X509:<UPN>x")).contains("is not a device certificate"));
        assert!(message(&"A".repeat(100_000)).contains("longer than"));
        assert!(message("").contains("does not start with"));
    }

    #[test]
    fn json_is_text() {
        let id = AltSecurityId::parse(TEXT).unwrap();
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{TEXT}\""));
        assert_eq!(serde_json::from_str::<AltSecurityId>(&json).unwrap(), id);
    }

    proptest! {
        #[test]
        fn round_trips(thumbprint: [u8; 20], key_hash: [u8; 32], separator in "\\+?") {
            let digits: String = thumbprint.iter().map(|octet| format!("{octet:02X}")).collect();
            let hash = STANDARD.encode(key_hash);
            let id =
                AltSecurityId::parse(&format!("X509:<SHA1-TP-PUBKEY>{digits}{separator}{hash}"))
                    .unwrap();
            prop_assert_eq!(id.as_str().len(), 105);
            prop_assert_eq!(id.thumbprint(), thumbprint);
            prop_assert_eq!(id.key_hash(), key_hash);
            prop_assert_eq!(AltSecurityId::from_graph_key(&id.to_graph_key()), Ok(id));
        }

        #[test]
        fn never_panics(text: String, octets: Vec<u8>) {
            let _ = AltSecurityId::parse(&text);
            let _ = AltSecurityId::from_graph_key(&text);
            let _ = AltSecurityId::from_graph_key(&STANDARD.encode(&octets));
            let _ = AltSecurityId::from_graph_key(&graph_key(&text));
            let _ = AltSecurityId::from_certificate(&octets);
        }
    }
}
