//! When the next operation may be sent.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{self, Instant};

/// The first pause after a server said that it has too much to do.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Keeps to a number of operations a second, and pauses when the server asks for it.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Time between two operations.
    gap: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the next operation is due.
    due: Instant,
    /// Until when nothing is sent.
    pause: Option<Instant>,
    /// How many pauses there were in a row.
    pauses: u32,
}

impl Pace {
    /// At most that many operations a second, or as many as there are.
    pub(crate) fn new(per_second: Option<NonZeroU32>) -> Self {
        Self {
            gap: per_second.map(|number| Duration::from_secs(1) / number.get()),
            state: Mutex::new(State {
                due: Instant::now(),
                pause: None,
                pauses: 0,
            }),
        }
    }

    /// Waits until an operation may be sent.
    pub(crate) async fn wait(&self) {
        let until = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if self.gap.is_none() && state.pause.is_none() {
                return;
            }
            let now = Instant::now();
            let mut until = now;
            if let Some(pause) = state.pause {
                if pause > now {
                    // Not all at once when the pause is over.
                    until = pause + jittered(FIRST_PAUSE);
                } else {
                    state.pause = None;
                }
            }
            if let Some(gap) = self.gap {
                until = until.max(state.due);
                state.due = until + gap;
            }
            until
        };
        time::sleep_until(until).await;
    }

    /// The server has too much to do: nothing is sent for a while, longer each time in a row.
    pub(crate) fn busy(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // What was in flight with the first refusal is refused too; it is one and the same message.
        if state.pause.is_some_and(|pause| pause > now) {
            return;
        }
        let pause = backoff(state.pauses, FIRST_PAUSE, LONGEST_PAUSE);
        state.pauses = state.pauses.saturating_add(1);
        state.pause = Some(now + pause);
        tracing::warn!(
            seconds = pause.as_secs_f64(),
            "the server has too much to do, pausing"
        );
    }

    /// The server has done what it was asked for.
    pub(crate) fn done(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.pauses > 0 && state.pause.is_none_or(|pause| pause <= Instant::now()) {
            state.pauses = 0;
        }
    }
}

/// The pause after failure number `before` in a row (from 0): doubles up to `longest`, and half of it is by chance, so that
/// many clients do not come back together.
pub(crate) fn backoff(before: u32, first: Duration, longest: Duration) -> Duration {
    let factor = 1_u32.checked_shl(before.min(20)).unwrap_or(u32::MAX);
    jittered(first.saturating_mul(factor).min(longest))
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(fastrand::f64().mul_add(0.5, 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(2));
        for (before, most) in [(0, 100), (1, 200), (3, 800), (5, 2_000), (40, 2_000)] {
            for _ in 0..100 {
                let pause = backoff(before, first, longest);
                let most = Duration::from_millis(most);
                assert!(pause <= most && pause >= most / 2, "{before}: {pause:?}");
            }
        }
        let mut seen: Vec<_> = (0..20).map(|_| backoff(3, first, longest)).collect();
        seen.dedup();
        assert!(seen.len() > 1);
    }

    #[tokio::test(start_paused = true)]
    async fn operations_keep_their_distance() {
        let pace = Pace::new(NonZeroU32::new(100));
        let begun = Instant::now();
        for _ in 0..51 {
            pace.wait().await;
        }
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_millis(490) && took <= Duration::from_millis(600),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_server_is_given_time_and_more_of_it_each_time() {
        let pace = Pace::new(None);
        let pause = async || {
            pace.busy();
            // What was in flight says the same.
            pace.busy();
            let begun = Instant::now();
            pace.wait().await;
            begun.elapsed()
        };
        assert!(pause().await >= FIRST_PAUSE / 2);
        for _ in 0..6 {
            pause().await;
        }
        assert!(pause().await >= LONGEST_PAUSE / 2);
        pace.done();
        assert!(pause().await < Duration::from_secs(1));
        let begun = Instant::now();
        pace.wait().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
