//! What a pin is made of: words that have been checked, so that nothing else reaches a URL or a path.

use std::fmt::{self, Write};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

const COMMIT_DIGITS: usize = 40;
const DIGEST_DIGITS: usize = 64;
/// The longest path there may be; git itself has none that is much longer.
const PATH_BYTES_MAX: usize = 512;
/// The longest name of a branch or tag that is looked up.
const REVISION_BYTES_MAX: usize = 255;
/// The longest owner or name of a repository.
const NAME_BYTES_MAX: usize = 100;

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A full commit. It names one content for ever, which a branch, a tag or a short form does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit(String);

/// Why a text is no commit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The beginning of one.
    #[error("`{text}` is a short commit, {} of {COMMIT_DIGITS} digits, and may come to mean another one", text.len())]
    Short {
        /// As written.
        text: String,
    },
    /// A branch, a tag, or anything else.
    #[error("`{text}` is no full commit of {COMMIT_DIGITS} digits; a branch or a tag can be moved")]
    Moving {
        /// As written.
        text: String,
    },
}

impl FromStr for Commit {
    type Err = CommitError;

    fn from_str(text: &str) -> Result<Self, CommitError> {
        match text.len() {
            COMMIT_DIGITS if is_hex(text) => Ok(Self(text.to_ascii_lowercase())),
            4..COMMIT_DIGITS if is_hex(text) => Err(CommitError::Short { text: text.to_owned() }),
            _ => Err(CommitError::Moving { text: text.to_owned() }),
        }
    }
}

impl Commit {
    /// No commit there is: what stands in until one is found.
    pub fn unknown() -> Self {
        Self("0".repeat(COMMIT_DIGITS))
    }

    /// All of it, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As much as people need to know it again.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(String);

/// Why a text is no SHA-256.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no SHA-256, which has {DIGEST_DIGITS} hexadecimal digits")]
pub struct DigestError(String);

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        if text.len() == DIGEST_DIGITS && is_hex(text) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(DigestError(text.to_owned()))
        }
    }
}

impl Digest {
    /// The hash of nothing there is: what stands in until one is known.
    pub fn unknown() -> Self {
        Self("0".repeat(DIGEST_DIGITS))
    }

    /// Of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(DIGEST_DIGITS);
        for byte in Sha256::digest(bytes) {
            // Writing to a text does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// All of it, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A repository: `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository(String);

/// Why a text names no repository.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no repository; it is written as `owner/name`, and a mirror is named by its base URL")]
pub struct RepositoryError(String);

impl FromStr for Repository {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        let is_name = |part: &str| {
            part.len() <= NAME_BYTES_MAX
                && part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        match text.split_once('/') {
            Some((owner, name)) if is_name(owner) && is_name(name) => Ok(Self(text.to_owned())),
            _ => Err(RepositoryError(text.to_owned())),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file's path in its repository: it stays there, and needs no escapes in a URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePath(String);

/// Why a text is no path in a repository.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It begins at the root, or has empty parts.
    #[error("`{0}` is no path below a repository's root: no `/` at either end, no empty parts")]
    Shape(String),
    /// It leads out.
    #[error("`{0}` leads out of the repository: `.` and `..` have no place in it")]
    Escapes(String),
    /// It has letters that would have to be escaped.
    #[error("`{0}` has other letters than A–Z, a–z, 0–9, `.`, `_`, `-` and `/`")]
    Letters(String),
    /// It is very long.
    #[error("the path is longer than {PATH_BYTES_MAX} bytes")]
    Long,
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte))
}

impl FromStr for FilePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.len() > PATH_BYTES_MAX {
            Err(PathError::Long)
        } else if !is_plain(text) {
            Err(PathError::Letters(text.to_owned()))
        } else if text.split('/').any(|part| matches!(part, "." | "..")) {
            Err(PathError::Escapes(text.to_owned()))
        } else if text.split('/').any(str::is_empty) {
            Err(PathError::Shape(text.to_owned()))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl FilePath {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What may be looked up to find a commit: a tag, a branch, or a commit itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(String);

/// Why a text cannot be looked up.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a tag nor a commit")]
pub struct RevisionError(String);

impl FromStr for Revision {
    type Err = RevisionError;

    fn from_str(text: &str) -> Result<Self, RevisionError> {
        let sound = !text.is_empty()
            && text.len() <= REVISION_BYTES_MAX
            && is_plain(text)
            && !text.starts_with(['-', '/', '.'])
            && !text.ends_with(['/', '.'])
            && !text.contains("..")
            && !text.contains("//");
        if sound { Ok(Self(text.to_owned())) } else { Err(RevisionError(text.to_owned())) }
    }
}

impl Revision {
    /// The commit, where this is one already.
    pub fn commit(&self) -> Option<Commit> {
        self.0.parse().ok()
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_commit_is_a_pin() {
        let full = "0897b4b4b92df1e9d2bc6ab6b8d99031d5221b7c";
        assert_eq!(full.parse::<Commit>().unwrap().as_str(), full);
        assert_eq!(full.to_uppercase().parse::<Commit>().unwrap().as_str(), full);
        for short in ["0897", "0897b4b", &full[..39]] {
            assert_eq!(short.parse::<Commit>().unwrap_err(), CommitError::Short { text: short.to_owned() });
        }
        let long = format!("{full}0");
        for moving in ["main", "v1.7.1", "", "HEAD", "refs/heads/main", &full.replace('b', "g"), &long] {
            assert_eq!(moving.parse::<Commit>().unwrap_err(), CommitError::Moving { text: moving.to_owned() });
        }
    }

    #[test]
    fn a_path_cannot_leave_its_repository_or_its_url() {
        for good in [".slint/policy.yaml", "a", "docs/a-b_c/d.json", "...", "a..b"] {
            assert_eq!(good.parse::<FilePath>().unwrap().as_str(), good);
        }
        for (bad, expected) in [
            ("../x", PathError::Escapes("../x".to_owned())),
            ("a/../../x", PathError::Escapes("a/../../x".to_owned())),
            ("./a", PathError::Escapes("./a".to_owned())),
            ("/etc/passwd", PathError::Shape("/etc/passwd".to_owned())),
            ("a//b", PathError::Shape("a//b".to_owned())),
            ("a/", PathError::Shape("a/".to_owned())),
            ("", PathError::Shape(String::new())),
            ("a%2e%2e", PathError::Letters("a%2e%2e".to_owned())),
            ("a?b", PathError::Letters("a?b".to_owned())),
            ("a\\b", PathError::Letters("a\\b".to_owned())),
            (&"a".repeat(513), PathError::Long),
        ] {
            assert_eq!(bad.parse::<FilePath>().unwrap_err(), expected);
        }
    }

    #[test]
    fn repositories_and_revisions_are_words_that_need_no_escapes() {
        assert!("HeaInSeo/kube-slint".parse::<Repository>().is_ok());
        for bad in ["kube-slint", "https://github.com/a/b", "a/b/c", "../b", "a/", "/b", "a b/c", "a/..", "-a/b"] {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
        for good in ["v1.7.1", "v1.0.0-rc.1", "release/1.7", "0897b4b"] {
            assert!(good.parse::<Revision>().is_ok(), "{good}");
        }
        for bad in ["", "-x", "a..b", "/a", "a/", "a b", "a?b", "a#b", "a^{}", "@{u}", "x."] {
            assert!(bad.parse::<Revision>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_digest_is_that_of_the_bytes() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
        assert_eq!(empty.to_uppercase().parse::<Digest>().unwrap(), Digest::of(b""));
        assert!(empty[1..].parse::<Digest>().is_err());
    }
}
