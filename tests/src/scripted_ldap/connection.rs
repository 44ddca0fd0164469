//! One connection: requests are read, answers wait for their time and are written.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::ber::{self, Front};
use super::message::{Kind, Message, Operation, notice, response};
use super::perform::{Outcome, Session, perform};
use super::script::{Fault, Reply, Request, Rule, Timing};
use super::state::{OpenConnection, Order, Shared};
use super::tls::Stream;

/// `LDAP_PAGED_RESULT_OID_STRING` ([RFC 2696]).
pub(super) const PAGED: &str = "1.2.840.113556.1.4.319";
/// StartTLS ([RFC 4511] 4.14).
pub(super) const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
/// Who am I ([RFC 4532]).
pub(super) const WHO_AM_I: &str = "1.3.6.1.4.1.4203.1.11.3";

/// How often a connection looks for what a test has told it.
pub(super) const POLL: Duration = Duration::from_millis(5);
/// Time for a client to close after a notice.
const LINGER: Duration = Duration::from_secs(1);
/// Time for a client to take what is written to it.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// When an answer goes out.
#[derive(Debug)]
enum Due {
    At(Instant),
    AfterOthers(usize),
    /// When the count of releases has passed this.
    Release(u64),
}

/// What happens when an answer is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    GoOn,
    StartTls,
    /// A closed connection: the client may read the rest.
    Close,
    Cut,
    Reset,
}

#[derive(Debug)]
struct Answer {
    message_id: i64,
    due: Due,
    octets: Vec<u8>,
    after: After,
    /// The request counts as answered.
    is_final: bool,
}

struct Connection {
    shared: Arc<Shared>,
    number: u64,
    stream: Stream,
    session: Session,
    input: Vec<u8>,
    outbox: Vec<Answer>,
    unanswered: BTreeSet<i64>,
}

/// Serves a connection to its end.
pub(super) fn serve(shared: Arc<Shared>, tcp: TcpStream) {
    let (number, fault) = {
        let mut state = shared.state();
        state.connections += 1;
        let number = state.connections;
        state.open.insert(number, OpenConnection::default());
        let fault = state
            .connection_rules
            .iter_mut()
            .find_map(|rule| rule.take());
        (number, fault)
    };
    let ended = match fault {
        Some(fault) => fail(&shared, tcp, &fault),
        None => start(&shared, number, tcp),
    };
    let mut state = shared.state();
    state.open.remove(&number);
    if let Err(error) = ended {
        state.handshake_errors.push(error.to_string());
    }
}

fn start(shared: &Arc<Shared>, number: u64, tcp: TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(POLL))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    let stream = match shared.options.tls {
        true => Stream::tls(tcp, Arc::clone(&shared.tls))?,
        false => Stream::Plain(tcp),
    };
    let connection = Connection {
        shared: Arc::clone(shared),
        number,
        session: Session::new(stream.is_tls()),
        stream,
        input: Vec::new(),
        outbox: Vec::new(),
        unanswered: BTreeSet::new(),
    };
    connection.run()
}

/// A connection that is wrong from the beginning.
fn fail(shared: &Shared, tcp: TcpStream, fault: &Fault) -> io::Result<()> {
    let stopped = || shared.stop.load(Ordering::Relaxed);
    tcp.set_read_timeout(Some(POLL))?;
    let mut stream = Stream::Plain(tcp);
    let mut hello = [0; 4096];
    if matches!(fault, Fault::ResetAfterHello | Fault::Alert(_)) {
        while let Err(error) = stream.read(&mut hello) {
            if stopped() || !is_timeout(&error) {
                return Ok(());
            }
        }
    }
    match fault {
        Fault::BlackHole => {
            while !stopped() {
                thread::sleep(POLL);
            }
        }
        Fault::Close => stream.cut(),
        Fault::Reset | Fault::ResetAfterHello => stream.reset(),
        // A fatal alert of TLS 1.2 in a record of its own ([RFC 8446] 6).
        Fault::Alert(description) => {
            stream.write_all(&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, *description])?;
            stream.cut();
        }
        Fault::Octets(octets) => {
            stream.write_all(octets)?;
            stream.cut();
        }
    }
    Ok(())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

impl Connection {
    /// Runs until either side ends it; an error only when the TLS handshake failed.
    fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; 65_536];
        loop {
            if self.shared.stop.load(Ordering::Relaxed) {
                self.stream.cut();
                return Ok(());
            }
            self.take_orders();
            match self.send_due() {
                After::GoOn | After::StartTls => {}
                After::Cut => {
                    self.stream.cut();
                    return Ok(());
                }
                After::Reset => {
                    self.stream.reset();
                    return Ok(());
                }
                After::Close => {
                    self.close(&mut buffer);
                    return Ok(());
                }
            }
            let was_handshaking = self.stream.is_handshaking();
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.input.extend(buffer.iter().take(count));
                    if !self.take_requests() {
                        return Ok(());
                    }
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) if was_handshaking => return Err(error),
                Err(_) => return Ok(()),
            }
            self.wake_in_time();
        }
    }

    /// A read must not wait past the time of the next answer.
    fn wake_in_time(&self) {
        let now = Instant::now();
        let next = self.outbox.iter().filter_map(|answer| match answer.due {
            Due::At(time) => Some(time.saturating_duration_since(now)),
            Due::AfterOthers(_) | Due::Release(_) => None,
        });
        let wait = next.min().unwrap_or(POLL);
        let wait = wait.clamp(Duration::from_micros(100), POLL);
        // An error means that the connection is over, which the next read says.
        let _ = self.stream.tcp().set_read_timeout(Some(wait));
    }

    fn take_orders(&mut self) {
        let orders = {
            let mut state = self.shared.state();
            let open = state.open.get_mut(&self.number);
            open.map(|open| std::mem::take(&mut open.orders))
        };
        for order in orders.unwrap_or_default() {
            let (octets, after) = match order {
                Order::Notice(encoding, result) => (notice(encoding, &result), After::Close),
                Order::Cut => (Vec::new(), After::Cut),
                Order::Reset => (Vec::new(), After::Reset),
            };
            self.outbox.push(Answer {
                message_id: 0,
                due: Due::At(Instant::now()),
                octets,
                after,
                is_final: false,
            });
        }
    }

    /// Writes every answer whose time has come.
    fn send_due(&mut self) -> After {
        loop {
            let now = Instant::now();
            let releases = self.shared.state().releases;
            let ready = self.outbox.iter().position(|answer| match answer.due {
                Due::At(time) => time <= now,
                Due::AfterOthers(count) => count == 0,
                Due::Release(count) => releases > count,
            });
            let Some(ready) = ready else {
                return After::GoOn;
            };
            let answer = self.outbox.remove(ready);
            // A client that has gone does not take it: the next read says so.
            let _ = self.stream.write_all(&answer.octets);
            let _ = self.stream.flush();
            if answer.is_final {
                self.answered(answer.message_id);
                for other in &mut self.outbox {
                    if let Due::AfterOthers(count) = &mut other.due {
                        *count = count.saturating_sub(1);
                    }
                }
            }
            match answer.after {
                After::GoOn => {}
                After::StartTls => {
                    if let Some(after) = self.start_tls() {
                        return after;
                    }
                }
                after => return after,
            }
        }
    }

    fn start_tls(&mut self) -> Option<After> {
        let tcp = self.stream.tcp().try_clone();
        let tls = tcp.and_then(|tcp| Stream::tls(tcp, Arc::clone(&self.shared.tls)));
        let Ok(tls) = tls else {
            return Some(After::Cut);
        };
        self.stream = tls;
        self.session.encrypted = true;
        None
    }

    /// Ends the connection so that the client can read all of it: no reset by unread requests.
    fn close(&mut self, buffer: &mut [u8]) {
        let deadline = Instant::now() + LINGER;
        let _ = self.stream.tcp().shutdown(std::net::Shutdown::Write);
        while Instant::now() < deadline && !self.shared.stop.load(Ordering::Relaxed) {
            match self.stream.tcp().read(buffer) {
                Ok(0) => break,
                Err(error) if !is_timeout(&error) => break,
                Ok(_) | Err(_) => {}
            }
        }
        self.stream.cut();
    }

    fn answered(&mut self, message_id: i64) {
        self.unanswered.remove(&message_id);
        let count = self.unanswered.len();
        self.shared.state().count_in_flight(self.number, count);
    }

    /// Takes every whole request from the input; `false` when the connection is over.
    fn take_requests(&mut self) -> bool {
        let mut messages = Vec::new();
        let mut at = 0;
        while let Some(rest) = self.input.get(at..).filter(|rest| !rest.is_empty()) {
            match ber::decode(rest) {
                Front::Element(tag, length) => {
                    at += length;
                    messages.push(Message::decode(tag));
                }
                Front::Incomplete => break,
                Front::Garbage => {
                    at = self.input.len();
                    messages.push(None);
                }
            }
        }
        self.input.drain(..at);
        // What has arrived together is in flight together.
        for message in messages.iter().flatten() {
            if message.operation.kind().response().is_some() {
                self.unanswered.insert(message.id);
            }
        }
        let count = self.unanswered.len();
        self.shared.state().count_in_flight(self.number, count);
        messages.into_iter().all(|message| self.take(message))
    }

    fn take(&mut self, message: Option<Message>) -> bool {
        let message = message.unwrap_or(Message {
            id: 0,
            operation: Operation::Unreadable,
            controls: Vec::new(),
        });
        let mut request = Request {
            connection: self.number,
            message_id: message.id,
            at: self.shared.started.elapsed(),
            operation: message.operation,
            controls: message.controls,
            encrypted: self.session.encrypted,
            scripted: false,
        };
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state();
        let rule = state
            .script
            .iter_mut()
            .find_map(|rule| rule.takes(&request).then(|| rule.clone()));
        request.scripted = rule.is_some();
        let rule = rule.unwrap_or_else(Rule::on_any);
        if let Some(intrusion) = &rule.intrusion {
            intrusion(&mut state.directory);
        }
        let mut outcome = None;
        if rule.perform {
            let (operation, controls) = (&request.operation, &request.controls);
            outcome = Some(perform(
                &mut state.directory,
                &mut self.session,
                &shared.options,
                operation,
                controls,
            ));
        }
        state.requests.push(request.clone());
        state.performed += 1;
        let releases = state.releases;
        drop(state);
        match request.operation {
            Operation::Unbind | Operation::Unreadable => {
                self.stream.cut();
                return false;
            }
            Operation::Abandon { message_id } => {
                self.outbox.retain(|answer| answer.message_id != message_id);
                self.answered(message_id);
                return true;
            }
            _ => {}
        }
        let latency = Instant::now() + shared.options.latency;
        let due = match rule.timing {
            Timing::Now => Due::At(latency),
            Timing::Delay(time) => Due::At(latency + time),
            Timing::AfterOthers(count) => Due::AfterOthers(count),
            Timing::Hold => Due::Release(releases),
        };
        self.answer(&request, outcome, rule.reply, due);
        true
    }

    fn answer(&mut self, request: &Request, outcome: Option<Outcome>, reply: Reply, due: Due) {
        let (id, kind) = (request.message_id, request.kind());
        let mut after = match &outcome {
            Some(outcome) if outcome.start_tls => After::StartTls,
            _ => After::GoOn,
        };
        let mut is_final = true;
        let normal = |id: i64| match &outcome {
            Some(outcome) => outcome.encode(id, kind),
            None => Vec::new(),
        };
        let items = |count: usize| {
            let items = outcome
                .iter()
                .flat_map(|outcome| &outcome.items)
                .take(count);
            items.cloned().collect::<Vec<_>>()
        };
        let octets = match reply {
            Reply::Normal => {
                is_final = outcome.is_some();
                normal(id)
            }
            Reply::Result(result) => {
                if kind == Kind::Bind {
                    let name = (result.code == 0).then(|| request.dn().to_owned());
                    self.session.bound = name;
                }
                after = After::GoOn;
                Outcome::from(result).encode(id, kind)
            }
            Reply::Partial(count, result) => {
                let items = items(count);
                let outcome = Outcome {
                    items,
                    result,
                    ..Outcome::default()
                };
                outcome.encode(id, kind)
            }
            Reply::Silence => {
                is_final = false;
                Vec::new()
            }
            Reply::Cut => {
                after = After::Cut;
                Vec::new()
            }
            Reply::Reset => {
                after = After::Reset;
                Vec::new()
            }
            Reply::CutInside(count) => {
                after = After::Close;
                normal(id).into_iter().take(count).collect()
            }
            Reply::Raw(octets) => octets,
            Reply::Malformed(how) if how.is_entry() => [how.octets(id, kind), normal(id)].concat(),
            Reply::Malformed(how) => {
                let items = items(usize::MAX).into_iter();
                let entries = items.map(|item| response(id, item, Vec::new()));
                [entries.flatten().collect(), how.octets(id, kind)].concat()
            }
            Reply::Notice(encoding, result) => {
                after = After::Close;
                notice(encoding, &result)
            }
            Reply::MessageIdOff(by) => normal(id.saturating_add(by)),
            Reply::Twice => normal(id).repeat(2),
            Reply::With(answer) => answer(id, &normal(id)),
        };
        self.outbox.push(Answer {
            message_id: id,
            due,
            octets,
            after,
            is_final,
        });
    }
}
