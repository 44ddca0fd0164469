//! What the connections of a server share.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustls::ServerConfig;

use super::directory::Directory;
use super::message::LdapResult;
use super::script::{ConnectionRule, NoticeEncoding, Request, Rule};
use super::{Options, Stats};

/// What a test tells a running connection.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Notice(NoticeEncoding, LdapResult),
    Cut,
    Reset,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) stop: AtomicBool,
    pub(super) started: Instant,
    pub(super) options: Options,
    pub(super) tls: Arc<ServerConfig>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) directory: Directory,
    pub(super) script: Vec<Rule>,
    pub(super) connection_rules: Vec<ConnectionRule>,
    pub(super) requests: Vec<Request>,
    /// How many requests there have been, also forgotten ones.
    pub(super) performed: usize,
    /// The open connections: their orders, and how many requests they have not answered.
    pub(super) open: BTreeMap<u64, OpenConnection>,
    pub(super) connections: u64,
    pub(super) max_in_flight: usize,
    pub(super) handshake_errors: Vec<String>,
    /// How often held answers have been let go.
    pub(super) releases: u64,
    /// Whether new connections are to be accepted.
    pub(super) listening: bool,
    /// Whether they are.
    pub(super) is_listening: bool,
}

#[derive(Debug, Default)]
pub(super) struct OpenConnection {
    pub(super) orders: Vec<Order>,
    pub(super) in_flight: usize,
}

impl Shared {
    pub(super) fn new(options: Options, tls: ServerConfig, directory: Directory) -> Shared {
        let state = State {
            directory,
            script: options.script.clone(),
            connection_rules: options.connection_rules.clone(),
            requests: Vec::new(),
            performed: 0,
            open: BTreeMap::new(),
            connections: 0,
            max_in_flight: 0,
            handshake_errors: Vec::new(),
            releases: 0,
            listening: true,
            is_listening: true,
        };
        Shared {
            state: Mutex::new(state),
            stop: AtomicBool::new(false),
            started: Instant::now(),
            options,
            tls: Arc::new(tls),
        }
    }

    /// The state; a test's closure that panicked while it held it does not end the server.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn stats(&self) -> Stats {
        Stats {
            connections_open: self.open.len(),
            connections_total: self.connections,
            in_flight: self.open.values().map(|open| open.in_flight).sum(),
            max_in_flight: self.max_in_flight,
            performed: self.performed,
        }
    }

    pub(super) fn count_in_flight(&mut self, connection: u64, count: usize) {
        if let Some(open) = self.open.get_mut(&connection) {
            open.in_flight = count;
        }
        let now = self.open.values().map(|open| open.in_flight).sum();
        self.max_in_flight = self.max_in_flight.max(now);
    }
}
