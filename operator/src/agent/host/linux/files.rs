//! Configuration files and sysctls of a Linux host. Blocking, since the files are small and few.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::super::{Dir, FileContent, FileRef, HostError, HostErrorKind, HostResult};
use crate::agent::files::TEMPORARY;

/// No configuration file is larger; what is, is none of ours.
const SIZE_MAX: u64 = 1024 * 1024;

/// `ESRCH`, `ENXIO` (an IPv6 address on a link that has no IPv6) and `ENODEV`, which the standard library has no words for.
const NO_SUCH: [i32; 3] = [3, 6, 19];

/// `ERANGE`, for a device name that is too long.
const TOO_LONG: i32 = 34;

/// What an operating system error means to the agent.
pub(super) fn error(operation: impl Into<String>, error: &io::Error) -> HostError {
    let kind = match error.kind() {
        ErrorKind::NotFound => HostErrorKind::NotFound,
        ErrorKind::AlreadyExists => HostErrorKind::Exists,
        ErrorKind::ResourceBusy => HostErrorKind::Busy,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => HostErrorKind::Denied,
        ErrorKind::InvalidInput
        | ErrorKind::InvalidData
        | ErrorKind::AddrNotAvailable
        | ErrorKind::NetworkDown
        | ErrorKind::NetworkUnreachable
        | ErrorKind::Unsupported => HostErrorKind::Invalid,
        _ if error.raw_os_error().is_some_and(|code| NO_SUCH.contains(&code)) => HostErrorKind::NotFound,
        _ if error.raw_os_error() == Some(TOO_LONG) => HostErrorKind::Invalid,
        _ => HostErrorKind::Other,
    };
    HostError::new(kind, operation, error.to_string())
}

fn directory(root: &Path, dir: Dir) -> PathBuf {
    root.join(dir.path().trim_start_matches('/'))
}

/// The names of the regular files in a directory, sorted. Symbolic links lead elsewhere and are not ours.
pub(super) fn list(root: &Path, dir: Dir) -> HostResult<Vec<String>> {
    let failed = |cause: io::Error| error(format!("list {}", dir.path()), &cause);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory(root, dir)).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A name that is not text is none of ours either.
        if let Ok(name) = entry.file_name().into_string()
            && entry.file_type().map_err(failed)?.is_file()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Reads a file with its permission bits.
pub(super) fn read(root: &Path, file: &FileRef) -> HostResult<FileContent> {
    let failed = |cause: io::Error| error(format!("read {file}"), &cause);
    let opened = File::open(directory(root, file.dir()).join(file.name())).map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    let mut bytes = Vec::new();
    opened.take(SIZE_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(FileContent { bytes, mode: metadata.permissions().mode() & 0o7777 })
}

/// Writes a file beside its place, brings it to the disk, and moves it in.
pub(super) fn write(root: &Path, file: &FileRef, content: &FileContent) -> HostResult<()> {
    let failed = |cause: io::Error| error(format!("write {file}"), &cause);
    let directory = directory(root, file.dir());
    let (before, after) = TEMPORARY;
    let temporary = directory.join(format!("{before}{}{after}", file.name()));
    match fs::remove_file(&temporary) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(failed(cause)),
        _ => {}
    }
    let written = fill(&temporary, content).and_then(|()| fs::rename(&temporary, directory.join(file.name())));
    if let Err(cause) = written {
        if let Err(left) = fs::remove_file(&temporary) {
            tracing::debug!(file = %temporary.display(), %left, "an unfinished file stays; the next run removes it");
        }
        return Err(failed(cause));
    }
    sync(&directory).map_err(failed)
}

fn fill(path: &Path, content: &FileContent) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&content.bytes)?;
    file.set_permissions(Permissions::from_mode(content.mode))?;
    file.sync_all()
}

/// Makes a directory's new entries survive a power cut.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Removes a file.
pub(super) fn remove(root: &Path, file: &FileRef) -> HostResult<()> {
    let failed = |cause: io::Error| error(format!("remove {file}"), &cause);
    let directory = directory(root, file.dir());
    fs::remove_file(directory.join(file.name())).map_err(failed)?;
    sync(&directory).map_err(failed)
}

/// Reads one line of text.
pub(super) fn read_text(operation: String, path: &Path) -> HostResult<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim_end().to_owned()),
        Err(cause) => Err(error(operation, &cause)),
    }
}

/// Writes one line of text to a file that is there.
pub(super) fn write_text(operation: String, path: &Path, text: &str) -> HostResult<()> {
    let written = OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|cause| error(operation, &cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, FileRef) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/netplan")).unwrap();
        (root, FileRef::new(Dir::Netplan, "91-multinic1.yaml").unwrap())
    }

    #[test]
    fn a_written_file_has_exactly_its_content_and_mode_and_nothing_is_left_beside_it() {
        let (root, file) = root();
        for mode in [0o600, 0o644] {
            let content = FileContent { bytes: format!("mode {mode}\n").into_bytes(), mode };
            write(root.path(), &file, &content).unwrap();
            assert_eq!(read(root.path(), &file).unwrap(), content);
            assert_eq!(list(root.path(), Dir::Netplan).unwrap(), ["91-multinic1.yaml"]);
        }
        remove(root.path(), &file).unwrap();
        assert_eq!(remove(root.path(), &file).unwrap_err().kind, HostErrorKind::NotFound);
    }

    #[test]
    fn what_an_interrupted_run_left_does_not_stop_the_next_one() {
        let (root, file) = root();
        fs::write(root.path().join("etc/netplan/.91-multinic1.yaml.multinic-agent"), "half").unwrap();
        write(root.path(), &file, &FileContent { bytes: b"whole".to_vec(), mode: 0o600 }).unwrap();
        assert_eq!(list(root.path(), Dir::Netplan).unwrap(), ["91-multinic1.yaml"]);
    }

    #[test]
    fn a_symbolic_link_is_neither_listed_nor_written_through() {
        let (root, file) = root();
        let secret = root.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        std::os::unix::fs::symlink(&secret, root.path().join("etc/netplan/91-multinic1.yaml")).unwrap();
        assert_eq!(list(root.path(), Dir::Netplan).unwrap(), [""; 0]);
        write(root.path(), &file, &FileContent { bytes: b"new".to_vec(), mode: 0o600 }).unwrap();
        assert_eq!(fs::read_to_string(secret).unwrap(), "secret");
    }

    #[test]
    fn a_directory_that_is_not_mounted_is_not_made() {
        let (root, _) = root();
        let file = FileRef::new(Dir::SystemdNetwork, "91-multinic1.link").unwrap();
        let content = FileContent { bytes: vec![], mode: 0o644 };
        assert_eq!(write(root.path(), &file, &content).unwrap_err().kind, HostErrorKind::NotFound);
        assert_eq!(list(root.path(), Dir::SystemdNetwork).unwrap_err().kind, HostErrorKind::NotFound);
    }
}
