//! A network for `cargo xtask bench ldap`: passes connections on, every byte a fixed time later, in both directions.
//!
//! `delay_proxy PORT MICROSECONDS` leads to that port of this machine; prints `{"port":...}` and lives until its
//! standard input closes.
#![allow(
    clippy::print_stdout,
    reason = "the port is what this program is asked for"
)]

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers = match words.as_slice() {
        [port, delay] => port.parse::<u16>().ok().zip(delay.parse::<u64>().ok()),
        _ => None,
    };
    let Some((port, delay)) = numbers else {
        println!("usage: delay_proxy PORT MICROSECONDS");
        return ExitCode::from(64);
    };
    match serve(port, Duration::from_micros(delay)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("listening for port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(target: u16, delay: Duration) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{{\"port\":{}}}", listener.local_addr()?.port());
    io::stdout().flush()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client whose server is not there sees its connection closed.
            let _ = connect(client, target, delay);
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn connect(client: TcpStream, target: u16, delay: Duration) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    forward(client.try_clone()?, server.try_clone()?, delay);
    forward(server, client, delay);
    Ok(())
}

/// One direction. What is read while earlier bytes wait is queued with its own time, so that the rate is not limited.
fn forward(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (queue, queued) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let bytes = buffer.get(..length).unwrap_or_default().to_vec();
            if queue.send((Instant::now() + delay, bytes)).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in queued {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        // Already closed is closed.
        let _ = to.shutdown(Shutdown::Write);
    });
}
