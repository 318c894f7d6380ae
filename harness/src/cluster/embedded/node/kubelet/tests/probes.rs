//! Probes, readiness gates and hooks, in virtual time.

use kube::api::{Patch, PatchParams};

use super::*;

const HOUR: Duration = Duration::from_hours(1);

fn server(env: &Value, rest: &Value) -> Value {
    let mut container = json!({"name": "c", "image": "slipway.dev/http-server:1", "env": env});
    for (key, value) in rest.as_object().into_iter().flatten() {
        container[key] = value.clone();
    }
    container
}

fn ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|(status, _)| status == "True")
}

fn condition(pod: &Pod, kind: &str) -> Option<(String, String)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|condition| condition.type_ == kind)?;
    Some((found.status.clone(), found.message.clone().unwrap_or_default()))
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_ready_when_its_probe_says_so_and_nothing_is_written_while_it_stays_so() {
    let cluster = cluster(Programs::new()).await;
    let probe = json!({"readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 5}});
    let env = json!([{"name": "READY_AFTER_SECONDS", "value": "12"}]);
    let api = create(&cluster, server(&env, &probe), json!({})).await;
    let began = Instant::now();
    let pod = until(&api, |pod| phase(pod) == "Running").await;
    assert!(!ready(&pod), "the probe has not said so");
    until(&api, ready).await;
    assert!((12..=15).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let complaints = events(cluster.client()).await;
    let complaints: Vec<_> = complaints.iter().filter(|(reason, _)| reason == "Unhealthy").collect();
    let expected =
        ("Unhealthy".to_owned(), "Readiness probe failed: HTTP probe failed with statuscode: 503".to_owned());
    assert_eq!(complaints, [&expected]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = cluster.server().revision();
    tokio::time::sleep(HOUR).await;
    assert_eq!(cluster.server().revision(), before, "seven hundred probes and no news");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_does_not_live_is_restarted() {
    let cluster = cluster(Programs::new()).await;
    let probe = json!({
        "startupProbe": {"tcpSocket": {"port": 8080}},
        "livenessProbe": {"exec": {"command": ["test", "!", "-f", "/tmp/dead"]}, "periodSeconds": 2, "failureThreshold": 2},
        "lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "[ $ROUND = 2 ] || touch /tmp/dead"]}}},
    });
    let env = json!([{"name": "ROUND", "value": "1"}]);
    let api = create(&cluster, server(&env, &probe), json!({})).await;
    let last = |pod: &Pod| container(pod).last_state.and_then(|last| last.terminated).map(|ended| ended.exit_code);
    let pod = until(&api, |pod| container(pod).restart_count == 1 && last(pod).is_some()).await;
    assert_eq!(last(&pod), Some(143), "it was asked to end, and did");
    let events = events(cluster.client()).await;
    let killing = ("Killing".to_owned(), "Container c failed liveness probe, will be restarted".to_owned());
    assert!(events.contains(&killing), "{events:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_readiness_gate_keeps_a_pod_out_until_somebody_opens_it() {
    let cluster = cluster(Programs::new()).await;
    let gates = json!({"readinessGates": [{"conditionType": "example.com/open"}]});
    let api = create(&cluster, server(&json!([]), &json!({})), gates).await;
    let pod = until(&api, |pod| condition(pod, "ContainersReady").is_some_and(|(status, _)| status == "True")).await;
    let message = "corresponding condition of pod readiness gate \"example.com/open\" does not exist.".to_owned();
    assert_eq!(condition(&pod, "Ready"), Some(("False".to_owned(), message)));
    let set = async |status: &str| {
        let patch = json!({"status": {"conditions": [{"type": "example.com/open", "status": status}]}});
        api.patch_status("p", &PatchParams::default(), &Patch::Strategic(patch)).await.expect("patched");
    };
    set("True").await;
    until(&api, ready).await;
    set("False").await;
    let pod = until(&api, |pod| !ready(pod)).await;
    let message = "the status of pod readiness gate \"example.com/open\" is not \"True\", but False".to_owned();
    assert_eq!(condition(&pod, "Ready"), Some(("False".to_owned(), message)));
}

#[tokio::test(start_paused = true)]
async fn a_hook_before_the_signal_takes_its_time_from_the_grace_period() {
    for (sleep, expected) in [(5, 5), (60, 32)] {
        let cluster = cluster(Programs::new()).await;
        let hook = json!({"lifecycle": {"preStop": {"sleep": {"seconds": sleep}}}});
        let ignores = json!([{"name": "ON_TERM", "value": if sleep == 60 { "ignore" } else { "exit" }}]);
        let api = create(&cluster, server(&ignores, &hook), json!({"terminationGracePeriodSeconds": 30})).await;
        until(&api, ready).await;
        let asked = Instant::now();
        api.delete("p", &DeleteParams::default()).await.expect("deleted");
        let pod = api.get("p").await.expect("still there");
        assert!(ready(&pod), "a Pod that is to go serves until it has gone");
        gone(&api).await;
        assert_eq!(asked.elapsed().as_secs(), expected, "a hook of {sleep} s");
    }
}
