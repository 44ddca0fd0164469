//! Watching and stopping a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind};

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Reading the source; counts records.
    Source,
    /// Reading the directory; counts objects.
    Directory,
    /// Reading the records of devices that differ; counts devices.
    Resolve,
    /// Carrying out changes; counts changes.
    Apply,
}

impl Stage {
    /// The stage's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "reading the source",
            Self::Directory => "reading the directory",
            Self::Resolve => "comparing",
            Self::Apply => "applying",
        }
    }
}

/// Is told how far a run has come. Called often and from the thread that drives the run: be quick.
pub trait Observer: Send + Sync {
    /// `done` of `total`, where a total is known.
    fn progress(&self, stage: Stage, done: u64, total: Option<u64>);
}

/// The handle on a run: clone it, keep one, give one to the engine.
#[derive(Clone, Default)]
pub struct Control {
    cancelled: Arc<AtomicBool>,
    observer: Option<Arc<dyn Observer>>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control")
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

impl Control {
    /// A handle without an observer.
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle that tells `observer`.
    pub fn with_observer(observer: Arc<dyn Observer>) -> Self {
        Self {
            cancelled: Arc::default(),
            observer: Some(observer),
        }
    }

    /// Stops the run at the next place where nothing is in flight. Safe from any thread.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the run is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn progress(&self, stage: Stage, done: u64, total: Option<u64>) {
        if let Some(observer) = &self.observer {
            observer.progress(stage, done, total);
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() {
            Err(Error::new(
                ErrorKind::Cancelled,
                "the run was cancelled; nothing was written",
            ))
        } else {
            Ok(())
        }
    }
}
