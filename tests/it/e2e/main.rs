//! End-to-end tests: they start servers, a browser and the program itself, so only
//! `cargo xtask test` runs them.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

mod ad_access;
mod ad_crash;
mod ad_devices;
mod ad_flat;
mod ad_fleet;
mod ad_hang;
mod ad_life;
mod ad_many;
mod ad_proxy;
mod ad_stale;
mod ad_support;
mod ad_takeover;
mod ad_two;
mod ad_values;
mod chromium;
mod crash;
mod html;
mod ldif_openldap;
mod openldap;
mod product;
mod quickstart;
mod samba;
mod scripted;
mod tenant;
mod wire_ldap;
