//! The images that every embedded cluster has beside those that it is given: small scripted programs for scenarios.
//!
//! They are set by environment variables, which [`docs/guide/scenarios.md`] lists; a setting that cannot be read ends the
//! program with code 64 and says so in its log.
//!
//! [`docs/guide/scenarios.md`]: ../../../../../../docs/guide/scenarios.md

mod http_server;
mod setting;
#[cfg(test)]
mod tests;
mod web;

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::program::{Exit, Process, Program, Programs, Script};
use crate::scenario::image::{Image, Runs};
use setting::{Malformed, Settings};

/// The exit code of a program that does not understand its settings (`EX_USAGE`).
const USAGE: i32 = 64;

/// The images, behind those that are there already: whoever gives an image of the same name replaces it.
pub fn all(programs: Programs) -> Programs {
    programs
        .with("slipway.dev/pause*", Pause)
        .with("registry.k8s.io/pause*", Pause)
        .with("slipway.dev/exit*", ExitLater)
        .with("slipway.dev/http-server*", http_server::HttpServer)
}

/// What stands in for images of others.
pub fn stand_ins(programs: Programs, images: &[Image]) -> Programs {
    images.iter().fold(programs, |programs, image| {
        let (pattern, env) = (image.image.clone(), image.env.clone());
        match image.runs {
            Runs::Pause => programs.otherwise(pattern, StandIn { program: Pause, env }),
            Runs::Exit => programs.otherwise(pattern, StandIn { program: ExitLater, env }),
            Runs::HttpServer => programs.otherwise(pattern, StandIn { program: http_server::HttpServer, env }),
        }
    })
}

/// A program with settings of its own: what the container's environment says is meant for another one.
#[derive(Clone, Debug)]
struct StandIn<P> {
    program: P,
    env: BTreeMap<String, String>,
}

impl<P: Program> Program for StandIn<P> {
    fn run(&self, process: Process) -> BoxFuture<'static, Exit> {
        self.program.run(Process { env: self.env.clone(), ..process })
    }

    fn has_commands(&self, _: &BTreeMap<String, String>) -> bool {
        self.program.has_commands(&self.env)
    }
}

/// Runs until it is told to stop.
#[derive(Clone, Copy, Debug)]
struct Pause;

impl Program for Pause {
    fn run(&self, process: Process) -> BoxFuture<'static, Exit> {
        // As the real one, which has a handler for the signal.
        async move {
            process.stop.cancelled().await;
            Exit::SUCCESS
        }
        .boxed()
    }
}

/// Ends by itself.
#[derive(Clone, Copy, Debug)]
struct ExitLater;

impl Program for ExitLater {
    fn run(&self, process: Process) -> BoxFuture<'static, Exit> {
        match script(&process) {
            Ok(script) => script.run(process),
            Err(malformed) => malformed.end(&process).boxed(),
        }
    }
}

fn script(process: &Process) -> Result<Script, Malformed> {
    let settings = Settings(&process.env);
    Ok(Script {
        after: Some(settings.seconds("AFTER_SECONDS")?.unwrap_or_default()),
        output: settings.text("OUTPUT").unwrap_or_default().to_owned(),
        message: settings.text("MESSAGE").map(str::to_owned),
        exit_code: settings.number("EXIT_CODE")?.unwrap_or(0),
        ignores_stop: settings.switch("IGNORE_SIGTERM")?,
    })
}

impl Malformed {
    fn end(self, process: &Process) -> std::future::Ready<Exit> {
        process.log.write(&self.to_string());
        std::future::ready(Exit(USAGE))
    }
}
