//! Where the kube-slint reference is: the arguments that several commands share, and what they mean.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::remote::origin::{self, BaseUrl, BaseUrlError};
use crate::remote::reference;

/// Where the reference is, and where its files are.
#[derive(Clone, Debug, clap::Args)]
pub struct ReferenceArgs {
    /// The file that pins the kube-slint reference [default: slint/remote.yaml].
    #[arg(long, value_name = "FILE")]
    pub reference: Option<PathBuf>,
    /// Where its files are kept [default: `$XDG_CACHE_HOME/slipway`, else `.slipway/cache`].
    #[arg(long, env = "SLIPWAY_CACHE", value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Where they are asked for: a mirror serves BASE/OWNER/NAME/COMMIT/PATH. Plain http is for this machine only.
    #[arg(long, env = "SLIPWAY_SLINT_BASE_URL", default_value = origin::RAW, value_name = "URL")]
    pub base_url: String,
}

impl ReferenceArgs {
    /// What they mean.
    ///
    /// # Errors
    /// When the base URL is none that may be asked.
    pub fn settings(self, mode: RemoteMode) -> Result<ReferenceSettings, BaseUrlError> {
        ReferenceSettings::new(self.reference, self.cache, &self.base_url, mode, cache_home())
    }
}

/// Whom to ask for the files of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RemoteMode {
    /// The cache alone, and else what this program brings.
    Cached,
    /// The network first, then the cache, then what this program brings.
    Fetch,
    /// The network alone.
    Required,
}

/// The kube-slint reference: its file, its cache, its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceSettings {
    /// The file.
    pub file: PathBuf,
    /// Whether it must be there: it was named, or the network is to be asked for what it says.
    pub is_wanted: bool,
    /// Where its files are kept.
    pub cache: PathBuf,
    /// Where they are asked for.
    pub base: BaseUrl,
    /// Whom to ask.
    pub mode: RemoteMode,
}

impl ReferenceSettings {
    /// Understands the arguments; `cache_home` is where the environment wants caches.
    ///
    /// # Errors
    /// When the base URL is none that may be asked.
    pub fn new(
        file: Option<PathBuf>,
        cache: Option<PathBuf>,
        base_url: &str,
        mode: RemoteMode,
        cache_home: Option<OsString>,
    ) -> Result<Self, BaseUrlError> {
        // What is no absolute path is to be ignored, says the standard.
        let home = cache_home.map(PathBuf::from).filter(|home| home.is_absolute());
        let usual = home.map_or_else(|| PathBuf::from(".slipway/cache"), |home| home.join("slipway"));
        Ok(Self {
            is_wanted: file.is_some() || mode != RemoteMode::Cached,
            file: file.unwrap_or_else(|| PathBuf::from(reference::FILE)),
            cache: cache.unwrap_or(usual),
            base: BaseUrl::parse(base_url)?,
            mode,
        })
    }
}

/// Where caches belong, as the XDG base directories have it.
pub(super) fn cache_home() -> Option<OsString> {
    std::env::var_os("XDG_CACHE_HOME")
}
