//! What a kubelet does in or to a container on its Pod's behalf: the actions of probes and lifecycle hooks.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::Full;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::pod::Sandbox;
use crate::cluster::embedded::node::containers::Live;
use crate::cluster::embedded::node::tcp::http::send;

/// What probes call themselves to the programs they ask.
const USER_AGENT: &str = "kube-probe/1.36";

/// A container and what runs in it.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) sandbox: &'a Sandbox,
    pub(super) container: &'a Container,
    pub(super) live: &'a Live,
}

impl Scene<'_> {
    /// Asks once; an error is what the kubelet says of it.
    pub(super) async fn probe(&self, probe: &Probe) -> Result<(), String> {
        let limit = Duration::from_secs(probe.timeout_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(1).max(1));
        if let Some(exec) = &probe.exec {
            let command = exec.command.clone().unwrap_or_default();
            let text = command.join(" ");
            return match tokio::time::timeout(limit, self.exec(command)).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("command timed out: \"{text}\" timed out after {}s", limit.as_secs())),
            };
        }
        if let Some(get) = &probe.http_get {
            let url = self.url(get)?;
            let late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
            let answer = tokio::time::timeout(limit, self.get(get)).await;
            return answer.unwrap_or_else(|_| Err(format!("Get \"{url}\": {late}")));
        }
        if let Some(socket) = &probe.tcp_socket {
            let to = self.place(socket.host.as_deref(), &socket.port)?;
            // Whoever listens takes the connection at once: nothing is sent, so none need be made.
            return if self.sandbox.kubelet.tcp.listens(to) {
                Ok(())
            } else {
                Err(format!("dial tcp {to}: connect: connection refused"))
            };
        }
        Err("only exec, httpGet and tcpSocket probes are run on simulated nodes".to_owned())
    }

    /// Runs a hook to its end.
    pub(super) async fn hook(&self, hook: &LifecycleHandler) -> Result<(), String> {
        if let Some(exec) = &hook.exec {
            return self.exec(exec.command.clone().unwrap_or_default()).await;
        }
        if let Some(get) = &hook.http_get {
            return self.get(get).await;
        }
        if let Some(sleep) = &hook.sleep {
            tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        }
        Ok(())
    }

    async fn exec(&self, command: Vec<String>) -> Result<(), String> {
        let text = command.join(" ");
        match self.live.clone().output_of(command).await {
            Ok((0, _)) => Ok(()),
            Ok((code, output)) if output.is_empty() => Err(format!("command '{text}' exited with {code}")),
            Ok((_, output)) => Err(output),
            Err(why) => Err(format!("rpc error: code = Unknown desc = failed to exec in container: {why}")),
        }
    }

    async fn get(&self, get: &HTTPGetAction) -> Result<(), String> {
        if get.scheme.as_deref() == Some("HTTPS") {
            return Err("HTTPS is not spoken by the programs of simulated nodes".to_owned());
        }
        let to = self.place(get.host.as_deref(), &get.port)?;
        let url = self.url(get)?;
        let failed = |why: &dyn std::fmt::Display| format!("Get \"{url}\": {why}");
        let request = request(get, to).map_err(|why| failed(&why))?;
        let from = self.node_address()?;
        let (status, _) = send(&self.sandbox.kubelet.tcp, from, to, request).await.map_err(|why| failed(&why))?;
        if (200..400).contains(&status.as_u16()) {
            Ok(())
        } else {
            Err(format!("HTTP probe failed with statuscode: {}", status.as_u16()))
        }
    }

    fn url(&self, get: &HTTPGetAction) -> Result<String, String> {
        let to = self.place(get.host.as_deref(), &get.port)?;
        let scheme = get.scheme.as_deref().unwrap_or("HTTP").to_ascii_lowercase();
        Ok(format!("{scheme}://{to}{}", path(get)))
    }

    /// A port of the Pod, or of another host by its address.
    fn place(&self, host: Option<&str>, port: &IntOrString) -> Result<SocketAddr, String> {
        let host = host.filter(|host| !host.is_empty()).unwrap_or(&self.sandbox.addresses.pod);
        let address: IpAddr = host.parse().map_err(|_| format!("dial tcp: lookup {host}: no such host"))?;
        Ok(SocketAddr::new(address, port_of(self.container, port)?))
    }

    fn node_address(&self) -> Result<IpAddr, String> {
        self.sandbox.kubelet.ip.parse().map_err(|error| format!("{}: {error}", self.sandbox.kubelet.ip))
    }
}

fn path(get: &HTTPGetAction) -> String {
    match get.path.as_deref() {
        None | Some("") => "/".to_owned(),
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(path) => format!("/{path}"),
    }
}

fn request(get: &HTTPGetAction, to: SocketAddr) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut headers = BTreeMap::from([("host".to_owned(), to.to_string())]);
    let given = get.http_headers.iter().flatten();
    headers.extend(given.map(|given| (given.name.to_ascii_lowercase(), given.value.clone())));
    let mut request = Request::get(path(get)).header(header::USER_AGENT, USER_AGENT);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.header(header::CONNECTION, HeaderValue::from_static("close")).body(Full::default())
}

/// A port's number: as it stands, or of the container's port of that name.
fn port_of(container: &Container, port: &IntOrString) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let ports = container.ports.iter().flatten();
            let named = ports.filter(|port| port.name.as_ref() == Some(name)).map(|port| port.container_port);
            named.chain(name.parse()).next()
        }
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .ok_or_else(|| format!("couldn't resolve container port name: {port:?}"))
}
