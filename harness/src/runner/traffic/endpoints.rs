//! Which addresses a Service leads to, as the rules of a node's kernel know it: a while after the slices say so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::Api;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Who a Service leads to; none until its slices have been read.
pub(super) type View = Option<Arc<[SocketAddr]>>;

/// The label that leads from a slice to its Service.
const SERVICE: &str = "kubernetes.io/service-name";

/// Keeps the view for as long as it is polled.
pub(super) async fn follow(
    api: Api<EndpointSlice>,
    service: String,
    port: String,
    propagation: Duration,
    show: watch::Sender<View>,
) {
    let (store, writer) = reflector::store();
    let config = watcher::Config::default().labels(&format!("{SERVICE}={service}"));
    let mut events = std::pin::pin!(reflector(writer, watcher(api, config).default_backoff()));
    let (send, mut due) = mpsc::unbounded_channel::<(Instant, Arc<[SocketAddr]>)>();
    let watching = async {
        let mut known = None;
        while let Some(event) = events.next().await {
            let complete = !matches!(event, Ok(watcher::Event::Init | watcher::Event::InitApply(_)) | Err(_));
            let slices = store.state();
            let addresses: Arc<[SocketAddr]> = addresses(slices.iter().map(AsRef::as_ref), &port).into();
            if complete && known.as_ref() != Some(&addresses) {
                // The first view is there already when clients begin.
                let delay = if known.is_none() { Duration::ZERO } else { propagation };
                known = Some(Arc::clone(&addresses));
                // The other end is in this function.
                let _ = send.send((Instant::now() + delay, addresses));
            }
        }
    };
    let showing = async {
        while let Some((at, addresses)) = due.recv().await {
            tokio::time::sleep_until(at).await;
            show.send_replace(Some(addresses));
        }
    };
    tokio::join!(watching, showing);
}

/// Where connections are led: to ready endpoints, and where there is none to those that still serve while they end.
fn addresses<'a>(slices: impl Iterator<Item = &'a EndpointSlice>, port: &str) -> Vec<SocketAddr> {
    let mut all: Vec<(&Endpoint, SocketAddr)> = Vec::new();
    for slice in slices {
        let mut ports = slice.ports.iter().flatten();
        let Some(number) = ports.find(|p| p.name.as_deref().unwrap_or_default() == port).and_then(|p| p.port) else {
            continue;
        };
        let Ok(number) = u16::try_from(number) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let ip = endpoint.addresses.first().and_then(|address| address.parse().ok());
            all.extend(ip.map(|ip| (endpoint, SocketAddr::new(ip, number))));
        }
    }
    let chosen = |wanted: fn(&Endpoint) -> bool| {
        let mut chosen: Vec<SocketAddr> =
            all.iter().filter(|(endpoint, _)| wanted(endpoint)).map(|(_, address)| *address).collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    };
    let ready = chosen(is_ready);
    if ready.is_empty() { chosen(serves_while_it_ends) } else { ready }
}

/// What is not known is taken for ready.
fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false)
}

fn serves_while_it_ends(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    conditions.is_some_and(|conditions| conditions.serving == Some(true) && conditions.terminating == Some(true))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn led(endpoints: &Value) -> Vec<String> {
        let slice = json!({
            "metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "admin", "port": 9000}, {"name": "http", "port": 8080}],
        });
        let slice: EndpointSlice = from_value(slice).expect("a slice");
        addresses(std::iter::once(&slice), "http").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn connections_are_led_to_ready_endpoints_and_to_ending_ones_only_where_there_is_no_other() {
        let endpoint = |ip: &str, conditions: Value| json!({"addresses": [ip], "conditions": conditions});
        let ready = endpoint("10.0.0.1", json!({"ready": true, "serving": true, "terminating": false}));
        let unknown = endpoint("10.0.0.2", json!({}));
        let unready = endpoint("10.0.0.3", json!({"ready": false, "serving": false, "terminating": false}));
        let ending = endpoint("10.0.0.4", json!({"ready": false, "serving": true, "terminating": true}));
        assert_eq!(led(&json!([ready, unknown, unready, ending])), ["10.0.0.1:8080", "10.0.0.2:8080"]);
        assert_eq!(led(&json!([unready, ending])), ["10.0.0.4:8080"]);
        assert!(led(&json!([unready])).is_empty());
        assert!(led(&json!([])).is_empty());
    }
}
