//! Ports, configuration and the import-plan-apply driver.

pub mod error;
pub mod ports;
