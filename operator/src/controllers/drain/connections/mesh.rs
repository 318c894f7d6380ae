//! Connections as the proxies of service meshes count them. Pure.
//!
//! A proxy stands between the Pod and everybody else, so that its inbound connections are the Pod's. Requests under way
//! count as well: a client's proxy sends many streams over one connection, and each of them is a user's.

use super::promtext::{self, Labels};

/// Names of Envoy's sidecar containers.
pub(super) const ENVOY_CONTAINERS: [&str; 2] = ["istio-proxy", "envoy"];

/// The name of Linkerd's sidecar container.
pub(super) const LINKERD_CONTAINERS: [&str; 1] = ["linkerd-proxy"];

/// Where Envoy tells its statistics on each of its ports, and only those that are looked at here: as metrics, which
/// Istio's ports know alone, and as lines of its own, as its administration port prints them.
pub(super) const ENVOY_PATHS: [&str; 2] =
    ["/stats/prometheus?filter=downstream_.._active", "/stats?filter=downstream_.._active"];

/// Where Linkerd's proxy tells its statistics.
pub(super) const LINKERD_PATH: &str = "/metrics";

/// Ports of Istio's sidecar that users do not connect to: administration, the Pod's own connections, tunnels of the
/// control plane, health and statistics. What arrives for the application comes in at 15006 and 15008.
pub(super) const ISTIO_PORTS: [u16; 7] = [15000, 15001, 15004, 15020, 15021, 15053, 15090];

/// Ports of Linkerd's sidecar that users do not connect to. What arrives for the application comes in at 4143.
pub(super) const LINKERD_PORTS: [u16; 3] = [4140, 4190, 4191];

/// The connections of a listener, in either form of Envoy's statistics.
const CONNECTIONS: Statistic = Statistic {
    metric: "envoy_listener_downstream_cx_active",
    label: "listener_address",
    line: ("listener.", ".downstream_cx_active"),
};

/// The requests under way of an HTTP connection manager.
const REQUESTS: Statistic = Statistic {
    metric: "envoy_http_downstream_rq_active",
    label: "envoy_http_conn_manager_prefix",
    line: ("http.", ".downstream_rq_active"),
};

struct Statistic {
    metric: &'static str,
    /// The label that says whose it is.
    label: &'static str,
    /// What stands before and after whose it is, in a line of Envoy's own.
    line: (&'static str, &'static str),
}

impl Statistic {
    /// Adds up those whose owner fits.
    fn sum(&self, page: &str, fits: impl Fn(&str) -> bool) -> Result<u64, promtext::Error> {
        match promtext::sum(page, self.metric, |labels| fits(labels.get(self.label))) {
            Err(promtext::Error::Missing { metric }) => {
                let mut sum = None;
                for (index, line) in page.lines().enumerate() {
                    let Some((_, count)) = self.read(line).filter(|(owner, _)| fits(owner)) else { continue };
                    let count: u64 = count.parse().map_err(|_| promtext::Error::Garbled { line: index + 1 })?;
                    sum = Some(sum.unwrap_or(0u64).saturating_add(count));
                }
                sum.ok_or(promtext::Error::Missing { metric })
            }
            other => other,
        }
    }

    /// `listener.0.0.0.0_15006.downstream_cx_active: 3`. Each worker thread's part is in the whole already.
    fn read<'a>(&self, line: &'a str) -> Option<(&'a str, &'a str)> {
        let (name, count) = line.trim().split_once(": ")?;
        let owner = name.strip_prefix(self.line.0)?.strip_suffix(self.line.1)?;
        (!owner.contains(".worker_")).then_some((owner, count))
    }
}

/// Inbound connections and requests under way of an Envoy sidecar, whichever are more.
pub(super) fn envoy(page: &str) -> Result<u64, promtext::Error> {
    // Istio sends everything that arrives through one of two listeners; gateways and other Envoys have one a port.
    let (connections, requests) = match CONNECTIONS.sum(page, is_istio_inbound) {
        Err(promtext::Error::Missing { .. }) => {
            let own = |prefix: &str| ["admin", "agent", "stats"].contains(&prefix);
            (CONNECTIONS.sum(page, is_public)?, REQUESTS.sum(page, |prefix| !own(prefix)))
        }
        inbound => (inbound?, REQUESTS.sum(page, |prefix| prefix.starts_with("inbound"))),
    };
    match requests {
        Ok(requests) => Ok(connections.max(requests)),
        // They are not recorded unless somebody asks for it; connections always are.
        Err(promtext::Error::Missing { .. }) => Ok(connections),
        Err(error) => Err(error),
    }
}

fn is_istio_inbound(address: &str) -> bool {
    address.ends_with("_15006") || address.ends_with("_15008")
}

/// A listener that others than the Pod itself connect to, as `0.0.0.0_8080` names it.
fn is_public(address: &str) -> bool {
    let (host, port) = address.rsplit_once('_').unwrap_or((address, ""));
    let own = ISTIO_PORTS.iter().any(|own| port == own.to_string());
    !own && !address.is_empty() && !host.starts_with("127.") && host != "[__1]" && address != "admin"
}

/// Inbound connections and requests under way of a Linkerd sidecar, whichever are more.
pub(super) fn linkerd(page: &str) -> Result<u64, promtext::Error> {
    const CONNECTIONS: &str = "tcp_open_connections";
    // A proxy that nobody has connected to has no such samples yet. A page that has nothing of a proxy either is somebody
    // else's, and no connections on it mean nothing.
    if !promtext::knows(page, CONNECTIONS) {
        promtext::sum(page, "process_start_time_seconds", |_| true)?;
    }
    let inbound = |labels: &Labels| {
        let target = labels.get("target_addr");
        let own = LINKERD_PORTS.iter().any(|port| target.ends_with(&format!(":{port}")));
        labels.get("direction") == "inbound" && !own
    };
    let connections =
        promtext::sum_or_zero(page, CONNECTIONS, |labels| inbound(labels) && labels.get("peer") == "src")?;
    // A request is counted when it begins, its response when the last of it is sent.
    let begun = promtext::sum_or_zero(page, "request_total", inbound)?;
    let ended = promtext::sum_or_zero(page, "response_total", inbound)?;
    Ok(connections.max(begun.saturating_sub(ended)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDECAR: &str = r#"
envoy_listener_downstream_cx_active{listener_address="0.0.0.0_15001"} 11
envoy_listener_downstream_cx_active{listener_address="0.0.0.0_15006"} 2
envoy_listener_downstream_cx_active{listener_address="0.0.0.0_15008"} 1
envoy_listener_downstream_cx_active{listener_address="0.0.0.0_15021"} 1
envoy_listener_downstream_cx_active{listener_address="0.0.0.0_15090"} 1
envoy_listener_downstream_cx_active{listener_address="admin"} 1
envoy_listener_worker_downstream_cx_active{envoy_worker_id="0",listener_address="0.0.0.0_15006"} 2
"#;

    #[test]
    fn an_istio_sidecar_counts_what_comes_in_and_its_streams() {
        assert_eq!(envoy(SIDECAR), Ok(3));
        let streams = |inbound: u32| {
            format!(
                "{SIDECAR}envoy_http_downstream_rq_active{{envoy_http_conn_manager_prefix=\"inbound_0.0.0.0_8080;\"}} {inbound}\n\
                 envoy_http_downstream_rq_active{{envoy_http_conn_manager_prefix=\"outbound_0.0.0.0_80\"}} 50\n"
            )
        };
        assert_eq!(envoy(&streams(0)), Ok(3));
        assert_eq!(envoy(&streams(9)), Ok(9), "nine streams over three connections");
    }

    #[test]
    fn statistics_are_read_as_the_administration_port_prints_them() {
        let sidecar = "listener.0.0.0.0_15001.downstream_cx_active: 11\nlistener.0.0.0.0_15006.downstream_cx_active: 2\n\
                       listener.0.0.0.0_15006.worker_0.downstream_cx_active: 2\nlistener.admin.downstream_cx_active: 1\n\
                       http.inbound_0.0.0.0_8080;.downstream_rq_active: 5\nhttp.outbound_0.0.0.0_80;.downstream_rq_active: 9\n";
        assert_eq!(envoy(sidecar), Ok(5));
        let plain =
            "listener.10.1.2.3_8080.downstream_cx_active: 3\nlistener.admin.downstream_cx_active: 1\nserver.live: 1\n";
        assert_eq!(envoy(plain), Ok(3));
        let garbled =
            "listener.10.1.2.3_80.downstream_cx_active: 0\nlistener.10.1.2.3_8080.downstream_cx_active: many\n";
        assert_eq!(envoy(garbled), Err(promtext::Error::Garbled { line: 2 }));
    }

    #[test]
    fn another_envoy_counts_every_listener_that_others_connect_to() {
        let page = r#"envoy_listener_downstream_cx_active{listener_address="0.0.0.0_8443"} 4
envoy_listener_downstream_cx_active{listener_address="[__]_8080"} 1
envoy_listener_downstream_cx_active{listener_address="127.0.0.1_9000"} 20
envoy_listener_downstream_cx_active{listener_address="admin"} 20
envoy_listener_downstream_cx_active{listener_address="0.0.0.0_15021"} 20
envoy_http_downstream_rq_active{envoy_http_conn_manager_prefix="outbound_0.0.0.0_8443"} 6
envoy_http_downstream_rq_active{envoy_http_conn_manager_prefix="admin"} 30
"#;
        assert_eq!(envoy(page), Ok(6));
    }

    #[test]
    fn statistics_that_are_not_recorded_are_no_zero() {
        for page in [
            "",
            "envoy_server_live 1",
            "envoy_listener_downstream_cx_active{listener_address=\"admin\"} 1",
            "envoy_listener_downstream_cx_active{listener_address=\"0.0.0.0_15001\"} 1",
        ] {
            assert!(matches!(envoy(page), Err(promtext::Error::Missing { .. })), "{page}");
        }
        for page in ["requests 1", "<html>tcp_open_connections</html>\n"] {
            assert!(matches!(linkerd(page), Err(promtext::Error::Missing { .. })), "{page}");
        }
    }

    #[test]
    fn a_linkerd_sidecar_counts_what_comes_in_and_its_streams() {
        let page = |begun: u32, ended: u32| {
            format!(
                r#"process_start_time_seconds 1700000000
tcp_open_connections{{direction="inbound",peer="src",target_addr="10.1.2.3:8080",tls="true"}} 2
tcp_open_connections{{direction="inbound",peer="src",target_addr="10.1.2.3:4191"}} 1
tcp_open_connections{{direction="inbound",peer="dst",target_addr="10.1.2.3:8080"}} 8
tcp_open_connections{{direction="outbound",peer="src",target_addr="10.1.2.9:80"}} 16
request_total{{direction="inbound",target_addr="10.1.2.3:8080"}} {begun}
request_total{{direction="outbound"}} 4000
response_total{{direction="inbound",target_addr="10.1.2.3:8080",status_code="200"}} {ended}
response_total{{direction="inbound",target_addr="10.1.2.3:8080",status_code="500"}} 1
"#
            )
        };
        assert_eq!(linkerd(&page(100, 99)), Ok(2));
        assert_eq!(linkerd(&page(100, 92)), Ok(7), "seven streams over two connections");
        assert_eq!(linkerd(&page(0, 99)), Ok(2), "a counter that was read a moment earlier");
        assert_eq!(linkerd("process_start_time_seconds 1\n"), Ok(0), "nobody has connected yet");
    }
}
