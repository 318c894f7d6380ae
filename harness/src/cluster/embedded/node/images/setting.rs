//! Settings from the environment.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

/// A setting that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value} is not {wanted}")]
pub(super) struct Malformed {
    name: &'static str,
    value: String,
    wanted: &'static str,
}

/// The settings of a program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings<'a>(pub(super) &'a BTreeMap<String, String>);

impl<'a> Settings<'a> {
    /// A text; none where it is not set, or empty.
    pub(super) fn text(self, name: &'static str) -> Option<&'a str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A number.
    pub(super) fn number<T: FromStr>(self, name: &'static str) -> Result<Option<T>, Malformed> {
        self.read(name, "a number of its kind", |text| text.parse().ok())
    }

    /// A time in seconds, which may have a fraction.
    pub(super) fn seconds(self, name: &'static str) -> Result<Option<Duration>, Malformed> {
        self.read(name, "a number of seconds", |text| Duration::try_from_secs_f64(text.parse().ok()?).ok())
    }

    /// A time with its unit: `250ms`, `2s`, `5m`.
    pub(super) fn duration(self, name: &'static str) -> Result<Option<Duration>, Malformed> {
        self.read(name, "a duration like 250ms, 2s or 5m", duration)
    }

    /// `true` or `false`; false where it is not set.
    pub(super) fn switch(self, name: &'static str) -> Result<bool, Malformed> {
        Ok(self.read(name, "true or false", |text| text.parse().ok())?.unwrap_or(false))
    }

    /// One of several words; the first where it is not set.
    pub(super) fn choice<T: Copy>(
        self,
        name: &'static str,
        wanted: &'static str,
        words: &[(&str, T)],
    ) -> Result<T, Malformed> {
        let find = |text: &str| words.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        match (self.read(name, wanted, find)?, words.first()) {
            (Some(choice), _) => Ok(choice),
            (None, Some((_, choice))) => Ok(*choice),
            (None, None) => Err(Malformed { name, value: String::new(), wanted }),
        }
    }

    fn read<T>(
        self,
        name: &'static str,
        wanted: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Malformed> {
        let Some(text) = self.text(name) else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| Malformed { name, value: text.to_owned(), wanted })
    }
}

/// A time with its unit: `250ms`, `2s`, `5m`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}
