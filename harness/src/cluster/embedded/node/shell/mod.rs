//! The commands of a container: a small set that a slim image would have, and a shell that puts them together.
//!
//! They see what the container's program sees: its files, its environment, its Pod's sockets. `/proc/net` is made from the
//! latter when it is read. A command that is not here is not in the image.

mod commands;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use slipway_apiserver::gateway::Output;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::files::Files;
use super::program::PodNetwork;
use parse::{Joint, Redirect, Simple, Target};

/// The exit code of a shell for a command that is not there.
const NOT_FOUND: i32 = 127;

/// The exit code of a shell that does not understand.
const SYNTAX: i32 = 2;

/// As much as one command may print, and as much of a script as is read: a node is not filled up by accident.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Whether a program is in the image.
pub(super) fn knows(program: &str) -> bool {
    let name = program.rsplit_once('/').map_or(program, |(_, name)| name);
    matches!(name, "sh" | "ash" | "bash") || commands::knows(name)
}

/// What a command has around it.
#[derive(Clone, Debug)]
pub(super) struct Shell {
    pub(super) env: BTreeMap<String, String>,
    pub(super) files: Files,
    pub(super) network: PodNetwork,
    /// The signal to the container's first process.
    pub(super) signal: CancellationToken,
    pub(super) output: mpsc::Sender<Output>,
}

/// What a command gets and gives.
pub(super) struct Streams<'a> {
    pub(super) input: &'a mut mpsc::UnboundedReceiver<Bytes>,
    pub(super) out: Vec<u8>,
    pub(super) err: Vec<u8>,
}

impl Shell {
    /// Runs a command; its exit code.
    pub(super) async fn run(self, command: &[String], mut input: mpsc::UnboundedReceiver<Bytes>) -> i32 {
        let name = command.first().map_or("", |program| program.rsplit_once('/').map_or(&**program, |(_, name)| name));
        match (name, command) {
            ("sh" | "ash" | "bash", [_, options, script, ..]) if options.starts_with('-') && options.ends_with('c') => {
                self.script(script, &mut input).await
            }
            ("sh" | "ash" | "bash", [_]) => {
                let mut script = Vec::new();
                while let Some(piece) = input.recv().await {
                    if script.len() + piece.len() > BYTES_MAX {
                        self.print(Vec::new(), b"sh: the script is too long\n".to_vec()).await;
                        return SYNTAX;
                    }
                    script.extend_from_slice(&piece);
                }
                self.script(&String::from_utf8_lossy(&script), &mut input).await
            }
            ("sh" | "ash" | "bash", _) => {
                self.print(Vec::new(), b"sh: only `sh -c SCRIPT` and scripts on standard input are run\n".to_vec())
                    .await;
                SYNTAX
            }
            _ => {
                let simple = Simple { words: command.to_vec(), redirects: Vec::new() };
                self.simple(&simple, &mut input).await
            }
        }
    }

    /// Runs a script: simple commands, joined by `;`, `&&`, `||` and new lines.
    async fn script(&self, script: &str, input: &mut mpsc::UnboundedReceiver<Bytes>) -> i32 {
        let steps = match parse::script(script, &self.env) {
            Ok(steps) => steps,
            Err(why) => {
                self.print(Vec::new(), format!("sh: syntax error: {why}\n").into_bytes()).await;
                return SYNTAX;
            }
        };
        let mut code = 0;
        for (joint, simple) in steps {
            let runs = match joint {
                Joint::Always => true,
                Joint::And => code == 0,
                Joint::Or => code != 0,
            };
            if !runs {
                continue;
            }
            if simple.words.first().is_some_and(|word| word == "exit") {
                return simple.words.get(1).and_then(|code| code.parse().ok()).unwrap_or(code);
            }
            code = self.simple(&simple, input).await;
        }
        code
    }

    async fn simple(&self, simple: &Simple, input: &mut mpsc::UnboundedReceiver<Bytes>) -> i32 {
        let mut streams = Streams { input, out: Vec::new(), err: Vec::new() };
        let mut words: &[String] = &simple.words;
        // `exec` replaces a shell that has nothing left to do.
        if let [first, rest @ ..] = words
            && first == "exec"
        {
            words = rest;
        }
        let name = words.first().map_or("", |program| program.rsplit_once('/').map_or(&**program, |(_, name)| name));
        let mut code = match words {
            [] => 0,
            [program, _, script, ..] if matches!(name, "sh" | "ash" | "bash") => {
                let _ = program;
                Box::pin(self.script(script, streams.input)).await
            }
            [program, arguments @ ..] => {
                let known = commands::run(self, name, arguments, &mut streams).await;
                known.unwrap_or_else(|| {
                    streams.err.extend_from_slice(format!("sh: {program}: not found\n").as_bytes());
                    NOT_FOUND
                })
            }
        };
        for Redirect { from_errors, to } in &simple.redirects {
            let bytes = std::mem::take(if *from_errors { &mut streams.err } else { &mut streams.out });
            let written = match to {
                Target::Errors => {
                    streams.err.extend_from_slice(&bytes);
                    Ok(())
                }
                Target::Output => {
                    streams.out.extend_from_slice(&bytes);
                    Ok(())
                }
                Target::File { path, .. } if path == "/dev/null" => Ok(()),
                Target::File { path, append } => {
                    let before = if *append { self.files.read(path).unwrap_or_default() } else { Vec::new() };
                    if before.len() + bytes.len() > BYTES_MAX {
                        Err(std::io::ErrorKind::StorageFull.into())
                    } else {
                        self.files.write(path, &[before, bytes].concat(), 0o644)
                    }
                }
            };
            if let (Err(error), Target::File { path, .. }) = (written, to) {
                streams
                    .err
                    .extend_from_slice(format!("sh: can't create {path}: {}\n", commands::reason(&error)).as_bytes());
                code = 1;
            }
        }
        self.print(streams.out, streams.err).await;
        code
    }

    /// Whoever does not read any more loses what is printed.
    async fn print(&self, out: Vec<u8>, err: Vec<u8>) {
        if !out.is_empty() {
            let _ = self.output.send(Output::Out(out.into())).await;
        }
        if !err.is_empty() {
            let _ = self.output.send(Output::Err(err.into())).await;
        }
    }
}
