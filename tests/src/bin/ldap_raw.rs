//! The ceiling for `cargo xtask bench ldap`: every request is encoded before the clock starts; then bytes are written
//! and answers counted on one connection over TLS. What this reaches is the server's merit alone.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use device_writeback_tests::ldap_bench::{Arguments, Device, Job, ended, line, tls};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

/// Tags of [RFC 4511], BER-encoded.
const BIND: u8 = 0x60;
const MODIFY: u8 = 0x66;
const ADD: u8 = 0x68;
const DELETE: u8 = 0x4a;
const SIMPLE: u8 = 0x80;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// `operation` of a modification ([RFC 4511] 4.6).
const MODIFY_ADD: u8 = 0;
const MODIFY_DELETE: u8 = 1;

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn main() -> ExitCode {
    ended(Arguments::of_process().and_then(|arguments| run(&arguments)))
}

fn run(arguments: &Arguments) -> Result<String, String> {
    let mut requests = Vec::new();
    for (number, device) in arguments.devices()?.iter().enumerate() {
        let operation = encode(arguments.job, device)?;
        requests.push(message(number as u32 + 2, operation));
    }
    let bytes = requests.iter().map(Vec::len).sum();
    let mut stream = connect(arguments)?;
    let bind = [
        element(INTEGER, vec![3]),
        element(OCTET_STRING, arguments.bind_dn.clone().into_bytes()),
        element(SIMPLE, arguments.password.clone().into_bytes()),
    ];
    if pipeline(&mut stream, &[message(1, element(BIND, bind.concat()))], 1)? != 0 {
        return Err("the server refuses the bind".to_owned());
    }
    let begun = Instant::now();
    let failed = pipeline(&mut stream, &requests, arguments.window)?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(line(
        "ldap_raw",
        arguments.job,
        requests.len(),
        failed,
        seconds,
        bytes,
    ))
}

fn connect(arguments: &Arguments) -> Result<Stream, String> {
    let failed =
        |error: &dyn std::fmt::Display| format!("connecting to {}: {error}", arguments.url);
    let (host, port) = arguments
        .url
        .strip_prefix("ldaps://")
        .and_then(|rest| rest.rsplit_once(':'))
        .ok_or_else(|| failed(&"not ldaps://HOST:PORT"))?;
    let port: u16 = port.parse().map_err(|e| failed(&e))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|e| failed(&e))?;
    let socket = TcpStream::connect((host, port)).map_err(|e| failed(&e))?;
    socket.set_nodelay(true).map_err(|e| failed(&e))?;
    let config = tls(Path::new(&arguments.ca_file))?;
    let session = ClientConnection::new(config, name).map_err(|e| failed(&e))?;
    Ok(StreamOwned::new(session, socket))
}

/// Keeps `window` requests in flight until all are answered; how many answers were no success.
fn pipeline(stream: &mut Stream, requests: &[Vec<u8>], window: usize) -> Result<usize, String> {
    let broken = |error: std::io::Error| format!("the connection broke: {error}");
    let mut waiting = requests.iter();
    let (mut in_flight, mut failed) = (0, 0);
    let (mut out, mut unread) = (Vec::new(), Vec::new());
    let mut chunk = vec![0; 1 << 16];
    loop {
        out.clear();
        for request in waiting.by_ref().take(window - in_flight) {
            out.extend_from_slice(request);
            in_flight += 1;
        }
        if in_flight == 0 {
            return Ok(failed);
        }
        if !out.is_empty() {
            stream
                .write_all(&out)
                .and_then(|()| stream.flush())
                .map_err(broken)?;
        }
        let length = stream.read(&mut chunk).map_err(broken)?;
        if length == 0 {
            return Err("the server closed the connection".to_owned());
        }
        unread.extend_from_slice(chunk.get(..length).unwrap_or_default());
        let mut rest = unread.as_slice();
        while let Some((_, answer, after)) = split(rest) {
            failed += usize::from(result_code(answer) != Some(0));
            in_flight = in_flight.checked_sub(1).ok_or("an answer to no request")?;
            rest = after;
        }
        let read = unread.len() - rest.len();
        unread.drain(..read);
    }
}

fn encode(job: Job, device: &Device) -> Result<Vec<u8>, String> {
    let dn = device.dn.clone().into_bytes();
    match job {
        Job::Add => {
            let attributes = device
                .attributes
                .iter()
                .flat_map(|(name, values)| attribute(name, values));
            let attributes = element(SEQUENCE, attributes.collect());
            Ok(element(
                ADD,
                [element(OCTET_STRING, dn), attributes].concat(),
            ))
        }
        Job::Modify => {
            let changes = device.swaps()?.into_iter().flat_map(|swap| {
                let change = |kind: u8, value: Vec<u8>| {
                    let kind = element(ENUMERATED, vec![kind]);
                    element(SEQUENCE, [kind, attribute(swap.name, &[value])].concat())
                };
                [
                    change(MODIFY_DELETE, swap.old),
                    change(MODIFY_ADD, swap.new),
                ]
                .concat()
            });
            let changes = element(SEQUENCE, changes.collect());
            Ok(element(
                MODIFY,
                [element(OCTET_STRING, dn), changes].concat(),
            ))
        }
        Job::Delete => Ok(element(DELETE, dn)),
        Job::Read => Err("bytes alone do not read: use ldap3_loop".to_owned()),
    }
}

fn attribute(name: &str, values: &[Vec<u8>]) -> Vec<u8> {
    let values = values.iter().flat_map(|v| element(OCTET_STRING, v.clone()));
    let values = element(SET, values.collect());
    element(
        SEQUENCE,
        [element(OCTET_STRING, name.as_bytes().to_vec()), values].concat(),
    )
}

fn message(id: u32, operation: Vec<u8>) -> Vec<u8> {
    // One octet more than needed keeps the sign bit clear; LDAP's BER does not ask for the shortest form here.
    let id = element(INTEGER, id.to_be_bytes().to_vec());
    element(SEQUENCE, [id, operation].concat())
}

fn element(tag: u8, content: Vec<u8>) -> Vec<u8> {
    let length = content.len();
    let octets = length.to_be_bytes();
    let significant = octets.iter().skip_while(|octet| **octet == 0);
    let mut out = vec![tag];
    if length < 0x80 {
        out.push(length as u8);
    } else {
        out.push(0x80 | significant.clone().count() as u8);
        out.extend(significant);
    }
    out.extend(content);
    out
}

/// The first element's tag and content, and what follows it; `None` while it is not all there.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], mut rest) = bytes.split_first_chunk()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let (octets, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
        length = octets
            .iter()
            .fold(0, |sum, octet| sum << 8 | usize::from(*octet));
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

/// `resultCode` of the message with that content.
fn result_code(message: &[u8]) -> Option<u8> {
    let (_, _, operation) = split(message)?;
    let (_, result, _) = split(operation)?;
    let (ENUMERATED, &[code], _) = split(result)? else {
        return None;
    };
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short_below_128_octets_and_long_from_there() {
        assert_eq!(element(4, vec![0; 127])[..2], [4, 0x7f]);
        assert_eq!(element(4, vec![0; 128])[..3], [4, 0x81, 0x80]);
        assert_eq!(element(4, vec![0; 300])[..4], [4, 0x82, 1, 44]);
        let (tag, content, rest) = split(&[4, 0x81, 2, 8, 9, 7]).unwrap();
        assert_eq!((tag, content, rest), (4, &[8, 9][..], &[7][..]));
        assert!(split(&[4, 3, 1, 2]).is_none());
    }

    #[test]
    fn the_result_code_is_found_behind_the_message_id() {
        // AddResponse, entryAlreadyExists.
        let answer = [0x30, 13, 2, 2, 1, 0, 0x69, 7, 10, 1, 68, 4, 0, 4, 0];
        assert_eq!(result_code(split(&answer).unwrap().1), Some(68));
    }

    #[test]
    fn a_modify_deletes_the_old_value_and_adds_the_new_one() {
        let device = Device {
            dn: "CN=a".to_owned(),
            attributes: vec![
                ("msDS-IsEnabled", vec![b"FALSE".to_vec()]),
                (
                    "msDS-ApproximateLastLogonTimeStamp",
                    vec![b"134000000000000000".to_vec()],
                ),
            ],
        };
        let bytes = encode(Job::Modify, &device).unwrap();
        let (tag, content, _) = split(&bytes).unwrap();
        let (_, dn, changes) = split(content).unwrap();
        assert_eq!((tag, dn), (MODIFY, &b"CN=a"[..]));
        let (_, first, _) = split(split(changes).unwrap().1).unwrap();
        assert_eq!(
            first,
            b"\x0a\x01\x01\x30\x19\x04\x0emsDS-IsEnabled\x31\x07\x04\x05FALSE"
        );
    }
}
