//! An LDAP server that looks like an Active Directory domain controller and does what a test's
//! script says, however unlikely.
//!
//! It answers from an in-memory forest ([`Directory`]) with Active Directory's limits, result
//! codes and controls; a script of [`Rule`]s makes single requests fail, hang, take effect without
//! an answer, or be answered with nonsense. It records every [`Request`].
//!
//! ```no_run
//! use device_writeback_tests::scripted_ldap::{
//!     DEVICES, Kind, LdapResult, Options, Reply, Rule, ScriptedLdap, code,
//! };
//!
//! let server = ScriptedLdap::start(Options {
//!     script: vec![
//!         // The first add is refused as busy, the next takes effect and the connection is lost.
//!         Rule::on(Kind::Add).refuse(LdapResult::new(code::BUSY, "busy")),
//!         Rule::on(Kind::Add).perform_then(Reply::Cut),
//!     ],
//!     ..Options::default()
//! })?;
//! // ... a client works with server.url() and server.ca_file() ...
//! assert_eq!(server.requests_of(Kind::Add).len(), 3);
//! assert_eq!(server.directory().children(DEVICES).len(), 1);
//! assert_eq!(server.unused_rules(), 0);
//! # Ok::<(), device_writeback_tests::LabError>(())
//! ```

mod ber;
mod changes;
mod connection;
mod directory;
mod filter;
mod malformed;
mod message;
mod options;
mod perform;
mod read;
mod script;
mod seed;
mod state;
mod tls;
mod values;

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use self::state::{Order, Shared, State};
use crate::LabError;

pub use self::directory::Directory;
pub use self::filter::Filter;
pub use self::malformed::Malformed;
pub use self::message::{
    AttributeValues, Control, Kind, LdapResult, ModifyKind, Operation, Scope, code,
};
pub use self::options::{Account, BindRefusal, Options, User};
pub use self::script::{
    AnswerFn, ConnectionRule, Fault, NoticeEncoding, Reply, Request, Rule, Timing,
};
pub use self::tls::TestCa;
pub use self::values::Entry;

/// The domain.
pub const BASE: &str = "DC=contoso,DC=com";
/// The configuration naming context.
pub const CONFIGURATION: &str = "CN=Configuration,DC=contoso,DC=com";
/// The schema naming context.
pub const SCHEMA: &str = "CN=Schema,CN=Configuration,DC=contoso,DC=com";
/// The container of registered devices; it exists and is empty.
pub const DEVICES: &str = "CN=RegisteredDevices,DC=contoso,DC=com";
/// The container of users.
pub const USERS: &str = "CN=Users,DC=contoso,DC=com";
/// The SID of the domain.
pub const DOMAIN_SID: &str = "S-1-5-21-1004336348-1177238915-682003330";
/// The `dnsHostName` of the server.
pub const HOST: &str = "dc1.contoso.com";
/// The user with `adminCount` 1.
pub const ADMINISTRATOR: &str = "Administrator";
/// Who may bind unless [`Options::accounts`] says otherwise.
pub const SERVICE_NAME: &str = "svc-writeback@contoso.com";
/// The same as a distinguished name; `CONTOSO\svc-writeback` will do too.
pub const SERVICE_DN: &str = "CN=svc-writeback,CN=Users,DC=contoso,DC=com";
/// The password of [`SERVICE_NAME`].
pub const SERVICE_PASSWORD: &str = "throw-away";

/// Counts of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Connections that are open now. One with [`Fault::BlackHole`] stays open.
    pub connections_open: usize,
    /// Connections that have been accepted.
    pub connections_total: u64,
    /// Requests that have been read and not answered, on open connections. They count from the
    /// moment they are read: [`Stats::performed`] says when they have taken effect.
    pub in_flight: usize,
    /// The most that [`Stats::in_flight`] has been.
    pub max_in_flight: usize,
    /// Requests that the script and the directory have dealt with; their answers may still wait.
    pub performed: usize,
}

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub struct ScriptedLdap {
    shared: Arc<Shared>,
    address: SocketAddr,
    ca: TestCa,
    folder: TempDir,
    /// Bound and never listened on: the port stays ours while the server does not listen.
    _port: Socket,
    listener: Option<JoinHandle<()>>,
}

/// Exclusive access to the objects of a server: requests wait meanwhile.
#[derive(Debug)]
pub struct DirectoryGuard<'a>(MutexGuard<'a, State>);

impl Deref for DirectoryGuard<'_> {
    type Target = Directory;

    fn deref(&self) -> &Directory {
        &self.0.directory
    }
}

impl DerefMut for DirectoryGuard<'_> {
    fn deref_mut(&mut self) -> &mut Directory {
        &mut self.0.directory
    }
}

impl ScriptedLdap {
    /// Starts a server on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When no socket, certificate or file can be made.
    pub fn start(options: Options) -> Result<ScriptedLdap, LabError> {
        let ca = TestCa::new("device-writeback test authority")?;
        let tls = ca.server(&options.certificate_names, options.certificate_expired)?;
        let folder = TempDir::new().map_err(LabError::file("create a server's folder"))?;
        std::fs::write(folder.path().join("ca.pem"), ca.pem())
            .map_err(LabError::file("write a test authority's certificate"))?;
        let (port, listener) = reserve().map_err(LabError::file("listen on 127.0.0.1"))?;
        let address = listener
            .local_addr()
            .map_err(LabError::file("read the address of a socket"))?;
        let directory = seed::forest(&options);
        let shared = Arc::new(Shared::new(options, tls, directory));
        let thread = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || listen(&shared, address, listener))
        };
        Ok(ScriptedLdap {
            shared,
            address,
            ca,
            folder,
            _port: port,
            listener: Some(thread),
        })
    }

    /// Its address: `ldaps://127.0.0.1:PORT`, or `ldap://` when [`Options::tls`] is off.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("127.0.0.1")
    }

    /// The same with another host name, such as `localhost`.
    #[must_use]
    pub fn url_of(&self, host: &str) -> String {
        let scheme = if self.shared.options.tls {
            "ldaps"
        } else {
            "ldap"
        };
        format!("{scheme}://{host}:{}", self.address.port())
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The certificate (PEM) of the authority that signed the server's.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.ca.pem()
    }

    /// A file with [`ScriptedLdap::ca_pem`].
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A folder that goes with the server.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The administrator and the ordinary users.
    #[must_use]
    pub fn users(&self) -> Vec<User> {
        seed::users(&self.shared.options)
    }

    /// The objects of the server, to look at or to change. The server waits until it is dropped.
    #[must_use]
    pub fn directory(&self) -> DirectoryGuard<'_> {
        DirectoryGuard(self.shared.state())
    }

    /// Adds a rule at the end of the script.
    pub fn script(&self, rule: Rule) {
        self.shared.state().script.push(rule);
    }

    /// Forgets the script, also what [`Options::script`] said.
    pub fn clear_script(&self) {
        self.shared.state().script.clear();
    }

    /// Rules that still wait for a request; those for every request are not counted.
    #[must_use]
    pub fn unused_rules(&self) -> usize {
        let state = self.shared.state();
        state.script.iter().filter(|rule| rule.is_open()).count()
    }

    /// Adds a fault for connections to come.
    pub fn fault(&self, rule: ConnectionRule) {
        self.shared.state().connection_rules.push(rule);
    }

    /// Every request so far, in the order they were read.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// The requests of one kind.
    #[must_use]
    pub fn requests_of(&self, kind: Kind) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.kind() == kind);
        requests
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.shared.state().requests.clear();
    }

    /// The counts.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.state().stats()
    }

    /// Why TLS handshakes failed, as the server saw it.
    #[must_use]
    pub fn handshake_errors(&self) -> Vec<String> {
        self.shared.state().handshake_errors.clone()
    }

    /// Waits until the counts are as wanted; `false` when they are not in this time.
    #[must_use]
    pub fn wait_until(&self, time: Duration, wanted: impl Fn(&Stats) -> bool) -> bool {
        let deadline = Instant::now() + time;
        loop {
            if wanted(&self.stats()) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(connection::POLL);
        }
    }

    /// Lets every answer go that [`Timing::Hold`] keeps.
    pub fn release(&self) {
        self.shared.state().releases += 1;
    }

    /// Sends a notice of disconnection on every connection and ends them.
    pub fn disconnect(&self, encoding: NoticeEncoding, result: &LdapResult) {
        self.order(&Order::Notice(encoding, result.clone()));
    }

    /// Ends every connection without a word.
    pub fn cut(&self) {
        self.order(&Order::Cut);
    }

    /// Resets every connection.
    pub fn reset(&self) {
        self.order(&Order::Reset);
    }

    /// Whether new connections are accepted; while they are not, they are refused. Open ones go on.
    ///
    /// # Panics
    ///
    /// When the port cannot be taken again or given up.
    pub fn set_listening(&self, listening: bool) {
        self.shared.state().listening = listening;
        let deadline = Instant::now() + connection::PATIENCE;
        while self.shared.state().is_listening != listening {
            assert!(
                Instant::now() < deadline,
                "the port {} cannot be taken or given up",
                self.port()
            );
            thread::sleep(connection::POLL);
        }
    }

    fn order(&self, order: &Order) {
        for open in self.shared.state().open.values_mut() {
            open.orders.push(order.clone());
        }
    }
}

impl Drop for ScriptedLdap {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(listener) = self.listener.take() {
            // A panic in there has been printed.
            let _ = listener.join();
        }
    }
}

/// A free port, kept by the first socket, and a listener on it.
fn reserve() -> io::Result<(Socket, TcpListener)> {
    let port = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let address = port.local_addr()?.as_socket();
    let address = address.ok_or(ErrorKind::AddrNotAvailable)?;
    let listener = hear(bind(address)?)?;
    Ok((port, listener))
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn hear(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(128)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Accepts connections until the server stops, and waits for their ends.
fn listen(shared: &Arc<Shared>, address: SocketAddr, listener: TcpListener) {
    let mut listener = Some(listener);
    let mut connections: Vec<JoinHandle<()>> = Vec::new();
    while !shared.stop.load(Ordering::Relaxed) {
        let wanted = shared.state().listening;
        if !wanted {
            listener = None;
        } else if listener.is_none() {
            listener = bind(address).and_then(hear).ok();
        }
        shared.state().is_listening = listener.is_some();
        let accepted = listener
            .as_ref()
            .and_then(|listener| listener.accept().ok());
        match accepted {
            Some((tcp, _)) if tcp.set_nonblocking(false).is_ok() => {
                let shared = Arc::clone(shared);
                connections.push(thread::spawn(move || connection::serve(shared, tcp)));
            }
            _ => thread::sleep(connection::POLL / 5),
        }
        connections.retain(|connection| !connection.is_finished());
    }
    for connection in connections {
        let _ = connection.join();
    }
}
