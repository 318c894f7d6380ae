//! `slipway run --cluster k3s`, as far as it goes without k3s's own image: containers are made, reached and removed by the
//! product's own path, on images built here in which our API server takes k3s's place. What needs no engine always runs;
//! the rest is counted as ignored where there is none, and what is lacking is said.

#![expect(clippy::print_stdout, reason = "a test, although without the harness that says so")]

mod engine;
mod image;
mod nodes;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, ExitCode, Output, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What a case comes to.
type Outcome = Result<(), Failed>;

/// What is tried.
type Case = fn() -> Outcome;

/// A scenario that ends at once, and one that waits for what never comes.
const GREETED: &str = "
apiVersion: slipway.dev/v1alpha1
kind: Scenario
metadata: {name: greeted}
operator: {controllers: [hello]}
steps:
  - apply:
      manifest: {apiVersion: demo.example.com/v1alpha1, kind: Hello, metadata: {name: world}, spec: {}}
  - expect: {resource: hello, name: world, object: {status: {greeting: GREETING}}, within: WITHIN}
";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let lacking = image::lacking();
    let mut trials = without_engine();
    trials.extend(with_engine(lacking.as_deref()));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if lacking.is_none() {
        image::remove_all();
    }
    conclusion.exit_code()
}

fn without_engine() -> Vec<Trial> {
    vec![
        Trial::test("without_a_docker_engine_it_is_said_how_to_get_one", no_engine),
        Trial::test("an_engine_at_a_strange_address_is_refused", strange_address),
        Trial::test("an_engine_that_is_too_old_is_named_with_what_it_speaks", too_old),
        Trial::test("an_image_without_a_tag_is_bad_usage", no_tag),
        Trial::test("images_are_built_for_k3s_with_a_kubelet_only", build_for_nobody),
        Trial::test("an_image_archive_that_is_none_is_refused_before_anything_is_started", no_archive),
    ]
}

fn with_engine(lacking: Option<&str>) -> Vec<Trial> {
    let cases: [(&str, Case); 14] = [
        ("scenarios_run_on_k3s_and_nothing_of_it_stays", passes),
        ("a_scenario_that_fails_on_k3s_leaves_no_container_either", fails),
        ("each_scenario_has_k3s_to_itself_where_that_is_asked_for", isolated),
        ("an_interrupted_run_removes_k3s", interrupted),
        ("what_a_killed_run_leaves_is_found_and_removed", killed),
        ("k3s_is_removed_when_somebody_stops_waiting_for_it", interrupted_while_starting),
        ("k3s_that_dies_at_start_is_shown_with_its_last_lines", dies),
        ("k3s_that_never_writes_its_kubeconfig_is_not_waited_for_for_ever", idles),
        ("k3s_whose_api_server_never_answers_is_not_waited_for_for_ever", deaf),
        ("a_kubeconfig_that_is_none_is_refused", garbled),
        ("an_image_that_is_not_here_and_cannot_be_pulled_is_named", missing),
        ("an_image_that_is_not_k3s_is_told_from_one_that_is", not_k3s),
        ("a_port_that_is_taken_is_named", port_taken),
        ("privileges_are_asked_for_and_done_without", privileges),
    ];
    if let Some(lacking) = lacking {
        println!("skipped {} cases: {lacking}", cases.len());
    }
    let lacking_for_nodes = image::lacking_for_nodes();
    if let (None, Some(lacking)) = (lacking, &lacking_for_nodes) {
        println!("skipped {} cases of real nodes: {lacking}", nodes::CASES.len());
    }
    let trial = |(name, case): (&str, Case), ignored| Trial::test(name, case).with_ignored_flag(ignored);
    let trials = cases.into_iter().map(|one| trial(one, lacking.is_some()));
    trials.chain(nodes::CASES.into_iter().map(|one| trial(one, lacking_for_nodes.is_some()))).collect()
}

/// `slipway run --cluster k3s` of one scenario.
fn run(arguments: &[&str]) -> Result<(tempfile::TempDir, Command), Failed> {
    scenario("Hello*", "30s", arguments)
}

fn scenario(greeting: &str, within: &str, arguments: &[&str]) -> Result<(tempfile::TempDir, Command), Failed> {
    let greeting = if greeting == "Hello*" { "\"Hello, world!\"" } else { greeting };
    of_file(&GREETED.replace("GREETING", greeting).replace("WITHIN", within), arguments)
}

fn of_file(text: &str, arguments: &[&str]) -> Result<(tempfile::TempDir, Command), Failed> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("greeted.yaml");
    fs::write(&file, text)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command.arg("run").arg(&file).args(["--no-sli", "--cluster", "k3s"]).args(arguments);
    command.current_dir(directory.path()).env("NO_COLOR", "1").stdin(Stdio::null());
    for name in ["SLIPWAY_JOBS", "SLIPWAY_SEED", "SLIPWAY_K3S_IMAGE"] {
        command.env_remove(name);
    }
    Ok((directory, command))
}

/// Runs it to its end, which must be this, having said all of that.
fn ends(mut command: Command, code: i32, said: &[&str]) -> Result<String, Failed> {
    let Output { status, stdout, stderr } = command.output()?;
    let text = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
    if status.code() != Some(code) {
        return Err(format!("it ended with {status} instead of {code}:\n{text}").into());
    }
    match said.iter().find(|said| !text.contains(**said)) {
        Some(said) => Err(format!("it did not say {said:?}:\n{text}").into()),
        None => Ok(text.into_owned()),
    }
}

/// Nothing is left of a case's containers.
fn clean(label: &str) -> Outcome {
    let left = engine::containers(label)?;
    if left.is_empty() { Ok(()) } else { Err(format!("containers stay: {left}").into()) }
}

fn no_engine() -> Outcome {
    let (directory, mut command) = run(&[])?;
    command.env("DOCKER_HOST", format!("unix://{}/docker.sock", directory.path().display()));
    ends(command, 3, &["no Docker engine answers", "DOCKER_HOST", "docker.sock"]).map(drop)
}

fn strange_address() -> Outcome {
    let (_directory, mut command) = run(&[])?;
    command.env("DOCKER_HOST", "ssh://elsewhere");
    ends(command, 3, &["DOCKER_HOST must be like unix:///", "ssh://elsewhere"]).map(drop)
}

fn too_old() -> Outcome {
    let (directory, mut command) = run(&[])?;
    let socket = directory.path().join("docker.sock");
    engine::of_version(&socket, "18.09.1", "1.39")?;
    command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    ends(command, 3, &["the Docker engine 18.09.1 is too old", "API 1.39", "1.41"]).map(drop)
}

fn no_tag() -> Outcome {
    let (_directory, command) = run(&["--k3s-image", "rancher/k3s"])?;
    ends(command, 2, &["NAME:TAG"]).map(drop)
}

fn build_for_nobody() -> Outcome {
    let (_directory, command) = run(&["--image-build"])?;
    ends(command, 2, &["--image-build takes --k3s-mode full"]).map(drop)
}

fn no_archive() -> Outcome {
    let (directory, mut command) = run(&[])?;
    let file = directory.path().join("images.tar");
    fs::write(&file, "not an archive")?;
    command.arg("--image-archive").arg(&file);
    ends(command, 3, &["images.tar holds no images", "docker save"]).map(drop)
}

fn passes() -> Outcome {
    let image = image::of("", "passes")?;
    let (_directory, command) = run(&["--k3s-image", &image, "--k3s-mode", "control-plane"])?;
    let text = ends(command, 0, &["k3s: ready at https://127.0.0.1:", "1 passed"])?;
    clean("passes")?;
    let address = text.split("https://").nth(1).and_then(|rest| rest.split_whitespace().next());
    let address = address.ok_or("no address was said")?.trim_end_matches('/');
    if std::net::TcpStream::connect(address).is_ok() { Err("somebody still listens".into()) } else { Ok(()) }
}

fn fails() -> Outcome {
    let image = image::of("", "fails")?;
    let arguments = ["--k3s-image", &image, "--k3s-mode", "control-plane"];
    let (_directory, command) = scenario("Nobody says this", "2s", &arguments)?;
    ends(command, 1, &["1 failed", "Nobody says this"])?;
    clean("fails")
}

fn isolated() -> Outcome {
    let image = image::of("", "isolated")?;
    let arguments = ["--k3s-image", &image, "--k3s-mode", "control-plane", "--isolate", "cluster"];
    let (directory, command) = run(&arguments)?;
    let again = fs::read_to_string(directory.path().join("greeted.yaml"))?.replace("name: greeted", "name: again");
    fs::write(directory.path().join("again.yaml"), again)?;
    let mut command = command;
    command.arg(directory.path().join("again.yaml"));
    ends(command, 0, &["2 passed"])?;
    clean("isolated")
}

/// Starts it, and waits until it says something.
fn until(mut command: Command, said: &str) -> Result<(Child, BufReader<std::process::ChildStderr>), Failed> {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stderr.take().ok_or("no standard error")?);
    let mut text = String::new();
    while !text.contains(said) {
        if lines.read_line(&mut text)? == 0 {
            return Err(format!("it ended with {} without having said {said:?}:\n{text}", child.wait()?).into());
        }
    }
    Ok((child, lines))
}

fn signal(child: &Child, signal: Signal) -> Outcome {
    Ok(kill(Pid::from_raw(i32::try_from(child.id())?), signal)?)
}

fn interrupted() -> Outcome {
    let image = image::of("", "interrupted")?;
    let arguments = ["--k3s-image", &image, "--k3s-mode", "control-plane"];
    let (_directory, command) = scenario("Nobody says this", "10m", &arguments)?;
    let (mut child, mut rest) = until(command, "k3s: ready at")?;
    signal(&child, Signal::SIGINT)?;
    let mut text = String::new();
    rest.read_to_string(&mut text)?;
    assert_eq!(child.wait()?.code(), Some(1), "{text}");
    clean("interrupted")
}

fn killed() -> Outcome {
    let image = image::of("", "killed")?;
    let arguments = ["--k3s-image", &image, "--k3s-mode", "control-plane"];
    let (_directory, command) = scenario("Nobody says this", "10m", &arguments)?;
    let (mut child, _rest) = until(command, ", as run ")?;
    let label = engine::docker(&[
        "ps",
        "--filter",
        &format!("ancestor={image}"),
        "--format",
        "{{.Label \"slipway.dev/run\"}}",
    ])?;
    let cleaning = |code, said: &[&str]| {
        let mut clean = Command::new(env!("CARGO_BIN_EXE_slipway"));
        clean.args(["clean", "--containers", "--run", &label]);
        ends(clean, code, said)
    };
    cleaning(0, &["nothing is left on the Docker engine"])?;
    child.kill()?;
    child.wait()?;
    if engine::containers("killed")?.is_empty() {
        return Err("nothing stayed: there is nothing to try".into());
    }
    cleaning(0, &["container", &format!("run {label}"), "removed 1"])?;
    clean("killed")
}

fn interrupted_while_starting() -> Outcome {
    let image = image::of("idles", "interrupted-early")?;
    let (_directory, command) = run(&["--k3s-image", &image, "--k3s-mode", "control-plane"])?;
    let (mut child, mut rest) = until(command, "k3s: starting")?;
    signal(&child, Signal::SIGTERM)?;
    let mut text = String::new();
    rest.read_to_string(&mut text)?;
    assert_eq!(child.wait()?.code(), Some(1), "{text}");
    assert!(text.contains("interrupted while k3s was starting"), "{text}");
    clean("interrupted-early")
}

fn dies() -> Outcome {
    let image = image::of("dies", "dies")?;
    let (_directory, command) = run(&["--k3s-image", &image, "--k3s-mode", "control-plane"])?;
    ends(
        command,
        3,
        &["k3s ended with exit code 1 before it was ready", "its last lines:", "no space left on device"],
    )?;
    clean("dies")
}

fn idles() -> Outcome {
    let image = image::of("idles", "idles")?;
    let arguments = ["--k3s-image", &image, "--k3s-mode", "control-plane", "--k3s-timeout", "3"];
    let (_directory, command) = run(&arguments)?;
    let said = ["not ready after 3s", "has not written its kubeconfig", "--k3s-timeout", "Waiting for the datastore"];
    ends(command, 3, &said)?;
    clean("idles")
}

fn deaf() -> Outcome {
    let image = image::of("deaf", "deaf")?;
    let arguments = ["--k3s-image", &image, "--k3s-mode", "control-plane", "--k3s-timeout", "5"];
    let (_directory, command) = run(&arguments)?;
    ends(command, 3, &["not ready after 5s", "the API server does not answer"])?;
    clean("deaf")
}

fn garbled() -> Outcome {
    let image = image::of("garbled", "garbled")?;
    let (_directory, command) = run(&["--k3s-image", &image, "--k3s-mode", "control-plane"])?;
    ends(command, 3, &["the kubeconfig that k3s wrote cannot be used", "it has no clusters"])?;
    clean("garbled")
}

fn missing() -> Outcome {
    // A registry that refuses at once: nobody listens on this port.
    let image = "127.0.0.1:1/slipway-test/k3s:none";
    let (_directory, command) = run(&["--k3s-image", image, "--k3s-mode", "control-plane"])?;
    let said =
        [&format!("k3s: pulling {image}"), "is not here and cannot be pulled", "connection refused", "docker load"];
    ends(command, 3, &said).map(drop)
}

fn not_k3s() -> Outcome {
    let image = image::of("", "not-k3s")?;
    let container = engine::docker(&["create", &image])?;
    let other = format!("slipway-test/k3s:other-{}", std::process::id());
    let made = engine::docker(&["commit", "--change", "ENTRYPOINT [\"/bin/nothing\"]", &container, &other]);
    engine::docker(&["rm", "--force", &container])?;
    made?;
    let (_directory, command) = run(&["--k3s-image", &other, "--k3s-mode", "control-plane"])?;
    ends(command, 3, &[&format!("the container of {other} does not start"), "/bin/nothing"])?;
    clean("not-k3s")
}

fn port_taken() -> Outcome {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let image = image::of("", "port-taken")?;
    let (_directory, command) = run(&["--k3s-image", &image, "--k3s-mode", "control-plane", "--k3s-port", &port])?;
    ends(command, 3, &[&format!("port {port} is taken"), "--k3s-port"])?;
    clean("port-taken")
}

fn privileges() -> Outcome {
    let image = image::of("", "privileges")?;
    let (_directory, auto) = run(&["--k3s-image", &image])?;
    let (_other, full) = run(&["--k3s-image", &image, "--k3s-mode", "full"])?;
    if engine::is_privileged(&image) {
        ends(auto, 0, &["(full)", "1 passed"])?;
        ends(full, 0, &["(full)", "1 passed"])?;
    } else {
        ends(auto, 0, &["k3s runs without a kubelet of its own", "(control-plane)", "1 passed"])?;
        ends(full, 3, &["the engine runs no privileged container", "--k3s-mode control-plane"])?;
    }
    clean("privileges")
}
