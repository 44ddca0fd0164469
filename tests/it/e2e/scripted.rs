//! The scripted LDAP server itself: OpenLDAP's tools talk to it, and it does what it is told.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use device_writeback_core::ldif::{self, Body};
use device_writeback_tests::scripted_ldap::{
    Account, BASE, BindRefusal, CONFIGURATION, ConnectionRule, DEVICES, DOMAIN_SID, Entry, Fault,
    Kind, LdapResult, Malformed, NoticeEncoding, Operation, Options, Reply, Rule, SERVICE_NAME,
    SERVICE_PASSWORD, ScriptedLdap, Timing, code,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// One of OpenLDAP's tools, bound as the service account.
fn tool(server: &ScriptedLdap, name: &str, arguments: &[&str], input: &str) -> Output {
    tool_trusting(server, &server.ca_file(), name, arguments, input)
}

fn tool_trusting(
    server: &ScriptedLdap,
    ca: &Path,
    name: &str,
    arguments: &[&str],
    input: &str,
) -> Output {
    let mut child = Command::new(name)
        .env("LDAPTLS_CACERT", ca)
        .args(["-x", "-H", &server.url()])
        .args(["-D", SERVICE_NAME, "-w", SERVICE_PASSWORD])
        .args(["-o", "nettimeout=20"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

/// What a tool printed, when it ended with this result code.
#[track_caller]
fn printed(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    text(&output.stdout) + &stderr
}

fn start(options: Options) -> ScriptedLdap {
    ScriptedLdap::start(options).unwrap()
}

fn device(number: usize) -> Entry {
    let id = number.to_be_bytes().repeat(2);
    Entry::new(&format!("CN=device{number:04},{DEVICES}"))
        .with("objectClass", ["top", "msDS-Device"])
        .with("displayName", [format!("LAPTOP-{number}")])
        .with("altSecurityIdentities", [format!("X509:{number}")])
        .with("msDS-DeviceID", [id])
        .with("msDS-IsEnabled", ["TRUE"])
}

fn fill(server: &ScriptedLdap, count: usize) {
    let mut directory = server.directory();
    (0..count).for_each(|number| directory.insert(device(number)).unwrap());
}

#[test]
fn scripted_pages_are_read_by_ldapsearch() {
    let server = start(Options {
        max_page_size: 100,
        ..Options::default()
    });
    fill(&server, 250);
    let search = ["-LLL", "-s", "one", "-b", DEVICES, "(cn=device*)", "cn"];
    let paged = [&["-E", "pr=1000/noprompt"][..], &search].concat();
    let found = printed(&tool(&server, "ldapsearch", &paged, ""), 0);
    assert_eq!(found.matches("\ncn: device").count(), 250, "{found}");
    assert_eq!(server.requests_of(Kind::Search).len(), 3);

    let cut = printed(&tool(&server, "ldapsearch", &search, ""), 4);
    assert_eq!(cut.matches("\ncn: device").count(), 100);

    let id = "(&(objectClass=msds-device)(msDS-DeviceID=\\00\\00\\00\\00\\00\\00\\00\\07\\00\\00\\00\\00\\00\\00\\00\\07))";
    let one = ["-LLL", "-b", DEVICES, id, "displayName"];
    let found = printed(&tool(&server, "ldapsearch", &one, ""), 0);
    assert!(found.contains("displayName: LAPTOP-7\n"), "{found}");
    assert_eq!(found.matches("dn:").count(), 1);
}

#[test]
fn scripted_changes_are_made_by_ldapmodify_over_starttls() {
    let server = start(Options {
        tls: false,
        ..Options::default()
    });
    let add = format!(
        "dn: CN=a,{DEVICES}\nchangetype: add\nobjectClass: msDS-Device\ndisplayName: A\n\
         altSecurityIdentities: X509:a\nmsDS-DeviceID: 0123456789abcdef\nmsDS-IsEnabled: TRUE\n"
    );
    printed(&tool(&server, "ldapmodify", &["-ZZ"], &add), 0);
    printed(&tool(&server, "ldapmodify", &["-ZZ"], &add), 68);
    let modify = format!(
        "dn: CN=a,{DEVICES}\nchangetype: modify\ndelete: displayName\ndisplayName: A\n-\n\
         add: displayName\ndisplayName: B\n-\nreplace: msDS-IsEnabled\nmsDS-IsEnabled: FALSE\n"
    );
    printed(&tool(&server, "ldapmodify", &["-ZZ"], &modify), 0);
    let stale = printed(&tool(&server, "ldapmodify", &["-ZZ"], &modify), 16);
    assert!(stale.contains("NO_ATTRIBUTE_OR_VAL"), "{stale}");
    {
        let directory = server.directory();
        let entry = directory.entry(&format!("cn=A,{DEVICES}")).unwrap();
        assert_eq!(entry.text("displayName").as_deref(), Some("B"));
        assert_eq!(entry.text("msDS-IsEnabled").as_deref(), Some("FALSE"));
        assert_eq!(entry.values("objectGUID")[0].len(), 16);
    }
    let delete = format!("dn: CN=a,{DEVICES}\nchangetype: delete\n");
    printed(&tool(&server, "ldapmodify", &["-ZZ"], &delete), 0);
    printed(&tool(&server, "ldapmodify", &["-ZZ"], &delete), 32);
    assert!(server.directory().children(DEVICES).is_empty());
    assert!(
        server
            .requests_of(Kind::Add)
            .iter()
            .all(|request| request.encrypted)
    );
    let plain = printed(&tool(&server, "ldapmodify", &[], &delete), 8);
    assert!(plain.contains("integrity checking"), "{plain}");
}

#[test]
fn scripted_names_ranges_and_references_are_those_of_active_directory() {
    let server = start(Options {
        max_values: 2,
        ..Options::default()
    });
    let entry = device(1).with("msDS-DevicePhysicalIDs", ["a", "b", "c"]);
    server.directory().insert(entry).unwrap();
    let search = |arguments: &[&str]| {
        let arguments = [&["-LLL", "-o", "ldif-wrap=no"][..], arguments].concat();
        printed(&tool(&server, "ldapsearch", &arguments, ""), 0)
    };
    let first = search(&["-b", DEVICES, "(cn=device*)", "msDS-DevicePhysicalIDs"]);
    assert!(
        first.contains("msDS-DevicePhysicalIDs;range=0-1: b\n"),
        "{first}"
    );
    let ids = "msDS-DevicePhysicalIDs;range=2-*";
    let rest = search(&["-b", DEVICES, "(cn=device*)", ids]);
    assert!(
        rest.contains("msDS-DevicePhysicalIDs;range=2-*: c\n"),
        "{rest}"
    );

    let partitions = format!("CN=Partitions,{CONFIGURATION}");
    let text_form = "!1.2.840.113556.1.4.529=::MAMCAQE=";
    let domains = search(&[
        "-E",
        text_form,
        "-b",
        &partitions,
        "(systemFlags:1.2.840.113556.1.4.803:=2)",
        "nCName",
    ]);
    let record = ldif::parse_all(domains.as_bytes()).next().unwrap().unwrap();
    let Body::Content(values) = record.body else {
        panic!("{domains}")
    };
    let context = String::from_utf8_lossy(&values[0].value).into_owned();
    let (guid, rest) = context.split_once(';').unwrap();
    assert!(guid.starts_with("<GUID=d09e5eed-"), "{guid}");
    assert_eq!(rest, format!("<SID={DOMAIN_SID}>;{BASE}"));

    let whole = search(&["-b", BASE, "(sAMAccountName=user0003)", "objectSid"]);
    assert!(
        whole.contains("ldap://contoso.com/CN=Configuration"),
        "{whole}"
    );
    let sid = server.users()[4].sid;
    let by_sid = search(&[
        "-s",
        "base",
        "-b",
        &format!("<SID={sid}>"),
        "sAMAccountName",
    ]);
    assert!(by_sid.contains("sAMAccountName: user0003\n"), "{by_sid}");

    let root = search(&[
        "-s",
        "base",
        "-b",
        "",
        "currentTime",
        "supportedCapabilities",
    ]);
    assert!(root.contains("1.2.840.113556.1.4.800\n"), "{root}");
    assert!(!root.contains("1.2.840.113556.1.4.1920"), "{root}");
    assert!(root.contains("currentTime: 20"), "{root}");
}

#[test]
fn scripted_binds_and_certificates_are_refused() {
    let disabled = Account {
        refusal: Some(BindRefusal::Disabled),
        ..Account::service()
    };
    let server = start(Options {
        accounts: vec![disabled],
        ..Options::default()
    });
    let search = ["-s", "base", "-b", BASE];
    let refused = printed(&tool(&server, "ldapsearch", &search, ""), 49);
    assert!(refused.contains("data 533"), "{refused}");
    let other = start(Options::default());
    let untrusting = tool_trusting(&server, &other.ca_file(), "ldapsearch", &search, "");
    assert_ne!(untrusting.status.code(), Some(0));
    assert!(server.wait_until(PATIENCE, |stats| stats.connections_open == 0));
    assert_eq!(server.handshake_errors().len(), 1);
    assert_eq!(server.requests().len(), 2, "a bind and its end");
    assert_eq!(server.stats().connections_total, 2);
}

/// A client that speaks LDAP by hand, without TLS.
struct Client(TcpStream);

impl Client {
    fn new(server: &ScriptedLdap) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(stream)
    }

    /// A delete request.
    fn delete(&mut self, id: u8, dn: &str) {
        let length = u8::try_from(dn.len()).unwrap();
        let mut message = vec![0x30, length + 5, 0x02, 0x01, id, 0x4a, length];
        message.extend_from_slice(dn.as_bytes());
        self.0.write_all(&message).unwrap();
    }

    /// The next message's octets; `None` at the end of the connection.
    fn message(&mut self) -> Option<Vec<u8>> {
        let mut head = [0; 2];
        match self.0.read_exact(&mut head) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return None,
            outcome => outcome.unwrap(),
        }
        let mut body = vec![0; usize::from(head[1] & 0x7f)];
        self.0.read_exact(&mut body).unwrap();
        if head[1] > 0x7f {
            let length = body
                .iter()
                .fold(0, |sum, octet| sum << 8 | usize::from(*octet));
            body = vec![0; length];
            self.0.read_exact(&mut body).unwrap();
        }
        Some(body)
    }

    /// Message id and result code of the next response to a delete.
    fn result(&mut self) -> Option<(u8, u8)> {
        let body = self.message()?;
        assert_eq!(body[3], 0x6b, "{body:x?}");
        let code = body
            .windows(2)
            .position(|pair| pair == [0x0a, 0x01])
            .unwrap();
        Some((body[2], body[code + 2]))
    }
}

fn open(script: Vec<Rule>) -> ScriptedLdap {
    let server = start(Options {
        tls: false,
        anonymous: true,
        script,
        ..Options::default()
    });
    fill(&server, 4);
    server
}

fn dn(number: usize) -> String {
    format!("CN=device{number:04},{DEVICES}")
}

#[test]
fn scripted_results_orders_and_holds_are_kept() {
    let server = open(vec![
        Rule::on(Kind::Delete).refuse(LdapResult::new(code::BUSY, "busy")),
        Rule::on(Kind::Delete)
            .dn("device0001")
            .timing(Timing::AfterOthers(1)),
        Rule::on(Kind::Delete).dn("device0003").timing(Timing::Hold),
    ]);
    let mut client = Client::new(&server);
    client.delete(1, &dn(0));
    assert_eq!(client.result(), Some((1, 51)));
    client.delete(2, &dn(1));
    client.delete(3, &dn(2));
    assert_eq!(client.result(), Some((3, 0)));
    assert_eq!(client.result(), Some((2, 0)));
    client.delete(4, &dn(3));
    assert!(server.wait_until(PATIENCE, |stats| stats.performed == 4));
    assert!(server.directory().entry(&dn(3)).is_none());
    assert_eq!(server.stats().in_flight, 1);
    server.release();
    assert_eq!(client.result(), Some((4, 0)));
    assert_eq!(server.directory().children(DEVICES).len(), 1);
    assert_eq!(server.unused_rules(), 0);
    assert_eq!(server.stats().max_in_flight, 2);
    let first = &server.requests()[0];
    assert_eq!(first.operation, Operation::Delete { dn: dn(0) });
    assert!(first.scripted);
}

#[test]
fn scripted_cuts_come_before_and_after_the_effect() {
    let server = open(vec![
        Rule::on(Kind::Delete).instead(Reply::Cut),
        Rule::on(Kind::Delete).perform_then(Reply::Cut),
        Rule::on(Kind::Delete).perform_then(Reply::CutInside(3)),
        Rule::on(Kind::Delete).perform_then(Reply::Silence),
    ]);
    for (number, gone) in [(0, false), (1, true)] {
        let mut client = Client::new(&server);
        client.delete(1, &dn(number));
        assert_eq!(client.message(), None);
        assert_eq!(server.directory().entry(&dn(number)).is_none(), gone);
    }
    let mut client = Client::new(&server);
    client.delete(1, &dn(2));
    let mut octets = Vec::new();
    client.0.read_to_end(&mut octets).unwrap();
    assert_eq!(octets.len(), 3);

    let mut client = Client::new(&server);
    client.delete(1, &dn(3));
    assert!(server.wait_until(PATIENCE, |stats| stats.performed == 4));
    server.cut();
    assert_eq!(client.message(), None);
    assert!(server.directory().entry(&dn(3)).is_none());
    assert!(server.wait_until(PATIENCE, |stats| stats.connections_open == 0));
    assert_eq!(server.stats().connections_total, 4);
}

#[test]
fn scripted_notices_and_wrong_answers_are_sent() {
    let server = open(vec![
        Rule::on(Kind::Delete).instead(Reply::Raw(vec![0x30, 0x03, 0x02, 0x01, 0x09])),
        Rule::on(Kind::Delete).instead(Reply::Malformed(Malformed::ResultWithoutCode)),
        Rule::on(Kind::Delete).perform_then(Reply::MessageIdOff(5)),
        Rule::on(Kind::Delete).meanwhile(|directory| {
            directory.remove("CN=device0003,CN=RegisteredDevices,DC=contoso,DC=com");
        }),
    ]);
    let mut client = Client::new(&server);
    client.delete(1, &dn(0));
    assert_eq!(client.message(), Some(vec![0x02, 0x01, 0x09]));
    client.delete(2, &dn(0));
    let malformed = client.message().unwrap();
    assert_eq!(
        malformed,
        [0x02, 0x01, 0x02, 0x6b, 0x04, 0x04, 0x00, 0x04, 0x00]
    );
    client.delete(3, &dn(0));
    assert_eq!(client.result(), Some((8, 0)));
    client.delete(4, &dn(3));
    assert_eq!(client.result(), Some((4, 32)));

    let unavailable = LdapResult::new(code::UNAVAILABLE, "x");
    server.disconnect(NoticeEncoding::Standard, &unavailable);
    let notice = client.message().unwrap();
    assert_eq!(notice[..4], [0x02, 0x01, 0x00, 0x78]);
    assert_eq!(usize::from(notice[4]) + 5, notice.len());
    assert_eq!(client.message(), None);

    let mut client = Client::new(&server);
    client.delete(5, "CN=absent,DC=contoso,DC=com");
    assert_eq!(client.result(), Some((5, 32)));
    server.disconnect(NoticeEncoding::ActiveDirectory, &unavailable);
    let notice = client.message().unwrap();
    assert_eq!(
        usize::from(notice[4]) + 5,
        notice.len() - 24,
        "the OID is outside"
    );
    assert_eq!(client.message(), None);
}

#[test]
fn scripted_connections_fail_from_the_beginning() {
    let server = start(Options {
        connection_rules: vec![
            ConnectionRule::once(Fault::Alert(40)),
            ConnectionRule::once(Fault::ResetAfterHello),
            ConnectionRule::once(Fault::BlackHole),
        ],
        ..Options::default()
    });
    let mut client = Client::new(&server);
    client.0.write_all(b"hello").unwrap();
    let mut octets = Vec::new();
    client.0.read_to_end(&mut octets).unwrap();
    assert_eq!(octets, [0x15, 3, 3, 0, 2, 2, 40]);

    let mut client = Client::new(&server);
    client.0.write_all(b"hello").unwrap();
    let error = client.0.read_to_end(&mut octets).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    let mut client = Client::new(&server);
    client
        .0
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    client.0.write_all(b"hello").unwrap();
    assert!(client.0.read(&mut [0; 8]).is_err());

    server.set_listening(false);
    assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
    server.set_listening(true);
    let search = ["-s", "base", "-b", BASE];
    printed(&tool(&server, "ldapsearch", &search, ""), 0);
}
