//! Scenarios' nodes as agents of k3s: containers of their own, made, asked and removed by the product's own path. Where the
//! engine may give no privileges it is told that it has, and links are real all the same.

use std::io::Read;

use nix::sys::signal::Signal;

use super::{Case, Outcome, clean, ends, engine, image, of_file, signal, until};

/// Everything that can be said of a node, looked at, and one that comes and goes.
const FURNISHED: &str = r#"
apiVersion: slipway.dev/v1alpha1
kind: Scenario
metadata: {name: furnished}
nodes:
  - name: edge-1
    os: rocky-9
    labels: {role: edge}
    taints: [{key: dedicated, value: nic, effect: NoSchedule}]
    files: {/etc/netplan/50-first.yaml: "network: {version: 2}\n"}
    links:
      - name: ens4
        mac: "fa:16:3e:f3:b0:3f"
        up: true
        mtu: 1400
        addresses: [11.11.11.33/24]
        routes: [{to: 10.0.0.0/8, via: 11.11.11.1, table: 100}]
        rules: [{from: 11.11.11.33/32, table: 100, priority: 50}]
      - {name: ens5, mac: "fa:16:3e:11:ad:f3"}
steps:
  - expect:
      resource: nodes
      name: edge-1
      object:
        metadata: {labels: {role: edge}}
        status: {nodeInfo: {osImage: "Rocky Linux 9.5 (Blue Onyx)"}}
      that: "self.spec.taints.exists(t, t.key == 'dedicated' && t.value == 'nic')"
      within: 5s
  - expectFile: {node: edge-1, path: /etc/netplan/50-first.yaml, content: "network: {version: 2}\n", mode: "0644"}
  - expectFile: {node: edge-1, path: "/etc/netplan/9*.yaml", absent: true}
  - expectFile: {node: edge-1, path: /nowhere/at/all, absent: true}
  - expectLink:
      node: edge-1
      link:
        name: ens4
        mac: "FA:16:3E:F3:B0:3F"
        up: true
        mtu: 1400
        addresses: [11.11.11.33/24]
        rules: [{from: 11.11.11.33/32, table: 100, priority: 50}]
  - expectLink: {node: edge-1, link: {name: ens5, up: false, addresses: []}}
  - expectLink: {node: edge-1, link: {name: slipway0}, absent: true}
  - addNode: {name: edge-2}
  - expectFile: {node: edge-2, path: /etc/os-release, contains: 'PRETTY_NAME="Ubuntu 22.04.5 LTS"'}
  - removeNode: edge-1
  - expectGone: {resource: nodes, name: edge-1, within: 5s}
  - addNode: {name: edge-1, os: debian-12}
  - expect: {resource: nodes, name: edge-1, object: {status: {nodeInfo: {osImage: "Debian GNU/Linux 12 (bookworm)"}}}, within: 5s}
"#;

/// A node, and something to do on it.
fn on_a_node(steps: &str) -> String {
    format!(
        "apiVersion: slipway.dev/v1alpha1\nkind: Scenario\nmetadata: {{name: one-node}}\n\
         nodes: [{{name: edge-1}}]\nsteps:\n{steps}\n"
    )
}

/// Waits for what never comes.
const FOR_EVER: &str = "  - expectFile: {node: edge-1, path: /never, mode: '0600', within: 10m}";

pub(super) const CASES: [(&str, Case); 11] = [
    ("nodes_of_scenarios_are_made_as_they_are_described_and_go_again", furnished),
    ("a_file_that_a_real_node_does_not_get_fails_the_scenario_with_what_there_is", fails),
    ("an_interrupted_run_removes_its_nodes", interrupted),
    ("the_nodes_of_a_killed_run_are_found_and_removed", killed),
    ("a_node_whose_agent_dies_is_shown_with_its_last_lines", dies),
    ("a_node_that_is_never_ready_is_not_waited_for_for_ever", idles),
    ("a_node_of_the_name_of_the_clusters_own_is_refused", taken),
    ("what_only_simulated_nodes_have_is_skipped_with_the_reason", skipped),
    ("images_of_a_checkout_are_built_and_given_to_every_node", built),
    ("a_build_that_fails_is_shown_with_its_last_lines", build_fails),
    ("where_there_is_nothing_to_build_it_is_said_what_is_missing", nothing_to_build),
];

/// Runs a file in full mode at an engine that gives what it can.
fn full(
    text: &str,
    image: &str,
    arguments: &[&str],
) -> Result<(tempfile::TempDir, std::process::Command), libtest_mimic::Failed> {
    let (directory, mut command) = of_file(text, &["--k3s-image", image, "--k3s-mode", "full"])?;
    let socket = directory.path().join("docker.sock");
    engine::unprivileged(&socket)?;
    command.args(arguments).env("DOCKER_HOST", format!("unix://{}", socket.display()));
    Ok((directory, command))
}

fn furnished() -> Outcome {
    let image = image::of("", "furnished")?;
    let (_directory, command) = full(FURNISHED, &image, &["--patience", "1"])?;
    ends(command, 0, &["(full)", "1 passed"])?;
    clean("furnished")
}

fn fails() -> Outcome {
    let image = image::of("", "node-fails")?;
    let text = on_a_node("  - expectFile: {node: edge-1, path: /etc/hosts.yaml, mode: '0600', within: 1s}");
    let (_directory, command) = full(&text, &image, &["--patience", "1"])?;
    ends(command, 1, &["/etc/hosts.yaml on edge-1 did not appear", "os-release"])?;
    clean("node-fails")
}

fn nodes(label: &str) -> Result<String, libtest_mimic::Failed> {
    let filter = format!("label=slipway-test={label}-{}", std::process::id());
    let form = "{{.Label \"slipway.dev/node\"}} {{.Label \"slipway.dev/run\"}}";
    engine::docker(&["ps", "--filter", &filter, "--filter", "label=slipway.dev/node", "--format", form])
}

/// Waits until a node of the scenario has its container.
fn wait_for_node(label: &str) -> Result<String, libtest_mimic::Failed> {
    for _ in 0..600 {
        if let Some(run) = nodes(label)?.strip_prefix("edge-1 ") {
            return Ok(run.to_owned());
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    Err("the node does not come".into())
}

fn interrupted() -> Outcome {
    let image = image::of("", "node-interrupted")?;
    let (_directory, command) = full(&on_a_node(FOR_EVER), &image, &[])?;
    let (mut child, mut rest) = until(command, "k3s: ready at")?;
    // Now, although it may not be ready yet.
    wait_for_node("node-interrupted")?;
    signal(&child, Signal::SIGINT)?;
    let mut text = String::new();
    rest.read_to_string(&mut text)?;
    assert_eq!(child.wait()?.code(), Some(1), "{text}");
    clean("node-interrupted")
}

fn killed() -> Outcome {
    let image = image::of("", "node-killed")?;
    let (_directory, command) = full(&on_a_node(FOR_EVER), &image, &[])?;
    let (mut child, _rest) = until(command, ", as run ")?;
    let run = wait_for_node("node-killed")?;
    child.kill()?;
    child.wait()?;
    let mut cleaning = std::process::Command::new(env!("CARGO_BIN_EXE_slipway"));
    cleaning.args(["clean", "--containers", "--run", &run]);
    ends(cleaning, 0, &["removed 2"])?;
    clean("node-killed")
}

fn dies() -> Outcome {
    let image = image::of("agent-dies", "agent-dies")?;
    let (_directory, command) = full(&on_a_node(FOR_EVER), &image, &[])?;
    let said = ["cannot add the node edge-1", "ended with exit code 1 before it was ready", "no space left on device"];
    ends(command, 1, &said)?;
    clean("agent-dies")
}

fn idles() -> Outcome {
    let image = image::of("agent-idles", "agent-idles")?;
    let (_directory, command) = full(&on_a_node(FOR_EVER), &image, &["--k3s-timeout", "8"])?;
    let said = [
        "cannot add the node edge-1",
        "not ready after 8s: its node is not ready: container runtime network not ready",
        "--k3s-timeout",
        "Registered node edge-1",
    ];
    ends(command, 1, &said)?;
    clean("agent-idles")
}

fn taken() -> Outcome {
    let image = image::of("", "node-taken")?;
    let text = on_a_node(FOR_EVER).replace("edge-1", "control-plane");
    let (_directory, command) = full(&text, &image, &[])?;
    ends(command, 1, &["the cluster has a node control-plane already"])?;
    clean("node-taken")
}

fn skipped() -> Outcome {
    let image = image::of("", "node-skipped")?;
    let text = on_a_node("  - addNode: {name: edge-2, systemUUID: ABCD}");
    let (_directory, command) = full(&text, &image, &[])?;
    ends(command, 0, &["1 skipped", "which systemUUID edge-2 has"])?;
    clean("node-skipped")
}

/// The images that a build leaves on the engine, as `--image-build` calls them.
const IMAGES: [&str; 2] = ["multinic-agent:latest", "slipway-operator:latest"];

fn built() -> Outcome {
    let image = image::of("", "node-built")?;
    let text = on_a_node(
        "  - expectFile: {node: edge-1, path: /imported, contains: [multinic-agent:latest, slipway-operator:latest], within: 5s}",
    );
    let (directory, command) = full(&text, &image, &["--image-build", "--patience", "1"])?;
    checkout(
        directory.path(),
        "FROM scratch AS agent\nCOPY greeted.yaml /a\nFROM scratch AS operator\nCOPY greeted.yaml /b\n",
    )?;
    // What the engine has under these names is somebody's, and is so afterwards.
    let before = IMAGES.map(|name| engine::docker(&["images", "--quiet", name]).unwrap_or_default());
    let ended = ends(command, 0, &["k3s: building multinic-agent:latest", "k3s: importing", "1 passed"]);
    for (name, before) in IMAGES.into_iter().zip(before) {
        if before.is_empty() {
            engine::docker(&["rmi", "--force", name])?;
        } else {
            engine::docker(&["tag", &before, name])?;
        }
    }
    ended?;
    clean("node-built")
}

fn checkout(root: &std::path::Path, containerfile: &str) -> Outcome {
    std::fs::create_dir_all(root.join("operator/deploy"))?;
    Ok(std::fs::write(root.join("operator/deploy/Containerfile"), containerfile)?)
}

fn build_fails() -> Outcome {
    let image = image::of("", "build-fails")?;
    let (directory, command) = full(&on_a_node(FOR_EVER), &image, &["--image-build"])?;
    checkout(directory.path(), "FROM scratch AS agent\nCOPY no-such-file /a\n")?;
    ends(command, 3, &["`docker` does not build the image multinic-agent:latest", "its last lines:", "no-such-file"])?;
    clean("build-fails")
}

fn nothing_to_build() -> Outcome {
    let image = image::of("", "build-nothing")?;
    let (_directory, command) = full(&on_a_node(FOR_EVER), &image, &["--image-build"])?;
    ends(command, 3, &["there is no operator/deploy/Containerfile here"])?;
    clean("build-nothing")
}
