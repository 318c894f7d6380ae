//! Operators that are programs of their own, with the command as their authors use it: what they are given, how their
//! ends are told, and that nothing of them is left.
//!
//! A case whose program this machine lacks is counted as ignored, and what is lacking is said.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test, although without the harness that says so")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What a case comes to.
type Outcome = Result<(), Failed>;

/// How long is waited for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let python = lacking_python();
    let mut trials = vec![
        python_trial("the example in python does what its scenarios say", python, example),
        python_trial("a bug that only a crash shows is caught in the example", python, bug),
    ];
    trials.extend([
        Trial::test("an operator is given what its scenario says and nothing else of ours", surroundings),
        Trial::test("an operator that is not there fails its scenario with its name", not_there),
        Trial::test("an operator that ends by itself is told with its exit code and its last words", ends),
        Trial::test("an operator that is never ready is told with what it answers", never_ready),
        Trial::test("a stop is a signal first and death when that was not enough", stopped),
        Trial::test("nothing of an operator is left when slipway is killed", killed),
        Trial::test("an operator by manifests is scaled, killed and heard as it should be", deployed),
        Trial::test("an operator by manifests says which image has no program, and which container ended", undeployed),
    ]);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Why `python3` cannot be used, if it cannot.
fn lacking_python() -> Option<&'static str> {
    let version = Command::new("python3").args(["-c", "import ssl, sys; sys.exit(sys.version_info < (3, 8))"]).output();
    (!version.is_ok_and(|done| done.status.success())).then_some("python3 is not to be had in a version of 3.8 or more")
}

fn python_trial(name: &str, lacking: Option<&str>, case: fn() -> Outcome) -> Trial {
    if let Some(lacking) = lacking {
        println!("skipped {name:?}: {lacking}");
    }
    Trial::test(name, case).with_ignored_flag(lacking.is_some())
}

/// A directory of scenarios, and the command in it.
struct Place(tempfile::TempDir);

impl Place {
    /// A scenario with an operator, written as YAML's flow, and its steps.
    fn new(operator: &str, steps: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "apiVersion: slipway.dev/v1alpha1\nkind: Scenario\nmetadata: {{name: s}}\ntime: real\nnamespace: shop\n\
             operator: {operator}\nsteps: {steps}\n"
        );
        fs::write(directory.path().join("s.yaml"), text).unwrap();
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn slipway(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.args(["run", "s.yaml", "--seed", "7"]).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("NO_COLOR", "1").env("SECRET", "of ours").env("OURS", "for all").env_remove("SLIPWAY_ARTIFACTS");
        command
    }

    fn run(&self) -> Run {
        Run::of(&mut self.slipway())
    }
}

/// What came of a run.
struct Run {
    code: Option<i32>,
    text: String,
}

impl Run {
    fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        Self { code: status.code(), text }
    }

    /// How it must have ended, and what it must have said.
    fn must(&self, code: i32, said: &[&str]) -> Outcome {
        let missing: Vec<_> = said.iter().filter(|said| !self.text.contains(**said)).collect();
        if self.code == Some(code) && missing.is_empty() {
            return Ok(());
        }
        Err(format!("it ended with {:?}, without {missing:?}:\n{}", self.code, self.text).into())
    }
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The example, run where it leaves nothing in the repository.
fn run_example(path: &str) -> (tempfile::TempDir, Run) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command.arg("run").arg(root(path)).current_dir(directory.path()).env("NO_COLOR", "1").stdin(Stdio::null());
    let run = Run::of(command.env_remove("SLIPWAY_ARTIFACTS").env_remove("SLIPWAY_SEED"));
    (directory, run)
}

fn example() -> Outcome {
    let (directory, run) = run_example("examples/python-operator/scenarios");
    run.must(0, &["4 passed", "reconcile_latency_p50"])?;
    let log = directory.path().join("artifacts/operator/killed-in-the-middle-of-a-cleanup.log");
    let log = fs::read_to_string(log)?;
    let kills = log.matches("slipway killed it").count();
    if kills == 2 { Ok(()) } else { Err(format!("its log tells of {kills} deaths:\n{log}").into()) }
}

fn bug() -> Outcome {
    let (_directory, run) = run_example("examples/python-operator/a-bug-is-caught.yaml");
    run.must(
        1,
        &["and leaves no copy behind", "configmaps/prices was still there", "\"removing\"", "slipway killed it"],
    )
}

fn surroundings() -> Outcome {
    let operator = "{command: [sh, -c], args: ['env > env; stat -c %a $KUBECONFIG > mode; echo $0 $1; sleep 600', \
                    '${one}', '${two}'], ports: [one, two], env: {OWN: 'at ${one}'}, inheritEnv: [OURS], as: admin, \
                    ready: {log: ' '}}";
    let place = Place::new(operator, "[{advance: 1ms}, {operator: restart}]");
    place.run().must(0, &["1 passed"])?;
    let environment = fs::read_to_string(place.path("env"))?;
    let mut names: Vec<&str> = environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    // Shells have some of their own.
    names.retain(|name| !["_", "OLDPWD", "PWD", "SHLVL"].contains(name));
    names.sort_unstable();
    let expected =
        ["KUBECONFIG", "NAMESPACE", "OURS", "OWN", "PATH", "SLIPWAY_NAMESPACE", "SLIPWAY_SCENARIO", "SLIPWAY_SEED"];
    assert_eq!(names, expected);
    let log = fs::read_to_string(place.path("artifacts/operator/s.log"))?;
    let ports: Vec<&str> = log.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(ports[0], ports[1], "another life, the same ports");
    let (one, two) = ports[0].split_once(' ').unwrap();
    assert_ne!(one, two);
    assert!(environment.contains("SLIPWAY_SEED=") && environment.contains("NAMESPACE=shop\n"), "{environment}");
    assert!(environment.contains(&format!("OWN=at {one}\n")), "{environment}");
    assert_eq!(fs::read_to_string(place.path("mode"))?, "600\n");
    let kubeconfig = environment.lines().find_map(|line| line.strip_prefix("KUBECONFIG=")).unwrap();
    assert!(!Path::new(kubeconfig).exists(), "{kubeconfig} is left");
    Ok(())
}

fn not_there() -> Outcome {
    let place = Place::new("{command: [./bin/manager], as: admin}", "[{advance: 1s}]");
    place.run().must(1, &["the operator cannot be started: ./bin/manager (in ", "No such file", "`operator start`"])?;
    let account = Place::new("{command: [./bin/manager], serviceAccount: nobody}", "[{advance: 1s}]");
    account.run().must(1, &["a token for the service account shop/nobody", "does `install` make"])
}

fn ends() -> Outcome {
    let words = "[sh, -c, 'echo last words >&2; exit 3']";
    let at_once = Place::new(&format!("{{command: {words}, as: admin, ready: {{log: up}}}}"), "[{advance: 1s}]");
    at_once.run().must(1, &["the operator (sh) ended with exit code 3", "last words", "`operator start`"])?;
    let words = "[sh, -c, 'echo at work; while [ ! -e now ]; do sleep 0.01; done; kill -SEGV $$']";
    let steps = "[{script: {run: touch now}}, {expect: {resource: configmaps, name: never}}]";
    let later = Place::new(&format!("{{command: {words}, as: admin, ready: {{log: at work}}}}"), steps);
    later.run().must(1, &["the operator (sh) ended by signal 11 (SIGSEGV)", "at work", "nobody had told it to"])
}

fn never_ready() -> Outcome {
    let operator = |ready: &str| format!("{{command: [sleep, '600'], as: admin, ports: [p], ready: {ready}}}");
    let url = Place::new(&operator("{url: 'http://127.0.0.1:${p}/readyz', within: 300ms}"), "[{advance: 1s}]");
    url.run().must(1, &["the operator was not ready within 300ms: http://127.0.0.1:", "does not answer"])?;
    let lease = Place::new(&operator("{lease: kube-system/leader, within: 300ms}"), "[{advance: 1s}]");
    lease.run().must(1, &["the operator was not ready within 300ms: there is no Lease leader"])?;
    let log = Place::new(&operator("{log: at work, within: 300ms}"), "[{advance: 1s}]");
    log.run().must(1, &["the operator was not ready within 300ms: it has not written \"at work\""])
}

fn stopped() -> Outcome {
    let heeds = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done";
    let defies = "trap '' TERM; echo up; while :; do sleep 0.01; done";
    for (words, said) in [
        (heeds, "bye\n--- it ended with exit code 0 when slipway told it to stop"),
        (defies, { "--- slipway killed it: it did not stop within 300ms" }),
    ] {
        let words = words.replace('\'', "''");
        let operator = format!("{{command: [sh, -c, '{words}'], as: admin, gracePeriod: 300ms, ready: {{log: up}}}}");
        let place = Place::new(&operator, "[{operator: stop}, {advance: 100ms}, {operator: start}]");
        place.run().must(0, &["1 passed"])?;
        let log = fs::read_to_string(place.path("artifacts/operator/s.log"))?;
        if !log.contains(said) || log.matches("up\n").count() != 2 {
            return Err(format!("its log does not tell of {said:?} and two lives:\n{log}").into());
        }
    }
    Ok(())
}

fn killed() -> Outcome {
    let operator = "{command: [sh, -c, 'sleep 600 & echo $! > child; echo $$ > leader; wait'], as: admin}";
    let place = Place::new(operator, "[{advance: 10m}]");
    let mut slipway = place.slipway().stdout(Stdio::null()).spawn().unwrap();
    let there = wait_for(|| Some([number(&place.path("child"))?, number(&place.path("leader"))?]));
    let killed = slipway.kill();
    slipway.wait()?;
    killed?;
    let there = there?;
    // Where nobody takes note of the dead they stay as such; what they ran is gone.
    wait_for(|| {
        there.iter().all(|id| fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default().is_empty()).then_some(())
    })
    .inspect_err(|_| {
        for id in there {
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
    })
}

/// A place with an operator by manifests, of this image.
fn by_manifests(image: &str, steps: &str) -> Place {
    let place = Place::new("{manifests: [manifests]}", steps);
    let scenario = fs::read_to_string(place.path("s.yaml")).unwrap();
    let scenario = scenario.replace("time: real", "time: virtual\nnodes: [{name: worker}]");
    fs::write(place.path("s.yaml"), scenario).unwrap();
    fs::create_dir(place.path("manifests")).unwrap();
    let deployment = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: manager}}\nspec:\n  replicas: 2\n  \
         selector: {{matchLabels: {{app: manager}}}}\n  template:\n    metadata: {{labels: {{app: manager}}}}\n    \
         spec:\n      containers: [{{name: manager, image: '{image}', env: [{{name: AFTER_SECONDS, value: '5'}}, \
         {{name: EXIT_CODE, value: '3'}}, {{name: OUTPUT, value: last words}}]}}]\n"
    );
    fs::write(place.path("manifests/deployment.yaml"), deployment).unwrap();
    place
}

fn deployed() -> Outcome {
    let steps = "\n- expect: {resource: deployments, name: manager, object: {status: {availableReplicas: 2}}, within: 1ms}\n\
                 - expect: {resource: pods, labels: {app: manager}, count: 2, bind: {uid: self.metadata.uid}}\n\
                 - operator: restart\n\
                 - expect: {resource: pods, labels: {app: manager}, count: 2, that: self.metadata.uid != uid, within: 1ms}\n\
                 - operator: stop\n\
                 - consistently: {resource: deployments, name: manager, that: '!has(self.status.replicas)', for: 1h}\n\
                 - operator: start\n\
                 - expect: {resource: deployments, name: manager, object: {status: {availableReplicas: 2}}, within: 1ms}\n\
                 - operator: uninstall\n\
                 - expectGone: {resource: deployments, name: manager}";
    by_manifests("slipway.dev/http-server:1", steps).run().must(0, &["1 passed"])
}

fn undeployed() -> Outcome {
    let nowhere = by_manifests("registry.example.com/manager:1", "[{advance: 1s}]").run();
    nowhere.must(1, &["cannot deploy the operator: no program is known for the image", "manager:1"])?;
    let ends = by_manifests("slipway.dev/exit:1", "[{advance: 1h}]").run();
    ends.must(1, &["its container manager with exit code 3", "last words"])
}

fn number(path: &Path) -> Option<i32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> Result<T, Failed> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(found) = look() {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err("it did not come".into())
}
