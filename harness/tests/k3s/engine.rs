//! Docker engines: the one that is there, one that only says which it is, and one that takes privileges for granted.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
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

/// Where the engine's socket is, if it has one.
pub(super) fn socket() -> Option<PathBuf> {
    match std::env::var("DOCKER_HOST") {
        Ok(host) => host.strip_prefix("unix://").map(PathBuf::from),
        Err(_) => Some(PathBuf::from("/var/run/docker.sock")),
    }
}

/// An engine at a socket that runs what should be privileged without privileges, but for the right to make links: the one
/// that is there, with every request for a container changed. For machines on which nobody may have all rights.
pub(super) fn unprivileged(socket: &Path) -> std::io::Result<()> {
    let engine = self::socket().ok_or(std::io::ErrorKind::NotFound)?;
    let listener = UnixListener::bind(socket)?;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(client), Ok(server)) = (stream, UnixStream::connect(&engine)) else { return };
            // A client that has hung up says so itself.
            std::thread::spawn(move || drop(pass_on(&client, &server)));
        }
    });
    Ok(())
}

/// Passes one request on, changed where it is for a container, and then whatever comes.
fn pass_on(client: &UnixStream, server: &UnixStream) -> std::io::Result<()> {
    let mut asked = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        asked.read_line(&mut line)?;
        let lower = line.to_ascii_lowercase();
        match lower.split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().unwrap_or_default(),
            Some(("connection", _)) if !lower.contains("upgrade") => {}
            _ if line.trim().is_empty() => break,
            _ => head.push(line),
        }
    }
    let upgrades = head.iter().any(|line| line.to_ascii_lowercase().starts_with("upgrade:"));
    let is_create = head.first().is_some_and(|line| line.starts_with("POST") && line.contains("/containers/create"));
    let mut body = Vec::new();
    if is_create {
        body.resize(length, 0);
        asked.read_exact(&mut body)?;
        body = without_privileges(&body);
        length = body.len();
    }
    let mut to_server = server.try_clone()?;
    // One request each, so that none passes by unseen.
    let connection = if upgrades { "" } else { "Connection: close\r\n" };
    let length = if length > 0 { format!("Content-Length: {length}\r\n") } else { String::new() };
    write!(to_server, "{}{connection}{length}\r\n", head.concat())?;
    to_server.write_all(&body)?;
    let (mut answers, mut to_client) = (server.try_clone()?, client.try_clone()?);
    let answering = std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut asked, &mut to_server);
    let _ = to_server.shutdown(Shutdown::Write);
    answering.join().map_err(|_| std::io::Error::other("the answer was not passed on"))
}

fn without_privileges(body: &[u8]) -> Vec<u8> {
    let Ok(mut request) = serde_json::from_slice::<serde_json::Value>(body) else { return body.to_vec() };
    let host = &mut request["HostConfig"];
    if host["Privileged"] == true {
        host["Privileged"] = false.into();
        host["UsernsMode"] = "".into();
        host["CapAdd"] = serde_json::json!(["NET_ADMIN"]);
    }
    request.to_string().into_bytes()
}
