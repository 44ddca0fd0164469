//! Runs the shared codec vectors, `tests/vectors/codec/*.json`. The bindings run the same files.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helper functions too"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use device_writeback_core::alt_security_id::AltSecurityId;
use device_writeback_core::boolean::{ldap_boolean, parse_ldap_boolean};
use device_writeback_core::cloud_anchor::{self, CloudAnchorEncoding};
use device_writeback_core::dn::Dn;
use device_writeback_core::dn_binary::DnBinary;
use device_writeback_core::filetime::FileTime;
use device_writeback_core::guid::{DeviceId, Guid};
use device_writeback_core::ldif::{self, AttrVal, Body};
use device_writeback_core::sid::{Sid, SidEncoding};
use serde_json::{Value, json};

/// What a codec makes of an input, or the message with which it refuses it.
type Codec = fn(&str) -> Result<Value, String>;

fn codecs() -> BTreeMap<&'static str, Codec> {
    BTreeMap::from([
        ("alt-security-id", alt_security_id as Codec),
        ("alt-security-id-certificate", certificate),
        ("alt-security-id-graph-key", graph_key),
        ("boolean", boolean),
        ("cloud-anchor", cloud_anchor),
        ("device-id", device_id),
        ("dn", dn),
        ("dn-binary", dn_binary),
        ("filetime", filetime),
        ("filetime-ticks", filetime_ticks),
        ("guid", guid),
        ("guid-from-octets", guid_from_octets),
        ("ldif", ldif),
        ("sid", sid),
        ("sid-from-octets", sid_from_octets),
    ])
}

#[test]
fn every_vector_holds() {
    let mut failures = Vec::new();
    for (codec, run) in codecs() {
        let file = read(codec);
        let cases = file["cases"].as_array().unwrap();
        assert!(!cases.is_empty(), "{codec} has no cases");
        for case in cases {
            let name = case["name"].as_str().unwrap();
            let outcome = run(case["input"].as_str().unwrap());
            let holds = match (&outcome, case.get("output"), case["error"].as_str()) {
                (Ok(found), Some(wanted), None) => {
                    found == wanted && case.get("not").is_none_or(|other| found != other)
                }
                (Err(message), None, Some(part)) => message.contains(part),
                _ => false,
            };
            if !holds {
                failures.push(format!("{codec}: {name}: found {outcome:?}, wanted {case}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_file_is_run() {
    let mut files: Vec<_> = folder()
        .read_dir()
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    files.sort();
    assert_eq!(files, codecs().into_keys().collect::<Vec<_>>());
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/codec")
}

fn read(codec: &str) -> Value {
    let path = folder().join(format!("{codec}.json"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("reading {}: {error}", path.display()));
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("parsing {}: {error}", path.display()))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(
        text.len().is_multiple_of(2),
        "odd number of hex digits: {text}"
    );
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn message(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn guid(text: &str) -> Result<Value, String> {
    let guid = Guid::parse(text).map_err(message)?;
    Ok(json!({"text": guid.to_string(), "microsoft_octets": hex(&guid.to_le_bytes())}))
}

fn guid_from_octets(octets: &str) -> Result<Value, String> {
    Ok(json!(Guid::from_le_slice(&unhex(octets)).map_err(message)?))
}

fn device_id(text: &str) -> Result<Value, String> {
    Ok(json!(DeviceId::parse(text).map_err(message)?))
}

fn sid(text: &str) -> Result<Value, String> {
    let sid = Sid::parse(text).map_err(message)?;
    Ok(json!({
        "text": sid.to_string(),
        "octets": hex(&sid.to_bytes()),
        "rid": sid.rid(),
        "domain": sid.domain(),
    }))
}

fn sid_from_octets(octets: &str) -> Result<Value, String> {
    let (sid, encoding) = Sid::decode_either(&unhex(octets)).map_err(message)?;
    let encoding = match encoding {
        SidEncoding::Text => "text",
        SidEncoding::Binary => "binary",
    };
    Ok(json!({"text": sid.to_string(), "encoding": encoding}))
}

fn filetime(text: &str) -> Result<Value, String> {
    let time = FileTime::parse_rfc3339(text).map_err(message)?;
    Ok(json!({"ticks": time.ticks().to_string(), "text": time.to_string()}))
}

fn filetime_ticks(text: &str) -> Result<Value, String> {
    Ok(json!(
        FileTime::parse_ticks(text.as_bytes()).map_err(message)?
    ))
}

fn boolean(text: &str) -> Result<Value, String> {
    let value = parse_ldap_boolean(text.as_bytes()).map_err(message)?;
    assert_eq!(ldap_boolean(value), text.as_bytes());
    Ok(json!(value))
}

fn dn(text: &str) -> Result<Value, String> {
    let dn = Dn::parse(text).map_err(message)?;
    Ok(json!({
        "text": dn.to_string(),
        "normalized": dn.normalized(),
        "kind": dn.rdn().map(|rdn| rdn.kind()),
        "value": dn.rdn().map(|rdn| rdn.value()),
        "parent": dn.parent(),
        "replication_conflict": dn.is_replication_conflict(),
    }))
}

fn dn_binary(text: &str) -> Result<Value, String> {
    let value = DnBinary::parse(text).map_err(message)?;
    Ok(json!({"octets": hex(value.data()), "dn": value.dn(), "text": value.to_string()}))
}

fn alt_security_id(text: &str) -> Result<Value, String> {
    let id = AltSecurityId::parse(text).map_err(message)?;
    Ok(json!({
        "text": id.as_str(),
        "thumbprint": hex(&id.thumbprint()),
        "key_hash": hex(&id.key_hash()),
    }))
}

fn graph_key(key: &str) -> Result<Value, String> {
    Ok(json!(AltSecurityId::from_graph_key(key).map_err(message)?))
}

fn certificate(base64: &str) -> Result<Value, String> {
    let der = STANDARD.decode(base64).unwrap();
    Ok(json!(
        AltSecurityId::from_certificate(&der).map_err(message)?
    ))
}

fn cloud_anchor(octets: &str) -> Result<Value, String> {
    let id = cloud_anchor::decode(&unhex(octets)).map_err(message)?;
    Ok(json!({
        "object_id": id,
        "text": hex(&cloud_anchor::encode(id, CloudAnchorEncoding::Text)),
        "binary": hex(&cloud_anchor::encode(id, CloudAnchorEncoding::Binary)),
    }))
}

fn ldif(text: &str) -> Result<Value, String> {
    let Some(record) = ldif::parse_record(text.as_bytes()).map_err(message)? else {
        return Ok(Value::Null);
    };
    let mut written = Vec::new();
    ldif::write_record(&mut written, &record);
    let mut out = match &record.body {
        Body::Content(attributes) => {
            json!({"kind": "content", "attributes": attribute_pairs(attributes)})
        }
        Body::Add(attributes) => json!({"kind": "add", "attributes": attribute_pairs(attributes)}),
        Body::Delete => json!({"kind": "delete"}),
        Body::Modify(changes) => {
            let changes: Vec<_> = changes
                .iter()
                .map(|change| {
                    let values: Vec<_> = change.values.iter().map(|v| STANDARD.encode(v)).collect();
                    json!([change.op.as_str(), change.name, values])
                })
                .collect();
            json!({"kind": "modify", "changes": changes})
        }
        Body::ModDn {
            new_rdn,
            delete_old_rdn,
            new_superior,
        } => json!({
            "kind": "moddn",
            "new_rdn": new_rdn,
            "delete_old_rdn": delete_old_rdn,
            "new_superior": new_superior,
        }),
    };
    out["dn"] = json!(record.dn);
    out["written"] = json!(String::from_utf8(written).unwrap());
    Ok(out)
}

fn attribute_pairs(attributes: &[AttrVal]) -> Vec<[String; 2]> {
    attributes
        .iter()
        .map(|attribute| [attribute.name.clone(), STANDARD.encode(&attribute.value)])
        .collect()
}
