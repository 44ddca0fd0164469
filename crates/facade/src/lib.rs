//! Writes devices registered in Microsoft Entra ID back into on-premises Active Directory as `msDS-Device` objects.
//!
//! It is not a way to create computer accounts, and it changes nothing in Entra ID.
//!
//! [`core`] is the brain without any I/O, [`engine`] the driver over three ports, [`mod@file`] the ports on files. [`open`] builds a
//! run from a configuration:
//!
//! ```no_run
//! use device_writeback::{engine, FileSpool};
//!
//! # async fn run() -> Result<(), engine::Error> {
//! let text = "tenant_id = ...";
//! let config = engine::config::Config::parse(text, "config.toml", std::path::Path::new("."))?;
//! let now = device_writeback::core::filetime::FileTime::parse_rfc3339("2026-06-01T08:00:00Z").unwrap();
//! let run = device_writeback::open(&config, engine::Options::from_config(&config, now))?;
//! let planned = run.plan(Box::new(FileSpool::new()), &engine::Control::new()).await?;
//! println!("{} changes", planned.plan.len());
//! # Ok(())
//! # }
//! ```

pub use device_writeback_core as core;
pub use device_writeback_engine as engine;
#[cfg(feature = "file")]
pub use device_writeback_file as file;

#[cfg(feature = "file")]
pub use self::configured::{ConfiguredEngine, open};
#[cfg(feature = "file")]
pub use device_writeback_file::FileSpool;

#[cfg(feature = "file")]
mod configured {
    use device_writeback_engine::config::{Config, DirectoryKind, SourceKind};
    use device_writeback_engine::{Engine, Error, ErrorKind, Options};
    use device_writeback_file::{
        FileSource, FileSourceOptions, FileState, LdifDirectory, LdifOptions,
    };

    /// The engine over the ports that a configuration can name.
    pub type ConfiguredEngine = Engine<FileSource, LdifDirectory, FileState>;

    /// Opens the ports that `config` names.
    ///
    /// # Errors
    /// The first port that cannot be opened, with the file and the remedy.
    pub fn open(config: &Config, options: Options) -> Result<ConfiguredEngine, Error> {
        let unknown = |what: &str| {
            Error::new(
                ErrorKind::Config,
                format!("this build has no {what} of that kind"),
            )
        };
        let source = match config.source.kind {
            SourceKind::File => FileSource::open(FileSourceOptions {
                path: config.source.path.clone(),
                users: config.source.users.clone(),
                partial: config.source.partial,
            })?,
            _ => return Err(unknown("source")),
        };
        let directory = match config.directory.kind {
            DirectoryKind::Ldif => LdifDirectory::open(LdifOptions {
                path: config.directory.path.clone(),
                seed: config.directory.seed.clone(),
                base: config.directory.base.clone(),
                container: config.directory.container.clone(),
                schema: config.directory.schema,
            })?,
            _ => return Err(unknown("directory")),
        };
        let state = FileState::open(&config.state.path, config.tenant_id)?;
        Ok(Engine::new(source, directory, state, options))
    }
}
