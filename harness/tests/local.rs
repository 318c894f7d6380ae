//! A control plane of local programs, from its start to its end, as `slipway run --cluster local` has it.
//!
//! A `kube-apiserver` is not on every machine. In its place stands a script that takes the same arguments, waits for the
//! real `etcd` by the certificates it is given, and serves our API server without any controller: what is tried is the
//! way there, the controllers that stand in, and that nothing is left. A case whose program is missing counts as ignored.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test, although without the harness that says so")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use libtest_mimic::{Arguments, Failed, Trial};
use tempfile::TempDir;

/// Stands in for `kube-apiserver`.
const API_SERVER: &str = r#"#!/bin/sh
for argument; do
    case $argument in
    --secure-port=*) port=${argument#*=} ;;
    --tls-cert-file=*) certificate=${argument#*=} ;;
    --tls-private-key-file=*) key=${argument#*=} ;;
    --token-auth-file=*) tokens=${argument#*=} ;;
    --etcd-servers=*) etcd=${argument#*=} ;;
    --etcd-cafile=*) ca=${argument#*=} ;;
    esac
done
PATH=/usr/local/bin:/usr/bin:/bin
until curl -sf --cacert "$ca" --cert "$certificate" --key "$key" "$etcd/health" >/dev/null; do sleep 0.1; done
IFS=, read -r token rest <"$tokens"
SLIPWAY_ADMIN_TOKEN=$token exec "SLIPWAY" serve --bare --https "127.0.0.1:$port" \
    --tls-cert-file "$certificate" --tls-private-key-file "$key"
"#;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let lacking = ["etcd", "curl"].into_iter().find(|program| find(program).is_none());
    let lacking = lacking.map(|program| format!("{program} is not on the PATH"));
    let trials = vec![
        trial("scenarios run on etcd and an API server without controllers", lacking.as_deref(), scenarios_run),
        trial(
            "scenarios come to the same on the embedded cluster and there",
            lacking.as_deref(),
            they_come_to_the_same,
        ),
        trial("an API server that ends says its last words", lacking.as_deref(), an_api_server_that_ends),
        trial("a program that is missing is named with where it was looked for", None, a_program_that_is_missing),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A case, or one that is ignored for what it lacks.
fn trial(name: &str, lacking: Option<&str>, case: fn() -> Result<(), Failed>) -> Trial {
    if let Some(lacking) = lacking {
        println!("skipped {name:?}: {lacking}");
    }
    Trial::test(name, case).with_ignored_flag(lacking.is_some())
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// A directory for `KUBEBUILDER_ASSETS`, and one for temporary files.
fn stage(api_server: &str) -> (TempDir, TempDir) {
    let (assets, temporary) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = assets.path().join("kube-apiserver");
    fs::write(&file, api_server.replace("SLIPWAY\"", &format!("{}\"", env!("CARGO_BIN_EXE_slipway")))).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o755)).unwrap();
    (assets, temporary)
}

/// Each kind of flow once: a status, a refusal, a Job on a node, a cleanup.
const SCENARIOS: [&str; 3] =
    ["hello", "multinic/three-interfaces-on-ubuntu.yaml", "multinic/delete-cleans-the-node-up.yaml"];

fn run(scenarios: &[&str], assets: &Path, temporary: &Path) -> Output {
    slipway(&["run", "--cluster", "local", "--no-sli"], scenarios, assets, temporary)
}

fn slipway(arguments: &[&str], scenarios: &[&str], assets: &Path, temporary: &Path) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    Command::new(env!("CARGO_BIN_EXE_slipway"))
        .args(arguments)
        .args(scenarios.iter().map(|scenario| root.join(scenario)))
        .env("KUBEBUILDER_ASSETS", assets)
        .env("TMPDIR", temporary)
        .current_dir(temporary)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What a control plane leaves: files, and processes that have its directory among their arguments.
fn left_by(temporary: &Path) -> Vec<String> {
    let files = fs::read_dir(temporary).unwrap().map(|entry| entry.unwrap().path().display().to_string());
    let files = files.filter(|path| path.contains("slipway-local-"));
    let marker = temporary.display().to_string();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let arguments = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        arguments.contains(&marker).then_some(arguments)
    });
    files.chain(processes).collect()
}

fn scenarios_run() -> Result<(), Failed> {
    let (assets, temporary) = stage(API_SERVER);
    let output = run(&SCENARIOS, assets.path(), temporary.path());
    let text = text(&output);
    if output.status.code() != Some(0) || !text.contains("3 passed, 3 skipped") {
        return Err(format!("{}: {text}", output.status).into());
    }
    assert_eq!(left_by(temporary.path()), Vec::<String>::new(), "something is left of the control plane");
    Ok(())
}

fn they_come_to_the_same() -> Result<(), Failed> {
    let (assets, temporary) = stage(API_SERVER);
    let output = slipway(&["parity", "--against", "local"], &SCENARIOS, assets.path(), temporary.path());
    let text = text(&output);
    if output.status.code() != Some(0) || !text.contains("3 of 6 scenarios come to the same, 0 differ") {
        return Err(format!("{}: {text}", output.status).into());
    }
    Ok(())
}

fn an_api_server_that_ends() -> Result<(), Failed> {
    let (assets, temporary) = stage("#!/bin/sh\necho 'error: unknown flag: --surprise' >&2\nexit 7\n");
    let output = run(&["hello"], assets.path(), temporary.path());
    let text = text(&output);
    for part in ["kube-apiserver ended with exit code 7", "unknown flag: --surprise"] {
        if !text.contains(part) {
            return Err(format!("{part:?} is not said: {text}").into());
        }
    }
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert_eq!(left_by(temporary.path()), Vec::<String>::new(), "something is left of the control plane");
    Ok(())
}

fn a_program_that_is_missing() -> Result<(), Failed> {
    let (empty, temporary) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let output = Command::new(env!("CARGO_BIN_EXE_slipway"))
        .args(["run", "--cluster", "local", "--no-sli"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/hello"))
        .env("KUBEBUILDER_ASSETS", empty.path())
        .env("PATH", empty.path())
        .current_dir(&temporary)
        .output()
        .unwrap();
    let text = text(&output);
    let named = format!("KUBEBUILDER_ASSETS ({})", empty.path().display());
    for part in ["there is no etcd", named.as_str(), "setup-envtest"] {
        if !text.contains(part) {
            return Err(format!("{part:?} is not said: {text}").into());
        }
    }
    assert_eq!(output.status.code(), Some(3), "{text}");
    Ok(())
}
