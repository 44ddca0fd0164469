//! Refusals: LDAP results with the message a domain controller would begin with the Win32 code.

use device_writeback_core::apply::{OperationResult, ResultCode};

/// A refusal of the directory.
pub(super) fn refuse(code: ResultCode, detail: impl AsRef<str>) -> OperationResult {
    let win32 = match code {
        ResultCode::NO_SUCH_ATTRIBUTE => 0x200a,
        ResultCode::INVALID_ATTRIBUTE_SYNTAX => 0x200b,
        ResultCode::ATTRIBUTE_OR_VALUE_EXISTS => 0x200d,
        ResultCode::OBJECT_CLASS_VIOLATION => 0x2014,
        ResultCode::NOT_ALLOWED_ON_NON_LEAF => 0x2015,
        ResultCode::NOT_ALLOWED_ON_RDN => 0x2016,
        ResultCode::PROTOCOL_ERROR => 0x2021,
        ResultCode::CONSTRAINT_VIOLATION => 0x202f,
        ResultCode::NO_SUCH_OBJECT => 0x2030,
        ResultCode::INVALID_DN_SYNTAX => 0x2032,
        ResultCode::NAMING_VIOLATION => 0x2037,
        ResultCode::ENTRY_ALREADY_EXISTS => 0x2071,
        _ => 0x2035,
    };
    OperationResult::new(code, format!("{win32:08X}: {}", detail.as_ref()))
}
