//! What goes wrong while a connection is opened, in words that say what to do.

use device_writeback_core::apply::ResultCode;
use device_writeback_engine::error::{Error, ErrorKind};
use ldap3::LdapError;

use crate::failure::Failure;
use crate::server::ServerUrl;
use crate::tls;

pub(crate) fn start_tls_error(server: &ServerUrl, failure: Failure) -> Error {
    let doing = format!("connecting to {server}");
    match failure {
        Failure::Refused { .. } => failure
            .into_error(format!("{doing}: StartTLS is refused"))
            .with_remedy("see whether the domain controller has a certificate, or use ldaps://"),
        failure => failure.into_error(doing).with_remedy(
            "see whether this is a domain controller and whether this port is for LDAP",
        ),
    }
}

pub(crate) fn handshake_error(server: &ServerUrl, error: LdapError) -> Error {
    let doing = format!("connecting to {server}");
    let handshake = match error {
        LdapError::Io { source } => tls::explain_io(&source, server.host()),
        LdapError::Rustls { source } => tls::explain(&source, server.host()),
        other => {
            return Error::new(ErrorKind::Directory, format!("{doing}: {other}"))
                .with_remedy("see whether this is a domain controller");
        }
    };
    Error::new(ErrorKind::Directory, format!("{doing}: {}", handshake.what))
        .with_remedy(handshake.remedy)
}

/// What Active Directory says about a refused bind: the number after `data` is the Win32 error.
pub(crate) fn bind_error(server: &ServerUrl, name: &str, failure: Failure) -> Error {
    let doing = format!("binding to {server} as {name}");
    let result = match failure {
        Failure::Refused { result, .. } => result,
        failure => return failure.into_error(doing),
    };
    let (kind, what, remedy) = match result.code {
        ResultCode::INVALID_CREDENTIALS => {
            let data = result
                .message
                .split("data ")
                .nth(1)
                .and_then(|rest| {
                    rest.split(|character: char| !character.is_ascii_alphanumeric())
                        .next()
                })
                .unwrap_or_default();
            let (what, remedy) = match data {
                "525" => ("there is no such account", "correct directory.bind_dn"),
                "52e" => (
                    "the name or the password is wrong",
                    "correct directory.bind_dn and the password; every try counts towards the account's lockout",
                ),
                "530" | "531" => (
                    "the account may not log on now or from here",
                    "look at the account's logon hours and workstations",
                ),
                "532" | "773" => (
                    "the password has expired",
                    "set a new one, and put it into the password file",
                ),
                "533" => ("the account is disabled", "enable it"),
                "701" => ("the account has expired", "extend it"),
                "775" => (
                    "the account is locked out",
                    "unlock it, and see who uses a wrong password",
                ),
                _ => (
                    "the server refuses name and password",
                    "correct directory.bind_dn and the password",
                ),
            };
            (ErrorKind::Auth, what, remedy)
        }
        ResultCode::STRONGER_AUTH_REQUIRED | ResultCode::CONFIDENTIALITY_REQUIRED => (
            ErrorKind::Auth,
            "the server wants more protection than this bind has",
            "use ldaps:// or directory.start_tls; a server that wants channel binding takes no simple bind",
        ),
        code if code.is_transient() => (
            ErrorKind::Directory,
            "the server cannot take it now",
            "run again later",
        ),
        _ => (
            ErrorKind::Auth,
            "the server refuses it",
            "look at the account and at the domain controller's event log",
        ),
    };
    Error::new(kind, format!("{doing}: {what}"))
        .with_remedy(remedy)
        .with_ldap_result(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use device_writeback_core::apply::OperationResult;

    #[test]
    fn refused_binds_say_what_to_do() {
        let server = ServerUrl::parse("ldaps://dc1.contoso.com").unwrap();
        let error = |rc, text: &str| {
            let failure = Failure::Refused {
                result: OperationResult::new(ResultCode(rc), text),
                referrals: Vec::new(),
            };
            bind_error(&server, "svc@contoso.com", failure)
        };
        let text = |data: &str| {
            format!(
                "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {data}, v1db1\0"
            )
        };
        for (data, expected) in [
            ("52e", "the name or the password is wrong"),
            ("525", "there is no such account"),
            ("533", "the account is disabled"),
            ("701", "the account has expired"),
            ("775", "the account is locked out"),
            ("773", "the password has expired"),
            ("999", "the server refuses name and password"),
        ] {
            let error = error(49, &text(data));
            assert_eq!(error.kind(), ErrorKind::Auth);
            assert_eq!(
                error.to_string(),
                format!("binding to ldaps://dc1.contoso.com as svc@contoso.com: {expected}")
            );
            assert_eq!(
                error.ldap_result().unwrap().code,
                ResultCode::INVALID_CREDENTIALS
            );
            assert!(error.remedy().is_some());
        }
        assert!(
            error(8, "BindSimple: Transport encryption required.")
                .remedy()
                .unwrap()
                .contains("ldaps://")
        );
        assert_eq!(error(51, "").kind(), ErrorKind::Directory);
    }
}
