//! Whether a command can be run: our own are read by their own parsers, cargo's by cargo.

use std::process::Command;
use std::sync::OnceLock;

use clap::Parser;
use clap::error::ErrorKind;
use serde_json::Value;
use slipway::cli::args::{Args, Command as Slipway};
use slipway::cli::gate::GateUsageError;

use super::root;

/// Programs of others: what runners and the machines of readers have.
const OTHERS: [&str; 33] = [
    "[",
    "apt-get",
    "awk",
    "cat",
    "cd",
    "chmod",
    "cp",
    "curl",
    "cut",
    "docker",
    "echo",
    "env",
    "exit",
    "export",
    "gh",
    "git",
    "grep",
    "head",
    "helm",
    "jq",
    "kind",
    "kubectl",
    "mkdir",
    "mv",
    "printf",
    "rm",
    "sed",
    "set",
    "sha256sum",
    "sort",
    "sudo",
    "tee",
    "test",
];

/// More of them, which only readers have.
const OF_READERS: [&str; 7] = ["ip", "setup-envtest", "tilt", "kubectl-slipway", "rustup", "tar", "wait"];

/// Whether it is there, with these arguments.
///
/// # Errors
/// What is not there.
pub(crate) fn check(words: &[String]) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    match program.rsplit('/').next().unwrap_or_default() {
        "slipway" => slipway(arguments),
        "slipway-operator" => operator(arguments),
        "multinic-agent" => Ok(()),
        "cargo" => cargo(arguments),
        "sudo" | "env" => check(&arguments.iter().skip_while(|word| word.contains('=')).cloned().collect::<Vec<_>>()),
        "bash" | "sh" => match arguments.iter().find(|argument| !argument.starts_with('-')) {
            Some(script) => exists(script),
            None => Err("runs no script".to_owned()),
        },
        _ if program.starts_with("./") || program.starts_with('.') || program.starts_with("operator/") => {
            exists(program)
        }
        "sysctl" => Ok(()),
        name if OTHERS.contains(&name) || OF_READERS.contains(&name) => Ok(()),
        name => Err(format!("nobody knows {name:?}")),
    }
}

fn exists(path: &str) -> Result<(), String> {
    if path.contains('$') || root().join(path).is_file() { Ok(()) } else { Err(format!("there is no {path}")) }
}

fn slipway(arguments: &[String]) -> Result<(), String> {
    let line = std::iter::once("slipway").chain(arguments.iter().map(String::as_str));
    let args = match Args::try_parse_from(line) {
        Ok(args) => args,
        Err(error) => return judged(&error, arguments),
    };
    match args.command {
        Slipway::Gate(gate) => match gate.settings() {
            Ok(_) | Err(GateUsageError::Help) => Ok(()),
            Err(error) => Err(error.to_string()),
        },
        _ => Ok(()),
    }
}

fn operator(arguments: &[String]) -> Result<(), String> {
    let line = std::iter::once("slipway-operator").chain(arguments.iter().map(String::as_str));
    slipway_operator::cli::Args::try_parse_from(line).map(drop).or_else(|error| judged(&error, arguments))
}

/// A value that only the shell knows cannot be wrong yet, nor can help.
fn judged(error: &clap::Error, arguments: &[String]) -> Result<(), String> {
    let of_the_shell = arguments.iter().any(|argument| argument.contains('$') || argument.contains('…'));
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(()),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if of_the_shell => Ok(()),
        _ => Err(error.to_string()),
    }
}

fn run_cargo(arguments: &[&str]) -> Option<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo).args(arguments).current_dir(root()).output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Cargo's subcommands that come with Rust, and what only those know who install it.
fn cargo(arguments: &[String]) -> Result<(), String> {
    const OURS: [&str; 9] = ["bench", "build", "check", "clippy", "doc", "fmt", "install", "run", "test"];
    let mut words = arguments.iter().map(String::as_str).skip_while(|word| word.starts_with('+'));
    let subcommand = words.next().unwrap_or_default();
    if subcommand == "deny" {
        return Ok(());
    }
    if !OURS.contains(&subcommand) {
        return Err(format!("cargo has no {subcommand:?}"));
    }
    let words: Vec<&str> = words.collect();
    let (own, passed) = match words.iter().position(|word| *word == "--") {
        Some(at) => (&words[..at], &words[at + 1..]),
        None => (&words[..], &[][..]),
    };
    let help = run_cargo(&[subcommand, "--help"]).unwrap_or_default();
    for flag in own.iter().filter(|word| word.starts_with("--")) {
        let name = flag.split('=').next().unwrap_or_default();
        // Where cargo has no page to show, there is nothing to hold it against.
        if !help.is_empty() && !help.contains(name) {
            return Err(format!("cargo {subcommand} has no {name}"));
        }
    }
    let value = |flags: &[&str]| {
        let at = own.iter().position(|word| flags.contains(word))?;
        own.get(at + 1).copied()
    };
    let program = value(&["--bin"]);
    for (flags, kind) in [(&["--bin"][..], "bin"), (&["--test"], "test"), (&["--bench"], "bench")] {
        if let Some(name) =
            value(flags).filter(|name| subcommand != "install" && !targets(kind).contains(&(*name).to_owned()))
        {
            return Err(format!("there is no {kind} {name:?}, only {:?}", targets(kind)));
        }
    }
    if let Some(package) = value(&["-p", "--package"]).filter(|name| !packages().contains(&(*name).to_owned())) {
        return Err(format!("there is no package {package:?}"));
    }
    if subcommand != "run" {
        return Ok(());
    }
    let line: Vec<String> = program.into_iter().chain(passed.iter().copied()).map(str::to_owned).collect();
    check(&line)
}

fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let text = run_cargo(&["metadata", "--no-deps", "--offline", "--format-version=1"]);
        serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default()
    })
}

fn packages() -> Vec<String> {
    let packages = metadata()["packages"].as_array().into_iter().flatten();
    packages.filter_map(|package| Some(package["name"].as_str()?.to_owned())).collect()
}

fn targets(kind: &str) -> Vec<String> {
    let packages = metadata()["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let targets =
        targets.filter(|target| target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|it| it == kind)));
    targets.filter_map(|target| Some(target["name"].as_str()?.to_owned())).collect()
}
