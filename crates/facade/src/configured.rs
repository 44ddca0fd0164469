//! A run from a configuration.

use device_writeback_engine::config::{Config, SourceKind};
use device_writeback_engine::{Engine, Error, ErrorKind, Options};
use device_writeback_file::{FileSource, FileSourceOptions, FileState};

use crate::directory::{ConfiguredDirectory, open_directory};
use crate::platform::Platform;

/// The engine over the ports that a configuration can name.
pub type ConfiguredEngine = Engine<FileSource, ConfiguredDirectory, FileState>;

/// Opens the ports that `config` names, with what `platform` gives. A server is not connected to before the run begins.
///
/// # Errors
/// The first port that cannot be opened, with the file and the remedy.
pub fn open(
    config: &Config,
    options: Options,
    platform: &Platform,
) -> Result<ConfiguredEngine, Error> {
    let source = match config.source.kind {
        SourceKind::File => FileSource::open(FileSourceOptions {
            path: config.source.path.clone(),
            users: config.source.users.clone(),
            partial: config.source.partial,
        })?,
        _ => {
            return Err(
                Error::new(ErrorKind::Config, "this build has no source of that kind")
                    .with_remedy("use kind = \"file\""),
            );
        }
    };
    let directory = open_directory(&config.directory, platform)?;
    let state = FileState::open(&config.state.path, config.tenant_id)?;
    Ok(Engine::new(source, directory, state, options))
}
