//! The time type of the whole core: Windows FILETIME, 100 ns since 1601-01-01 UTC.
//!
//! It is what `msDS-ApproximateLastLogonTimeStamp` holds (as a LargeInteger, decimal ASCII over
//! LDAP), and fine enough for every time Graph answers, whose `DateTimeOffset` has seven decimals.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{InvalidValue, quoted, quoted_bytes};

const TICKS_PER_SECOND: i64 = 10_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
const TICKS_PER_DAY: i64 = SECONDS_PER_DAY * TICKS_PER_SECOND;

/// Days from 0000-03-01 (proleptic Gregorian) to 1601-01-01.
const DAYS_TO_1601: i64 = 584_694;

/// Seconds from 1601-01-01 to 1970-01-01.
const SECONDS_TO_1970: i64 = 11_644_473_600;

/// A moment, in ticks of 100 ns since 1601-01-01T00:00:00Z.
///
/// Always within the years 1601 to 9999, the range in which text and ticks name the same moments.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileTime(i64);

impl FileTime {
    /// 1601-01-01T00:00:00Z.
    pub const MIN: Self = Self(0);

    /// 9999-12-31T23:59:59.9999999Z.
    pub const MAX: Self = Self(2_650_467_743_999_999_999);

    /// From ticks of 100 ns since 1601-01-01 UTC.
    ///
    /// # Errors
    /// Refuses negative ticks and those beyond the year 9999, among them the largest 64-bit
    /// number, with which Active Directory says "never".
    pub fn from_ticks(ticks: i64) -> Result<Self, InvalidValue> {
        if (Self::MIN.0..=Self::MAX.0).contains(&ticks) {
            return Ok(Self(ticks));
        }
        Err(InvalidValue::new(
            "time",
            format!("{ticks} ticks of 100 ns since 1601 are not within the years 1601 to 9999"),
        ))
    }

    /// Ticks of 100 ns since 1601-01-01 UTC.
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// From seconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// Refuses times outside the years 1601 to 9999.
    pub fn from_unix_seconds(seconds: i64) -> Result<Self, InvalidValue> {
        seconds
            .checked_add(SECONDS_TO_1970)
            .and_then(|seconds| seconds.checked_mul(TICKS_PER_SECOND))
            .and_then(|ticks| Self::from_ticks(ticks).ok())
            .ok_or_else(|| {
                InvalidValue::new(
                    "time",
                    format!("{seconds} seconds since 1970 are not within the years 1601 to 9999"),
                )
            })
    }

    /// Whole seconds since 1970-01-01 UTC, rounded down.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(TICKS_PER_SECOND) - SECONDS_TO_1970
    }

    /// Reads a LargeInteger as LDAP carries it: decimal ASCII ticks.
    ///
    /// # Errors
    /// Refuses other text and ticks that [`from_ticks`](Self::from_ticks) refuses.
    pub fn parse_ticks(value: &[u8]) -> Result<Self, InvalidValue> {
        // `str::parse` alone would take a leading plus sign.
        let digits = value.strip_prefix(b"-").unwrap_or(value);
        std::str::from_utf8(value)
            .ok()
            .filter(|_| digits.iter().all(u8::is_ascii_digit))
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| {
                InvalidValue::new(
                    "time",
                    format!("{} is not a decimal 64-bit number", quoted_bytes(value)),
                )
            })
            .and_then(Self::from_ticks)
    }

    /// Reads RFC 3339 text, such as Graph's `DateTimeOffset`. An offset other than `Z` is
    /// converted; decimals beyond the seventh are dropped.
    ///
    /// # Errors
    /// Refuses text without a time or an offset, days that do not exist, and times outside the
    /// years 1601 to 9999.
    pub fn parse_rfc3339(text: &str) -> Result<Self, InvalidValue> {
        parse_text(text.as_bytes())
            .map(Self)
            .filter(|time| (Self::MIN..=Self::MAX).contains(time))
            .ok_or_else(|| {
                InvalidValue::new(
                    "time",
                    format!(
                        "{} is not of the form 2024-05-31T12:00:00Z within the years 1601 to 9999",
                        quoted(text)
                    ),
                )
            })
    }

    /// This moment and `days` times 24 hours, at most [`MAX`](Self::MAX) and at least
    /// [`MIN`](Self::MIN).
    #[must_use]
    pub fn plus_days(self, days: i64) -> Self {
        Self(self.0.saturating_add(days.saturating_mul(TICKS_PER_DAY))).clamp(Self::MIN, Self::MAX)
    }

    /// This moment less `days` times 24 hours, at least [`MIN`](Self::MIN) and at most
    /// [`MAX`](Self::MAX).
    #[must_use]
    pub fn minus_days(self, days: i64) -> Self {
        Self(self.0.saturating_sub(days.saturating_mul(TICKS_PER_DAY))).clamp(Self::MIN, Self::MAX)
    }

    /// How many times 24 hours lie between `other` and this moment, rounded down; negative when
    /// `other` is later.
    pub const fn days_since(self, other: Self) -> i64 {
        (self.0 - other.0).div_euclid(TICKS_PER_DAY)
    }
}

impl fmt::Display for FileTime {
    /// RFC 3339 in UTC, with a fraction only when there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(TICKS_PER_DAY));
        let second = self.0.rem_euclid(TICKS_PER_DAY) / TICKS_PER_SECOND;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        let mut fraction = self.0.rem_euclid(TICKS_PER_SECOND);
        if fraction != 0 {
            let mut width = 7;
            while fraction % 10 == 0 {
                fraction /= 10;
                width -= 1;
            }
            write!(f, ".{fraction:0width$}")?;
        }
        f.write_str("Z")
    }
}

impl fmt::Debug for FileTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for FileTime {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::parse_rfc3339(text)
    }
}

impl Serialize for FileTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl de::Visitor<'_> for TextVisitor {
    type Value = FileTime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time as RFC 3339 text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<FileTime, E> {
        FileTime::parse_rfc3339(text).map_err(E::custom)
    }
}

/// Ticks of RFC 3339 text, not yet checked for the range of years.
fn parse_text(text: &[u8]) -> Option<i64> {
    let (
        &[
            y1,
            y2,
            y3,
            y4,
            b'-',
            m1,
            m2,
            b'-',
            d1,
            d2,
            b'T' | b't',
            h1,
            h2,
            b':',
            n1,
            n2,
            b':',
            s1,
            s2,
        ],
        rest,
    ) = text.split_first_chunk::<19>()?
    else {
        return None;
    };
    let year = number(&[y1, y2, y3, y4])?;
    let (month, day) = (number(&[m1, m2])?, number(&[d1, d2])?);
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?);
    if !(1..=12).contains(&month)
        || !(1..=days_in_month(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        // A leap second, which RFC 3339 allows, is counted as the second after it.
        || second > 60
    {
        return None;
    }
    let (fraction, zone) = match rest {
        [b'.', rest @ ..] => parse_fraction(rest)?,
        _ => (0, rest),
    };
    let offset = match *zone {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[h1, h2])?, number(&[m1, m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3600 + minutes * 60;
            if sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * SECONDS_PER_DAY
        + (hour * 3600 + minute * 60 + second)
        - offset;
    seconds.checked_mul(TICKS_PER_SECOND)?.checked_add(fraction)
}

/// Ticks of the digits after the decimal point, and what follows them.
fn parse_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    if digits.is_empty() {
        return None;
    }
    let padded = digits
        .iter()
        .copied()
        .chain(std::iter::repeat(b'0'))
        .take(7);
    let ticks = padded.fold(0, |ticks, digit| ticks * 10 + i64::from(digit - b'0'));
    Some((ticks, rest))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + i64::from(digit - b'0'))
    })
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1601-01-01 to the given date. Years are counted from March, so that the leap day is
/// the last of its year.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - DAYS_TO_1601
}

/// Inverse of [`days_from_civil`]: year, month and day.
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_1601;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> FileTime {
        FileTime::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn fixed_points() {
        assert_eq!(time("1601-01-01T00:00:00Z").ticks(), 0);
        assert_eq!(
            time("1970-01-01T00:00:00Z").ticks(),
            116_444_736_000_000_000
        );
        assert_eq!(
            time("2000-02-29T12:34:56.7891234Z").ticks(),
            125_963_012_967_891_234
        );
        assert_eq!(time("9999-12-31T23:59:59.9999999Z"), FileTime::MAX);
        assert_eq!(
            FileTime::from_unix_seconds(0).unwrap(),
            time("1970-01-01T00:00:00Z")
        );
        assert_eq!(time("1969-12-31T23:59:59.5Z").unix_seconds(), -1);
    }

    #[test]
    fn offsets_fractions_and_letter_case() {
        let noon = time("2024-05-31T12:00:00Z");
        for text in [
            "2024-05-31t12:00:00z",
            "2024-05-31T14:00:00+02:00",
            "2024-05-31T00:30:00.000-11:30",
            "2024-06-01T11:59:00+23:59",
            "2024-05-31T12:00:00.00000009Z",
            "2024-05-31T11:59:60Z",
        ] {
            assert_eq!(time(text), noon, "{text}");
        }
        assert_eq!(
            time("2024-05-31T12:00:00.5Z").ticks() - noon.ticks(),
            5_000_000
        );
        assert_eq!(time("1600-12-31T23:00:00-01:00"), FileTime::MIN);
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in [
            "",
            "2024-05-31",
            "2024-05-31T12:00:00",
            "2024-05-31T12:00Z",
            "2024-05-31 12:00:00Z",
            "2024-05-31T12:00:00.Z",
            "2024-05-31T12:00:00,5Z",
            "2024-05-31T12:00:00+0200",
            "2024-05-31T12:00:00+24:00",
            "2024-05-31T12:00:00Z ",
            "2024-05-31T24:00:00Z",
            "2024-05-31T12:60:00Z",
            "2024-05-31T12:00:61Z",
            "2024-02-30T12:00:00Z",
            "2023-02-29T12:00:00Z",
            "1900-02-29T12:00:00Z",
            "2024-00-01T12:00:00Z",
            "2024-13-01T12:00:00Z",
            "2024-01-00T12:00:00Z",
            "1600-12-31T23:59:59Z",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59-00:01",
            "+024-05-31T12:00:00Z",
            "2024-05-31T12:00:00Zé",
        ] {
            assert!(FileTime::parse_rfc3339(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fraction_is_shown_only_when_there_is_one() {
        assert_eq!(FileTime::MIN.to_string(), "1601-01-01T00:00:00Z");
        assert_eq!(
            time("2024-05-31T12:00:00.250Z").to_string(),
            "2024-05-31T12:00:00.25Z"
        );
        assert_eq!(FileTime(1).to_string(), "1601-01-01T00:00:00.0000001Z");
        assert_eq!(FileTime::MAX.to_string(), "9999-12-31T23:59:59.9999999Z");
    }

    #[test]
    fn ticks_as_ldap_carries_them() {
        assert_eq!(
            FileTime::parse_ticks(b"116444736000000000").unwrap(),
            time("1970-01-01T00:00:00Z")
        );
        assert_eq!(FileTime::parse_ticks(b"0").unwrap(), FileTime::MIN);
        for value in [
            &b""[..],
            b"-",
            b"-1",
            b"+1",
            b" 1",
            b"1 ",
            b"9223372036854775807",
            b"1e3",
            b"\xff",
        ] {
            assert!(FileTime::parse_ticks(value).is_err());
        }
    }

    #[test]
    fn days_are_counted_in_full() {
        let start = time("2024-02-28T12:00:00Z");
        assert_eq!(start.plus_days(2), time("2024-03-01T12:00:00Z"));
        assert_eq!(start.minus_days(-2), time("2024-03-01T12:00:00Z"));
        assert_eq!(start.plus_days(14).days_since(start), 14);
        assert_eq!(time("2024-02-29T11:59:59Z").days_since(start), 0);
        assert_eq!(start.days_since(time("2024-02-28T12:00:01Z")), -1);
        assert_eq!(FileTime::MAX.plus_days(i64::MAX), FileTime::MAX);
        assert_eq!(start.minus_days(i64::MAX), FileTime::MIN);
        assert_eq!(start.minus_days(i64::MIN), FileTime::MAX);
    }

    #[test]
    fn unix_seconds_out_of_range_are_refused() {
        for seconds in [i64::MIN, i64::MAX, -SECONDS_TO_1970 - 1, 253_402_300_800] {
            assert!(FileTime::from_unix_seconds(seconds).is_err());
        }
        assert!(FileTime::from_unix_seconds(253_402_300_799).is_ok());
    }

    #[test]
    fn json_is_text() {
        let json = serde_json::to_string(&FileTime::MIN).unwrap();
        assert_eq!(json, "\"1601-01-01T00:00:00Z\"");
        assert_eq!(
            serde_json::from_str::<FileTime>(&json).unwrap(),
            FileTime::MIN
        );
    }

    proptest! {
        #[test]
        fn round_trips(ticks in 0..=FileTime::MAX.0) {
            let time = FileTime::from_ticks(ticks).unwrap();
            prop_assert_eq!(FileTime::parse_rfc3339(&time.to_string()), Ok(time));
            prop_assert_eq!(FileTime::parse_ticks(ticks.to_string().as_bytes()), Ok(time));
        }

        #[test]
        fn agrees_with_a_calendar_library(seconds in -11_644_473_600..253_402_200_000i64) {
            let theirs = jiff::Timestamp::from_second(seconds).unwrap();
            let ours = FileTime::from_unix_seconds(seconds).unwrap();
            prop_assert_eq!(ours.to_string(), theirs.to_string());
            prop_assert_eq!(ours.unix_seconds(), seconds);
        }

        #[test]
        fn never_panics(text: String) {
            let _ = FileTime::parse_rfc3339(&text);
            let _ = FileTime::parse_ticks(text.as_bytes());
        }
    }
}
