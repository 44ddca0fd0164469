//! Reading every device, on a thread of its own.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use device_writeback_core::directory::DirectoryObject;
use device_writeback_core::dn::Dn;
use device_writeback_engine::error::{Error, ErrorKind};
use device_writeback_engine::ports::DirectoryImport;
use futures_channel::mpsc::{Receiver, Sender, channel};
use futures_util::StreamExt;

use super::entry::decode;
use super::records::Records;
use super::view::View;

/// Objects in a page.
const PAGE: usize = 500;
/// Pages that wait for the reader.
const PAGES_AHEAD: usize = 4;

/// A reading of the devices of an [`LdifDirectory`](super::LdifDirectory), in the order of the file.
#[derive(Debug)]
pub struct LdifImport {
    pages: Receiver<Page>,
    is_at_end: bool,
}

enum Page {
    Objects(Vec<DirectoryObject>),
    Failed(Error),
    End,
}

impl LdifImport {
    /// Begins to read the devices directly under `container`.
    pub(super) fn start(view: View, container: &Dn) -> Result<Self, Error> {
        let (sender, pages) = channel(PAGES_AHEAD);
        let name = view.name();
        let container = container.normalized();
        thread::Builder::new()
            .name("ldif-import".into())
            .spawn(move || {
                let mut outlet = Outlet::new(sender);
                let last = match read(&view, &container, &mut outlet) {
                    Ok(()) => Page::End,
                    Err(error) => Page::Failed(error),
                };
                outlet.send(last);
            })
            .map_err(|error| {
                Error::new(
                    ErrorKind::Internal,
                    format!("starting a thread to read the directory file {name}"),
                )
                .with_source(error)
            })?;
        Ok(Self {
            pages,
            is_at_end: false,
        })
    }
}

impl DirectoryImport for LdifImport {
    async fn next_page(&mut self) -> Result<Option<Vec<DirectoryObject>>, Error> {
        if self.is_at_end {
            return Ok(None);
        }
        match self.pages.next().await {
            Some(Page::Objects(objects)) => Ok(Some(objects)),
            Some(Page::End) => {
                self.is_at_end = true;
                Ok(None)
            }
            Some(Page::Failed(error)) => Err(error),
            // Half of a directory must not pass for the whole.
            None => Err(Error::new(
                ErrorKind::Internal,
                "reading the directory file: the reading ended before the file did",
            )),
        }
    }
}

/// Reads until the end, or until nobody listens any more.
fn read(view: &View, container: &str, outlet: &mut Outlet) -> Result<(), Error> {
    let mut records = Records::new(view.open()?);
    let mut page = Vec::with_capacity(PAGE);
    while let Some((offset, record)) = records
        .next()
        .map_err(|error| view.io_error("reading", error))?
    {
        let decoded = decode(record, offset, Some(container))
            .map_err(|error| view.record_error(offset, &error))?;
        let Some(decoded) = decoded.filter(|decoded| decoded.is_device) else {
            continue;
        };
        page.push(decoded.object);
        if page.len() == PAGE {
            let full = std::mem::replace(&mut page, Vec::with_capacity(PAGE));
            if !outlet.send(Page::Objects(full)) {
                return Ok(());
            }
        }
    }
    if !page.is_empty() {
        outlet.send(Page::Objects(page));
    }
    // Pages of a file that changed meanwhile are pages of no file.
    view.verify()
}

/// The thread's end of the channel, which waits while the other end is behind.
struct Outlet {
    sender: Sender<Page>,
    waker: Waker,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Outlet {
    /// For the current thread.
    fn new(sender: Sender<Page>) -> Self {
        Self {
            sender,
            waker: Waker::from(Arc::new(Unpark(thread::current()))),
        }
    }

    /// Whether somebody still listens.
    fn send(&mut self, page: Page) -> bool {
        let mut context = Context::from_waker(&self.waker);
        loop {
            match self.sender.poll_ready(&mut context) {
                Poll::Ready(Ok(())) => return self.sender.start_send(page).is_ok(),
                Poll::Ready(Err(_)) => return false,
                Poll::Pending => thread::park(),
            }
        }
    }
}
