//! What is not written stays byte for byte.

use crate::support::*;

/// Everything that an exported file can hold, with all line ends and foldings.
fn forms(end: &str) -> String {
    let text = format!(
        "# exported by somebody
#  with a folded
  comment
version: 1
# about the domain
dn: DC=contoso,DC=com
objectClass: domainDNS
objectGUID:: 19Dh8WQhvU28Bp5j
 OOdhPg==


# alone


dn:: Q049TcO8bGxlcixEQz1jb250b3NvLERDPWNvbQ==
objectClass: user
displayName:   spaces around  \u{20}
jpegPhoto:: /9j/4AAQ
unknownThing;lang-de;x-y: kept
empty:

dn: CN=RegisteredDevices,DC=contoso,DC=com
OBJECTCLASS: msDS-DeviceContainer

# the first
dn: CN={DEVICE},CN=RegisteredDevices,DC=contoso,
 DC=com
objectclass: top
objectclass: msDS-Device
DisplayName:: b25l
altSecurityIdentities: X509:<SHA1-TP-PUBKEY>EDADFA1B54D35ED2473AC1D8E7144D5C
 78B1BC048eIW502alMTGA+Iwepc/pBs6k8JDKNwOHjIT109g2o0=
# a comment in between
msDS-DeviceID:: EREREREREREREREREREREQ==
msDS-ISENABLED: TRUE
nTSecurityDescriptor:: AQAEgBQAAAAwAAAAAAAAAEwAAAABBQAAAAAABRUAAABD5EBXBcEBr
 QkHGjQAAgAA
msDS-DevicePhysicalIDs: [A]
description: between two values
msDS-DevicePhysicalIDs: [B]
unknown: 1
# at the end

dn: CN=second,CN=RegisteredDevices,DC=contoso,DC=com
objectClass: msDS-Device
displayName: second


dn: CN=last,DC=contoso,DC=com
objectClass: container
cn: last"
    );
    text.replace('\n', end)
}

fn device() -> String {
    device_name(DEVICE)
}

#[test]
fn nothing_changes_without_a_write_that_changes() {
    for end in ["\n", "\r\n"] {
        let text = forms(end);
        let lab = Lab::new(&text);
        let directory = lab.open();
        commit(&directory);
        let target = by_dn(&device());
        done(
            &directory,
            &modify(
                target.clone(),
                &[
                    ('-', "displayName", &[b"one"]),
                    ('+', "displayName", &[b"one"]),
                ],
            ),
        );
        commit(&directory);
        assert_eq!(lab.text(), text);
        assert_eq!(import(&directory).len(), 2);
    }
}

#[test]
fn a_modify_touches_only_the_lines_of_its_attributes() {
    for end in ["\n", "\r\n"] {
        let lab = Lab::new(&forms(end));
        let directory = lab.open();
        done(
            &directory,
            &modify(
                by_dn(&device()),
                &[
                    ('-', "displayName", &[b"one"]),
                    ('+', "displayName", &["z\u{fc}".as_bytes()]),
                    ('-', "msDS-DevicePhysicalIDs", &[b"[a]"]),
                    ('+', "msDS-DevicePhysicalIDs", &[b"[C]", b" d"]),
                    ('+', "msDS-IsManaged", &[b"TRUE"]),
                ],
            ),
        );
        commit(&directory);
        let expected = forms("\n")
            .replace("DisplayName:: b25l", "DisplayName:: esO8")
            .replace(
                "msDS-DevicePhysicalIDs: [A]\n",
                "msDS-DevicePhysicalIDs: [B]\nmsDS-DevicePhysicalIDs: [C]\nmsDS-DevicePhysicalIDs:: IGQ=\n",
            )
            .replace("values\nmsDS-DevicePhysicalIDs: [B]\n", "values\n")
            .replace(
                "description: between two values\nmsDS-DevicePhysicalIDs: [B]\n",
                "description: between two values\n",
            )
            .replace("unknown: 1\n", "unknown: 1\nmsDS-IsManaged: TRUE\n");
        assert_eq!(lab.text(), expected.replace('\n', end));
    }
}

#[test]
fn a_delete_takes_the_record_and_its_blank_line() {
    for end in ["\n", "\r\n"] {
        let lab = Lab::new(&forms(end));
        let directory = lab.open();
        done(&directory, &delete(&device()));
        done(&directory, &delete(&format!("CN=second,{CONTAINER}")));
        assert!(read(&directory, &device()).is_none());
        commit(&directory);
        let text = forms("\n");
        let (before, rest) = text.split_once(&format!("dn: CN={DEVICE}")).unwrap();
        let (_, last) = rest.split_once("displayName: second\n\n\n").unwrap();
        // The comment above was somebody's; it stays.
        assert_eq!(lab.text(), format!("{before}{last}").replace('\n', end));
        assert!(import(&directory).is_empty());
    }
}

#[test]
fn the_version_line_outlives_the_first_record() {
    let text = format!(
        "version: 1\ndn: CN=x,{CONTAINER}\nobjectClass: msDS-Device\n\n{}",
        &DOMAIN[12..]
    );
    let lab = Lab::new(&text);
    let directory = lab.open();
    done(&directory, &delete(&format!("CN=x,{CONTAINER}")));
    commit(&directory);
    assert_eq!(lab.text(), format!("version: 1\n{}", &DOMAIN[12..]));
}

#[test]
fn new_records_come_last_and_apart() {
    for end in ["\n", "\r\n"] {
        for tail in ["", "\n", "\n\n", "\n\n\n", "\n\n# the end", "\n# the end\n"] {
            let text = forms("\n") + tail;
            let text = text.replace('\n', end);
            let lab = Lab::new(&text);
            let directory = lab.open();
            done(&directory, &add(NEW));
            commit(&directory);
            let after = lab.text();
            let added = after
                .strip_prefix(&text)
                .expect("the old content comes first, as it was");
            assert!(!added.replace("\r\n", "").contains('\r'));
            assert_eq!(end == "\r\n", added.contains("\r\n"), "{added:?}");
            assert_eq!(added.matches('\n').count(), added.matches(end).count());
            let body = added.trim_start_matches(['\r', '\n']);
            assert!(
                body.starts_with(
                    &format!("dn: CN={NEW},CN=RegisteredDevices,DC=contoso,DC=com")[..76]
                ),
                "{body}"
            );
            assert!(
                after
                    .replace("\r\n", "\n")
                    .contains(&format!("\n\ndn: CN={NEW}"))
            );
            assert!(
                !after
                    .replace("\r\n", "\n")
                    .contains(&format!("\n\n\n\ndn: CN={NEW}"))
            );
            assert_eq!(import(&directory).len(), 3);
        }
    }
}

#[test]
fn the_order_of_a_new_record() {
    let lab = Lab::new(DOMAIN);
    let directory = lab.open();
    done(&directory, &add(NEW));
    commit(&directory);
    let text = lab.text();
    let added = text.strip_prefix(DOMAIN).unwrap();
    let names: Vec<&str> = added
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(' '))
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "dn",
            "objectClass",
            "objectClass",
            "cn",
            "displayName",
            "altSecurityIdentities",
            "msDS-DeviceID",
            "msDS-IsEnabled",
            "objectGUID"
        ]
    );
}
