//! The commands, each as little of it as is used in hooks and probes.

use std::time::Duration;

use super::{BYTES_MAX, Shell, Streams};
use crate::cluster::embedded::node::tcp::proc;

const NAMES: [&str; 19] = [
    "cat", "echo", "env", "printenv", "ls", "hostname", "true", "false", ":", "sleep", "kill", "test", "[", "touch",
    "rm", "mkdir", "pwd", "id", "nc",
];

/// Whether there is such a command.
pub(super) fn knows(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Runs a command; its exit code, none where there is no such command.
pub(super) async fn run(shell: &Shell, name: &str, arguments: &[String], streams: &mut Streams<'_>) -> Option<i32> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Some(match name {
        "true" | ":" => 0,
        "false" => 1,
        "cat" => cat(shell, &words, streams).await,
        "echo" => echo(&words, streams),
        "env" => {
            shell.env.iter().for_each(|(key, value)| line(&mut streams.out, &format!("{key}={value}")));
            0
        }
        "printenv" => print_env(shell, &words, streams),
        "ls" => each(&words, ".", streams, |path, out| {
            let names = if shell.files.is_dir(path) {
                shell.files.list(path)?
            } else {
                shell.files.mode(path)?;
                vec![path.to_owned()]
            };
            for name in &names {
                line(out, name);
            }
            Ok(())
        }),
        "hostname" => {
            line(&mut streams.out, shell.env.get("HOSTNAME").map_or("localhost", String::as_str));
            0
        }
        "pwd" => {
            line(&mut streams.out, "/");
            0
        }
        "id" => {
            line(&mut streams.out, "uid=0(root) gid=0(root)");
            0
        }
        "touch" => each(&words, "", streams, |path, _| {
            if shell.files.exists(path) { Ok(()) } else { shell.files.write(path, b"", 0o644) }
        }),
        "rm" => {
            let force = words.contains(&"-f");
            each(&words, "", streams, |path, _| match shell.files.remove(path) {
                Err(error) if force && error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                answer => answer,
            })
        }
        "mkdir" => each(&words, "", streams, |path, _| shell.files.create_dir_all(path)),
        "sleep" => sleep(&words, streams).await,
        "kill" => kill(shell, &words, streams),
        "test" | "[" => test(shell, &words, streams, name == "["),
        "nc" => connect(shell, &words, streams).await,
        _ => return None,
    })
}

fn line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

async fn cat(shell: &Shell, words: &[&str], streams: &mut Streams<'_>) -> i32 {
    if words.is_empty() || words == ["-"] {
        while let Some(piece) = streams.input.recv().await {
            if !print(streams, &piece) {
                return 1;
            }
        }
        return 0;
    }
    let mut code = 0;
    for path in words {
        let of_kernel = ["/proc/net/", "/proc/self/net/", "/proc/1/net/"].iter().find_map(|at| path.strip_prefix(at));
        let content = match of_kernel {
            Some(name) => proc::file(name, &shell.network.sockets())
                .map(String::into_bytes)
                .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound)),
            None => shell.files.read(path),
        };
        match content {
            Ok(content) => {
                if !print(streams, &content) {
                    return 1;
                }
            }
            Err(error) => {
                line(&mut streams.err, &format!("cat: can't open '{path}': {}", reason(&error)));
                code = 1;
            }
        }
    }
    code
}

/// Whether there was room.
fn print(streams: &mut Streams<'_>, bytes: &[u8]) -> bool {
    let fits = streams.out.len() + bytes.len() <= BYTES_MAX;
    if fits {
        streams.out.extend_from_slice(bytes);
    } else {
        line(&mut streams.err, "cat: write error: No space left on device");
    }
    fits
}

fn echo(words: &[&str], streams: &mut Streams<'_>) -> i32 {
    match words {
        ["-n", rest @ ..] => streams.out.extend_from_slice(rest.join(" ").as_bytes()),
        all => line(&mut streams.out, &all.join(" ")),
    }
    0
}

fn print_env(shell: &Shell, words: &[&str], streams: &mut Streams<'_>) -> i32 {
    match words {
        [] => shell.env.iter().for_each(|(key, value)| line(&mut streams.out, &format!("{key}={value}"))),
        [name, ..] => match shell.env.get(*name) {
            Some(value) => line(&mut streams.out, value),
            None => return 1,
        },
    }
    0
}

/// Does something with each path; options are no paths.
fn each(
    words: &[&str],
    default: &str,
    streams: &mut Streams<'_>,
    mut with: impl FnMut(&str, &mut Vec<u8>) -> std::io::Result<()>,
) -> i32 {
    let mut paths: Vec<&str> = words.iter().copied().filter(|word| !word.starts_with('-')).collect();
    if paths.is_empty() {
        if default.is_empty() {
            line(&mut streams.err, "missing operand");
            return 1;
        }
        paths.push(if default == "." { "/" } else { default });
    }
    let mut code = 0;
    for path in paths {
        if let Err(error) = with(path, &mut streams.out) {
            line(&mut streams.err, &format!("{path}: {}", reason(&error)));
            code = 1;
        }
    }
    code
}

async fn sleep(words: &[&str], streams: &mut Streams<'_>) -> i32 {
    let Some(text) = words.first() else {
        line(&mut streams.err, "sleep: missing operand");
        return 1;
    };
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) if text.ends_with('m') => (number, 60.0),
        Some(number) if text.ends_with('h') => (number, 3600.0),
        Some(number) => (number, 1.0),
        None if *text == "infinity" => return std::future::pending().await,
        None => (*text, 1.0),
    };
    let duration = number.parse::<f64>().ok().and_then(|number| Duration::try_from_secs_f64(number * unit).ok());
    let Some(duration) = duration else {
        line(&mut streams.err, &format!("sleep: invalid number '{text}'"));
        return 1;
    };
    tokio::time::sleep(duration).await;
    0
}

/// The container has one process, number 1; it cannot be killed from inside, as in any container, but hears SIGTERM.
fn kill(shell: &Shell, words: &[&str], streams: &mut Streams<'_>) -> i32 {
    let (signal, pid) = match words {
        [signal, pid] if signal.starts_with('-') => (signal.trim_start_matches('-'), *pid),
        ["-s", signal, pid] => (*signal, *pid),
        [pid] => ("TERM", *pid),
        _ => {
            line(&mut streams.err, "usage: kill [-SIGNAL] PID");
            return 1;
        }
    };
    if pid != "1" {
        line(&mut streams.err, &format!("kill: can't kill pid {pid}: No such process"));
        return 1;
    }
    if matches!(signal.trim_start_matches("SIG"), "TERM" | "15" | "INT" | "2" | "QUIT" | "3") {
        shell.signal.cancel();
    }
    0
}

fn test(shell: &Shell, words: &[&str], streams: &mut Streams<'_>, bracket: bool) -> i32 {
    let words = match words {
        [inner @ .., "]"] if bracket => inner,
        _ if bracket => {
            line(&mut streams.err, "[: missing ]");
            return 2;
        }
        all => all,
    };
    let (negated, words) = match words {
        ["!", rest @ ..] => (true, rest),
        all => (false, all),
    };
    let holds = match words {
        [] => false,
        [text] | ["-n", text] => !text.is_empty(),
        ["-z", text] => text.is_empty(),
        ["-e", path] => shell.files.exists(path),
        ["-f", path] => shell.files.exists(path) && !shell.files.is_dir(path),
        ["-d", path] => shell.files.is_dir(path),
        ["-s", path] => shell.files.read(path).is_ok_and(|content| !content.is_empty()),
        [a, "=" | "==", b] => a == b,
        [a, "!=", b] => a != b,
        _ => {
            line(&mut streams.err, "test: unknown operand");
            return 2;
        }
    };
    i32::from(holds == negated)
}

/// `nc -z HOST PORT`: whether somebody listens.
async fn connect(shell: &Shell, words: &[&str], streams: &mut Streams<'_>) -> i32 {
    let places: Vec<&str> = words.iter().copied().filter(|word| !word.starts_with('-')).collect();
    let [host, port] = places.as_slice() else {
        line(&mut streams.err, "usage: nc -z HOST PORT");
        return 1;
    };
    let Ok(port) = port.parse() else {
        line(&mut streams.err, &format!("nc: bad port '{port}'"));
        return 1;
    };
    i32::from(shell.network.connect(host, port).await.is_err())
}

/// An error in the words of the C library.
pub(super) fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "No such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "Permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "Is a directory".to_owned(),
        std::io::ErrorKind::StorageFull => "No space left on device".to_owned(),
        _ => error.to_string(),
    }
}
