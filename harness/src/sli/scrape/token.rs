//! The token that an operator asks for before it tells its metrics. It is in no text that this type gives.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use reqwest::header::HeaderValue;

/// Tokens of service accounts are a kilobyte or two.
const BYTES_MAX: u64 = 64 * 1024;

/// What stands where a token stood.
const REDACTED: &str = "[redacted]";

/// A bearer token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    text: String,
    header: HeaderValue,
}

/// Why there is no token. No variant holds any of it.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nothing, too much, or something with blanks in it.
    #[error("what is in {0} is no token")]
    NoToken(String),
    /// The API server gave none.
    #[error("no token for service account {account}: {why}")]
    NotGiven {
        /// Whose.
        account: String,
        /// Why.
        why: String,
    },
}

impl Token {
    /// A token; `whence` says where it comes from, should it be none.
    ///
    /// # Errors
    /// [`TokenError::NoToken`].
    pub fn new(text: &str, whence: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let header = HeaderValue::from_str(&format!("Bearer {text}")).ok().filter(|_| is_token);
        let mut header = header.ok_or_else(|| TokenError::NoToken(whence.to_owned()))?;
        header.set_sensitive(true);
        Ok(Self { text: text.to_owned(), header })
    }

    /// Reads a token from a file, which is read again each time: mounted tokens change.
    ///
    /// # Errors
    /// [`TokenError::Read`] and [`TokenError::NoToken`].
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let mut text = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut text));
        read.map_err(|source| TokenError::Read { path: path.to_owned(), source })?;
        let whence = path.display().to_string();
        match String::from_utf8(text) {
            Ok(text) if (text.len() as u64) < BYTES_MAX => Self::new(&text, &whence),
            _ => Err(TokenError::NoToken(whence)),
        }
    }

    /// The value of the header that it is sent in. It shows itself as sensitive, too.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// A text without the token.
    pub fn redact(&self, text: &str) -> String {
        text.replace(&self.text, REDACTED)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_shows_itself_nowhere() {
        let token = Token::new(" abc.def\n", "a test").unwrap();
        assert_eq!(
            format!("{token:?} {:?} {:?}", token.header(), Some(&token)),
            "[redacted] Sensitive Some([redacted])"
        );
        assert_eq!(token.redact("said abc.def, and abc.deftly"), "said [redacted], and [redacted]tly");
    }

    #[test]
    fn what_is_no_token_is_not_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let large = "x".repeat(70_000);
        for bad in ["", "\n", "two words", "new\nline", "sécret", large.as_str()] {
            std::fs::write(&path, bad).unwrap();
            let error = Token::read(&path).unwrap_err().to_string();
            assert_eq!(error, format!("what is in {} is no token", path.display()));
        }
        std::fs::write(&path, "good\n").unwrap();
        assert_eq!(Token::read(&path).unwrap().header().to_str().unwrap(), "Bearer good");
        assert!(matches!(Token::read(directory.path()), Err(TokenError::Read { .. })));
    }
}
