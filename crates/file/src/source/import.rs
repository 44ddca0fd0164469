//! A reading in progress: a thread of its own reads and parses, the caller gets the pages through a channel.
//!
//! The channel holds few pages and the thread waits for room, so that memory does not depend on the size of the export. Dropping
//! the import closes the channel and ends the thread.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use device_writeback_core::graph::{CloudItem, CloudRecord};
use device_writeback_core::plan::Completeness;
use device_writeback_engine::error::{Error, ErrorKind};
use device_writeback_engine::ports::CloudImport;
use futures_channel::mpsc;
use futures_util::StreamExt as _;

use super::{Files, sequence};

/// Records of a page.
const PAGE: usize = 500;

/// Pages that wait for the caller while the next one is read.
const WAITING: usize = 2;

enum Message {
    Page(Vec<CloudRecord>),
    End(End),
}

type End = Result<Completeness, Error>;

/// A reading of a [`FileSource`](super::FileSource) in progress.
#[derive(Debug)]
pub struct FileImport {
    messages: mpsc::Receiver<Message>,
    /// `None` until the end has been reached.
    completeness: Option<Completeness>,
}

impl FileImport {
    pub(super) fn start(files: &Arc<Files>) -> Result<Self, Error> {
        let (mut sender, messages) = mpsc::channel(WAITING);
        let files = Arc::clone(files);
        spawn("read-devices", move || {
            let end = read(&files, |page| send(&mut sender, Message::Page(page)));
            if let ControlFlow::Continue(end) = end {
                // Nobody listens any more if this fails.
                let _ = send(&mut sender, Message::End(end));
            }
        })?;
        Ok(Self {
            messages,
            completeness: None,
        })
    }
}

impl CloudImport for FileImport {
    async fn next_page(&mut self) -> Result<Option<Vec<CloudRecord>>, Error> {
        if self.completeness.is_some() {
            return Ok(None);
        }
        let end = match self.messages.next().await {
            Some(Message::Page(records)) => return Ok(Some(records)),
            Some(Message::End(end)) => end,
            None => Err(Error::new(
                ErrorKind::Internal,
                "reading the devices: the reading thread ended before the input",
            )),
        };
        let (completeness, answer) = match end {
            Ok(completeness) => (completeness, Ok(None)),
            Err(error) => (
                Completeness::Incomplete("the reading failed".into()),
                Err(error),
            ),
        };
        self.completeness = Some(completeness);
        answer
    }

    fn completeness(&self) -> Completeness {
        self.completeness.clone().unwrap_or_else(|| {
            Completeness::Incomplete("the source was not read to its end".into())
        })
    }
}

pub(super) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(drop)
        .map_err(|cause| {
            Error::new(
                ErrorKind::Source,
                format!("reading the devices: the thread {name} cannot be started"),
            )
            .with_remedy("raise the limit of threads for this account")
            .with_source(cause)
        })
}

/// Reads every record of every file; breaks off when `give` does.
fn read(
    files: &Files,
    mut give: impl FnMut(Vec<CloudRecord>) -> ControlFlow<()>,
) -> ControlFlow<(), End> {
    let mut records = 0;
    let mut problem = None;
    let mut next_link = false;
    for (index, input) in files.inputs.iter().enumerate() {
        let mut page = Vec::with_capacity(PAGE);
        let ending = input.read::<CloudItem>(|element| {
            let mut item = element.record;
            files.users.complete(&mut item);
            page.push(CloudRecord {
                sequence: sequence(index, element.offset),
                item,
            });
            if page.len() < PAGE {
                return ControlFlow::Continue(());
            }
            give(std::mem::replace(&mut page, Vec::with_capacity(PAGE)))
        });
        let ending = match ending {
            Ok(ending) if ending.stopped => return ControlFlow::Break(()),
            Ok(ending) => ending,
            Err(error) => return ControlFlow::Continue(Err(error)),
        };
        if !page.is_empty() {
            give(page)?;
        }
        records += ending.records;
        next_link = ending.next_link;
        if problem.is_none() {
            problem = ending
                .problem
                .map(|problem| format!("{}: {problem}", input.name()));
        }
    }
    ControlFlow::Continue(match problem {
        // Where nothing at all could be read, a wrong file is more likely than a damaged one.
        Some(problem) if records == 0 => Err(Error::new(
            ErrorKind::Data,
            format!("reading the devices in {problem}"),
        )
        .with_remedy("source.path takes Graph JSON: a page, an array, one device or page a line")),
        Some(problem) => Ok(Completeness::Incomplete(problem)),
        None if files.partial => Ok(Completeness::Partial),
        None if let Some(stray) = &files.stray => Ok(Completeness::Incomplete(stray.clone())),
        None if next_link => {
            let last = files.inputs.last().map(|input| input.name().to_string());
            Ok(Completeness::Incomplete(format!(
                "{}: the last page names a further page: the export is cut off",
                last.unwrap_or_default()
            )))
        }
        None => Ok(Completeness::Full),
    })
}

/// Sends from a thread, waiting for room; breaks off when the receiver is gone.
fn send(sender: &mut mpsc::Sender<Message>, message: Message) -> ControlFlow<()> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        let sent = match Pin::new(&mut *sender).poll_ready(&mut context) {
            Poll::Ready(ready) => ready.and_then(|()| sender.start_send(message)),
            Poll::Pending => {
                thread::park();
                continue;
            }
        };
        return match sent {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
    }
}
