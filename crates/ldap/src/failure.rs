//! What can go wrong on a connection, before it is told to anybody.

use std::fmt;
use std::time::Duration;

use device_writeback_core::apply::{OperationResult, ResultCode};
use device_writeback_engine::error::{Error, ErrorKind};

/// Why an operation has no answer, or not the one that was wanted.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server answered, and the answer is no.
    Refused {
        result: OperationResult,
        /// Where the server sends us, with `referral`.
        referrals: Vec<String>,
    },
    /// The connection ended before the answer came.
    Lost(String),
    /// No answer in time.
    TimedOut(Duration),
    /// What came is not LDAP.
    Malformed(String),
    /// It is LDAP, but not what an object of a domain looks like.
    Unreadable(String),
}

impl Failure {
    /// Whether the same request may do better in a moment, on this connection or a new one.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Refused { result, .. } => result.code.is_transient(),
            Self::Lost(_) | Self::TimedOut(_) | Self::Malformed(_) => true,
            Self::Unreadable(_) => false,
        }
    }

    /// Whether the object that was asked for does not exist.
    pub(crate) fn is_no_such_object(&self) -> bool {
        self.code() == Some(ResultCode::NO_SUCH_OBJECT)
    }

    /// The result code, if there was a result.
    pub(crate) fn code(&self) -> Option<ResultCode> {
        match self {
            Self::Refused { result, .. } => Some(result.code),
            _ => None,
        }
    }

    /// The error of `doing` something.
    pub(crate) fn into_error(self, doing: impl fmt::Display) -> Error {
        let text = self.to_string();
        let error = Error::new(ErrorKind::Directory, format!("{doing}: {text}"));
        match self {
            Self::Refused { result, referrals } => {
                let remedy = remedy(result.code, &referrals);
                let error = error.with_ldap_result(result);
                match remedy {
                    Some(remedy) => error.with_remedy(remedy),
                    None => error,
                }
            }
            Self::Lost(_) => error.with_remedy(
                "see whether the domain controller is up; what was written stays written, a second run finishes the rest",
            ),
            Self::TimedOut(_) => error.with_remedy(
                "see whether the domain controller is up and reachable; a slow one needs a longer directory.operation_timeout_seconds",
            ),
            Self::Unreadable(_) => error.with_remedy("look at it with another LDAP tool"),
            Self::Malformed(_) => error.with_remedy(
                "see whether this is a domain controller, and whether something on the way changes what it says",
            ),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { result, referrals } => {
                result.fmt(f)?;
                if !referrals.is_empty() {
                    write!(f, ", see {}", referrals.join(" or "))?;
                }
                Ok(())
            }
            Self::Lost(how) => write!(f, "the connection was lost: {how}"),
            Self::TimedOut(after) => write!(f, "no answer in {}", seconds(*after)),
            Self::Malformed(what) => write!(f, "the answer is not valid LDAP: {what}"),
            Self::Unreadable(what) => write!(f, "it cannot be read: {what}"),
        }
    }
}

/// A duration for people.
pub(crate) fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

fn remedy(code: ResultCode, referrals: &[String]) -> Option<String> {
    Some(match code {
        ResultCode::REFERRAL => match referrals.first() {
            Some(server) => format!(
                "this server does not hold the object; name a domain controller of its domain in directory.urls, as {server} says"
            ),
            None => "this server does not hold the object; name a domain controller of its domain in directory.urls".to_owned(),
        },
        ResultCode::SIZE_LIMIT_EXCEEDED | ResultCode::ADMIN_LIMIT_EXCEEDED => {
            "raise the limits of the domain controller's LDAP policy (MaxPageSize, MaxResultSetSize)".to_owned()
        }
        ResultCode::BUSY | ResultCode::UNAVAILABLE | ResultCode::TIME_LIMIT_EXCEEDED => {
            "the domain controller has too much to do; run again later, or cap directory.max_operations_per_second".to_owned()
        }
        ResultCode::NO_SUCH_OBJECT => {
            "see whether it exists, and whether the account may see it".to_owned()
        }
        ResultCode::INSUFFICIENT_ACCESS_RIGHTS => {
            "give the account the right to do that".to_owned()
        }
        ResultCode::STRONGER_AUTH_REQUIRED | ResultCode::CONFIDENTIALITY_REQUIRED => {
            "use ldaps:// or directory.start_tls".to_owned()
        }
        // What Active Directory says to somebody who is nobody.
        ResultCode::OPERATIONS_ERROR => "see whether the bind was refused or has expired".to_owned(),
        _ => return None,
    })
}

/// A server's text without what surrounds it: Active Directory ends some messages with a NUL.
pub(crate) fn trimmed(text: &str) -> String {
    text.trim_matches(|character: char| character.is_whitespace() || character == '\0')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_referral_says_where() {
        let failure = Failure::Refused {
            result: OperationResult::new(ResultCode::REFERRAL, "0000202B: RefErr"),
            referrals: vec!["ldap://dc9.contoso.com/DC=contoso,DC=com".into()],
        };
        assert!(!failure.is_transient());
        let error = failure.into_error("reading CN=x");
        assert_eq!(
            error.to_string(),
            "reading CN=x: referral (10): 0000202B: RefErr, see ldap://dc9.contoso.com/DC=contoso,DC=com"
        );
        assert!(error.remedy().unwrap().contains("ldap://dc9.contoso.com"));
        assert_eq!(error.ldap_result().unwrap().code, ResultCode::REFERRAL);
    }

    #[test]
    fn what_may_pass_is_told_from_what_does_not() {
        let refused = |code| Failure::Refused {
            result: OperationResult::new(code, ""),
            referrals: Vec::new(),
        };
        assert!(refused(ResultCode::BUSY).is_transient());
        assert!(refused(ResultCode::ADMIN_LIMIT_EXCEEDED).is_transient());
        assert!(!refused(ResultCode::UNWILLING_TO_PERFORM).is_transient());
        assert!(refused(ResultCode::NO_SUCH_OBJECT).is_no_such_object());
        assert!(Failure::TimedOut(Duration::from_millis(1500)).is_transient());
        assert_eq!(
            Failure::TimedOut(Duration::from_millis(1500)).to_string(),
            "no answer in 1.5 s"
        );
    }

    #[test]
    fn a_server_s_nul_is_not_repeated() {
        assert_eq!(trimmed("data 52e, v1db1\0\n"), "data 52e, v1db1");
    }
}
