//! What a panic says.

use std::panic;

/// Keeps panics of the LDAP library off the terminal.
///
/// It panics on some answers that are not valid LDAP. The directory catches that and says which answer of which server it was;
/// what the default hook would print before tells nobody anything and looks like a crash. It may also carry the answer, so only
/// the place goes to the log. Every other panic is a defect, and printed.
pub(crate) fn silence_ldap() {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| match info.location() {
        Some(location) if is_of_ldap(location.file()) => {
            tracing::debug!(%location, "the LDAP library cannot read an answer");
        }
        _ => default(info),
    }));
}

/// Whether a source file is one of the LDAP library's: in the folder of a version of it, as Cargo unpacks and vendors them.
fn is_of_ldap(file: &str) -> bool {
    file.split(['/', '\\']).any(|folder| {
        ["ldap3", "lber"].into_iter().any(|name| {
            folder
                .strip_prefix(name)
                .is_some_and(|rest| match rest.strip_prefix('-') {
                    Some(version) => version.starts_with(|first: char| first.is_ascii_digit()),
                    None => rest.is_empty(),
                })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ldap_library_is_silenced() {
        for file in [
            "/home/x/.cargo/registry/src/mirror-0123456789abcdef/ldap3-0.12.1/src/result.rs",
            "/home/x/.cargo/registry/src/mirror-0123456789abcdef/lber-0.5.1/src/parse.rs",
            r"C:\Users\x\.cargo\registry\src\mirror-0123456789abcdef\lber-0.5.1\src\parse.rs",
            "vendor/ldap3/src/protocol.rs",
        ] {
            assert!(is_of_ldap(file), "{file}");
        }
        for file in [
            "crates/ldap/src/session.rs",
            "/home/x/.cargo/registry/src/mirror-0123456789abcdef/bytes-1.12.1/src/bytes.rs",
            "/home/x/.cargo/registry/src/mirror-0123456789abcdef/ldap3-helpers-1.0.0/src/lib.rs",
            "/home/x/lberg/src/main.rs",
            "crates/cli/src/ldap3.rs",
            "",
        ] {
            assert!(!is_of_ldap(file), "{file}");
        }
    }
}
