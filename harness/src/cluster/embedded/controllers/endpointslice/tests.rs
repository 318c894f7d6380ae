//! Which slices a Service needs, as tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, from_value, json};

use super::slices::{Backend, Plan, decide};

fn service(spec: &Value) -> Service {
    let mut all =
        json!({"clusterIP": "10.96.0.20", "ipFamilies": ["IPv4"], "ports": [{"port": 80, "targetPort": 8080}]});
    for (key, value) in spec.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    let meta = json!({"name": "s", "namespace": "n", "uid": "u", "labels": {"team": "a"}});
    from_value(json!({"metadata": meta, "spec": all})).expect("a service")
}

/// A Pod that is `ready`, `unready`, `going` (ready, being deleted), `stopping` (no longer ready), `done` or `pending`.
fn backend(number: usize, state: &str) -> Backend {
    let ready = matches!(state, "ready" | "going");
    let deleted = matches!(state, "going" | "stopping").then_some("2030-01-01T00:00:00Z");
    let ips = if state == "pending" {
        json!([])
    } else {
        json!([{"ip": format!("10.0.0.{number}")}, {"ip": format!("fd00::{number:x}")}])
    };
    let ports = json!([{"name": "web", "containerPort": 9000 + number % 2, "protocol": "TCP"}]);
    let pod: Pod = from_value(json!({
        "metadata": {"name": format!("p{number}"), "namespace": "n", "uid": format!("p{number}"), "deletionTimestamp": deleted},
        "spec": {"nodeName": "n1", "hostname": "h", "subdomain": "s", "containers": [{"name": "c", "ports": ports}]},
        "status": {
            "phase": if state == "done" { "Succeeded" } else { "Running" },
            "podIPs": ips,
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
        },
    }))
    .expect("a pod");
    let node: Node = from_value(json!({"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z1"}}}))
        .expect("a node");
    (Arc::new(pod), Some(Arc::new(node)))
}

/// What the server makes of what is created.
fn stored(slices: Vec<EndpointSlice>) -> Vec<Arc<EndpointSlice>> {
    let named = |(number, mut slice): (usize, EndpointSlice)| {
        slice.metadata.name.get_or_insert_with(|| format!("s-{number}"));
        Arc::new(slice)
    };
    slices.into_iter().enumerate().map(named).collect()
}

fn counts(plan: &Plan) -> (usize, usize, usize) {
    (plan.create.len(), plan.update.len(), plan.delete.len())
}

#[test]
fn a_pod_that_ends_serves_without_being_ready_and_one_that_is_done_is_gone() {
    let cases = [
        ("ready", false, Some((true, true, false))),
        ("unready", false, Some((false, false, false))),
        ("unready", true, Some((true, false, false))),
        ("going", false, Some((false, true, true))),
        ("going", true, Some((true, true, true))),
        ("stopping", false, Some((false, false, true))),
        ("done", false, None),
        ("pending", false, None),
    ];
    for (state, published, expected) in cases {
        let plan = decide(&service(&json!({"publishNotReadyAddresses": published})), &[backend(1, state)], &[]);
        let endpoints = plan.create[0].endpoints.clone().expect("a list");
        let conditions = endpoints.first().and_then(|endpoint| endpoint.conditions.clone());
        let said = conditions
            .map(|said| (said.ready == Some(true), said.serving == Some(true), said.terminating == Some(true)));
        assert_eq!(said, expected, "{state} {published}");
    }
}

#[test]
fn a_slice_says_whose_it_is_and_where_its_endpoints_are() {
    let plan = decide(&service(&json!({"clusterIP": "None"})), &[backend(1, "ready")], &[]);
    let slice = serde_json::to_value(&plan.create[0]).expect("JSON");
    assert_eq!(
        slice["metadata"]["labels"],
        json!({
            "team": "a",
            "kubernetes.io/service-name": "s",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            "service.kubernetes.io/headless": "",
        })
    );
    assert_eq!(slice["metadata"]["ownerReferences"][0]["uid"], "u");
    assert_eq!(slice["ports"], json!([{"name": "", "port": 8080, "protocol": "TCP"}]));
    let endpoint = &slice["endpoints"][0];
    assert_eq!(endpoint["addresses"], json!(["10.0.0.1"]));
    assert_eq!(endpoint["hostname"], "h", "its subdomain is the service");
    assert_eq!((&endpoint["nodeName"], &endpoint["zone"]), (&json!("n1"), &json!("z1")));
    assert_eq!(endpoint["targetRef"], json!({"kind": "Pod", "namespace": "n", "name": "p1", "uid": "p1"}));
}

#[test]
fn each_family_has_slices_of_its_own() {
    let plan = decide(&service(&json!({"ipFamilies": ["IPv6", "IPv4"]})), &[backend(10, "ready")], &[]);
    let said: Vec<(String, Vec<String>)> = plan
        .create
        .iter()
        .map(|slice| (slice.address_type.clone(), slice.endpoints.clone().expect("a list")[0].addresses.clone()))
        .collect();
    assert_eq!(
        said,
        [("IPv6".to_owned(), vec!["fd00::a".to_owned()]), ("IPv4".to_owned(), vec!["10.0.0.10".to_owned()])]
    );
}

#[test]
fn pods_that_give_a_named_port_different_numbers_are_in_different_slices() {
    let named = service(&json!({"ports": [{"name": "http", "port": 80, "targetPort": "web"}]}));
    let plan = decide(&named, &[backend(1, "ready"), backend(2, "ready"), backend(3, "ready")], &[]);
    let ports: BTreeSet<i32> =
        plan.create.iter().map(|slice| slice.ports.clone().expect("ports")[0].port.expect("a number")).collect();
    assert_eq!(ports, BTreeSet::from([9000, 9001]));
    let unknown = service(&json!({"ports": [{"name": "http", "port": 80, "targetPort": "nobody"}]}));
    let plan = decide(&unknown, &[backend(1, "ready")], &[]);
    assert_eq!(plan.create[0].ports, Some(vec![]), "a port that no container names is left out");
}

#[test]
fn what_is_as_it_should_be_is_not_written_again() {
    for states in [vec![], vec!["ready", "going"]] {
        let backends: Vec<Backend> = states.iter().enumerate().map(|(number, state)| backend(number, state)).collect();
        let slices = stored(decide(&service(&json!({})), &backends, &[]).create);
        assert_eq!(slices.len(), 1);
        assert_eq!(counts(&decide(&service(&json!({})), &backends, &slices)), (0, 0, 0), "{states:?}");
    }
}

#[test]
fn the_first_pod_turns_the_empty_slice_into_its_own_and_the_last_one_empties_it() {
    let empty = stored(decide(&service(&json!({})), &[], &[]).create);
    let plan = decide(&service(&json!({})), &[backend(1, "ready")], &empty);
    assert_eq!(counts(&plan), (0, 1, 0));
    let full = stored(plan.update);
    let plan = decide(&service(&json!({})), &[], &full);
    assert_eq!(counts(&plan), (0, 1, 0));
    assert_eq!(plan.update[0].endpoints, Some(vec![]));
}

#[test]
fn a_hundred_endpoints_fill_a_slice_and_changes_touch_as_few_as_they_can() {
    let backends: Vec<Backend> = (0..250).map(|number| backend(number, "ready")).collect();
    let slices = stored(decide(&service(&json!({})), &backends, &[]).create);
    let lengths = |slices: &[Arc<EndpointSlice>]| -> Vec<usize> {
        slices.iter().map(|slice| slice.endpoints.as_ref().map_or(0, Vec::len)).collect()
    };
    assert_eq!(lengths(&slices), [100, 100, 50]);

    let mut more = backends.clone();
    more.push(backend(250, "ready"));
    let plan = decide(&service(&json!({})), &more, &slices);
    assert_eq!(counts(&plan), (0, 1, 0));
    assert_eq!(plan.update[0].endpoints.as_ref().map(Vec::len), Some(51), "the one with room");

    let mut changed = backends;
    changed[3] = backend(3, "going");
    assert_eq!(counts(&decide(&service(&json!({})), &changed, &slices)), (0, 1, 0));
}
