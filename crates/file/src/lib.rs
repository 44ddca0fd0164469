//! File source, LDIF directory and file-based state.

mod ldif;
mod spool;

pub use ldif::{LdifDirectory, LdifImport, LdifOptions, SchemaVersion};
pub use spool::FileSpool;
