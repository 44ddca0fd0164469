//! A saved plan.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use device_writeback::FileSpool;
use device_writeback::core::plan::{Plan, PlanError};
use device_writeback::engine::{Error, ErrorKind};

/// Reads the plan in `path`; its digest is right, whether it may be applied is another question.
///
/// # Errors
/// [`ErrorKind::Data`] with the file and what is wrong with it.
pub(super) fn read(path: &Path) -> Result<Plan, Error> {
    let name = path.display();
    let file = File::open(path).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => "save one with plan --out",
            _ => "let the account that runs this read it",
        };
        Error::new(ErrorKind::Data, format!("the plan {name} cannot be opened"))
            .with_remedy(remedy)
            .with_source(error)
    })?;
    let reader = BufReader::with_capacity(1 << 20, file);
    Plan::parse(reader, Box::new(FileSpool::new())).map_err(|error| {
        let kind = match error {
            PlanError::Document(_) => ErrorKind::Data,
            _ => ErrorKind::Internal,
        };
        Error::new(kind, format!("reading the plan {name}"))
            .with_remedy("make a new one with plan --out")
            .with_source(error)
    })
}
