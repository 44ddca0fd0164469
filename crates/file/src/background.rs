//! Blocking work beside the executor, whichever that is.

use std::thread;

use device_writeback_engine::error::{Error, ErrorKind};
use futures_channel::oneshot;

/// Does blocking work on a thread of its own; `name` is the thread's, `doing` says what an error was about.
pub(crate) async fn run<T: Send + 'static>(
    name: &str,
    doing: &'static str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let fail = || Error::new(ErrorKind::Internal, doing);
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            // Nobody waits for it when the caller was dropped.
            let _ = sender.send(work());
        })
        .map_err(|error| fail().with_source(error))?;
    receiver
        .await
        .unwrap_or_else(|cancelled| Err(fail().with_source(cancelled)))
}
