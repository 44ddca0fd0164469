//! End-to-end tests: they start servers and a browser, so only `cargo xtask test` runs them.

mod chromium;
mod openldap;
