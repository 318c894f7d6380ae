//! Directories that are gone with whoever needed them: what nodes, Pods, volumes and kubeconfigs live in.
//!
//! All of a process's stand in one directory of the machine's temporary files, which is locked for as long as one of them
//! is there. A process that is killed removes nothing, but its lock goes with it: that is how [`Leftovers`] knows what
//! nobody needs any more, also where process ids mean something else, and never touches a run that is under way.

use std::error::Error;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::future::{BoxFuture, FutureExt};
use nix::unistd::Uid;
use tempfile::{Builder, TempDir};

use crate::clean::{Found, Source};

/// What the name of a process's directory begins with.
const PREFIX: &str = "slipway-tmp-";

/// The directory of this process, while there is one.
static ROOT: Mutex<Weak<Root>> = Mutex::new(Weak::new());

/// A directory that is removed, with all that is in it, when this is dropped.
#[derive(Debug)]
pub struct Directory {
    own: TempDir,
    root: Arc<Root>,
}

impl Directory {
    /// Makes one; only its owner can look into it. `what` stands in its name, for people.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn new(what: &str) -> io::Result<Self> {
        let root = root()?;
        let own = Builder::new().prefix(&format!("{what}-")).tempdir_in(root.directory.path())?;
        Ok(Self { own, root })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.own.path()
    }

    /// Writes a file that only its owner can read, and says where it is.
    ///
    /// # Errors
    /// Those of the file system; there is such a file already.
    pub fn keep(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.path().join(name);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?.write_all(text.as_bytes())?;
        Ok(path)
    }

    /// Removes it.
    ///
    /// # Errors
    /// Those of the file system; something of it stays then.
    pub fn close(self) -> io::Result<()> {
        let Self { own, root } = self;
        own.close()?;
        drop(root);
        Ok(())
    }
}

/// The directory of a process, and the lock that says that somebody needs it.
#[derive(Debug)]
struct Root {
    directory: TempDir,
    /// Closed after the directory is removed, and by the kernel where nobody is left to do it.
    _lock: File,
}

impl Root {
    fn make(within: &Path) -> io::Result<Self> {
        loop {
            let directory = Builder::new().prefix(PREFIX).tempdir_in(within)?;
            // Whoever cleans between these two lines takes it for left behind: then there has to be another one.
            let lock = match File::open(directory.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            lock.lock_shared()?;
            if directory.path().exists() {
                return Ok(Self { directory, _lock: lock });
            }
        }
    }
}

fn root() -> io::Result<Arc<Root>> {
    let mut held = ROOT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(root) = held.upgrade() {
        return Ok(root);
    }
    let root = Arc::new(Root::make(&tempfile::env::temp_dir())?);
    *held = Arc::downgrade(&root);
    Ok(root)
}

/// Removes every directory of this process: for an end at which nothing is dropped.
pub fn forget_own() {
    let held = ROOT.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(root) = held.upgrade() else { return };
    if let Err(error) = fs::remove_dir_all(root.directory.path()) {
        tracing::debug!(%error, directory = %root.directory.path().display(), "temporary files stay behind");
    }
}

/// The directories of processes that are gone, as `slipway clean` finds and removes them.
#[derive(Debug)]
pub struct Leftovers {
    within: PathBuf,
    found: Vec<(PathBuf, File)>,
}

impl Default for Leftovers {
    /// Those in the machine's directory for temporary files.
    fn default() -> Self {
        Self { within: tempfile::env::temp_dir(), found: Vec::new() }
    }
}

impl Leftovers {
    fn look(&mut self) -> io::Result<Vec<Found>> {
        self.found.clear();
        for entry in fs::read_dir(&self.within)? {
            let entry = entry?;
            let name = entry.file_name();
            let ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX));
            if !ours || !entry.file_type()?.is_dir() || entry.metadata()?.uid() != Uid::effective().as_raw() {
                continue;
            }
            let lock = match File::open(entry.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            match lock.try_lock() {
                Ok(()) => self.found.push((entry.path(), lock)),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        self.found.sort_by(|one, other| one.0.cmp(&other.0));
        let found = |(path, _): &(PathBuf, File)| Found {
            kind: "temporary files".to_owned(),
            name: path.display().to_string(),
            run: String::new(),
        };
        Ok(self.found.iter().map(found).collect())
    }
}

impl Source for Leftovers {
    fn place(&self) -> String {
        format!("this machine, in {}", self.within.display())
    }

    fn find(&mut self) -> BoxFuture<'_, Result<Vec<Found>, Box<dyn Error + Send + Sync>>> {
        async { Ok(self.look()?) }.boxed()
    }

    fn remove(&mut self) -> BoxFuture<'_, Vec<String>> {
        let stays = |(path, _): &(PathBuf, File)| match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Some(format!("{}: {error}", path.display())),
            _ => None,
        };
        async move { std::mem::take(&mut self.found).iter().filter_map(stays).collect() }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looking(within: &Path) -> Leftovers {
        Leftovers { within: within.to_owned(), found: Vec::new() }
    }

    #[test]
    fn what_a_run_still_needs_is_not_cleaned_away_under_it() {
        let within = tempfile::tempdir().unwrap();
        let root = Root::make(within.path()).unwrap();
        fs::write(root.directory.path().join("kubeconfig"), "a").unwrap();
        assert_eq!(looking(within.path()).look().unwrap(), []);
        drop(root);
        assert_eq!(fs::read_dir(within.path()).unwrap().count(), 0, "it goes with its owner");
    }

    #[tokio::test]
    async fn what_a_killed_run_has_left_is_found_and_removed_and_nothing_else() {
        let within = tempfile::tempdir().unwrap();
        let left = within.path().join(format!("{PREFIX}killed"));
        let (foreign, file) = (within.path().join("slipway-docker"), within.path().join(format!("{PREFIX}file")));
        fs::create_dir_all(left.join("pod-1/etc")).unwrap();
        fs::create_dir(&foreign).unwrap();
        fs::write(&file, "").unwrap();
        let mut source = looking(within.path());
        let found = source.find().await.unwrap();
        assert_eq!(found.iter().map(|found| found.name.clone()).collect::<Vec<_>>(), [left.display().to_string()]);
        assert!(left.exists(), "looking removes nothing");
        assert_eq!(source.remove().await, Vec::<String>::new());
        assert!(!left.exists() && foreign.exists() && file.exists());
    }

    #[test]
    fn directories_of_a_process_stand_together_and_go_one_by_one() {
        let (one, other) = (Directory::new("node").unwrap(), Directory::new("pod").unwrap());
        let above = one.path().parent().unwrap().to_owned();
        assert_eq!(other.path().parent().unwrap(), above);
        let gone = one.path().to_owned();
        one.close().unwrap();
        assert!(!gone.exists() && other.path().exists());
        assert!(above.file_name().unwrap().to_str().unwrap().starts_with(PREFIX));
    }
}
