//! Gets the files of a reference: from the network where that is wanted and possible, else from the cache.
//!
//! Guarantees: a file that is given out has its pinned hash; what the network has to say against the pin is an error, and
//! leaves the cache as it is.

use futures::{StreamExt, TryStreamExt, stream};

use super::cache::{Cache, CacheError, Kept};
use super::fetch::{Answer, FetchError, Fetcher, Question};
use super::origin::BaseUrl;
use super::pin::{Digest, FilePath};
use super::provenance::Source;
use super::reference::{File, Reference};

/// How many files are asked for at once; a server of raw files is not to be pressed.
const AT_ONCE: usize = 8;

/// Whom to ask.
#[derive(Debug)]
pub struct Network {
    /// Asks.
    pub fetcher: Fetcher,
    /// Where.
    pub base: BaseUrl,
}

/// A file of the reference, and what was got of it.
#[derive(Debug)]
pub struct Got {
    /// Which.
    pub file: File,
    /// Its content; none where neither network nor cache has it.
    pub bytes: Option<Vec<u8>>,
    /// Where that comes from.
    pub way: Way,
}

/// How a file was got.
#[derive(Debug)]
pub enum Way {
    /// From the network, this time.
    Fetched,
    /// From the cache, and the network says it is the one.
    Confirmed,
    /// The network was not asked.
    NotAsked,
    /// The network was asked in vain.
    Unreachable(FetchError),
}

/// Why the files of a reference cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    /// The network, and not for want of one.
    #[error("a file of the reference was not fetched")]
    Fetch(#[source] FetchError),
    /// A file is not what its pin says.
    #[error(
        "{path} from {url} is not what was pinned: the reference says sha256 {expected}, and it has {actual}; nothing of \
         it was kept"
    )]
    Mismatch {
        /// Which file.
        path: FilePath,
        /// Where it came from.
        url: String,
        /// The hash it should have.
        expected: Digest,
        /// The hash it has.
        actual: Digest,
    },
    /// The cache.
    #[error("the cache cannot be used")]
    Cache(#[from] CacheError),
}

/// Gets every file, in the order of the reference; asks `network` where there is one.
///
/// # Errors
/// See [`AcquireError`]. A network that cannot be reached is none.
pub async fn acquire(
    reference: &Reference,
    cache: &Cache,
    network: Option<&Network>,
) -> Result<Vec<Got>, AcquireError> {
    // The stream owns its items: borrowed ones make futures that are not general enough.
    let files: Vec<File> = reference.files.clone();
    stream::iter(files).map(|file| one(reference, file, cache, network)).buffered(AT_ONCE).try_collect().await
}

/// Where files came from, taken together: from the last place that one of them had to be taken from.
pub fn source(got: &[Got]) -> Source {
    if got.iter().any(|got| got.bytes.is_none()) {
        Source::BuiltIn
    } else if got.iter().all(|got| matches!(got.way, Way::Fetched | Way::Confirmed)) {
        Source::Network
    } else {
        Source::Cache
    }
}

async fn one(reference: &Reference, file: File, cache: &Cache, network: Option<&Network>) -> Result<Got, AcquireError> {
    let expected = &file.sha256.value;
    let kept = cache.get(expected)?.whole();
    let Some(network) = network else { return Ok(Got { file, bytes: kept, way: Way::NotAsked }) };
    let url = network.base.file(&reference.repository, &reference.commit.value, &file.path);
    let etag = if kept.is_some() { cache.etag(url.as_str(), expected)? } else { None };
    let question = Question { url: &url, etag: etag.as_deref(), accept: "*/*" };
    let (bytes, way) = match network.fetcher.get(question).await {
        Ok(Answer::Unchanged) => (kept, Way::Confirmed),
        Ok(Answer::New { bytes, etag }) => {
            let actual = Digest::of(&bytes);
            if actual != *expected {
                let (path, expected) = (file.path, file.sha256.value);
                return Err(AcquireError::Mismatch { path, url: url.to_string(), expected, actual });
            }
            cache.put(&bytes)?;
            if let Some(etag) = etag {
                cache.remember(url.as_str(), &etag, expected)?;
            }
            (Some(bytes), Way::Fetched)
        }
        Err(error) if error.is_about_the_network() => (kept, Way::Unreachable(error)),
        Err(error) => return Err(AcquireError::Fetch(error)),
    };
    Ok(Got { file, bytes, way })
}

/// What is kept of each file, without a word to the network.
///
/// # Errors
/// Those of the file system.
pub fn kept(reference: &Reference, cache: &Cache) -> Result<Vec<(File, Kept)>, CacheError> {
    reference.files.iter().map(|file| Ok((file.clone(), cache.get(&file.sha256.value)?))).collect()
}
