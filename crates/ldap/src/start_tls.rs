//! StartTLS ([RFC 4511] 4.14.1): what is said before the connection is secured.
//!
//! The library could do this too, but it would read the answer with a parser that goes as deep as the answer does, and until TLS
//! is there anybody on the way can write that answer. Here it is short, or it is none.

use std::io;

use device_writeback_core::apply::{OperationResult, ResultCode};
use ldap3::asn1::{PL, StructureTag, TagClass, parse_tag};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::failure::{Failure, trimmed};

/// Message 1: an extended request with the name 1.3.6.1.4.1.1466.20037 and no value.
const REQUEST: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
/// As long may the answer be: a code, a sentence, a referral.
const LONGEST: usize = 1024;
/// `ExtendedResponse`, an application tag.
const EXTENDED_RESPONSE: u64 = 24;

/// Asks for TLS; after success the next octet is the handshake's.
///
/// # Errors
/// [`Failure::Refused`] with what the server says; [`Failure::Lost`] and [`Failure::Malformed`].
pub(crate) async fn start_tls<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
) -> Result<(), Failure> {
    stream
        .write_all(REQUEST)
        .await
        .map_err(|error| lost(&error))?;
    stream.flush().await.map_err(|error| lost(&error))?;
    let answer = read(stream).await?;
    let (code, message) = result(&answer).ok_or_else(malformed)?;
    if code == ResultCode::SUCCESS {
        return Ok(());
    }
    Err(Failure::Refused {
        result: OperationResult::new(code, message),
        referrals: Vec::new(),
    })
}

/// One message and not an octet more: what follows it unasked is not taken for part of what is secured.
async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, Failure> {
    let mut header = vec![0; 2];
    stream
        .read_exact(&mut header)
        .await
        .map_err(|error| lost(&error))?;
    let [0x30, short] = *header.as_slice() else {
        return Err(malformed());
    };
    let length = match short {
        0..=0x7f => usize::from(short),
        0x81..=0x84 => {
            let mut octets = vec![0; usize::from(short & 0x7f)];
            stream
                .read_exact(&mut octets)
                .await
                .map_err(|error| lost(&error))?;
            header.extend_from_slice(&octets);
            octets
                .iter()
                .fold(0_usize, |length, octet| length << 8 | usize::from(*octet))
        }
        _ => return Err(malformed()),
    };
    if length > LONGEST {
        return Err(malformed());
    }
    let mut body = vec![0; length];
    stream
        .read_exact(&mut body)
        .await
        .map_err(|error| lost(&error))?;
    header.append(&mut body);
    Ok(header)
}

/// Code and message of the answer to message 1.
fn result(answer: &[u8]) -> Option<(ResultCode, String)> {
    let (rest, message) = parse_tag(answer).ok()?;
    let mut parts = constructed(message)?.into_iter();
    let id = primitive(parts.next()?)?;
    let response = parts.next()?;
    let is_ours = rest.is_empty()
        && id
            .iter()
            .fold(0_u64, |id, octet| id << 8 | u64::from(*octet))
            == 1
        && response.class == TagClass::Application
        && response.id == EXTENDED_RESPONSE;
    if !is_ours {
        return None;
    }
    let mut parts = constructed(response)?.into_iter();
    let code = primitive(parts.next()?)?;
    let [code] = *code.as_slice() else {
        return None;
    };
    let _matched_dn = primitive(parts.next()?)?;
    let message = String::from_utf8_lossy(&primitive(parts.next()?)?).into_owned();
    Some((ResultCode(u32::from(code)), trimmed(&message)))
}

fn constructed(tag: StructureTag) -> Option<Vec<StructureTag>> {
    match tag.payload {
        PL::C(parts) => Some(parts),
        PL::P(_) => None,
    }
}

fn primitive(tag: StructureTag) -> Option<Vec<u8>> {
    match tag.payload {
        PL::P(octets) => Some(octets),
        PL::C(_) => None,
    }
}

fn malformed() -> Failure {
    Failure::Malformed("the server does not answer StartTLS as LDAP does".to_owned())
}

fn lost(error: &io::Error) -> Failure {
    Failure::Lost(match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            "the server ended it in place of answering StartTLS".to_owned()
        }
        _ => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    const YES: &[u8] = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00";

    async fn ask(answer: &[u8]) -> Result<(), Failure> {
        let (mut ours, mut theirs) = duplex(64 << 10);
        theirs.write_all(answer).await.unwrap();
        let mut request = vec![0; REQUEST.len()];
        let (result, _) = tokio::join!(start_tls(&mut ours), async {
            theirs.read_exact(&mut request).await.unwrap();
            drop(theirs);
        });
        assert_eq!(request, REQUEST);
        result
    }

    #[tokio::test]
    async fn a_yes_is_success_and_a_no_tells_why() {
        ask(YES).await.unwrap();
        let no = b"\x30\x84\x00\x00\x00\x10\x02\x01\x01\x78\x84\x00\x00\x00\x07\x0a\x01\x34\x04\x00\x04\x00";
        let failure = ask(no).await.unwrap_err();
        assert_eq!(failure.code(), Some(ResultCode::UNAVAILABLE));
    }

    #[tokio::test]
    async fn what_comes_after_the_answer_is_left_for_the_handshake() {
        let (mut ours, mut theirs) = duplex(64 << 10);
        theirs.write_all(YES).await.unwrap();
        theirs.write_all(b"\x16\x03\x03").await.unwrap();
        start_tls(&mut ours).await.unwrap();
        let mut next = [0; 3];
        ours.read_exact(&mut next).await.unwrap();
        assert_eq!(next, *b"\x16\x03\x03");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let deep: Vec<u8> = std::iter::repeat_n([0x30, 0x84, 0, 0, 0xff, 0xff], 10_000)
            .flatten()
            .collect();
        for answer in [
            &b"\x30\x00"[..],
            b"\x04\x00",
            b"\x30\x80\x00\x00",
            b"\x30\x82\xff\xff\x02\x01\x01",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            // Another message, another response, a code of two octets.
            b"\x30\x0c\x02\x01\x02\x78\x07\x0a\x01\x00\x04\x00\x04\x00",
            b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
            b"\x30\x0d\x02\x01\x01\x78\x08\x0a\x02\x00\x00\x04\x00\x04\x00",
            &deep,
        ] {
            assert!(matches!(ask(answer).await, Err(Failure::Malformed(_))));
        }
        for answer in [&b""[..], b"\x30", b"\x30\x0c\x02\x01\x01"] {
            assert!(matches!(ask(answer).await, Err(Failure::Lost(_))));
        }
    }
}
