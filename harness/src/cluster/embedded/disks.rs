//! The cluster's disks: what Pods write to persistent volumes, seen alike from every node.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::temporary::Directory;

/// Directories by the name of the volume; clones are the same disks, which go with the last of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Disks(Arc<Mutex<Option<Directory>>>);

impl Disks {
    /// The directory of a volume, which is made where it is not there yet.
    pub(super) fn open(&self, volume: &str) -> io::Result<PathBuf> {
        if volume.starts_with('.') || volume.contains('/') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{volume:?} is no name of a volume")));
        }
        let mut root = self.lock();
        let root = match &mut *root {
            Some(root) => root,
            // A cluster without volumes leaves no trace of them on the machine.
            none => none.insert(Directory::new("disks")?),
        };
        let place = root.path().join(volume);
        if !place.is_dir() {
            fs::create_dir(&place)?;
            // Whoever the container runs as may write here.
            fs::set_permissions(&place, fs::Permissions::from_mode(0o777))?;
        }
        Ok(place)
    }

    /// Destroys what a volume holds.
    pub(super) fn remove(&self, volume: &str) -> io::Result<()> {
        let Some(place) = self.lock().as_ref().map(|root| root.path().join(volume)) else { return Ok(()) };
        match fs::remove_dir_all(place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Directory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
