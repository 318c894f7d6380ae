//! File trees as a node or a container sees them: a root directory, and mounts over it.
//!
//! Every path is resolved component by component inside the tree, symbolic links included, so nothing reaches a file
//! outside the root and the mounted sources. Writes to a mount that is read-only are refused as the kernel refuses them.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// As many symbolic links as Linux follows in one path.
const LINKS_MAX: usize = 40;

/// `ELOOP`.
const TOO_MANY_LINKS: i32 = 40;

/// `EXDEV`.
const CROSS_DEVICE: i32 = 18;

/// A directory or file of the machine under a path of the tree.
#[derive(Clone, Debug)]
pub struct Mount {
    /// The path in the tree, absolute and without `.` or `..`.
    pub at: PathBuf,
    /// The directory or file that is seen there.
    pub source: PathBuf,
    /// Writes are refused.
    pub read_only: bool,
}

/// Counts changes, so that whoever waits for a file or link need not look again and again.
#[derive(Clone, Debug)]
pub struct Changes(watch::Sender<u64>);

impl Changes {
    /// A counter at zero.
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Something has changed.
    pub fn mark(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// Hears of every change from now on.
    pub fn listen(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self::new()
    }
}

/// A file tree.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
    read_only_root: bool,
    mounts: Arc<[Mount]>,
    user: User,
    changes: Changes,
}

/// Who uses a tree. Every file counts as root's, but for those that a user has made itself.
#[derive(Clone, Debug)]
enum User {
    Root,
    Other { own: Arc<Mutex<HashSet<PathBuf>>> },
}

/// Where a path leads.
struct Place {
    real: PathBuf,
    read_only: bool,
}

impl Files {
    /// The tree of a node, as root sees it.
    pub fn node(root: PathBuf, changes: Changes) -> Self {
        Self { root, read_only_root: false, mounts: Arc::new([]), user: User::Root, changes }
    }

    /// The tree of a container: its own root with mounts over it.
    pub fn container(root: PathBuf, read_only_root: bool, mut mounts: Vec<Mount>, uid: i64, changes: Changes) -> Self {
        // The longest path first: the innermost mount wins.
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.at.components().count()));
        let user = if uid == 0 { User::Root } else { User::Other { own: Arc::default() } };
        Self { root, read_only_root, mounts: mounts.into(), user, changes }
    }

    /// A file's content.
    ///
    /// # Errors
    /// Those of the file system, as for every method here.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let place = self.place(path.as_ref(), true)?;
        self.permit(&place.real, 0o004)?;
        fs::read(place.real)
    }

    /// Writes a file, in place of what it held; a new one gets the given permission bits.
    ///
    /// # Errors
    /// See [`Files::read`].
    pub fn write(&self, path: impl AsRef<Path>, content: &[u8], mode: u32) -> io::Result<()> {
        let place = self.writable(path.as_ref(), true)?;
        let new = !place.real.exists();
        self.permit(if new { parent(&place.real) } else { &place.real }, 0o002)?;
        fs::write(&place.real, content)?;
        if new {
            fs::set_permissions(&place.real, fs::Permissions::from_mode(mode))?;
            self.made(&place.real);
        }
        self.changes.mark();
        Ok(())
    }

    /// Renames a file, over another where there is one.
    ///
    /// # Errors
    /// See [`Files::read`]; `EXDEV` from one mount to another.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        let (from_mount, to_mount) = (self.mount_of(from.as_ref()), self.mount_of(to.as_ref()));
        let (from, to) = (self.writable(from.as_ref(), false)?, self.writable(to.as_ref(), false)?);
        if from_mount != to_mount {
            return Err(io::Error::from_raw_os_error(CROSS_DEVICE));
        }
        self.permit(parent(&from.real), 0o002)?;
        self.permit(parent(&to.real), 0o002)?;
        fs::rename(&from.real, &to.real)?;
        self.made(&to.real);
        self.changes.mark();
        Ok(())
    }

    /// Removes a file.
    ///
    /// # Errors
    /// See [`Files::read`].
    pub fn remove(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let place = self.writable(path.as_ref(), false)?;
        self.permit(parent(&place.real), 0o002)?;
        fs::remove_file(place.real)?;
        self.changes.mark();
        Ok(())
    }

    /// Makes a directory and those above it.
    ///
    /// # Errors
    /// See [`Files::read`].
    pub fn create_dir_all(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        if self.is_dir(path) {
            return Ok(());
        }
        if let Some(above) = path.parent() {
            self.create_dir_all(above)?;
        }
        let place = self.writable(path, true)?;
        self.permit(parent(&place.real), 0o002)?;
        fs::create_dir(&place.real)?;
        self.made(&place.real);
        self.changes.mark();
        Ok(())
    }

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// See [`Files::read`].
    pub fn list(&self, path: impl AsRef<Path>) -> io::Result<Vec<String>> {
        let place = self.place(path.as_ref(), true)?;
        self.permit(&place.real, 0o004)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(place.real)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// The permission bits of a file or directory.
    ///
    /// # Errors
    /// See [`Files::read`].
    pub fn mode(&self, path: impl AsRef<Path>) -> io::Result<u32> {
        let place = self.place(path.as_ref(), true)?;
        Ok(fs::metadata(place.real)?.permissions().mode() & 0o7777)
    }

    /// Sets the permission bits of a file or directory.
    ///
    /// # Errors
    /// See [`Files::read`].
    pub fn set_mode(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
        let place = self.writable(path.as_ref(), true)?;
        if !self.owns(&place.real) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        fs::set_permissions(place.real, fs::Permissions::from_mode(mode))?;
        self.changes.mark();
        Ok(())
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// See [`Files::read`].
    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> io::Result<()> {
        let place = self.writable(path.as_ref(), false)?;
        self.permit(parent(&place.real), 0o002)?;
        std::os::unix::fs::symlink(target, place.real)?;
        self.changes.mark();
        Ok(())
    }

    /// Whether there is something at a path.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.place(path.as_ref(), true).is_ok_and(|place| place.real.exists())
    }

    /// Whether there is a directory at a path.
    pub fn is_dir(&self, path: impl AsRef<Path>) -> bool {
        self.place(path.as_ref(), true).is_ok_and(|place| place.real.is_dir())
    }

    /// Where a path leads on the machine that runs the cluster, for a program that must be given real paths.
    ///
    /// # Errors
    /// See [`Files::read`]; the last component need not exist.
    pub fn real_path(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        self.place(path.as_ref(), true).map(|place| place.real)
    }

    /// The directory the tree stands in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn writable(&self, path: &Path, follow: bool) -> io::Result<Place> {
        let place = self.place(path, follow)?;
        if place.read_only { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(place) }
    }

    /// Walks a path. Where `follow` is not set, a symbolic link in the last component is the result itself.
    fn place(&self, path: &Path, follow: bool) -> io::Result<Place> {
        let mut seen: Vec<std::ffi::OsString> = Vec::new();
        let mut ahead = components(path)?;
        let mut links = 0;
        while let Some(step) = ahead.pop() {
            if step == ".." {
                // The kernel would stay at the root; a harness would rather be told.
                seen.pop().ok_or(io::ErrorKind::PermissionDenied)?;
                continue;
            }
            seen.push(step);
            let here = self.at(&seen);
            let last = ahead.is_empty();
            if (last && !follow) || !here.real.is_symlink() {
                continue;
            }
            links += 1;
            if links > LINKS_MAX {
                return Err(io::Error::from_raw_os_error(TOO_MANY_LINKS));
            }
            let target = fs::read_link(&here.real)?;
            seen.pop();
            if target.is_absolute() {
                seen.clear();
            }
            ahead.extend(components(&target)?);
        }
        Ok(self.at(&seen))
    }

    /// Where components that hold no symbolic link lead.
    fn at(&self, seen: &[std::ffi::OsString]) -> Place {
        let logical: PathBuf =
            std::iter::once(std::ffi::OsStr::new("/")).chain(seen.iter().map(std::ffi::OsString::as_os_str)).collect();
        for mount in self.mounts.iter() {
            if let Ok(rest) = logical.strip_prefix(&mount.at) {
                let real = if rest.as_os_str().is_empty() { mount.source.clone() } else { mount.source.join(rest) };
                return Place { real, read_only: mount.read_only };
            }
        }
        Place { real: self.root.join(seen.iter().collect::<PathBuf>()), read_only: self.read_only_root }
    }

    fn mount_of(&self, path: &Path) -> Option<usize> {
        self.mounts.iter().position(|mount| path.starts_with(&mount.at))
    }

    /// Asks whether a user other than root may do this to what is root's.
    fn permit(&self, real: &Path, bits: u32) -> io::Result<()> {
        if self.owns(real) || !real.exists() {
            return Ok(());
        }
        let mode = fs::metadata(real)?.permissions().mode();
        if mode & bits == bits { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }

    fn owns(&self, real: &Path) -> bool {
        match &self.user {
            User::Root => true,
            User::Other { own } => own.lock().unwrap_or_else(PoisonError::into_inner).contains(real),
        }
    }

    fn made(&self, real: &Path) {
        if let User::Other { own } = &self.user {
            own.lock().unwrap_or_else(PoisonError::into_inner).insert(real.to_owned());
        }
    }
}

/// The components of a path, the first one last; a relative path counts from the root.
fn components(path: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut steps = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => steps.push(name.to_owned()),
            Component::ParentDir => steps.push("..".into()),
            Component::RootDir | Component::CurDir => {}
            Component::Prefix(_) => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    steps.reverse();
    Ok(steps)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> (tempfile::TempDir, Files) {
        let root = tempfile::tempdir().expect("a directory");
        let files = Files::node(root.path().to_owned(), Changes::new());
        files.create_dir_all("/etc/netplan").expect("made");
        (root, files)
    }

    #[test]
    fn no_path_and_no_link_leads_out_of_the_root() {
        let (_root, files) = node();
        let outside = tempfile::tempdir().expect("a directory");
        std::fs::write(outside.path().join("secret"), b"secret").expect("written");
        let denied = |path: &str| files.read(path).map_err(|error| error.kind());
        assert_eq!(denied("/../etc/passwd"), Err(io::ErrorKind::PermissionDenied));
        assert_eq!(denied("/etc/../../etc/passwd"), Err(io::ErrorKind::PermissionDenied));
        files.symlink(outside.path().join("secret"), "/etc/absolute").expect("made");
        assert_eq!(denied("/etc/absolute"), Err(io::ErrorKind::NotFound), "an absolute link counts from the root");
        files.symlink("../../..", "/etc/upwards").expect("made");
        assert_eq!(denied("/etc/upwards/secret"), Err(io::ErrorKind::PermissionDenied));
        files.symlink("loop", "/etc/loop").expect("made");
        assert_eq!(files.read("/etc/loop").expect_err("endless").raw_os_error(), Some(TOO_MANY_LINKS));
    }

    #[test]
    fn a_link_inside_the_root_is_followed() {
        let (_root, files) = node();
        files.write("/etc/netplan/a", b"a", 0o600).expect("written");
        files.symlink("/etc/netplan", "/plans").expect("made");
        files.symlink("../etc/netplan/a", "/etc/b").expect("made");
        assert_eq!(files.read("/plans/a").expect("read"), b"a");
        assert_eq!(files.read("/etc/b").expect("read"), b"a");
    }

    #[test]
    fn a_container_writes_where_it_is_mounted_and_nowhere_else_on_the_node() {
        let (root, files) = node();
        let own = tempfile::tempdir().expect("a directory");
        let mount = |at: &str, source: &str, read_only| Mount {
            at: PathBuf::from(at),
            source: root.path().join(source),
            read_only,
        };
        let mounts = vec![mount("/host", "etc", true), mount("/host/netplan", "etc/netplan", false)];
        let inside = Files::container(own.path().to_owned(), true, mounts, 0, Changes::new());
        let refused = |path: &str| inside.write(path, b"x", 0o644).map_err(|error| error.kind());
        assert_eq!(refused("/host/x"), Err(io::ErrorKind::ReadOnlyFilesystem), "a read-only mount");
        assert_eq!(refused("/x"), Err(io::ErrorKind::ReadOnlyFilesystem), "a read-only root");
        assert_eq!(refused("/host/netplan/x"), Ok(()), "the innermost mount counts");
        assert_eq!(files.read("/etc/netplan/x").expect("read"), b"x");
    }

    #[test]
    fn who_is_not_root_may_only_what_the_bits_allow() {
        let (root, files) = node();
        files.write("/etc/netplan/private", b"x", 0o600).expect("written");
        let mount = Mount { at: "/etc".into(), source: root.path().join("etc"), read_only: false };
        let own = tempfile::tempdir().expect("a directory");
        let user = Files::container(own.path().to_owned(), false, vec![mount], 1000, Changes::new());
        let denied = Err(io::ErrorKind::PermissionDenied);
        assert_eq!(user.read("/etc/netplan/private").map_err(|error| error.kind()), denied);
        assert_eq!(
            user.write("/etc/netplan/new", b"x", 0o600).map_err(|error| error.kind()),
            Err(io::ErrorKind::PermissionDenied)
        );
        files.set_mode("/etc/netplan", 0o777).expect("set");
        user.write("/etc/netplan/new", b"x", 0o600).expect("a directory for everybody");
        assert_eq!(user.read("/etc/netplan/new").expect("its own file"), b"x");
    }
}
