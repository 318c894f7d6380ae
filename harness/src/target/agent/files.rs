//! The agent's files, as a container has them through its mounts.

use std::io::{self, ErrorKind};

use slipway_operator::agent::host::{Dir, FileContent, FileRef, HostError, HostErrorKind, HostResult};

use super::host::CHANGE_TIME;
use crate::cluster::embedded::node::program::Process;

/// The file system's answer, as far as it matters to the agent.
fn failed(operation: String, error: &io::Error) -> HostError {
    let kind = match error.kind() {
        ErrorKind::NotFound => HostErrorKind::NotFound,
        ErrorKind::AlreadyExists => HostErrorKind::Exists,
        ErrorKind::ResourceBusy => HostErrorKind::Busy,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => HostErrorKind::Denied,
        ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::Unsupported => HostErrorKind::Invalid,
        _ => HostErrorKind::Other,
    };
    HostError::new(kind, operation, error.to_string())
}

pub(super) fn list(process: &Process, dir: Dir) -> HostResult<Vec<String>> {
    let files = &process.files;
    let names = files.list(dir.path()).map_err(|error| failed(format!("list {}", dir.path()), &error))?;
    Ok(names.into_iter().filter(|name| !files.is_dir(format!("{}/{name}", dir.path()))).collect())
}

pub(super) fn read(process: &Process, file: &FileRef) -> HostResult<FileContent> {
    let files = &process.files;
    let read = || Ok(FileContent { bytes: files.read(file.path())?, mode: files.mode(file.path())? & 0o7777 });
    read().map_err(|error: io::Error| failed(format!("read {file}"), &error))
}

pub(super) async fn write(process: &Process, file: &FileRef, content: &FileContent) -> HostResult<()> {
    tokio::time::sleep(CHANGE_TIME).await;
    let files = &process.files;
    let beside = format!("{}/.{}.multinic-agent", file.dir().path(), file.name());
    let write = || {
        files.write(&beside, &content.bytes, content.mode)?;
        files.set_mode(&beside, content.mode)?;
        files.rename(&beside, file.path())
    };
    write().map_err(|error| {
        // What is left of an attempt is removed by the agent's next run.
        drop(files.remove(&beside));
        failed(format!("write {file}"), &error)
    })
}

pub(super) async fn remove(process: &Process, file: &FileRef) -> HostResult<()> {
    tokio::time::sleep(CHANGE_TIME).await;
    process.files.remove(file.path()).map_err(|error| failed(format!("remove {file}"), &error))
}
