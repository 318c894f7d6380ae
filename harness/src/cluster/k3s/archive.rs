//! Archives of images: whether a file can be one, before anything is started for it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::K3sError;

/// As much of a file as says what it is: a block of a tar archive.
const BLOCK: usize = 512;

/// Looks into a file.
///
/// # Errors
/// It cannot be read, or is no archive.
pub(super) fn check(path: &Path) -> Result<(), K3sError> {
    let failed = |source| K3sError::Archive { path: path.to_owned(), source };
    let mut head = Vec::with_capacity(BLOCK);
    File::open(path).and_then(|file| file.take(BLOCK as u64).read_to_end(&mut head)).map_err(failed)?;
    if is_archive(&head) {
        return Ok(());
    }
    Err(failed(io::Error::other("it is neither a tar archive nor one packed with gzip or zstd")))
}

/// Whether a file that begins like this is a tar archive, packed or not.
fn is_archive(head: &[u8]) -> bool {
    const GZIP: &[u8] = &[0x1f, 0x8b];
    const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
    head.starts_with(GZIP) || head.starts_with(ZSTD) || head.get(257..262) == Some(b"ustar")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_archive_is_refused_before_anything_is_started() {
        let mut tar = vec![0; BLOCK];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(is_archive(&tar) && is_archive(&[0x1f, 0x8b, 8]) && is_archive(&[0x28, 0xb5, 0x2f, 0xfd]));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("images.tar");
        std::fs::write(&path, "not an archive").unwrap();
        assert!(matches!(check(&path), Err(K3sError::Archive { .. })));
        assert!(matches!(check(&directory.path().join("missing")), Err(K3sError::Archive { .. })));
    }
}
