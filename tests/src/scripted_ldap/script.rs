//! What a test wants the server to do, other than to answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::directory::Directory;
use super::malformed::Malformed;
use super::message::{Control, Kind, LdapResult, Operation};

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which connection it came on: the first is 1.
    pub connection: u64,
    /// Its message id.
    pub message_id: i64,
    /// When it was read, since the start of the server.
    pub at: Duration,
    /// The request itself.
    pub operation: Operation,
    /// Its controls.
    pub controls: Vec<Control>,
    /// Whether the connection was encrypted.
    pub encrypted: bool,
    /// Whether a rule of the script took it.
    pub scripted: bool,
}

impl Request {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.operation.kind()
    }

    /// The name it is about, see [`Operation::dn`].
    #[must_use]
    pub fn dn(&self) -> &str {
        self.operation.dn()
    }

    /// The control of that OID.
    #[must_use]
    pub fn control(&self, oid: &str) -> Option<&Control> {
        self.controls.iter().find(|control| control.oid == oid)
    }
}

/// How a notice of disconnection is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeEncoding {
    /// As [RFC 4511] 4.4.1 has it: the OID inside of the extended response.
    Standard,
    /// As Active Directory sends it: the OID behind the extended response, where controls stand.
    ActiveDirectory,
}

/// Makes an answer from a message id and the octets that would have been sent.
pub type AnswerFn = Arc<dyn Fn(i64, &[u8]) -> Vec<u8> + Send + Sync>;

/// What is sent.
#[derive(Clone)]
pub enum Reply {
    /// What the directory says; nothing when the request was not performed.
    Normal,
    /// This result, without entries.
    Result(LdapResult),
    /// So many entries of a search, then this result.
    Partial(usize, LdapResult),
    /// Nothing, ever.
    Silence,
    /// Nothing; the connection ends.
    Cut,
    /// Nothing; the connection is reset.
    Reset,
    /// The first octets of the answer, then the connection ends.
    CutInside(usize),
    /// These octets.
    Raw(Vec<u8>),
    /// An answer that is not LDAP in one respect, with the right message id.
    Malformed(Malformed),
    /// A notice of disconnection with this result, then the connection ends.
    Notice(NoticeEncoding, LdapResult),
    /// The answer under another message id, so many higher than the request's.
    MessageIdOff(i64),
    /// The answer twice.
    Twice,
    /// Whatever a function makes of it.
    With(AnswerFn),
}

impl Reply {
    /// [`Reply::With`] a closure.
    pub fn with(answer: impl Fn(i64, &[u8]) -> Vec<u8> + Send + Sync + 'static) -> Reply {
        Reply::With(Arc::new(answer))
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Normal => f.write_str("Normal"),
            Reply::Result(result) => write!(f, "Result({result:?})"),
            Reply::Partial(count, result) => write!(f, "Partial({count}, {result:?})"),
            Reply::Silence => f.write_str("Silence"),
            Reply::Cut => f.write_str("Cut"),
            Reply::Reset => f.write_str("Reset"),
            Reply::CutInside(count) => write!(f, "CutInside({count})"),
            Reply::Raw(octets) => write!(f, "Raw({} octets)", octets.len()),
            Reply::Malformed(how) => write!(f, "Malformed({how:?})"),
            Reply::Notice(encoding, result) => write!(f, "Notice({encoding:?}, {result:?})"),
            Reply::MessageIdOff(by) => write!(f, "MessageIdOff({by})"),
            Reply::Twice => f.write_str("Twice"),
            Reply::With(_) => f.write_str("With(..)"),
        }
    }
}

/// When it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// At once.
    Now,
    /// After this time; answers to later requests overtake it.
    Delay(Duration),
    /// After so many later answers on the same connection.
    AfterOthers(usize),
    /// When the test calls [`release`](super::ScriptedLdap::release).
    Hold,
}

type Condition = Arc<dyn Fn(&Request) -> bool + Send + Sync>;
type Intrusion = Arc<dyn Fn(&mut Directory) + Send + Sync>;

/// One line of the script: which requests, and what happens to them.
///
/// The first rule that fits a request and has not been used up takes it; requests that no rule
/// takes are answered by the directory. A rule is made for one use.
///
/// ```
/// use device_writeback_tests::scripted_ldap::{Kind, LdapResult, Reply, Rule, code};
///
/// // The second modify is refused as busy.
/// let _ = Rule::on(Kind::Modify).skip(1).refuse(LdapResult::new(code::BUSY, "busy"));
/// // Every add of that device takes effect, and its answer is lost with the connection.
/// let _ = Rule::on(Kind::Add).dn("CN=4f0c").always().perform_then(Reply::Cut);
/// ```
#[derive(Clone)]
pub struct Rule {
    kind: Option<Kind>,
    dn: Option<String>,
    condition: Option<Condition>,
    skip: usize,
    times: usize,
    pub(super) intrusion: Option<Intrusion>,
    pub(super) perform: bool,
    pub(super) reply: Reply,
    pub(super) timing: Timing,
}

impl Rule {
    /// For requests of one kind: performed and answered as without a rule.
    #[must_use]
    pub fn on(kind: Kind) -> Rule {
        Rule {
            kind: Some(kind),
            ..Rule::on_any()
        }
    }

    /// For requests of any kind.
    #[must_use]
    pub fn on_any() -> Rule {
        Rule {
            kind: None,
            dn: None,
            condition: None,
            skip: 0,
            times: 1,
            intrusion: None,
            perform: true,
            reply: Reply::Normal,
            timing: Timing::Now,
        }
    }

    /// Only where [`Request::dn`] contains this text, in any case.
    #[must_use]
    pub fn dn(mut self, part: &str) -> Rule {
        self.dn = Some(part.to_lowercase());
        self
    }

    /// Only where this holds too.
    #[must_use]
    pub fn only(mut self, condition: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Rule {
        self.condition = Some(Arc::new(condition));
        self
    }

    /// Lets so many fitting requests pass first.
    #[must_use]
    pub fn skip(mut self, count: usize) -> Rule {
        self.skip = count;
        self
    }

    /// Takes so many requests; 1 unless said.
    #[must_use]
    pub fn times(mut self, count: usize) -> Rule {
        self.times = count;
        self
    }

    /// Takes every fitting request.
    #[must_use]
    pub fn always(self) -> Rule {
        self.times(usize::MAX)
    }

    /// What somebody else does to the directory just before the request is performed.
    #[must_use]
    pub fn meanwhile(mut self, intrusion: impl Fn(&mut Directory) + Send + Sync + 'static) -> Rule {
        self.intrusion = Some(Arc::new(intrusion));
        self
    }

    /// Answers with a result and performs nothing.
    #[must_use]
    pub fn refuse(self, result: LdapResult) -> Rule {
        self.instead(Reply::Result(result))
    }

    /// Performs nothing; this is sent.
    #[must_use]
    pub fn instead(mut self, reply: Reply) -> Rule {
        self.perform = false;
        self.reply = reply;
        self
    }

    /// Performs the request; this is sent.
    #[must_use]
    pub fn perform_then(mut self, reply: Reply) -> Rule {
        self.perform = true;
        self.reply = reply;
        self
    }

    /// The answer goes out after this time.
    #[must_use]
    pub fn delay(self, time: Duration) -> Rule {
        self.timing(Timing::Delay(time))
    }

    /// When the answer goes out.
    #[must_use]
    pub fn timing(mut self, timing: Timing) -> Rule {
        self.timing = timing;
        self
    }

    /// Whether the rule takes the request, and counts it.
    pub(super) fn takes(&mut self, request: &Request) -> bool {
        let fits = self.times > 0
            && self.kind.is_none_or(|kind| kind == request.kind())
            && (self.dn.as_ref()).is_none_or(|part| request.dn().to_lowercase().contains(part))
            && (self.condition.as_ref()).is_none_or(|condition| condition(request));
        if fits && self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if fits && self.times != usize::MAX {
            self.times -= 1;
        }
        fits
    }

    /// Whether the rule still waits for a request.
    pub(super) fn is_open(&self) -> bool {
        self.times > 0 && self.times != usize::MAX
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("kind", &self.kind)
            .field("dn", &self.dn)
            .field("skip", &self.skip)
            .field("times", &self.times)
            .field("perform", &self.perform)
            .field("reply", &self.reply)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a connection from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is accepted, and that is all: nothing is read, nothing is sent.
    BlackHole,
    /// It ends at once.
    Close,
    /// It is reset at once.
    Reset,
    /// It is reset when the client has sent something, which is its TLS hello.
    ResetAfterHello,
    /// The TLS handshake ends with a fatal alert: 40 is `handshake_failure`, what a server says
    /// whose cipher suites the client does not have; 70 is `protocol_version`.
    Alert(u8),
    /// These octets are sent, then the connection ends.
    Octets(Vec<u8>),
}

/// Which connections have a [`Fault`].
#[derive(Clone, Debug)]
pub struct ConnectionRule {
    /// So many connections pass first.
    pub skip: usize,
    /// So many connections have it.
    pub times: usize,
    /// What it is.
    pub fault: Fault,
}

impl ConnectionRule {
    /// The next connection.
    #[must_use]
    pub fn once(fault: Fault) -> ConnectionRule {
        ConnectionRule {
            skip: 0,
            times: 1,
            fault,
        }
    }

    /// Every connection.
    #[must_use]
    pub fn always(fault: Fault) -> ConnectionRule {
        ConnectionRule {
            skip: 0,
            times: usize::MAX,
            fault,
        }
    }

    pub(super) fn take(&mut self) -> Option<Fault> {
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times = self.times.checked_sub(1)?;
        Some(self.fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delete(dn: &str) -> Request {
        Request {
            connection: 1,
            message_id: 1,
            at: Duration::ZERO,
            operation: Operation::Delete { dn: dn.to_owned() },
            controls: Vec::new(),
            encrypted: true,
            scripted: false,
        }
    }

    #[test]
    fn a_rule_lets_pass_takes_and_is_used_up() {
        let mut rule = Rule::on(Kind::Delete).dn("cn=A").skip(1).times(2);
        let requests = ["CN=a,DC=x", "CN=b,DC=x", "CN=a,DC=x", "CN=A,DC=y", "CN=a"];
        let taken = requests.map(|dn| rule.takes(&delete(dn)));
        assert_eq!(taken, [false, false, true, true, false]);
        assert!(!rule.is_open());
    }

    #[test]
    fn other_kinds_and_conditions_do_not_fit() {
        assert!(!Rule::on(Kind::Add).takes(&delete("CN=a")));
        assert!(!Rule::on_any().only(|_| false).takes(&delete("CN=a")));
        assert!(Rule::on_any().always().takes(&delete("CN=a")));
    }
}
