//! Writes devices registered in Microsoft Entra ID back into Active Directory.

pub use device_writeback_core as core;
pub use device_writeback_engine as engine;
#[cfg(feature = "file")]
pub use device_writeback_file as file;
