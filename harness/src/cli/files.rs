//! The files that commands about measurements read and write.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::gate::Found;
use crate::gate::combine::combine;
use crate::gate::measurement::{Measurement, MeasurementError};
use crate::sli::summary::ALIAS;

/// A measurement as it was found.
pub type FoundMeasurement = Found<Result<Measurement, MeasurementError>>;

/// As much as is read of one file: a summary has kilobytes.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Reads a file; the empty name is that of no file, and one without an end is given up.
pub fn read(path: &Path) -> Found<Vec<u8>> {
    if path.as_os_str().is_empty() {
        return Found::Missing;
    }
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > BYTES_MAX => Found::Unreadable(format!("it is larger than {BYTES_MAX} bytes")),
        Ok(_) => Found::Read(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => Found::Missing,
        Err(error) => Found::Unreadable(error.to_string()),
    }
}

/// The files that are meant by paths of files and directories. Of a directory these are the summaries in it and below, without
/// the one that always holds the newest where that is there under its own name too.
///
/// # Errors
/// When a directory cannot be read.
pub fn summaries(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            below(path, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn below(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    entries.sort();
    let (directories, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|path| path.is_dir());
    let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut here: Vec<PathBuf> = files
        .into_iter()
        .filter(|path| {
            let name = name(path);
            // Half-written files end in something else; a name that was taken, in a number.
            let end = name.rsplit('.').next().unwrap_or_default();
            name.starts_with("sli-summary.") && end.starts_with("json")
        })
        .collect();
    if here.len() > 1 {
        here.retain(|path| name(path) != ALIAS);
    }
    found.extend(here);
    directories.iter().try_for_each(|directory| below(directory, found))
}

/// Reads several runs as one measurement: what is wrong with any of them is wrong with all. A file that is there twice is one
/// run.
pub fn measurement(paths: &[PathBuf]) -> FoundMeasurement {
    let mut texts: Vec<Vec<u8>> = Vec::new();
    let mut runs = Vec::new();
    for path in paths {
        match read(path) {
            Found::Read(bytes) if texts.contains(&bytes) => {}
            Found::Read(bytes) => {
                match Measurement::parse(&bytes) {
                    Ok(run) => runs.push(run),
                    error @ Err(_) => return Found::Read(error),
                }
                texts.push(bytes);
            }
            Found::Missing => return Found::Missing,
            Found::Unreadable(why) => return Found::Unreadable(format!("{}: {why}", path.display())),
        }
    }
    combine(runs).map_or(Found::Missing, |all| Found::Read(Ok(all)))
}

/// Writes a file so that it is whole or as it was. What is no file, like a pipe, is written to.
///
/// # Errors
/// Those of the file system.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return fs::write(path, bytes);
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".slipway.").suffix(".tmp").tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"{"schemaVersion":"slo.v3","generatedAt":"2026-11-01T10:00:00Z","results":[]}"#;

    #[test]
    fn a_directory_means_its_summaries_each_once() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir(root.join("more")).unwrap();
        for name in [
            "sli-summary.json",
            "sli-summary.a.x.json",
            "sli-summary.b.x.json-1",
            "other.json",
            "more/sli-summary.json",
        ] {
            fs::write(root.join(name), RUN).unwrap();
        }
        let found = summaries(&[root.to_owned(), "named.json".into()]).unwrap();
        let names: Vec<_> =
            found.iter().map(|path| path.strip_prefix(root).unwrap_or(path).display().to_string()).collect();
        assert_eq!(names, ["sli-summary.a.x.json", "sli-summary.b.x.json-1", "more/sli-summary.json", "named.json"]);
    }

    #[test]
    fn a_file_without_an_end_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sparse");
        fs::File::create(&path).unwrap().set_len(8 << 30).unwrap();
        assert!(matches!(read(&path), Found::Unreadable(why) if why.contains("larger than")));
    }

    #[test]
    fn what_is_wrong_with_one_run_is_wrong_with_all() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        write(&at("good"), RUN.as_bytes()).unwrap();
        write(&at("cut"), &RUN.as_bytes()[..20]).unwrap();
        assert!(matches!(measurement(&[at("good"), at("good")]), Found::Read(Ok(_))));
        assert!(matches!(measurement(&[at("good"), at("cut")]), Found::Read(Err(_))));
        assert!(matches!(measurement(&[at("good"), at("gone")]), Found::Missing));
        assert!(matches!(measurement(&[]), Found::Missing));
    }
}
