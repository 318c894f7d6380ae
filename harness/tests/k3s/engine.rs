//! Docker engines: the one that is there, and one that only says which it is.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Failed;

/// What `docker` says.
pub(super) fn docker(arguments: &[&str]) -> Result<String, Failed> {
    let done = Command::new("docker").args(arguments).output();
    let done = done.map_err(|error| format!("docker cannot be run: {error}"))?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).trim().to_owned().into());
    }
    Ok(String::from_utf8(done.stdout)?.trim().to_owned())
}

/// The containers made from images with this label.
pub(super) fn containers(label: &str) -> Result<String, Failed> {
    let filter = format!("label=slipway-test={label}-{}", std::process::id());
    docker(&["ps", "--all", "--filter", &filter, "--format", "{{.ID}} {{.Status}}"])
}

/// Whether the engine runs privileged containers.
pub(super) fn is_privileged(image: &str) -> bool {
    docker(&["run", "--rm", "--privileged", "--entrypoint", "/bin/busybox", image, "true"]).is_ok()
}

/// An engine at a socket that answers every question with its version, which is this one.
pub(super) fn of_version(socket: &Path, engine: &str, api: &str) -> std::io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    let body = format!("{{\"Version\":\"{engine}\",\"ApiVersion\":\"{api}\"}}");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let Ok(copy) = stream.try_clone() else { return };
            for line in BufReader::new(copy).lines() {
                if line.is_ok_and(|line| line.is_empty()) {
                    break;
                }
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
            let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    Ok(())
}
