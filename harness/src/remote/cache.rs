//! Files kept by their hash, and what servers called their versions.
//!
//! ```text
//! sha256/<hash>    the file
//! etags/<hash>     of a URL: the server's name for the version, and that version's hash
//! ```
//!
//! Guarantees: what is given out has the hash it was asked for by, and a file is there whole or not at all.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::pin::Digest;

/// A directory of files.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
    /// The largest file that is read.
    bytes_max: usize,
}

/// What is there under a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The file.
    Whole(Vec<u8>),
    /// Something else, which has this hash.
    Damaged(Digest),
    /// Nothing.
    Nothing,
}

impl Kept {
    /// The file, where it is there.
    pub fn whole(self) -> Option<Vec<u8>> {
        match self {
            Self::Whole(bytes) => Some(bytes),
            Self::Damaged(_) | Self::Nothing => None,
        }
    }
}

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", path.display())]
pub struct CacheError {
    /// `read` or `write`.
    pub what: &'static str,
    /// Which file.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

impl Cache {
    /// The cache in a directory, which is made when something is kept.
    pub fn new(directory: PathBuf, bytes_max: usize) -> Self {
        Self { directory, bytes_max }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn file(&self, digest: &Digest) -> PathBuf {
        self.directory.join("sha256").join(digest.as_str())
    }

    fn note(&self, url: &str) -> PathBuf {
        self.directory.join("etags").join(Digest::of(url.as_bytes()).as_str())
    }

    /// What is kept under a hash.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn get(&self, digest: &Digest) -> Result<Kept, CacheError> {
        let path = self.file(digest);
        let Some(bytes) = self.read(&path)? else { return Ok(Kept::Nothing) };
        let actual = Digest::of(&bytes);
        Ok(if actual == *digest { Kept::Whole(bytes) } else { Kept::Damaged(actual) })
    }

    /// Keeps a file, and says under which hash.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, CacheError> {
        let digest = Digest::of(bytes);
        if !matches!(self.get(&digest)?, Kept::Whole(_)) {
            write_whole(&self.file(&digest), bytes)?;
        }
        Ok(digest)
    }

    /// What the server called the version of a URL that has this hash.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn etag(&self, url: &str, digest: &Digest) -> Result<Option<String>, CacheError> {
        let Some(bytes) = self.read(&self.note(url))? else { return Ok(None) };
        let note = String::from_utf8_lossy(&bytes);
        let mut lines = note.lines();
        let (etag, hash) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        Ok((hash == digest.as_str() && !etag.is_empty()).then(|| etag.to_owned()))
    }

    /// Remembers what the server called a version.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remember(&self, url: &str, etag: &str, digest: &Digest) -> Result<(), CacheError> {
        write_whole(&self.note(url), format!("{etag}\n{digest}\n").as_bytes())
    }

    /// A file up to one byte beyond what is believed: what is larger has another hash, and needs not be read.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, CacheError> {
        let failed = |source| CacheError { what: "read", path: path.to_owned(), source };
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(self.bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }
}

/// Writes a file beside its place and moves it there.
///
/// # Errors
/// Those of the file system.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
    let write = || {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        let mut file = tempfile::Builder::new().prefix(".").suffix(".tmp").tempfile_in(directory)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        // Temporary files are their owner's only; what stays is as readable as any other file.
        let permissions = fs::metadata(path).map(|found| found.permissions());
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(permissions.unwrap_or(readable))?;
        file.persist(path).map(drop).map_err(|error| error.error)
    };
    write().map_err(|source| CacheError { what: "write", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_out_has_the_hash_it_was_asked_for_by() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path().join("deep/cache"), 100);
        let digest = Digest::of(b"one");
        assert_eq!(cache.get(&digest).unwrap(), Kept::Nothing);
        assert_eq!(cache.put(b"one").unwrap(), digest);
        assert_eq!(cache.get(&digest).unwrap(), Kept::Whole(b"one".to_vec()));
        fs::write(cache.file(&digest), "other").unwrap();
        assert_eq!(cache.get(&digest).unwrap(), Kept::Damaged(Digest::of(b"other")));
        cache.put(b"one").unwrap();
        assert_eq!(cache.get(&digest).unwrap(), Kept::Whole(b"one".to_vec()), "fetching again repairs it");
        fs::write(cache.file(&digest), vec![b'x'; 5000]).unwrap();
        assert!(matches!(cache.get(&digest).unwrap(), Kept::Damaged(_)));
        let names: Vec<_> = fs::read_dir(directory.path().join("deep/cache/sha256")).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing half written stays");
    }

    #[test]
    fn a_version_is_remembered_for_one_url_and_one_content() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path().to_owned(), 100);
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        cache.remember("https://a/x", "\"v1\"", &one).unwrap();
        assert_eq!(cache.etag("https://a/x", &one).unwrap().as_deref(), Some("\"v1\""));
        assert_eq!(cache.etag("https://a/x", &other).unwrap(), None);
        assert_eq!(cache.etag("https://a/y", &one).unwrap(), None);
    }
}
