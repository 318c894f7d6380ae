//! Where files are asked for: a base URL that keeps what is fetched from being read or changed on its way.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use super::pin::{Commit, FilePath, Repository, Revision};

/// Where GitHub serves files as they are.
pub const RAW: &str = "https://raw.githubusercontent.com";
/// Where GitHub says which commit a tag is.
pub const API: &str = "https://api.github.com";

/// The beginning of every URL that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// Why nothing is asked for at a URL.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// It is none.
    #[error("`{0}` is no URL")]
    NoUrl(String),
    /// It is neither HTTPS nor HTTP on this machine.
    #[error("`{0}` is not https; plain http is for this machine only (127.0.0.1, [::1], localhost)")]
    Insecure(String),
    /// It has a user, a query or a fragment. The text is not repeated: it may hold a secret.
    #[error("a base URL has no user, password, query or fragment")]
    Decorated,
}

impl BaseUrl {
    /// Understands a base URL.
    ///
    /// # Errors
    /// See [`BaseUrlError`].
    pub fn parse(text: &str) -> Result<Self, BaseUrlError> {
        let url = Url::parse(text).map_err(|_| BaseUrlError::NoUrl(text.to_owned()))?;
        let decorated =
            !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some();
        if decorated {
            return Err(BaseUrlError::Decorated);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(BaseUrlError::NoUrl(text.to_owned()));
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if is_this_machine(&url) => Ok(Self(url)),
            _ => Err(BaseUrlError::Insecure(text.to_owned())),
        }
    }

    /// Whether it is on this machine, where no proxy has a say.
    pub fn is_this_machine(&self) -> bool {
        is_this_machine(&self.0)
    }

    /// Where a file is.
    pub fn file(&self, repository: &Repository, commit: &Commit, path: &FilePath) -> Url {
        self.below(&format!("{repository}/{commit}/{path}"))
    }

    /// Where it is said which commit a revision is.
    pub fn commit(&self, repository: &Repository, revision: &Revision) -> Url {
        self.below(&format!("repos/{repository}/commits/{revision}"))
    }

    /// The rest is made of words that need no escapes.
    fn below(&self, rest: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}/{rest}", self.0.path().trim_end_matches('/')));
        url
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_this_machine(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Whether a URL may be asked for on the word of another: same scheme, host and port.
pub(super) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only_and_secrets_have_no_place_in_it() {
        for good in
            [RAW, API, "https://mirror.example:8443/raw", "http://127.0.0.1:1/x", "http://[::1]:1", "http://localhost"]
        {
            assert!(BaseUrl::parse(good).is_ok(), "{good}");
        }
        for bad in
            ["http://example.com", "http://127.0.0.1.example.com", "ftp://127.0.0.1", "file:///etc", "http://10.0.0.1"]
        {
            assert!(matches!(BaseUrl::parse(bad), Err(BaseUrlError::Insecure(_) | BaseUrlError::NoUrl(_))), "{bad}");
        }
        for bad in ["https://user:secret@example.com", "https://secret@example.com", "https://e.com?t=secret"] {
            let error = BaseUrl::parse(bad).unwrap_err();
            assert_eq!(error, BaseUrlError::Decorated);
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn a_url_is_the_base_and_the_pin() {
        let repository = "o/r".parse().unwrap();
        let commit: Commit = "0897b4b4b92df1e9d2bc6ab6b8d99031d5221b7c".parse().unwrap();
        let base = BaseUrl::parse("https://m.example/raw/").unwrap();
        assert_eq!(
            base.file(&repository, &commit, &".slint/policy.yaml".parse().unwrap()).as_str(),
            "https://m.example/raw/o/r/0897b4b4b92df1e9d2bc6ab6b8d99031d5221b7c/.slint/policy.yaml"
        );
        assert_eq!(
            BaseUrl::parse(API).unwrap().commit(&repository, &"v1".parse().unwrap()).as_str(),
            "https://api.github.com/repos/o/r/commits/v1"
        );
    }

    #[test]
    fn another_port_is_another_origin() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(same_origin(&url("https://a/x"), &url("https://a:443/y")));
        for other in ["https://a:444/x", "http://a/x", "https://b/x", "https://a.b/x"] {
            assert!(!same_origin(&url("https://a/x"), &url(other)), "{other}");
        }
    }
}
