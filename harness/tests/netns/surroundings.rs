//! What the cases share: the command, its scenarios, and what it leaves under `/run/netns`.

use std::fs;
use std::process::{Command, Output, Stdio};

use libtest_mimic::{Failed, Trial};
use slipway::cluster::embedded::node::netns;
use tempfile::TempDir;

/// What a case comes to.
pub(crate) type Outcome = Result<(), Failed>;

/// A case by the name it is reported under, and what else it lacks here.
pub(crate) struct Case {
    name: &'static str,
    lacking: Option<String>,
    run: fn() -> Outcome,
}

impl Case {
    pub(crate) fn new(name: &'static str, run: fn() -> Outcome) -> Self {
        Self { name, lacking: None, run }
    }

    pub(crate) fn lacking(self, lacking: Option<String>) -> Self {
        Self { lacking, ..self }
    }

    pub(crate) fn trial(self, lacking: Option<&str>) -> Trial {
        let lacking = lacking.or(self.lacking.as_deref());
        if let Some(lacking) = lacking {
            println!("skipped {:?}: {lacking}", self.name);
        }
        Trial::test(self.name, self.run).with_ignored_flag(lacking.is_some())
    }
}

/// The command's program.
pub(crate) const SLIPWAY: &str = env!("CARGO_BIN_EXE_slipway");

/// The arguments of a run that measures nothing.
pub(crate) fn run_arguments<'a>(path: &'a str, isolation: Option<&'a str>) -> Vec<&'a str> {
    let isolation = isolation.map(|kind| ["--node-isolation", kind]);
    let mut arguments = vec!["run", path, "--no-sli", "--seed", "7", "--wall-clock-limit", "600"];
    arguments.extend(isolation.into_iter().flatten());
    arguments
}

/// A program with nothing of the environment that could change what it does.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env("NO_COLOR", "1").stdin(Stdio::null());
    for name in ["SLIPWAY_JOBS", "SLIPWAY_SEED", "SLIPWAY_NODE_ISOLATION"] {
        command.env_remove(name);
    }
    command
}

pub(crate) fn everything(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A directory with one scenario file, and its path.
pub(crate) fn file(text: &str) -> std::io::Result<(TempDir, String)> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("s.yaml");
    fs::write(&path, text)?;
    let path = path.to_string_lossy().into_owned();
    Ok((directory, path))
}

/// The names of namespaces that a process has given.
pub(crate) fn names_of(process: u32) -> Vec<String> {
    let entries = fs::read_dir(netns::DIRECTORY).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&format!("slipway-{process}-"))).collect()
}

/// A scenario whose node is configured by the agent, and what comes after that.
pub(crate) fn configured(isolation: &str, time: &str, after: &str) -> String {
    format!(
        r#"
apiVersion: slipway.dev/v1alpha1
kind: Scenario
metadata: {{name: real-links}}
time: {time}
nodes:
  isolation: {isolation}
  list:
    - name: worker-1
      os: ubuntu-24.04
      systemUUID: "b0000000-0000-0000-0000-000000000001"
      links:
        - {{name: ens4, mac: "fa:16:3e:f3:b0:3f"}}
operator: {{controllers: [multinic]}}
steps:
  - apply:
      manifest:
        apiVersion: multinic.io/v1alpha1
        kind: MultiNicNodeConfig
        metadata: {{name: worker-1}}
        spec:
          nodeName: worker-1
          instanceId: b0000000-0000-0000-0000-000000000001
          interfaces:
            - {{id: 1, macAddress: "fa:16:3e:f3:b0:3f", address: 11.11.11.33, cidr: 11.11.11.0/24, mtu: 1450}}
  - expectLink:
      node: worker-1
      link: {{name: multinic1, mtu: 1450, up: true, addresses: [11.11.11.33/24]}}
{after}"#
    )
}
