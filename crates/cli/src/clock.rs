//! The time, for libraries that have no clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use device_writeback::core::filetime::FileTime;
use device_writeback::engine::{Error, ErrorKind};

/// 1970-01-01 as a FILETIME.
const UNIX_EPOCH_TICKS: i64 = 116_444_736_000_000_000;
/// A FILETIME counts these.
const TICK: Duration = Duration::from_nanos(100);

/// The moment a run counts from: what `--now` says, else the system's clock.
///
/// # Errors
/// The system's clock is before 1970 or after 9999.
pub(crate) fn now(chosen: Option<FileTime>) -> Result<FileTime, Error> {
    match chosen {
        Some(now) => Ok(now),
        None => from_system(SystemTime::now()),
    }
}

fn from_system(time: SystemTime) -> Result<FileTime, Error> {
    let wrong = |cause: String| {
        Error::new(ErrorKind::Config, "the system's clock shows no usable time")
            .with_remedy("set the clock, or give the time with --now")
            .with_source(cause)
    };
    let since = time
        .duration_since(UNIX_EPOCH)
        .map_err(|error| wrong(error.to_string()))?;
    i64::try_from(since.as_nanos() / TICK.as_nanos())
        .ok()
        .and_then(|ticks| ticks.checked_add(UNIX_EPOCH_TICKS))
        .ok_or_else(|| wrong("it is too far in the future".into()))
        .and_then(|ticks| FileTime::from_ticks(ticks).map_err(|error| wrong(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_time_becomes_a_filetime() {
        let moment = UNIX_EPOCH + Duration::from_secs(1_780_300_800);
        assert_eq!(
            from_system(moment).unwrap().to_string(),
            "2026-06-01T08:00:00Z"
        );
        let fraction = UNIX_EPOCH + Duration::from_nanos(1_234_567_899);
        assert_eq!(
            from_system(fraction).unwrap().to_string(),
            "1970-01-01T00:00:01.2345678Z"
        );
        assert!(from_system(UNIX_EPOCH - Duration::from_secs(1)).is_err());
    }
}
