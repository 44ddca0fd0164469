//! The arguments, and nothing but the arguments.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use device_writeback::core::filetime::FileTime;
use device_writeback::core::render::Format;

/// Writes devices registered in Microsoft Entra ID back into on-premises Active Directory.
///
/// Devices become msDS-Device objects under CN=RegisteredDevices, so that AD FS and Windows Hello for Business know them. It is
/// not a way to create computer accounts, and it changes nothing in Entra ID.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "device-writeback",
    version,
    after_help = EXIT_CODES,
    max_term_width = 100
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
    #[command(flatten)]
    pub(crate) global: Global,
}

/// Shown under the help, and in the manual page.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
   0  done, or nothing to do
   1  failed
   2  plan: changes are pending; apply, sync: some objects failed
   3  refused by a limit: nothing was written
  64  wrong usage";

/// What every verb understands.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The configuration: a TOML file that nobody else can write; its relative paths are relative to it
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The moment the run counts from, for rehearsals and tests; as 2026-06-01T08:00:00Z [default: the system's clock]
    #[arg(long, global = true, value_name = "TIME", value_parser = FileTime::parse_rfc3339)]
    pub(crate) now: Option<FileTime>,
    /// How results are written to the standard output; ldif and html are for plan and show
    #[arg(long, global = true, value_enum, default_value_t = OutputFormat::Text)]
    pub(crate) format: OutputFormat,
    /// Neither progress nor listings: only counts, refusals and failures
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Colours in text; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub(crate) color: ColorChoice,
    /// How the log is written to the standard error
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t = LogForm::Text)]
    pub(crate) log: LogForm,
    /// The least important messages that are logged
    #[arg(long, global = true, value_enum, value_name = "LEVEL", default_value_t = LogLevel::Warn)]
    pub(crate) log_level: LogLevel,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Verb {
    /// Say what would change and why; writes nothing to the directory
    Plan(Plan),
    /// Show a saved plan
    Show(Show),
    /// Apply a saved plan: exactly that plan, after checking everything in it again
    Apply(Apply),
    /// Plan, check the limits, apply and report: what a timer runs
    Sync(Sync),
    /// Explain one device: both sides, every rule, every attribute and where it comes from
    Explain(Explain),
    /// Write a completion script for a shell to the standard output
    Completions(Completions),
    /// Write the manual page to the standard output
    Man,
}

/// `plan`
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Plan {
    /// Save the plan in FILE (readable by you alone) for show and apply; with --format ldif or html, save that form, which
    /// cannot be applied
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) take_over: TakeOver,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

/// `show`
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Show {
    /// The plan, as plan --out saved it
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

/// `apply`
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Apply {
    /// The plan, as plan --out saved it
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Refuse any other plan than the one with this digest, which plan and show give
    #[arg(long, value_name = "HEX", value_parser = parse_digest)]
    pub(crate) digest: Option<Digest>,
    /// Apply although a limit refuses, once, for the plan that --digest names
    #[arg(long, requires = "digest")]
    pub(crate) override_limits: bool,
}

/// `sync`
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Sync {
    #[command(flatten)]
    pub(crate) take_over: TakeOver,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

/// `explain`
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Explain {
    /// A device id, an object id, or the whole display name
    #[arg(value_name = "DEVICE")]
    pub(crate) device: String,
    #[command(flatten)]
    pub(crate) take_over: TakeOver,
}

/// `completions`
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// Objects of unknown origin.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct TakeOver {
    /// Treat marked objects that this source has never known as ours: they may be changed and deleted
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// How much of a plan is listed.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct Listing {
    /// List everything: every change however many there are, names of objects, every skipped device
    #[arg(long)]
    pub(crate) all: bool,
}

/// SHA-256 of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest(pub(crate) [u8; 32]);

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn parse_digest(text: &str) -> Result<Digest, String> {
    let wrong = || "a digest is 64 hexadecimal digits".to_owned();
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut digest = [0; 32];
    for (pair, byte) in text.as_bytes().chunks_exact(2).zip(&mut digest) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(Digest(digest))
}

/// `--format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    Text,
    /// A document with format_version
    Json,
    /// Change records for ldapmodify and ldifde
    Ldif,
    /// One self-contained page
    Html,
}

impl From<OutputFormat> for Format {
    fn from(format: OutputFormat) -> Self {
        match format {
            OutputFormat::Text => Self::Text,
            OutputFormat::Json => Self::Json,
            OutputFormat::Ldif => Self::Ldif,
            OutputFormat::Html => Self::Html,
        }
    }
}

/// `--color`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// `--log`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogForm {
    /// A line for people
    Text,
    /// A JSON object a line, for collectors
    Json,
    /// No log
    Off,
}

/// `--log-level`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// What stops a run
    Error,
    /// What a person should look at
    Warn,
    /// What was done
    Info,
    /// How it was done
    Debug,
    /// Everything
    Trace,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn digests_are_64_hexadecimal_digits() {
        let text = "0123456789abcdefABCDEF0123456789".repeat(2);
        let digest = parse_digest(&text).unwrap();
        assert_eq!(digest.to_string(), text.to_lowercase());
        for wrong in ["", "00", &"g".repeat(64), &"é".repeat(32), &"+1".repeat(32)] {
            assert!(parse_digest(wrong).is_err(), "{wrong}");
        }
    }
}
