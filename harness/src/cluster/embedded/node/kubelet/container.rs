//! One container's life: image, start, end, restart.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::action::Scene;
use super::board::Slot;
use super::pod::Sandbox;
use super::probe::{self, Unhealthy};
use super::volumes::{self, Volumes};
use super::{env, image};
use crate::cluster::embedded::controllers::informer::Key;
use crate::cluster::embedded::controllers::recorder::Severity;
use crate::cluster::embedded::node::containers::Live;
use crate::cluster::embedded::node::files::{Files, Mount};
use crate::cluster::embedded::node::log::Log;
use crate::cluster::embedded::node::program::{Exit, NetworkAccess, Process, Program, TERMINATION_LOG};

/// The wait before the second restart, and the longest one; the first restart does not wait.
const RESTART_BACKOFF: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(5));

/// Running this long makes earlier failures forgotten.
const RESTART_RESET: Duration = Duration::from_mins(10);

/// The wait before a container whose configuration is wrong is tried again.
const CONFIG_RETRY: Duration = Duration::from_secs(10);

/// The most of a termination message that is kept: its end.
const MESSAGE_MAX_BYTES: usize = 4096;

/// The most that a log gives where a failed container has left no message.
const FALLBACK_MAX: (usize, usize) = (80, 2048);

/// How long a container may take to end where its Pod does not say.
const GRACE: Duration = Duration::from_secs(30);

/// The least that a container has after its hook.
const GRACE_AFTER_HOOK: Duration = Duration::from_secs(2);

/// The exit code of a process that was killed.
const KILLED: i32 = 137;

/// The exit code of a process that has aborted, which is what a panic counts as.
const ABORTED: i32 = 134;

/// How a container ended for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With code 0.
    Well,
    /// With another code.
    Badly,
    /// Because the Pod was to stop.
    Stopped,
}

/// Runs a container, again and again as its Pod's restart policy says.
pub(super) async fn run(sandbox: &Sandbox, slot: Slot, container: &Container, volumes: &Volumes) -> Ended {
    let (mut wait, longest) = (None, RESTART_BACKOFF.1);
    loop {
        let Some(program) = image::pull(sandbox, slot, container).await else { return Ended::Stopped };
        let Some(process) = configure(sandbox, slot, container, volumes).await else { return Ended::Stopped };
        let began = Instant::now();
        let code = run_once(sandbox, slot, container, program, process).await;
        if sandbox.stop.is_asked() {
            return Ended::Stopped;
        }
        if !restarts(sandbox, slot, container, code) {
            return if code == 0 { Ended::Well } else { Ended::Badly };
        }
        if began.elapsed() >= RESTART_RESET {
            wait = None;
        }
        if let Some(wait) = wait {
            show_crash_loop(sandbox, slot, container, wait).await;
            if !sandbox.stop.sleep(wait).await {
                return Ended::Stopped;
            }
        }
        wait = Some(wait.map_or(RESTART_BACKOFF.0, |wait| (wait * 2).min(longest)));
        sandbox.board.set(slot, |status| status.restart_count += 1);
    }
}

fn restarts(sandbox: &Sandbox, slot: Slot, container: &Container, code: i32) -> bool {
    let policy = sandbox.spec.restart_policy.as_deref().unwrap_or("Always");
    match (slot, policy) {
        _ if container.restart_policy.as_deref() == Some("Always") => true,
        (_, "Never") => false,
        (Slot::Init(_), _) | (Slot::Main(_), "OnFailure") => code != 0,
        (Slot::Main(_), _) => true,
    }
}

/// Puts a container's surroundings together, however often that takes; none when the Pod is to stop before.
async fn configure(sandbox: &Sandbox, slot: Slot, container: &Container, volumes: &Volumes) -> Option<Process> {
    loop {
        let sources = sandbox.sources().await;
        let attempt = sandbox.board.get(slot).restart_count;
        let process = env::environment(&sandbox.pod, container, &sources, &sandbox.addresses)
            .and_then(|environment| process(sandbox, container, attempt, environment, volumes));
        match process {
            Ok(process) => return Some(process),
            Err(message) => {
                image::wait_for(sandbox, slot, "CreateContainerConfigError", &message);
                sandbox.event(Severity::Warning, "Failed", format!("Error: {message}")).await;
            }
        }
        if !sandbox.stop.sleep(CONFIG_RETRY).await {
            return None;
        }
    }
}

fn process(
    sandbox: &Sandbox,
    container: &Container,
    attempt: i32,
    environment: BTreeMap<String, String>,
    volumes: &Volumes,
) -> Result<Process, String> {
    let own = container.security_context.clone().unwrap_or_default();
    let of_pod = sandbox.spec.security_context.clone().unwrap_or_default();
    let user = own.run_as_user.or(of_pod.run_as_user).unwrap_or(0);
    if own.run_as_non_root.or(of_pod.run_as_non_root) == Some(true) && user == 0 {
        let given = own.run_as_user.or(of_pod.run_as_user).is_some();
        let pod = format!("{}_{}", sandbox.pod.name_any(), sandbox.pod.namespace().unwrap_or_default());
        let what = if given {
            "container's runAsUser breaks non-root policy"
        } else {
            "container has runAsNonRoot and image will run as root"
        };
        return Err(format!("{what} (pod: \"{pod}\", container: {})", container.name));
    }
    let changes = sandbox.kubelet.machine.changes().clone();
    let termination_log = container.termination_message_path.clone().unwrap_or_else(|| TERMINATION_LOG.to_owned());
    let broken = |error: std::io::Error| format!("cannot make the container's root: {error}");
    let (root, message_file) = make_root(sandbox.home(), &container.name, attempt).map_err(broken)?;
    let mut mounts = volumes::mounts(container, volumes, &environment)?;
    mounts.push(Mount { at: PathBuf::from(&termination_log), source: message_file, read_only: false });
    let read_only = own.read_only_root_filesystem == Some(true);
    let log = Log::timed(sandbox.kubelet.clock);
    sandbox.kubelet.logs.begin(&Key::of(sandbox.pod.as_ref()), &container.name, log.clone());
    let privileged = own.privileged == Some(true);
    // Capabilities that are added reach root only.
    let net_admin = user == 0 && (privileged || adds(&own, "NET_ADMIN"));
    Ok(Process {
        node: sandbox.kubelet.node.clone(),
        args: env::arguments(container, &environment),
        env: environment,
        files: Files::container(root, read_only, mounts, user, changes.clone()),
        network: NetworkAccess::new(sandbox.network.clone(), net_admin, privileged && user == 0, changes),
        tcp: sandbox.tcp()?,
        log,
        termination_log,
        stop: CancellationToken::new(),
    })
}

fn adds(context: &SecurityContext, capability: &str) -> bool {
    let listed = |list: Option<&Vec<String>>, name: &str| {
        list.into_iter().flatten().any(|listed| listed.trim_start_matches("CAP_") == name)
    };
    let capabilities = context.capabilities.as_ref();
    let added = capabilities.and_then(|capabilities| capabilities.add.as_ref());
    listed(added, capability) || listed(added, "ALL")
}

/// Makes the root that a container starts with, and the file for its last words, and returns both.
fn make_root(home: &Path, container: &str, attempt: i32) -> std::io::Result<(PathBuf, PathBuf)> {
    let place = home.join("containers").join(container);
    // What an earlier attempt has left unmounted is lost, as in any container.
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    let root = place.join("root");
    for directory in ["dev", "etc", "tmp", "var"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    let message_file = place.join(format!("termination-log-{attempt}"));
    fs::write(&message_file, b"")?;
    fs::set_permissions(&message_file, fs::Permissions::from_mode(0o666))?;
    Ok((root, message_file))
}

/// Runs a program once, shows its start and end, and returns its exit code.
async fn run_once(
    sandbox: &Sandbox,
    slot: Slot,
    container: &Container,
    program: Arc<dyn Program>,
    process: Process,
) -> i32 {
    if sandbox.stop.is_asked() {
        return KILLED;
    }
    let name = &container.name;
    let started = sandbox.kubelet.clock.now();
    let id =
        format!("slipway://{}-{name}-{}", sandbox.pod.uid().unwrap_or_default(), sandbox.board.get(slot).restart_count);
    sandbox.event(Severity::Normal, "Created", format!("Created container: {name}")).await;
    sandbox.board.set(slot, |status| {
        let running = ContainerStateRunning { started_at: Some(Time(started)) };
        let before = status.state.replace(ContainerState { running: Some(running), ..ContainerState::default() });
        if let Some(before) = before.filter(|before| before.terminated.is_some()) {
            status.last_state = Some(before);
        }
        status.started = Some(container.startup_probe.is_none());
        // An init container is ready when it has ended well, and one with probes when they say so.
        let probed = container.startup_probe.is_some() || container.readiness_probe.is_some();
        status.ready = !probed && (matches!(slot, Slot::Main(_)) || container.restart_policy.is_some());
        status.image_id = format!("slipway://{}", status.image);
        status.container_id = Some(id.clone());
    });
    sandbox.event(Severity::Normal, "Started", format!("Started container {name}")).await;
    let (log, files, message_path) = (process.log.clone(), process.files.clone(), process.termination_log.clone());
    let signal = process.stop.clone();
    let live = Live {
        env: process.env.clone(),
        files: files.clone(),
        network: process.tcp.clone(),
        signal: signal.clone(),
        ended: CancellationToken::new(),
        has_commands: program.has_commands(&process.env),
    };
    let place = sandbox.kubelet.containers.enter(&sandbox.pod.uid().unwrap_or_default(), name, live.clone());
    let scene = Scene { sandbox, container, live: &live };
    let healthy = CancellationToken::new();
    let program = AssertUnwindSafe(async move { program.run(process).await }).catch_unwind();
    let code = tokio::select! {
        biased;
        ended = program => match ended {
            Ok(Exit(code)) => code,
            Err(panic) => {
                log.write(&format!("panicked: {}", panic_text(panic.as_ref())));
                ABORTED
            }
        },
        () = stop(scene, slot, &healthy, &signal) => KILLED,
        never = probe::readiness(scene, slot, &healthy) => match never {},
    };
    drop(place);
    log.end();
    let message = last_words(&files, &message_path, container, code, &log);
    let ended = terminated(code, message, started, sandbox.kubelet.clock.now(), id);
    sandbox.board.set(slot, |status| {
        status.state = Some(ContainerState { terminated: Some(ended), ..ContainerState::default() });
        status.started = Some(false);
        status.ready = matches!(slot, Slot::Init(_)) && code == 0;
    });
    code
}

/// Waits until a container is to end, for its Pod's sake or its own, and asks it to; returns when it is to be killed.
async fn stop(scene: Scene<'_>, slot: Slot, healthy: &CancellationToken, signal: &CancellationToken) {
    let Scene { sandbox, container, .. } = scene;
    let (message, own_end) = tokio::select! {
        biased;
        () = sandbox.stop.asked() => (format!("Stopping container {}", container.name), None),
        failed = keep(scene, slot, healthy) => {
            let given = sandbox.spec.termination_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            let grace = failed.grace.or(given.map(Duration::from_secs)).unwrap_or(GRACE);
            (failed.message, Some(Instant::now() + grace))
        }
    };
    let ask = async {
        let Some(hook) = container.lifecycle.as_ref().and_then(|hooks| hooks.pre_stop.as_ref()) else {
            signal.cancel();
            return over(sandbox, own_end).await;
        };
        tokio::select! {
            done = scene.hook(hook) => if let Err(why) = done {
                sandbox.event(Severity::Warning, "FailedPreStopHook", format!("PreStopHook failed: {why}")).await;
            },
            () = over(sandbox, own_end) => {}
        }
        signal.cancel();
        // Whoever was asked late has a moment all the same.
        tokio::join!(tokio::time::sleep(GRACE_AFTER_HOOK), over(sandbox, own_end));
    };
    // A program that ends at once must not take the Event with it.
    sandbox.event(Severity::Normal, "Killing", message).await;
    ask.await;
}

/// Waits until there is no more time to end in.
async fn over(sandbox: &Sandbox, own_end: Option<Instant>) {
    match own_end {
        None => sandbox.stop.killed().await,
        Some(end) => tokio::select! {
            () = sandbox.stop.killed() => {}
            () = tokio::time::sleep_until(end) => {}
        },
    }
}

/// Why a container is to be killed though its Pod goes on.
struct Failed {
    message: String,
    grace: Option<Duration>,
}

/// Starts a container's hook and probes; returns when one of them has failed it.
async fn keep(scene: Scene<'_>, slot: Slot, healthy: &CancellationToken) -> Failed {
    let Scene { sandbox, container, .. } = scene;
    let name = &container.name;
    if let Some(hook) = container.lifecycle.as_ref().and_then(|hooks| hooks.post_start.as_ref())
        && let Err(why) = scene.hook(hook).await
    {
        sandbox.event(Severity::Warning, "FailedPostStartHook", format!("PostStartHook failed: {why}")).await;
        return Failed { message: format!("FailedPostStartHook: container {name} will be restarted"), grace: None };
    }
    let Unhealthy { kind, grace } = probe::health(scene, slot, healthy).await;
    Failed { message: format!("Container {name} failed {kind} probe, will be restarted"), grace }
}

fn terminated(
    code: i32,
    message: Option<String>,
    started: Timestamp,
    finished: Timestamp,
    id: String,
) -> ContainerStateTerminated {
    ContainerStateTerminated {
        exit_code: code,
        reason: Some(if code == 0 { "Completed" } else { "Error" }.to_owned()),
        message,
        started_at: Some(Time(started)),
        finished_at: Some(Time(finished)),
        container_id: Some(id),
        signal: None,
    }
}

/// What a container has left as its last words.
fn last_words(files: &Files, path: &str, container: &Container, code: i32, log: &Log) -> Option<String> {
    let written = files.read(path).unwrap_or_default();
    let from = written.len().saturating_sub(MESSAGE_MAX_BYTES);
    let text = String::from_utf8_lossy(written.get(from..).unwrap_or_default()).into_owned();
    if !text.is_empty() {
        return Some(text);
    }
    let falls_back = container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
    let (lines, bytes) = FALLBACK_MAX;
    Some(log.tail(lines, bytes)).filter(|text| falls_back && code != 0 && !text.is_empty())
}

/// Shows that a container waits before it is started again.
async fn show_crash_loop(sandbox: &Sandbox, slot: Slot, container: &Container, wait: Duration) {
    let (name, pod) = (&container.name, &sandbox.pod);
    let place =
        format!("{}_{}({})", pod.name_any(), pod.namespace().unwrap_or_default(), pod.uid().unwrap_or_default());
    let waits = text_of(wait);
    sandbox.board.set(slot, |status| status.last_state = status.state.take());
    let message = format!("back-off {waits} restarting failed container={name} pod={place}");
    image::wait_for(sandbox, slot, "CrashLoopBackOff", &message);
    let message = format!("Back-off restarting failed container {name} in pod {place}");
    sandbox.event(Severity::Warning, "BackOff", message).await;
}

/// A duration as Go writes it: `10s`, `1m20s`, `5m0s`.
fn text_of(wait: Duration) -> String {
    match (wait.as_secs() / 60, wait.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
