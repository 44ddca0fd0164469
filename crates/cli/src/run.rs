//! From arguments to an exit code: the runtime, signals, and the verb.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::error::ErrorKind as UsageError;
use clap::{CommandFactory as _, Parser as _};
use device_writeback::core::filetime::FileTime;
use device_writeback::engine::config::Config;
use device_writeback::engine::{Control, Error, ErrorKind, Options};
use device_writeback::{ConfiguredEngine, Platform, open};
use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::args::{Args, OutputFormat, Verb};
use crate::clock;
use crate::exit::Exit;
use crate::hints::Hints;
use crate::logs;
use crate::output::Output;
use crate::panics;
use crate::progress::{Mode, Progress};
use crate::settings;
use crate::verbs;

/// The code of a process that a signal ended, as shells give it for SIGINT.
const INTERRUPTED: i32 = 130;

/// What a verb works with.
pub(crate) struct Context {
    pub(crate) output: Output,
    pub(crate) control: Control,
    pub(crate) config: Config,
    pub(crate) config_file: PathBuf,
    pub(crate) hints: Hints,
    now: FileTime,
    progress: Arc<Progress>,
}

impl Context {
    /// Opens source, directory and state.
    ///
    /// # Errors
    /// The first of them that cannot be opened.
    pub(crate) fn open(&self, take_over: bool) -> Result<ConfiguredEngine, Error> {
        let mut options = Options::from_config(&self.config, self.now);
        options.take_over = take_over;
        // What a library takes from the machine only when it is given.
        let platform = Platform::none()
            .with_environment(|name| std::env::var_os(name))
            .with_system_roots();
        open(&self.config, options, &platform)
    }

    /// Ends the progress, so that results come after it.
    pub(crate) fn end_progress(&self) {
        self.progress.finish();
    }
}

/// Runs the command line of this process.
pub(crate) fn main() -> Exit {
    let args = match parse(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => {
            // Help that nobody reads to the end is no failure.
            let _ = error.print();
            return match error.kind() {
                UsageError::DisplayHelp | UsageError::DisplayVersion => Exit::Done,
                _ => Exit::Usage,
            };
        }
    };
    let output = Output::new(&args.global);
    perform(&args, output).unwrap_or_else(|error| {
        output.error(&error);
        Exit::Failed
    })
}

/// What clap cannot see: which verbs need a configuration, and which results have which form.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Args, clap::Error> {
    let args = Args::try_parse_from(arguments)?;
    let wrong = |kind, message: &str| Err(Args::command().error(kind, message));
    let forms = match args.verb {
        Verb::Plan(_) | Verb::Show(_) => true,
        Verb::Apply(_) | Verb::Sync(_) | Verb::Explain(_) => {
            !matches!(args.global.format, OutputFormat::Ldif | OutputFormat::Html)
        }
        Verb::Completions(_) | Verb::Man => args.global.format == OutputFormat::Text,
    };
    if !forms {
        return wrong(
            UsageError::ArgumentConflict,
            "this verb has no result in that --format",
        );
    }
    let configured = matches!(args.verb, Verb::Show(_) | Verb::Completions(_) | Verb::Man);
    if args.global.config.is_none() && !configured {
        return wrong(
            UsageError::MissingRequiredArgument,
            "this verb needs a configuration: --config <FILE>",
        );
    }
    Ok(args)
}

fn perform(args: &Args, output: Output) -> Result<Exit, Error> {
    let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
    logs::start(args.global.log, args.global.log_level, &bars);
    panics::silence_ldap();
    match &args.verb {
        Verb::Show(show) => return verbs::show::run(output, show),
        Verb::Completions(completions) => return verbs::completions::run(output, completions),
        Verb::Man => return verbs::man::run(output),
        Verb::Plan(_) | Verb::Apply(_) | Verb::Sync(_) | Verb::Explain(_) => {}
    }
    let mode = match (output.quiet, io::stderr().is_terminal()) {
        (true, _) => Mode::Silent,
        (false, true) => Mode::Bars,
        (false, false) => Mode::Lines,
    };
    let progress = Arc::new(Progress::new(mode, bars));
    let config_file = args.global.config.clone().unwrap_or_default();
    let context = Context {
        output,
        control: Control::with_observer(progress.clone()),
        config: settings::read(&config_file)?,
        config_file,
        hints: Hints::new(&args.global),
        now: clock::now(args.global.now)?,
        progress,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                "the threads of the run cannot be started",
            )
            .with_source(error)
        })?;
    let context = Arc::new(context);
    let (verb, shared) = (args.verb.clone(), Arc::clone(&context));
    let result = runtime.block_on(async {
        watch_signals(&context.control);
        // As a task like any other: beside the one of the connection it is woken without another thread's help.
        let task = tokio::spawn(async move {
            match &verb {
                Verb::Plan(plan) => verbs::plan::run(&shared, plan).await,
                Verb::Apply(apply) => verbs::apply::run(&shared, apply).await,
                Verb::Sync(sync) => verbs::sync::run(&shared, sync).await,
                Verb::Explain(explain) => verbs::explain::run(&shared, explain).await,
                Verb::Show(_) | Verb::Completions(_) | Verb::Man => Ok(Exit::Done),
            }
        });
        match task.await {
            Ok(result) => result,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    });
    context.end_progress();
    // Nothing of the run is left in it; a thread that waits for a signal is not waited for.
    runtime.shutdown_background();
    result
}

/// The first signal lets the operation in flight end, the second ends the process.
fn watch_signals(control: &Control) {
    let seen = Arc::new(AtomicBool::new(false));
    let stop = {
        let control = control.clone();
        move || {
            if seen.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED);
            }
            control.cancel();
            let _ = writeln!(
                io::stderr().lock(),
                "stopping after what is in flight; once more stops at once"
            );
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            // Without the handler a signal ends the process, which every write survives.
            if let Ok(mut signals) = signal(kind) {
                let stop = stop.clone();
                tokio::spawn(async move {
                    while signals.recv().await.is_some() {
                        stop();
                    }
                });
            }
        }
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            stop();
        }
    });
}
