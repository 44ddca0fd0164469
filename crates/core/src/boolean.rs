//! The LDAP Boolean syntax ([RFC 4517] 3.3.3, Active Directory's 2.5.5.8).

use crate::error::{InvalidValue, quoted_bytes};

/// Reads `TRUE` or `FALSE`.
///
/// # Errors
/// Anything else is refused, lower case included: Active Directory never answers so and refuses
/// it when written.
pub fn parse_ldap_boolean(value: &[u8]) -> Result<bool, InvalidValue> {
    match value {
        b"TRUE" => Ok(true),
        b"FALSE" => Ok(false),
        _ => Err(InvalidValue::new(
            "boolean",
            format!("{} is neither TRUE nor FALSE", quoted_bytes(value)),
        )),
    }
}

/// `TRUE` or `FALSE`, as Active Directory wants it.
pub const fn ldap_boolean(value: bool) -> &'static [u8] {
    if value { b"TRUE" } else { b"FALSE" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        for value in [true, false] {
            assert_eq!(parse_ldap_boolean(ldap_boolean(value)), Ok(value));
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for value in [
            &b"true"[..],
            b"True",
            b"",
            b"1",
            b"TRUE ",
            b"TRUE\0",
            b"\xff",
        ] {
            assert!(parse_ldap_boolean(value).is_err());
        }
        assert_eq!(
            parse_ldap_boolean(b"true").unwrap_err().to_string(),
            "invalid boolean: \"true\" is neither TRUE nor FALSE"
        );
    }
}
