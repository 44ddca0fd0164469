//! What a run may take from the machine it is on.

use std::ffi::OsString;
use std::fmt;

/// What a run may take from the machine it is on: nothing, unless the program gives it.
///
/// Files that the configuration names are read without asking. An environment and the system's settings belong to the program:
///
/// ```
/// use device_writeback::Platform;
///
/// let platform = Platform::none()
///     .with_environment(|name| std::env::var_os(name))
///     .with_system_roots();
/// # let _ = platform;
/// ```
#[derive(Default)]
pub struct Platform {
    environment: Option<Box<Lookup>>,
    system_roots: bool,
}

type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

impl Platform {
    /// Gives nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Lets variables be looked up that the configuration names (`directory.password_env`).
    #[must_use]
    pub fn with_environment(
        mut self,
        lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
    ) -> Self {
        self.environment = Some(Box::new(lookup));
        self
    }

    /// Lets the certificates that the system trusts be believed where the configuration names no `ca_file`.
    #[must_use]
    pub fn with_system_roots(mut self) -> Self {
        self.system_roots = true;
        self
    }

    #[cfg(feature = "ldap")]
    pub(crate) fn environment(&self) -> Option<&Lookup> {
        self.environment.as_deref()
    }

    #[cfg(feature = "ldap")]
    pub(crate) fn has_system_roots(&self) -> bool {
        self.system_roots
    }
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platform")
            .field("environment", &self.environment.is_some())
            .field("system_roots", &self.system_roots)
            .finish()
    }
}
