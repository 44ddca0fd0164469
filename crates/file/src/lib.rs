//! File source, LDIF directory and file-based state.

mod background;
mod ldif;
mod source;
mod spool;
pub mod state;

pub use ldif::{LdifDirectory, LdifImport, LdifOptions};
pub use source::{FileImport, FileSource, FileSourceOptions};
pub use spool::FileSpool;
pub use state::FileState;
