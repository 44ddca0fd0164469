//! A network that fails on demand: between the program and a domain controller, it counts what passes and swallows it when told.
//!
//! Bytes are the measure of how far a run has got: the same on a busy machine as on an idle one.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What happens to the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They pass.
    Pass,
    /// They wait until they may pass.
    Hold,
    /// Requests pass, answers are swallowed: what is written takes effect, and nobody is told.
    Mute,
    /// All are swallowed; a new connection is taken and stays silent.
    Swallow,
}

/// A moment of a run: so many bytes have gone that way since [`Proxy::begin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// From the program.
    Sent(u64),
    /// To the program.
    Received(u64),
}

/// Bytes that went either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// A proxy on this machine; the certificates of the labs name `localhost`.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    target: SocketAddr,
    ended: AtomicBool,
    state: Mutex<State>,
}

struct State {
    mode: Mode,
    traffic: Traffic,
    /// What is waited for, what happens then, and who is told.
    trigger: Option<(Moment, Mode, Sender<()>)>,
    connections: Vec<TcpStream>,
}

impl Proxy {
    /// Leads to port 636 of that address.
    pub(crate) fn start(target: Ipv4Addr) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            target: (target, 636).into(),
            ended: AtomicBool::new(false),
            state: Mutex::new(State {
                mode: Mode::Pass,
                traffic: Traffic::default(),
                trigger: None,
                connections: Vec::new(),
            }),
        });
        let accepting = Arc::clone(&shared);
        let listener = thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.ended.load(Ordering::Acquire) {
                    return;
                }
                // A client whose server is not there sees its connection closed.
                let _ = client.and_then(|client| connect(&accepting, client));
            }
        });
        Proxy {
            port,
            shared,
            listener: Some(listener),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ldaps://localhost:{}", self.port)
    }

    /// Counts from 0, and lets everything pass.
    pub(crate) fn begin(&self) {
        self.set(Mode::Pass);
        let mut state = self.shared.state.lock().unwrap();
        state.traffic = Traffic::default();
        state.trigger = None;
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.shared.state.lock().unwrap().traffic
    }

    /// At that moment the mode changes, and the receiver is told.
    pub(crate) fn at(&self, moment: Moment, mode: Mode) -> Receiver<()> {
        let (sender, receiver) = mpsc::channel();
        let mut state = self.shared.state.lock().unwrap();
        state.trigger = Some((moment, mode, sender));
        state.fire();
        receiver
    }

    /// Changes the mode. Connections that lost bytes end.
    pub(crate) fn set(&self, mode: Mode) {
        let mut state = self.shared.state.lock().unwrap();
        let was = std::mem::replace(&mut state.mode, mode);
        if matches!(was, Mode::Mute | Mode::Swallow) && mode == Mode::Pass {
            for connection in state.connections.drain(..) {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        if let Ok(mut state) = self.shared.state.lock() {
            for connection in state.connections.drain(..) {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }
}

impl State {
    /// Does what is due; gives how many more bytes may go that way before something is.
    fn fire(&mut self) {
        let is_due = self
            .trigger
            .as_ref()
            .is_some_and(|(moment, ..)| match *moment {
                Moment::Sent(bytes) => self.traffic.sent >= bytes,
                Moment::Received(bytes) => self.traffic.received >= bytes,
            });
        if is_due && let Some((_, mode, told)) = self.trigger.take() {
            self.mode = mode;
            let _ = told.send(());
        }
    }

    /// Counts `length` bytes, or as many of them as come before what is waited for.
    fn count(&mut self, is_sent: bool, length: usize) -> usize {
        let count = match is_sent {
            true => &mut self.traffic.sent,
            false => &mut self.traffic.received,
        };
        let room = match &self.trigger {
            Some((Moment::Sent(bytes), ..)) if is_sent => bytes.saturating_sub(*count),
            Some((Moment::Received(bytes), ..)) if !is_sent => bytes.saturating_sub(*count),
            _ => u64::MAX,
        };
        let counted = usize::try_from(room).map_or(length, |room| length.min(room));
        *count += counted as u64;
        counted
    }
}

fn connect(shared: &Arc<Shared>, client: TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mode = {
        let mut state = shared.state.lock().unwrap();
        state.connections.push(client.try_clone()?);
        state.mode
    };
    if mode == Mode::Swallow {
        return Ok(());
    }
    let server = match TcpStream::connect(shared.target) {
        Ok(server) => server,
        Err(error) => {
            let _ = client.shutdown(Shutdown::Both);
            return Err(error);
        }
    };
    server.set_nodelay(true)?;
    shared
        .state
        .lock()
        .unwrap()
        .connections
        .push(server.try_clone()?);
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    let requests = Arc::clone(shared);
    thread::spawn(move || pass(&requests, true, from, to));
    let answers = Arc::clone(shared);
    thread::spawn(move || pass(&answers, false, server, client));
    Ok(())
}

/// One direction, until either end closes.
fn pass(shared: &Shared, is_sent: bool, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 1 << 14];
    'open: while let Ok(length @ 1..) = from.read(&mut buffer) {
        let mut bytes = &buffer[..length];
        while !bytes.is_empty() {
            let (mode, counted) = {
                let mut state = shared.state.lock().unwrap();
                if state.mode == Mode::Hold {
                    drop(state);
                    thread::sleep(Duration::from_millis(1));
                    continue;
                }
                let (mode, counted) = (state.mode, state.count(is_sent, bytes.len()));
                state.fire();
                (mode, counted)
            };
            let (now, later) = bytes.split_at(counted);
            bytes = later;
            let passes = match mode {
                Mode::Pass => true,
                Mode::Mute => is_sent,
                Mode::Swallow | Mode::Hold => false,
            };
            if passes && to.write_all(now).is_err() {
                break 'open;
            }
        }
    }
    let swallows = matches!(
        shared.state.lock().unwrap().mode,
        Mode::Mute | Mode::Swallow
    );
    // A black hole does not tell that the other end is gone.
    if !swallows {
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}
