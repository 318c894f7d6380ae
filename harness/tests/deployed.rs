//! `--operator deployed`: the operator is a process of somebody else, with a kubeconfig and rights of its own; scenarios take
//! it as it is.
//!
//! The program is the one that is built beside ours (`cargo test --workspace` builds it); where there is none, the case is
//! counted as ignored.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test, although without the harness that says so")]

mod elsewhere;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use kube::api::{DynamicObject, Patch, PatchParams};
use kube::discovery::{Discovery, Scope};
use kube::{Api, ResourceExt};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};

use elsewhere::{Foreign, text};

/// Where the operator is installed.
const NAMESPACE: &str = "slipway-system";

/// The account that it is installed with.
const ACCOUNT: &str = "slipway-operator";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let program = Path::new(env!("CARGO_BIN_EXE_slipway")).with_file_name("slipway-operator");
    let is_lacking = !program.is_file();
    if is_lacking {
        println!("skipped: {} is not built: cargo build -p slipway-operator", program.display());
    }
    let name = "scenarios_pass_with_an_operator_that_is_deployed_and_is_left_alone";
    let case = Trial::test(name, move || run(&program)).with_ignored_flag(is_lacking);
    libtest_mimic::run(&arguments, vec![case]).exit_code()
}

fn run(program: &Path) -> Result<(), Failed> {
    let foreign = Foreign::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let kubeconfig = runtime.block_on(async {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        let printed = [printed(program, "crd")?, printed(program, "rbac")?].concat();
        for object in [vec![namespace], printed].concat() {
            apply(&foreign, object).await?;
        }
        Ok::<PathBuf, Failed>(foreign.kubeconfig_of(NAMESPACE, ACCOUNT).await)
    })?;
    let operator = Operator::start(program, &kubeconfig)?;

    let restarts = foreign.scenario("restarts", "operator: {controllers: [hello]}\nsteps: [{operator: restart}]\n");
    let scenarios = ["scenarios/hello", &restarts.to_string_lossy(), "--operator", "deployed"];
    let output = foreign.run(&scenarios);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    for said in
        ["✓ what-cannot-be-said", "- restarts (skipped: it starts and stops the operator, which is not ours there)"]
    {
        assert!(text(&output).contains(said), "{said}: {}", text(&output));
    }
    assert!(operator.is_alive(), "somebody has ended it");

    // It was the one that did it, and nothing of it was removed.
    drop(operator);
    let output =
        foreign.run(&["scenarios/hello/what-cannot-be-said.yaml", "--operator", "deployed", "--patience", "1"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("the conditions say what is wrong with it"), "{}", text(&output));
    Ok(())
}

/// The operator's process. It ends with the test.
struct Operator(Child);

impl Operator {
    fn start(program: &Path, kubeconfig: &Path) -> Result<Self, Failed> {
        let mut command = this(program);
        command.args(["run", "--controllers", "hello", "--own-namespace", NAMESPACE, "--identity", "deployed"]);
        command.args(["--health-probe-bind-address", "0", "--metrics-bind-address", "0"]);
        Ok(Self(command.env("KUBECONFIG", kubeconfig).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    fn is_alive(&self) -> bool {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap()), None).is_ok()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program, with nothing of ours around it.
fn this(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    for kept in ["PATH", "TMPDIR", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
}

/// The objects that one of its commands prints.
fn printed(program: &Path, command: &str) -> Result<Vec<Value>, Failed> {
    let output = this(program).args([command, "--controllers", "hello"]).output()?;
    if !output.status.success() {
        return Err(text(&output).into());
    }
    Ok(serde_yaml::from_multiple(&String::from_utf8(output.stdout)?)?)
}

/// As `kubectl apply --server-side` does.
async fn apply(foreign: &Foreign, object: Value) -> Result<(), Failed> {
    let object: DynamicObject = serde_json::from_value(object)?;
    let client = foreign.client().await;
    let kind = object.types.clone().unwrap_or_default().try_into()?;
    let discovery = Discovery::new(client.clone()).run().await?;
    let (resource, capabilities) = discovery.resolve_gvk(&kind).ok_or_else(|| format!("{kind:?} is not served"))?;
    let api: Api<DynamicObject> = match (capabilities.scope, object.namespace()) {
        (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client, &namespace, &resource),
        _ => Api::all_with(client, &resource),
    };
    api.patch(&object.name_any(), &PatchParams::apply("somebody"), &Patch::Apply(&object)).await?;
    Ok(())
}
