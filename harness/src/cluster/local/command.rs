//! The arguments that the programs of a control plane are started with. Pure.
//!
//! The source of each flag is the program's own reference of Kubernetes 1.36 and of etcd 3.4 and later: nothing is used
//! that older releases in support do not have.

use std::ffi::OsString;
use std::path::Path;

use super::files::Files;

/// Where Services get their addresses from.
const SERVICES: &str = "10.96.0.0/16";
/// Who service account tokens say has made them.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The free ports that were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) etcd: u16,
    pub(super) api_server: u16,
}

/// etcd for one client, which shows a certificate; its files need not outlive a power cut.
pub(super) fn etcd(files: &Files, ports: Ports) -> Vec<OsString> {
    let client = format!("https://127.0.0.1:{}", ports.etcd);
    // A single member never talks to another: whoever finds its port needs a certificate all the same.
    let peer = "https://127.0.0.1:0";
    vec![
        flag("name", "slipway"),
        path("data-dir", &files.etcd_data()),
        flag("listen-client-urls", &client),
        flag("advertise-client-urls", &client),
        flag("listen-peer-urls", peer),
        flag("initial-advertise-peer-urls", peer),
        flag("initial-cluster", &format!("slipway={peer}")),
        flag("client-cert-auth", "true"),
        path("trusted-ca-file", &files.authority()),
        path("cert-file", &files.server_certificate()),
        path("key-file", &files.server_key()),
        flag("peer-client-cert-auth", "true"),
        path("peer-trusted-ca-file", &files.authority()),
        path("peer-cert-file", &files.server_certificate()),
        path("peer-key-file", &files.server_key()),
    ]
}

/// The API server, for clients with a token of `files.tokens()` or of a service account.
pub(super) fn api_server(files: &Files, ports: Ports) -> Vec<OsString> {
    vec![
        flag("etcd-servers", &format!("https://127.0.0.1:{}", ports.etcd)),
        path("etcd-cafile", &files.authority()),
        path("etcd-certfile", &files.server_certificate()),
        path("etcd-keyfile", &files.server_key()),
        flag("bind-address", "127.0.0.1"),
        flag("advertise-address", "127.0.0.1"),
        flag("secure-port", &ports.api_server.to_string()),
        path("tls-cert-file", &files.server_certificate()),
        path("tls-private-key-file", &files.server_key()),
        path("token-auth-file", &files.tokens()),
        flag("authorization-mode", "RBAC"),
        flag("allow-privileged", "true"),
        flag("service-cluster-ip-range", SERVICES),
        flag("service-account-issuer", ISSUER),
        path("service-account-key-file", &files.service_account_key()),
        path("service-account-signing-key-file", &files.service_account_key()),
        // The Endpoints of `kubernetes` cannot be a loopback address.
        flag("endpoint-reconciler-type", "none"),
    ]
}

/// The controller manager, whose Pods trust `files.authority()`.
pub(super) fn controller_manager(files: &Files) -> Vec<OsString> {
    let mut arguments = component(files);
    arguments.extend([
        flag("use-service-account-credentials", "true"),
        path("service-account-private-key-file", &files.service_account_key()),
        path("root-ca-file", &files.authority()),
        // No cloud hands out routes and addresses here.
        flag("allocate-node-cidrs", "false"),
    ]);
    arguments
}

/// The scheduler.
pub(super) fn scheduler(files: &Files) -> Vec<OsString> {
    component(files)
}

/// What both have: one copy each, and nobody who asks them anything.
fn component(files: &Files) -> Vec<OsString> {
    let kubeconfig = files.kubeconfig();
    vec![
        path("kubeconfig", &kubeconfig),
        path("authentication-kubeconfig", &kubeconfig),
        path("authorization-kubeconfig", &kubeconfig),
        flag("bind-address", "127.0.0.1"),
        flag("secure-port", "0"),
        flag("leader-elect", "false"),
    ]
}

fn flag(name: &str, value: &str) -> OsString {
    format!("--{name}={value}").into()
}

fn path(name: &str, value: &Path) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(value);
    flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_from_elsewhere_and_nobody_without_a_name_gets_in() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::at(directory.path());
        let ports = Ports { etcd: 1001, api_server: 1002 };
        let all = [etcd(&files, ports), api_server(&files, ports), controller_manager(&files), scheduler(&files)];
        for arguments in &all {
            let text: Vec<String> = arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
            assert!(text.iter().all(|argument| argument.starts_with("--") && argument.contains('=')), "{text:?}");
            assert!(
                !text.iter().any(|argument| argument.contains("http://") || argument.contains("0.0.0.0")),
                "{text:?}"
            );
            assert!(!text.iter().any(|argument| argument.contains("AlwaysAllow")), "{text:?}");
        }
        assert!(all[0].contains(&"--client-cert-auth=true".into()));
        assert!(all[1].contains(&"--etcd-servers=https://127.0.0.1:1001".into()));
        assert!(all[1].contains(&"--secure-port=1002".into()));
    }
}
