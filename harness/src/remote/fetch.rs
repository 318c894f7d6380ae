//! Asks for one file: within bounds of size and time, again where that may help, and at no other host.
//!
//! Time is tokio's. The proxy of the environment is respected, but for this machine itself.

use std::fmt;
use std::time::Duration;

use http::{StatusCode, header};
use reqwest::{Response, Url, redirect};
use tokio::time::{sleep, timeout};

use super::origin::{BaseUrl, same_origin};

/// The longest `ETag` that is remembered.
const ETAG_BYTES_MAX: usize = 256;

/// How much is asked of the network, and how much of it is believed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest file, in bytes. The files of the reference have a few thousand.
    pub bytes: usize,
    /// How often a file is asked for before that is given up.
    pub attempts: u32,
    /// How long a connection may take to come about.
    pub connect: Duration,
    /// How long one attempt may take with everything.
    pub attempt: Duration,
    /// The pause after the first attempt; each is twice the one before.
    pub pause: Duration,
    /// The longest pause, whatever the server asks for.
    pub pause_max: Duration,
    /// How many redirects are followed, all of them at the same host.
    pub redirects: u32,
}

impl Default for Limits {
    /// Half a minute at most for one file.
    fn default() -> Self {
        Self {
            bytes: 1024 * 1024,
            attempts: 3,
            connect: Duration::from_secs(4),
            attempt: Duration::from_secs(8),
            pause: Duration::from_millis(250),
            pause_max: Duration::from_secs(3),
            redirects: 3,
        }
    }
}

impl Limits {
    /// How long to wait after an attempt (from 1), where the server may have asked for a pause of its own.
    fn pause_after(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.pause.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        asked.unwrap_or_default().max(doubled).min(self.pause_max)
    }
}

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The network or the server does not answer as it should, and may tomorrow. Something cached may serve instead.
    #[error("{url} cannot be had ({attempts}): {why}", attempts = Times(*.attempts))]
    Unavailable {
        /// What was asked for.
        url: Url,
        /// What happened last.
        why: String,
        /// How often it was asked for.
        attempts: u32,
    },
    /// The server answers, and has no such file.
    #[error("{url}: {status}")]
    Refused {
        /// What was asked for.
        url: Url,
        /// The answer.
        status: StatusCode,
    },
    /// The server sends us elsewhere.
    #[error("{url} redirects to {to}, which is another host; nothing is fetched from there")]
    Redirected {
        /// What was asked for.
        url: Url,
        /// Where it leads: scheme, host and port.
        to: String,
    },
    /// The server sends us round and round.
    #[error("{url} redirects more than {redirects} times")]
    Circles {
        /// What was asked for.
        url: Url,
        /// How many were followed.
        redirects: u32,
    },
    /// The file is larger than files of a reference are.
    #[error("{url} is larger than {bytes} bytes; nothing of it is kept")]
    TooLarge {
        /// What was asked for.
        url: Url,
        /// The limit.
        bytes: usize,
    },
    /// The client cannot be made.
    #[error("cannot set up TLS")]
    Setup(#[source] reqwest::Error),
}

/// "once", "3 times".
struct Times(u32);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("asked once"),
            times => write!(f, "asked {times} times"),
        }
    }
}

impl FetchError {
    /// Whether this says nothing of the file, only of the way to it.
    pub fn is_about_the_network(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The file.
    New {
        /// All of it.
        bytes: Vec<u8>,
        /// What the server calls this version.
        etag: Option<String>,
    },
    /// The version that was named is still the one.
    Unchanged,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Where.
    pub url: &'a Url,
    /// What the server called the version that is there already.
    pub etag: Option<&'a str>,
    /// In which form.
    pub accept: &'a str,
}

/// How one attempt went wrong.
enum Trouble {
    /// Asking again may help, after a pause that the server may have named.
    Passing(String, Option<Duration>),
    Lasting(FetchError),
}

/// Asks for files.
#[derive(Debug)]
pub struct Fetcher {
    client: reqwest::Client,
    limits: Limits,
}

impl Fetcher {
    /// For the files below a base URL.
    ///
    /// # Errors
    /// [`FetchError::Setup`].
    pub fn new(base: &BaseUrl, limits: Limits) -> Result<Self, FetchError> {
        // The TLS library asks the process for its cryptography. Whoever was first has decided.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(limits.connect)
            .redirect(redirect::Policy::none())
            .referer(false);
        let builder = if base.is_this_machine() { builder.no_proxy() } else { builder.https_only(true) };
        Ok(Self { client: builder.build().map_err(FetchError::Setup)?, limits })
    }

    /// Asks for a file, again where that may help.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn get(&self, question: Question<'_>) -> Result<Answer, FetchError> {
        for attempt in 1.. {
            let asked = timeout(self.limits.attempt, self.once(question)).await;
            let (why, pause) = match asked {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Trouble::Lasting(error))) => return Err(error),
                Ok(Err(Trouble::Passing(why, pause))) => (why, pause),
                Err(_) => (format!("no answer within {:?}", self.limits.attempt), None),
            };
            if attempt >= self.limits.attempts {
                return Err(FetchError::Unavailable { url: question.url.clone(), why, attempts: attempt });
            }
            sleep(self.limits.pause_after(attempt, pause)).await;
        }
        let why = "nobody asked".to_owned();
        Err(FetchError::Unavailable { url: question.url.clone(), why, attempts: 0 })
    }

    async fn once(&self, question: Question<'_>) -> Result<Answer, Trouble> {
        let Question { url: asked, etag, accept } = question;
        let mut url = asked.clone();
        for _ in 0..=self.limits.redirects {
            let mut request = self.client.get(url.clone()).header(header::ACCEPT, accept);
            if let Some(etag) = etag {
                request = request.header(header::IF_NONE_MATCH, etag);
            }
            let response = request.send().await.map_err(|error| Trouble::Passing(innermost(&error), None))?;
            let location = text(&response, &header::LOCATION);
            match turn(response.status(), location.as_deref(), &url, etag.is_some()) {
                Turn::Read => return self.read(response, asked).await,
                Turn::Unchanged => return Ok(Answer::Unchanged),
                Turn::Follow(next) => url = next,
                Turn::Elsewhere(to) => {
                    return Err(Trouble::Lasting(FetchError::Redirected { url: asked.clone(), to }));
                }
                Turn::Again => return Err(Trouble::Passing(response.status().to_string(), retry_after(&response))),
                Turn::Refused => {
                    let status = response.status();
                    return Err(Trouble::Lasting(FetchError::Refused { url: asked.clone(), status }));
                }
            }
        }
        Err(Trouble::Lasting(FetchError::Circles { url: asked.clone(), redirects: self.limits.redirects }))
    }

    /// Reads a body and stops where it grows too large, whatever its header says.
    async fn read(&self, mut response: Response, asked: &Url) -> Result<Answer, Trouble> {
        let limit = self.limits.bytes;
        let too_large = || Trouble::Lasting(FetchError::TooLarge { url: asked.clone(), bytes: limit });
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let etag = text(&response, &header::ETAG).filter(|etag| is_sound(etag));
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if bytes.len() + chunk.len() > limit => return Err(too_large()),
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return Ok(Answer::New { bytes, etag }),
                Err(error) => return Err(Trouble::Passing(innermost(&error), None)),
            }
        }
    }
}

/// What to do about an answer.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Read,
    Unchanged,
    Follow(Url),
    Elsewhere(String),
    Again,
    Refused,
}

fn turn(status: StatusCode, location: Option<&str>, url: &Url, conditional: bool) -> Turn {
    match status {
        StatusCode::OK => Turn::Read,
        StatusCode::NOT_MODIFIED if conditional => Turn::Unchanged,
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => match location.and_then(|location| url.join(location).ok()) {
            Some(next) if same_origin(url, &next) => Turn::Follow(next),
            // The rest of it may hold a secret.
            Some(next) => Turn::Elsewhere(next.origin().ascii_serialization()),
            None => Turn::Refused,
        },
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_EARLY
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Turn::Again,
        status if status.is_server_error() => Turn::Again,
        _ => Turn::Refused,
    }
}

/// The pause a server asks for, in seconds; dates are not understood.
fn retry_after(response: &Response) -> Option<Duration> {
    text(response, &header::RETRY_AFTER)?.trim().parse().ok().map(Duration::from_secs)
}

fn text(response: &Response, name: &header::HeaderName) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// Whether an `ETag` can be kept in one line and sent again.
fn is_sound(etag: &str) -> bool {
    !etag.is_empty() && etag.len() <= ETAG_BYTES_MAX && etag.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// The cause at the bottom, which says most; the URL is said elsewhere.
fn innermost(error: &reqwest::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_believed_refused_or_asked_for_again() {
        let url = Url::parse("https://a.example/x/y").unwrap();
        let turn = |status: u16, location: Option<&str>, conditional| {
            turn(StatusCode::from_u16(status).unwrap(), location, &url, conditional)
        };
        assert_eq!(turn(200, None, false), Turn::Read);
        assert_eq!(turn(304, None, true), Turn::Unchanged);
        assert_eq!(turn(304, None, false), Turn::Refused, "nothing was said that could be unchanged");
        assert_eq!(turn(206, None, false), Turn::Refused, "a part was not asked for");
        for again in [408, 407, 425, 429, 500, 502, 503, 504] {
            assert_eq!(turn(again, None, false), Turn::Again, "{again}");
        }
        for refused in [400, 401, 403, 404, 410, 451, 204] {
            assert_eq!(turn(refused, None, false), Turn::Refused, "{refused}");
        }
        assert_eq!(turn(302, Some("/z"), false), Turn::Follow(Url::parse("https://a.example/z").unwrap()));
        for (location, to) in [
            ("https://b.example/x?token=secret", "https://b.example"),
            ("http://a.example/x", "http://a.example"),
            ("//b.example/x", "https://b.example"),
            ("https://a.example:444/", "https://a.example:444"),
        ] {
            assert_eq!(turn(301, Some(location), false), Turn::Elsewhere(to.to_owned()), "{location}");
        }
        assert_eq!(turn(302, None, false), Turn::Refused);
    }

    #[test]
    fn pauses_double_and_are_bounded_whatever_the_server_asks() {
        let limits = Limits::default();
        let pauses: Vec<u128> = (1..8).map(|attempt| limits.pause_after(attempt, None).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 3000, 3000, 3000]);
        assert_eq!(limits.pause_after(1, Some(Duration::from_secs(2))), Duration::from_secs(2));
        assert_eq!(limits.pause_after(1, Some(Duration::from_hours(1))), Duration::from_secs(3));
        assert_eq!(limits.pause_after(u32::MAX, None), Duration::from_secs(3));
    }

    #[test]
    fn a_name_of_a_version_that_would_break_a_line_is_not_kept() {
        assert!(is_sound("W/\"abc\""));
        for bad in ["", "a\nb", "é", &"x".repeat(300)] {
            assert!(!is_sound(bad), "{bad:?}");
        }
    }
}
