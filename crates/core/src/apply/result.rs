//! LDAP results.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An LDAP result code ([RFC 4511] 4.1.9); displayed by its name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResultCode(pub u32);

macro_rules! codes {
    ($( $constant:ident $number:literal $name:literal; )*) => {
        impl ResultCode {
            $( #[doc = concat!("`", $name, "`.")] pub const $constant: Self = Self($number); )*

            /// The name in [RFC 4511], or `other`.
            pub fn name(self) -> &'static str {
                match self.0 { $( $number => $name, )* _ => "other" }
            }
        }
    };
}

codes! {
    SUCCESS 0 "success";
    OPERATIONS_ERROR 1 "operationsError";
    PROTOCOL_ERROR 2 "protocolError";
    TIME_LIMIT_EXCEEDED 3 "timeLimitExceeded";
    SIZE_LIMIT_EXCEEDED 4 "sizeLimitExceeded";
    STRONGER_AUTH_REQUIRED 8 "strongerAuthRequired";
    REFERRAL 10 "referral";
    ADMIN_LIMIT_EXCEEDED 11 "adminLimitExceeded";
    UNAVAILABLE_CRITICAL_EXTENSION 12 "unavailableCriticalExtension";
    CONFIDENTIALITY_REQUIRED 13 "confidentialityRequired";
    NO_SUCH_ATTRIBUTE 16 "noSuchAttribute";
    UNDEFINED_ATTRIBUTE_TYPE 17 "undefinedAttributeType";
    CONSTRAINT_VIOLATION 19 "constraintViolation";
    ATTRIBUTE_OR_VALUE_EXISTS 20 "attributeOrValueExists";
    INVALID_ATTRIBUTE_SYNTAX 21 "invalidAttributeSyntax";
    NO_SUCH_OBJECT 32 "noSuchObject";
    INVALID_DN_SYNTAX 34 "invalidDNSyntax";
    INVALID_CREDENTIALS 49 "invalidCredentials";
    INSUFFICIENT_ACCESS_RIGHTS 50 "insufficientAccessRights";
    BUSY 51 "busy";
    UNAVAILABLE 52 "unavailable";
    UNWILLING_TO_PERFORM 53 "unwillingToPerform";
    NAMING_VIOLATION 64 "namingViolation";
    OBJECT_CLASS_VIOLATION 65 "objectClassViolation";
    NOT_ALLOWED_ON_NON_LEAF 66 "notAllowedOnNonLeaf";
    NOT_ALLOWED_ON_RDN 67 "notAllowedOnRDN";
    ENTRY_ALREADY_EXISTS 68 "entryAlreadyExists";
    OBJECT_CLASS_MODS_PROHIBITED 69 "objectClassModsProhibited";
}

impl ResultCode {
    /// Whether the server may do better in a moment.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::TIME_LIMIT_EXCEEDED | Self::ADMIN_LIMIT_EXCEEDED | Self::BUSY | Self::UNAVAILABLE
        )
    }
}

impl fmt::Display for ResultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

/// The result of an LDAP operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationResult {
    /// The result code.
    pub code: ResultCode,
    /// The diagnostic message of the server; for people.
    pub message: String,
}

impl OperationResult {
    /// Success without a message.
    pub const SUCCESS: Self = Self {
        code: ResultCode::SUCCESS,
        message: String::new(),
    };

    /// A result.
    pub fn new(code: ResultCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl fmt::Display for OperationResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            self.code.fmt(f)
        } else {
            write!(f, "{}: {}", self.code, self.message.escape_debug())
        }
    }
}
