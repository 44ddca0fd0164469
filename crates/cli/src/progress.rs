//! How far a run has come: bars on a terminal, a line for each stage otherwise; always on the standard error.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use device_writeback::engine::{Observer, Stage};
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

/// How often a bar is drawn, so that drawing costs nothing.
const REDRAW: Duration = Duration::from_millis(100);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Bars.
    Bars,
    /// A line when a stage is over.
    Lines,
    /// Not at all.
    Silent,
}

/// Watches a run.
pub(crate) struct Progress {
    mode: Mode,
    bars: MultiProgress,
    stages: Mutex<Vec<Watched>>,
}

struct Watched {
    stage: Stage,
    done: u64,
    total: Option<u64>,
    begun: Instant,
    ended: Option<Instant>,
    bar: Option<ProgressBar>,
    told: bool,
}

impl Progress {
    /// Progress on `bars`, which the log writes beside.
    pub(crate) fn new(mode: Mode, bars: MultiProgress) -> Self {
        Self {
            mode,
            bars,
            stages: Mutex::new(Vec::new()),
        }
    }

    /// Takes bars away, or says the last lines.
    pub(crate) fn finish(&self) {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        for watched in stages.iter_mut() {
            self.end(watched);
        }
    }

    fn end(&self, watched: &mut Watched) {
        if std::mem::replace(&mut watched.told, true) {
            return;
        }
        match self.mode {
            Mode::Silent => {}
            Mode::Bars => {
                if let Some(bar) = &watched.bar {
                    bar.finish_and_clear();
                }
            }
            Mode::Lines => {
                let ended = watched.ended.unwrap_or(watched.begun);
                let line = line(watched, ended.duration_since(watched.begun));
                // A standard error that is gone is no reason to stop.
                let _ = writeln!(io::stderr().lock(), "{line}");
            }
        }
    }

    fn begin(&self, stage: Stage, total: Option<u64>) -> Watched {
        let bar = (self.mode == Mode::Bars).then(|| {
            let bar = match total {
                Some(total) => ProgressBar::new(total),
                None => ProgressBar::no_length(),
            };
            // A bar is drawn as soon as it is among the others: it is made whole first.
            let bar = bar
                .with_style(style(total.is_some()))
                .with_message(stage.as_str())
                .with_prefix(noun(stage));
            let bar = self.bars.add(bar);
            bar.enable_steady_tick(REDRAW);
            bar
        });
        Watched {
            stage,
            done: 0,
            total,
            begun: Instant::now(),
            ended: None,
            bar,
            told: false,
        }
    }
}

impl Observer for Progress {
    fn progress(&self, stage: Stage, done: u64, total: Option<u64>) {
        if self.mode == Mode::Silent {
            return;
        }
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        if !stages.iter().any(|watched| watched.stage == stage) {
            // Both sides are read at once; whatever comes after them ends them.
            if !matches!(stage, Stage::Source | Stage::Directory) {
                for watched in stages.iter_mut() {
                    self.end(watched);
                }
            }
            stages.push(self.begin(stage, total));
        }
        if let Some(watched) = stages.iter_mut().find(|watched| watched.stage == stage) {
            watched.done = done;
            watched.total = total;
            watched.ended = Some(Instant::now());
            if let Some(bar) = &watched.bar {
                bar.set_position(done);
            }
        }
    }
}

fn noun(stage: Stage) -> &'static str {
    match stage {
        Stage::Source => "records",
        Stage::Directory => "objects",
        Stage::Resolve => "devices",
        Stage::Apply => "changes",
        _ => "steps",
    }
}

fn line(watched: &Watched, elapsed: Duration) -> String {
    let (done, noun) = (watched.done, noun(watched.stage));
    let mut line = format!("{}: ", watched.stage.as_str());
    // Writing to a String does not fail.
    let _ = match watched.total {
        Some(total) => write!(line, "{done} of {total} {noun}"),
        None => write!(line, "{done} {noun}"),
    };
    let _ = write!(line, " in {:.1} s", elapsed.as_secs_f64());
    line
}

fn style(with_total: bool) -> ProgressStyle {
    let template = if with_total {
        "{msg} [{bar:24}] {human_pos} of {human_len} {prefix}  {rate}  {left} left"
    } else {
        "{msg:21} {human_pos} {prefix}  {rate}  {elapsed}"
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
        .with_key(
            "rate",
            |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = write!(out, "{:.0}/s", state.per_sec());
            },
        )
        .with_key(
            "left",
            |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let seconds = state.eta().as_secs();
                let _ = write!(out, "{}:{:02}", seconds / 60, seconds % 60);
            },
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_a_line_with_count_and_time() {
        let progress = Progress::new(Mode::Lines, MultiProgress::new());
        let mut watched = progress.begin(Stage::Apply, Some(48));
        watched.done = 12;
        assert_eq!(
            line(&watched, Duration::from_millis(1_250)),
            "applying: 12 of 48 changes in 1.2 s"
        );
        let mut watched = progress.begin(Stage::Source, None);
        watched.done = 109;
        assert_eq!(
            line(&watched, Duration::ZERO),
            "reading the source: 109 records in 0.0 s"
        );
    }

    #[test]
    fn templates_are_valid() {
        for with_total in [false, true] {
            let _ = style(with_total);
        }
        assert!(ProgressStyle::with_template("{msg:21} [{bar:30}] {human_pos} {left}").is_ok());
    }
}
