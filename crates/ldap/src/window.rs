//! How many writes are in flight: as many as the server answers without making them wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a write may wait at the server behind others. A server with nothing else to do answers about `QUEUE` times its
/// rate of requests that are in flight in that time; more in flight makes nothing faster and others wait.
const QUEUE: Duration = Duration::from_millis(25);
/// How many writes are in flight before anything is known.
const BEGIN: usize = 8;

/// A window that follows the latency.
///
/// The shortest answer seen is the way there and back with one unit of work. As long as the average answer takes no more than
/// half of [`QUEUE`] longer, the window doubles (until that failed once) or grows by an eighth; when it takes more than
/// `QUEUE` longer, the window shrinks in proportion. It changes once per window of answers, so that what it judges by is what
/// it caused.
#[derive(Debug)]
pub(crate) struct Window {
    size: AtomicUsize,
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The shortest answer.
    base: Option<f64>,
    answers: usize,
    total: f64,
    /// Whether doubling has ended.
    found: bool,
}

impl Window {
    /// A window of at most `most`.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self {
            size: AtomicUsize::new(BEGIN.min(most)),
            most,
            state: Mutex::default(),
        }
    }

    /// How many may be in flight now.
    pub(crate) fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// An answer came after that time.
    pub(crate) fn answered(&self, after: Duration) {
        let after = after.as_secs_f64();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let base = state.base.map_or(after, |base| base.min(after));
        state.base = Some(base);
        state.answers += 1;
        state.total += after;
        let size = self.size();
        if state.answers < size {
            return;
        }
        let average = state.total / state.answers as f64;
        let waited = average - base;
        let queue = QUEUE.as_secs_f64();
        let next = if waited > queue {
            state.found = true;
            // In proportion, and never below what keeps the way there and back filled.
            ((size as f64) * (base + queue) / average) as usize
        } else if waited > queue / 2.0 {
            state.found = true;
            size
        } else if state.found {
            size + (size / 8).max(1)
        } else {
            size * 2
        };
        if size == 1 {
            // Nothing waits behind anything: this is what an answer takes now, even if it took less before.
            state.base = Some(average);
        }
        state.answers = 0;
        state.total = 0.0;
        self.size.store(next.clamp(1, self.most), Ordering::Relaxed);
    }

    /// The server has too much to do, or the connection was lost: begins anew, small.
    pub(crate) fn trouble(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.answers = 0;
        state.total = 0.0;
        let half = (self.size() / 2).clamp(1, self.most);
        self.size.store(half, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A server at the far end of a `line` (there and back) that carries out one write after the other, each in `work`;
    /// always as many writes under way as the window allows.
    fn run(window: &Window, line: Duration, work: Duration, writes: usize) {
        let (mut now, mut free) = (Duration::ZERO, Duration::ZERO);
        let mut flight: VecDeque<(Duration, Duration)> = VecDeque::new();
        for _ in 0..writes {
            while flight.len() < window.size() {
                free = free.max(now + line / 2) + work;
                flight.push_back((now, free + line / 2));
            }
            let (sent, answered) = flight.pop_front().unwrap();
            now = now.max(answered);
            window.answered(answered - sent);
        }
    }

    const fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn a_long_line_is_filled() {
        let window = Window::new(256);
        assert_eq!(window.size(), 8);
        // 8,000 writes a second, 10 ms away: 80 fill the line.
        run(&window, micros(10_000), micros(125), 4_000);
        assert!(window.size() >= 160, "{}", window.size());
    }

    #[test]
    fn a_quick_server_next_door_is_kept_busy() {
        let window = Window::new(256);
        run(&window, micros(100), micros(125), 4_000);
        assert!((80..=230).contains(&window.size()), "{}", window.size());
    }

    #[test]
    fn a_slow_server_is_left_in_peace() {
        let window = Window::new(256);
        // 200 writes a second next door.
        run(&window, micros(200), micros(5_000), 4_000);
        assert!((2..=8).contains(&window.size()), "{}", window.size());
        // It becomes slower still, and quick again.
        run(&window, micros(200), micros(50_000), 1_000);
        assert!(window.size() <= 2, "{}", window.size());
        run(&window, micros(200), micros(200), 4_000);
        assert!(window.size() >= 50, "{}", window.size());
    }

    #[test]
    fn the_cap_holds_and_trouble_halves() {
        let window = Window::new(32);
        run(
            &window,
            Duration::from_millis(50),
            Duration::from_micros(10),
            2_000,
        );
        assert_eq!(window.size(), 32);
        window.trouble();
        assert_eq!(window.size(), 16);
        for _ in 0..20 {
            window.trouble();
        }
        assert_eq!(window.size(), 1);
        assert_eq!(Window::new(1).size(), 1);
        assert_eq!(Window::new(0).size(), 1);
    }
}
