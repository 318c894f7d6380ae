//! Schedules as cron writes them, and the times that they name. Pure.
//!
//! Five fields (minute, hour, day of month, month, day of week) with lists, ranges, steps and names, the short forms
//! `@hourly` to `@yearly`, and `@every` with a duration. Where both days are given, either is enough. Times that a
//! clock skips when it is put forward do not come; those that it shows twice when it is put back come twice.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, AmbiguousTimestamp, TimeZone};
use jiff::{SignedDuration, Span, Timestamp};
use thiserror::Error;

/// How far ahead a time is looked for: leap days come within eight years.
const DAYS_MAX: i32 = 8 * 366;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Why a schedule cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum Malformed {
    /// There are not five fields.
    #[error("expected exactly 5 fields, found {0}")]
    Fields(usize),
    /// A short form that there is not.
    #[error("unrecognized descriptor: {0}")]
    Descriptor(String),
    /// A part of a field that is no number, name, range or step.
    #[error("cannot read {0} as part of a field")]
    Part(String),
    /// A number that the field does not have.
    #[error("{value} is not between {first} and {last}")]
    Range {
        /// The number.
        value: i64,
        /// The smallest.
        first: u32,
        /// The largest.
        last: u32,
    },
}

/// Times that come again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    /// At the minutes, hours and days that these have bits for.
    Fields {
        minutes: u64,
        hours: u64,
        days: u64,
        months: u64,
        weekdays: u64,
        /// Both days must fit, since one of them says nothing.
        both_days: bool,
    },
    /// Again after this long.
    Every(SignedDuration),
}

/// The numbers of a field, and its names.
struct Kind {
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const MINUTE: Kind = Kind { first: 0, last: 59, names: &[] };
const HOUR: Kind = Kind { first: 0, last: 23, names: &[] };
const DAY: Kind = Kind { first: 1, last: 31, names: &[] };
const MONTH: Kind = Kind { first: 1, last: 12, names: &MONTHS };
const WEEKDAY: Kind = Kind { first: 0, last: 6, names: &DAYS };

impl Schedule {
    /// Reads a schedule.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let text = text.trim();
        let plain = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        if let Some(every) = plain.strip_prefix("@every ") {
            let wait: SignedDuration = every.trim().parse().map_err(|_| Malformed::Descriptor(text.to_owned()))?;
            return Ok(Self::Every(SignedDuration::from_secs(wait.as_secs().max(1))));
        }
        if plain.starts_with('@') {
            return Err(Malformed::Descriptor(text.to_owned()));
        }
        let fields: Vec<&str> = plain.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(Malformed::Fields(fields.len()));
        };
        let says_nothing = |field: &str| field.split(',').any(|part| matches!(part, "*" | "?" | "*/1" | "?/1"));
        Ok(Self::Fields {
            minutes: MINUTE.bits(minute)?,
            hours: HOUR.bits(hour)?,
            days: DAY.bits(day)?,
            months: MONTH.bits(month)?,
            weekdays: WEEKDAY.bits(weekday)?,
            both_days: says_nothing(day) || says_nothing(weekday),
        })
    }

    /// The first time after `after`; none where there is none in sight.
    pub(super) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if let Self::Every(wait) = self {
            return Timestamp::from_second(after.as_second()).ok()?.checked_add(*wait).ok();
        }
        let mut date = after.to_zoned(zone.clone()).date();
        for _ in 0..DAYS_MAX {
            if self.has_day(date) {
                // Where the clock is put back, an hour of the day comes twice, and each has its own order.
                let first = self.first_on(date, after, |local| shown(zone, local)?.earlier().ok());
                let second = self.first_on(date, after, |local| shown(zone, local)?.later().ok());
                if let Some(found) = first.into_iter().chain(second).min() {
                    return Some(found);
                }
            }
            date = date.checked_add(Span::new().days(1)).ok()?;
        }
        None
    }

    /// The first time of a day that is after `after`, where `instant` says when a local time is.
    fn first_on(
        &self,
        date: Date,
        after: Timestamp,
        instant: impl Fn(DateTime) -> Option<Timestamp>,
    ) -> Option<Timestamp> {
        let Self::Fields { minutes, hours, .. } = self else { return None };
        let hours = (0..24).filter(|hour| has(*hours, i64::from(*hour)));
        // An hour that is over need not be looked at minute by minute.
        let ahead = hours.filter(|hour| instant(date.at(*hour, 59, 0, 0)).is_none_or(|end| end > after));
        let times = ahead.flat_map(|hour| {
            (0..60).filter(|minute| has(*minutes, i64::from(*minute))).map(move |minute| date.at(hour, minute, 0, 0))
        });
        times.filter_map(&instant).find(|found| *found > after)
    }

    fn has_day(&self, date: Date) -> bool {
        let Self::Fields { days, months, weekdays, both_days, .. } = self else { return false };
        let weekday = match date.weekday() {
            Weekday::Sunday => 0,
            other => i64::from(other.to_monday_one_offset()),
        };
        let (by_date, by_weekday) = (has(*days, date.day().into()), has(*weekdays, weekday));
        has(*months, date.month().into()) && if *both_days { by_date && by_weekday } else { by_date || by_weekday }
    }
}

/// When clocks show a local time; none where they skip it.
fn shown(zone: &TimeZone, local: DateTime) -> Option<AmbiguousTimestamp> {
    let shown = zone.to_ambiguous_timestamp(local);
    (!matches!(shown.offset(), AmbiguousOffset::Gap { .. })).then_some(shown)
}

fn has(bits: u64, number: i64) -> bool {
    bits & (1 << number) != 0
}

impl Kind {
    fn bits(&self, field: &str) -> Result<u64, Malformed> {
        field.split(',').try_fold(0, |bits, part| Ok(bits | self.part(part)?))
    }

    /// `*`, `*/2`, `3`, `3/2`, `3-7`, `3-7/2`.
    fn part(&self, part: &str) -> Result<u64, Malformed> {
        let malformed = || Malformed::Part(part.to_owned());
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().ok().filter(|s| *s > 0).ok_or_else(malformed)?)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (self.first, self.last),
            Some((first, last)) => (self.number(first)?, self.number(last)?),
            // A step from a number on goes on to the end.
            None if step.is_some() => (self.number(range)?, self.last),
            None => (self.number(range)?, self.number(range)?),
        };
        if first > last {
            return Err(malformed());
        }
        Ok((first..=last).step_by(step.unwrap_or(1)).fold(0, |bits, number| bits | 1 << number))
    }

    fn number(&self, text: &str) -> Result<u32, Malformed> {
        let name = self.names.iter().position(|name| text.eq_ignore_ascii_case(name));
        if let Some(at) = name {
            return Ok(self.first + u32::try_from(at).unwrap_or(0));
        }
        let value: i64 = text.parse().map_err(|_| Malformed::Part(text.to_owned()))?;
        let known = u32::try_from(value).ok().filter(|value| (self.first..=self.last).contains(value));
        known.ok_or(Malformed::Range { value, first: self.first, last: self.last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str, zone: &str) -> String {
        let zone = TimeZone::get(zone).expect("a zone");
        let found = Schedule::parse(schedule).expect("a schedule").next(after.parse().expect("a time"), &zone);
        found.map_or_else(String::new, |found| found.to_string())
    }

    #[test]
    fn the_next_time_is_found_in_the_time_zone() {
        let cases = [
            ("* * * * *", "2030-01-01T00:00:00Z", "UTC", "2030-01-01T00:01:00Z"),
            ("*/15 * * * *", "2030-01-01T00:46:00Z", "UTC", "2030-01-01T01:00:00Z"),
            ("30 4 * * *", "2030-01-01T04:30:00Z", "UTC", "2030-01-02T04:30:00Z"),
            ("0 0 1 */3 *", "2030-01-02T00:00:00Z", "UTC", "2030-04-01T00:00:00Z"),
            ("0 0 29 2 *", "2030-01-01T00:00:00Z", "UTC", "2032-02-29T00:00:00Z"),
            ("0 9-17/4 * * mon-fri", "2030-01-04T17:00:00Z", "UTC", "2030-01-07T09:00:00Z"),
            // 2030-01-13 is a Sunday; either day is enough.
            ("0 0 13 * fri", "2030-01-05T00:00:00Z", "UTC", "2030-01-11T00:00:00Z"),
            ("0 0 13 * fri", "2030-01-11T00:00:00Z", "UTC", "2030-01-13T00:00:00Z"),
            ("0 0 30 2 *", "2030-01-01T00:00:00Z", "UTC", ""),
            ("@hourly", "2030-01-01T00:00:01Z", "UTC", "2030-01-01T01:00:00Z"),
            ("@every 90s", "2030-01-01T00:00:00.5Z", "UTC", "2030-01-01T00:01:30Z"),
            ("0 8 * * *", "2030-01-01T00:00:00Z", "America/New_York", "2030-01-01T13:00:00Z"),
            ("0 8 * * *", "2030-07-01T00:00:00Z", "America/New_York", "2030-07-01T12:00:00Z"),
            // Half past two does not come on 31 March, and comes twice on 27 October.
            ("30 2 * * *", "2030-03-30T12:00:00Z", "Europe/Berlin", "2030-04-01T00:30:00Z"),
            ("30 2 * * *", "2030-10-26T12:00:00Z", "Europe/Berlin", "2030-10-27T00:30:00Z"),
            ("30 2 * * *", "2030-10-27T00:30:00Z", "Europe/Berlin", "2030-10-27T01:30:00Z"),
            ("30 2 * * *", "2030-10-27T01:30:00Z", "Europe/Berlin", "2030-10-28T01:30:00Z"),
            ("*/20 * * * *", "2030-10-27T00:25:00Z", "Europe/Berlin", "2030-10-27T00:40:00Z"),
            ("*/20 * * * *", "2030-10-27T00:40:00Z", "Europe/Berlin", "2030-10-27T01:00:00Z"),
            // A step leaves days out, so that it says something: either day is enough.
            ("0 0 */31 * mon", "2030-01-02T00:00:00Z", "UTC", "2030-01-07T00:00:00Z"),
            ("0 0 * * mon", "2030-01-02T00:00:00Z", "UTC", "2030-01-07T00:00:00Z"),
            ("0 0 */31 * mon", "2030-01-29T00:00:00Z", "UTC", "2030-02-01T00:00:00Z"),
        ];
        for (schedule, after, zone, expected) in cases {
            assert_eq!(next(schedule, after, zone), expected, "{schedule} after {after} in {zone}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_its_reason() {
        let cases = [
            ("* * * *", Malformed::Fields(4)),
            ("@never", Malformed::Descriptor("@never".to_owned())),
            ("x * * * *", Malformed::Part("x".to_owned())),
            ("*/0 * * * *", Malformed::Part("*/0".to_owned())),
            ("9-3 * * * *", Malformed::Part("9-3".to_owned())),
            ("60 * * * *", Malformed::Range { value: 60, first: 0, last: 59 }),
            ("0 0 0 * *", Malformed::Range { value: 0, first: 1, last: 31 }),
            ("0 0 * * 7", Malformed::Range { value: 7, first: 0, last: 6 }),
        ];
        for (schedule, expected) in cases {
            assert_eq!(Schedule::parse(schedule), Err(expected), "{schedule}");
        }
    }
}
