//! However a run ends, its namespaces end with it.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use libtest_mimic::Failed;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use slipway::cluster::embedded::node::netns::{self, leftovers};
use slipway_operator::agent::host::linux::LinuxHost;
use slipway_operator::agent::host::{Host, Link};
use tempfile::TempDir;

use super::surroundings::{Case, Outcome, SLIPWAY, command, configured, everything, file, names_of, run_arguments};

pub(crate) fn trials() -> Vec<Case> {
    vec![
        Case::new("a_run_that_passes_leaves_nothing", passes),
        Case::new("a_run_that_fails_says_what_the_real_link_is_like_and_leaves_nothing", fails),
        Case::new("a_run_that_is_interrupted_leaves_nothing", interrupted),
        Case::new("a_run_that_is_interrupted_twice_leaves_nothing", interrupted_twice),
        Case::new("what_a_killed_run_leaves_is_found_and_removed_by_clean", killed),
    ]
}

fn passes() -> Outcome {
    ends(&configured("netns", "virtual", ""), 0, "1 passed")
}

fn fails() -> Outcome {
    let wrong = "  - expectLink: {node: worker-1, within: 1s, link: {name: multinic1, mtu: 9000}}\n";
    ends(&configured("netns", "virtual", wrong), 1, "+ mtu: 1450")
}

fn ends(scenario: &str, code: i32, says: &str) -> Outcome {
    let (_directory, path) = file(scenario)?;
    let child = command(SLIPWAY, &run_arguments(&path, None)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let process = child.id();
    let output = child.wait_with_output()?;
    let text = everything(&output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(says), "{text}");
    assert_eq!(names_of(process), Vec::<String>::new());
    Ok(())
}

fn interrupted() -> Outcome {
    let (mut run, _directory) = begin()?;
    let name = names_of(run.id()).pop().ok_or("the namespace has no name")?;
    let links = inside(&name)?;
    let link = links.iter().find(|link| link.name == "multinic1").ok_or("the kernel has no such link")?;
    assert_eq!((link.mtu, link.up, link.kind.as_deref()), (1450, true, Some("veth")));
    signal(&run, Signal::SIGINT)?;
    assert_eq!(run.wait()?.code(), Some(1));
    assert_eq!(names_of(run.id()), Vec::<String>::new());
    Ok(())
}

fn interrupted_twice() -> Outcome {
    let (mut run, _directory) = begin()?;
    signal(&run, Signal::SIGINT)?;
    // It may be gone already.
    drop(signal(&run, Signal::SIGINT));
    run.wait()?;
    assert_eq!(names_of(run.id()), Vec::<String>::new());
    Ok(())
}

fn killed() -> Outcome {
    let (mut run, _directory) = begin()?;
    let own = format!("slipway-{}-", run.id());
    let left =
        || leftovers(Path::new(netns::DIRECTORY)).map(|left| left.into_iter().filter(|l| l.name.starts_with(&own)));
    assert_eq!(left()?.count(), 0, "what lives is not left over");
    signal(&run, Signal::SIGKILL)?;
    run.wait()?;
    let found: Vec<_> = left()?.collect();
    assert_eq!(found.len(), 1);
    assert!(inside(&found[0].name).is_err(), "the namespace went with its process");
    let dry = everything(&command(SLIPWAY, &["clean", "--dry-run"]).output()?);
    assert!(dry.contains(&found[0].name) && names_of(run.id()).len() == 1, "{dry}");
    let output = command(SLIPWAY, &["clean"]).output()?;
    assert_eq!(output.status.code(), Some(0), "{}", everything(&output));
    assert_eq!(names_of(run.id()), Vec::<String>::new());
    Ok(())
}

/// A run in real time that has configured its node and goes on.
fn begin() -> Result<(Child, TempDir), Failed> {
    let told = tempfile::tempdir()?;
    let configured_now = told.path().join("configured");
    let then = format!("  - script: {{run: touch {}}}\n  - advance: 1h\n", configured_now.display());
    let (directory, path) = file(&configured("netns", "real", &then))?;
    let mut run = command(SLIPWAY, &run_arguments(&path, None)).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    while !configured_now.exists() {
        if run.try_wait()?.is_some() {
            return Err("the run ended before its node was configured".into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok((run, directory))
}

fn signal(run: &Child, signal: Signal) -> Outcome {
    Ok(kill(Pid::from_raw(run.id().try_into()?), signal)?)
}

/// The links of a named namespace, as anybody sees them who goes in there.
fn inside(name: &str) -> Result<Vec<Link>, Failed> {
    let namespace = File::open(Path::new(netns::DIRECTORY).join(name))?;
    let thread = thread::spawn(move || -> Result<Vec<Link>, String> {
        setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| error.to_string())?.block_on(async {
            let host = LinuxHost::connect("/dev/null", "/dev/null").map_err(|error| error.to_string())?;
            host.links().await.map_err(|error| error.to_string())
        })
    });
    Ok(thread.join().map_err(|_| "the thread panicked")??)
}
