//! The one error of ports and driver.

use std::error::Error as StdError;
use std::fmt;

use device_writeback_core::apply::OperationResult;
pub use device_writeback_core::error::ErrorKind;

/// What stopped a run: what was being done to what, why it failed, and what to do.
///
/// `Display` gives what was being done and what is wrong; causes come from [`StdError::source`], the remedy from
/// [`Error::remedy`]. LDAP results and Graph request ids are fields.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    remedy: Option<String>,
    ldap_result: Option<OperationResult>,
    request_id: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of that kind. `message` says what was being done to what and what is wrong: lower case, no full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            remedy: None,
            ldap_result: None,
            request_id: None,
            source: None,
        }))
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy = Some(remedy.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds the LDAP result.
    #[must_use]
    pub fn with_ldap_result(mut self, result: OperationResult) -> Self {
        self.0.ldap_result = Some(result);
        self
    }

    /// Adds Graph's `request-id`.
    #[must_use]
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.0.request_id = Some(id.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The error with its causes, for a line of a log or a report: each once, from the outside in.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = StdError::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }

    /// What to do about it.
    pub fn remedy(&self) -> Option<&str> {
        self.0.remedy.as_deref()
    }

    /// The LDAP result that caused it.
    pub fn ldap_result(&self) -> Option<&OperationResult> {
        self.0.ldap_result.as_ref()
    }

    /// Graph's `request-id` of the request that caused it.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("remedy", &self.0.remedy)
            .field("ldap_result", &self.0.ldap_result)
            .field("request_id", &self.0.request_id)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
