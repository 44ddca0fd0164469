//! Pure core of device-writeback.

pub mod alt_security_id;
pub mod apply;
pub mod attributes;
pub mod boolean;
pub mod cloud_anchor;
pub mod directory;
pub mod dn;
pub mod dn_binary;
pub mod error;
pub mod filetime;
pub mod graph;
pub mod guid;
pub mod ldif;
pub mod plan;
pub mod render;
pub mod rules;
pub mod schema;
pub mod sid;
