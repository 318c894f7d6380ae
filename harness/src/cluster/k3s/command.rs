//! How k3s is called, and how it is reached: pure.

use std::net::IpAddr;

use super::Mode;
use crate::scenario::node::{NodeSpec, TaintSpec};

/// The API server's port inside the container, which is k3s's own default.
pub(super) const PORT: u16 = 6443;

/// Where archives of images are put before k3s starts, to be imported once it is ready.
const ARCHIVES: &str = "/var/lib/slipway/images";

/// What k3s would deploy by itself and no scenario asks for. Where our nodes are all there is, nothing of it could run.
const ADD_ONS: [&str; 3] = ["traefik", "servicelb", "metrics-server"];
/// What real Pods need, and simulated ones do not.
const ADD_ONS_OF_PODS: [&str; 2] = ["coredns", "local-storage"];

/// The name of the node that k3s itself is.
pub(super) const NODE: &str = "k3s";

/// The variable that both a server and its agents take the secret from by which they know each other.
pub(super) const TOKEN: &str = "K3S_TOKEN";

/// Where an agent keeps the password that keeps others from taking its node's name.
const PASSWORD: &str = "/etc/rancher/node/password";

/// What the kubelet says of the operating system is read from here.
const RELEASE: &str = "/etc/os-release";

/// The arguments of `k3s` for a node of its own. Taints are there from its first moment, so that nobody slips in; labels
/// are not, since a kubelet refuses some that scenarios use.
pub(super) fn agent_arguments(server: &IpAddr, spec: &NodeSpec) -> Vec<String> {
    let server = std::net::SocketAddr::new(*server, PORT);
    let mut arguments =
        vec!["agent".to_owned(), format!("--server=https://{server}"), format!("--node-name={}", spec.name)];
    arguments.extend(spec.taints.iter().map(|taint| format!("--node-taint={}", written(taint))));
    arguments
}

fn written(TaintSpec { key, value, effect }: &TaintSpec) -> String {
    if value.is_empty() { format!("{key}:{effect}") } else { format!("{key}={value}:{effect}") }
}

/// What is in a node's container before k3s starts there. Its password is the run's, so that the node of one scenario may
/// be called as that of another one was.
pub(super) fn agent_files(token: &str, release: &str) -> [(&'static str, String); 2] {
    [(PASSWORD, token.to_owned()), (RELEASE, release.to_owned())]
}

/// The arguments of `k3s`, all of them documented but for `--disable-agent`, which its source keeps hidden.
pub(super) fn arguments(mode: Mode, reach: &Reach) -> Vec<String> {
    let mut arguments = vec!["server".to_owned(), format!("--https-listen-port={PORT}")];
    let mut add = |argument: &str| arguments.push(argument.to_owned());
    for name in ADD_ONS {
        add(&format!("--disable={name}"));
    }
    add("--disable-helm-controller");
    add("--disable-network-policy");
    match mode {
        Mode::Full => add(&format!("--node-name={NODE}")),
        Mode::ControlPlane => {
            add("--disable-agent");
            for name in ADD_ONS_OF_PODS {
                add(&format!("--disable={name}"));
            }
            // It removes nodes that it does not know.
            add("--disable-cloud-controller");
            add("--flannel-backend=none");
            // There is no agent through which the API server could reach webhooks.
            add("--egress-selector-mode=disabled");
        }
    }
    if let Reach::Elsewhere(host) = reach {
        add(&format!("--tls-san={host}"));
    }
    arguments
}

/// The path in the container of the archive with this number.
pub(super) fn archive_path(number: usize) -> String {
    format!("{ARCHIVES}/{number}.tar")
}

/// How the images of an archive are given to k3s's containers.
pub(super) fn import(number: usize) -> [String; 5] {
    ["k3s", "ctr", "images", "import", &archive_path(number)].map(str::to_owned)
}

/// Where the engine's published ports are, seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// On this machine.
    Loopback,
    /// On the engine's host.
    Elsewhere(String),
}

impl Reach {
    /// What `DOCKER_HOST` means for it.
    pub(super) fn of(engine: Option<&str>) -> Self {
        let Some((scheme, rest)) = engine.and_then(|engine| engine.split_once("://")) else { return Self::Loopback };
        if !matches!(scheme, "tcp" | "http" | "https") {
            return Self::Loopback;
        }
        let authority = rest.split('/').next().unwrap_or_default();
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        };
        let is_here = host.is_empty()
            || host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if is_here { Self::Loopback } else { Self::Elsewhere(host.to_owned()) }
    }

    /// The address that the port is published on: to nobody else where nobody else needs it.
    pub(super) fn published_on(&self) -> &'static str {
        match self {
            Self::Loopback => "127.0.0.1",
            Self::Elsewhere(_) => "0.0.0.0",
        }
    }

    /// The API server's URL.
    pub(super) fn url(&self, port: u16) -> String {
        match self {
            Self::Loopback => format!("https://127.0.0.1:{port}"),
            Self::Elsewhere(host) if host.contains(':') => format!("https://[{host}]:{port}"),
            Self::Elsewhere(host) => format!("https://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_privileges_k3s_is_told_to_do_without_everything_that_needs_a_kubelet() {
        let arguments = arguments(Mode::ControlPlane, &Reach::Loopback);
        assert_eq!(arguments[0], "server");
        for expected in ["--disable-agent", "--disable-cloud-controller", "--disable=coredns", "--flannel-backend=none"]
        {
            assert!(arguments.iter().any(|argument| argument == expected), "{expected}");
        }
    }

    #[test]
    fn with_a_kubelet_pods_keep_their_names_and_volumes() {
        let arguments = arguments(Mode::Full, &Reach::Elsewhere("docker".to_owned()));
        for unexpected in ["--disable-agent", "--disable=coredns", "--disable=local-storage"] {
            assert!(!arguments.iter().any(|argument| argument == unexpected), "{unexpected}");
        }
        assert!(arguments.contains(&"--tls-san=docker".to_owned()));
    }

    #[test]
    fn a_node_is_told_where_its_server_is_who_it_is_and_who_may_not_come() {
        let taint =
            |value: &str| TaintSpec { key: "a/b".to_owned(), value: value.to_owned(), effect: "NoSchedule".to_owned() };
        let spec = NodeSpec { name: "worker-1".to_owned(), taints: vec![taint(""), taint("c")], ..NodeSpec::default() };
        let arguments = agent_arguments(&"172.17.0.2".parse().unwrap(), &spec);
        assert_eq!(
            arguments,
            [
                "agent",
                "--server=https://172.17.0.2:6443",
                "--node-name=worker-1",
                "--node-taint=a/b:NoSchedule",
                "--node-taint=a/b=c:NoSchedule",
            ]
        );
        let arguments = agent_arguments(&"fd00::2".parse().unwrap(), &spec);
        assert_eq!(arguments[1], "--server=https://[fd00::2]:6443");
    }

    #[test]
    fn an_engine_on_another_machine_publishes_its_ports_there() {
        let cases = [
            (None, "https://127.0.0.1:1"),
            (Some("unix:///var/run/docker.sock"), "https://127.0.0.1:1"),
            (Some("tcp://127.0.0.1:2375"), "https://127.0.0.1:1"),
            (Some("tcp://localhost:2375"), "https://127.0.0.1:1"),
            (Some("tcp://[::1]:2375"), "https://127.0.0.1:1"),
            (Some("tcp://docker:2376"), "https://docker:1"),
            (Some("tcp://[fd00::5]:2376"), "https://[fd00::5]:1"),
        ];
        for (engine, url) in cases {
            assert_eq!(Reach::of(engine).url(1), url, "{engine:?}");
        }
        assert_eq!(Reach::Loopback.published_on(), "127.0.0.1");
    }
}
