//! Pods on a simulated node, from creation to the end, in virtual time.

mod probes;
mod streams;

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::{Value, from_value, json};
use slipway_apiserver::clock::Clock;
use tokio::time::Instant;

use crate::cluster::Cluster as _;
use crate::cluster::embedded::node::program::{Exit, Process, Programs, Script};
use crate::cluster::embedded::{Cluster, EmbeddedConfig};
use crate::scenario::node::NodeSpec;

/// Longer than anything here may take, in virtual time.
const PATIENCE: Duration = Duration::from_mins(2);

async fn cluster(programs: Programs) -> Cluster {
    let clock = Clock::starting_at("2030-01-01T00:00:00Z".parse().expect("a time"));
    let mut config = EmbeddedConfig::new(clock, 7);
    config.programs = programs;
    config.nodes = vec![NodeSpec { name: "n1".to_owned(), ..NodeSpec::default() }];
    Cluster::start(config).await.expect("a cluster")
}

fn pods(client: Client) -> Api<Pod> {
    Api::namespaced(client, "default")
}

/// Makes a Pod called `p` from a container and what else its spec says.
async fn create(cluster: &Cluster, container: Value, rest: Value) -> Api<Pod> {
    let mut spec = json!({"containers": [container]});
    for (key, value) in rest.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    let pod = from_value(json!({"metadata": {"name": "p"}, "spec": spec})).expect("a pod");
    let api = pods(cluster.client());
    api.create(&PostParams::default(), &pod).await.expect("created");
    api
}

/// Waits for a state of the Pod `p`.
async fn until(api: &Api<Pod>, wanted: impl Fn(&Pod) -> bool) -> Pod {
    let reached = await_condition(api.clone(), "p", |pod: Option<&Pod>| pod.is_some_and(&wanted));
    let Ok(pod) = tokio::time::timeout(PATIENCE, reached).await else {
        panic!("never seen; it is {:#?}", api.get("p").await.map(|pod| pod.status));
    };
    pod.expect("a watch").expect("a pod")
}

async fn gone(api: &Api<Pod>) {
    let reached = await_condition(api.clone(), "p", |pod: Option<&Pod>| pod.is_none());
    tokio::time::timeout(PATIENCE, reached).await.expect("in time").expect("a watch");
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn container(pod: &Pod) -> ContainerStatus {
    let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    status.and_then(|all| all.first()).cloned().unwrap_or_default()
}

fn exit_code(pod: &Pod) -> Option<i32> {
    container(pod).state?.terminated.map(|ended| ended.exit_code)
}

fn waiting(pod: &Pod) -> Option<String> {
    container(pod).state?.waiting?.reason
}

async fn events(client: Client) -> Vec<(String, String)> {
    let api: Api<Event> = Api::namespaced(client, "default");
    let events = api.list(&ListParams::default()).await.expect("events").items;
    events.into_iter().map(|event| (event.reason.unwrap_or_default(), event.message.unwrap_or_default())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_program_ends_well_completes_and_keeps_its_message() {
    let script =
        Script { after: Some(Duration::from_secs(5)), message: Some("{\"ok\":true}".to_owned()), ..Script::default() };
    let cluster = cluster(Programs::new().with("agent:*", script)).await;
    let job = from_value(json!({
        "metadata": {"name": "j"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "agent:1"}]}}},
    }));
    let api: Api<Job> = Api::namespaced(cluster.client(), "default");
    api.create(&PostParams::default(), &job.expect("a job")).await.expect("created");
    let complete = |job: Option<&Job>| {
        let conditions = job.and_then(|job| job.status.as_ref()?.conditions.as_ref());
        conditions.into_iter().flatten().any(|condition| condition.type_ == "Complete" && condition.status == "True")
    };
    let began = Instant::now();
    tokio::time::timeout(PATIENCE, await_condition(api.clone(), "j", complete))
        .await
        .expect("in time")
        .expect("a watch");
    assert_eq!(began.elapsed().as_secs(), 5, "nothing but the program takes time");
    let pods = pods(cluster.client()).list(&ListParams::default()).await.expect("pods");
    let pod = pods.items.first().expect("a pod");
    let ended = container(pod).state.and_then(|state| state.terminated).expect("ended");
    assert_eq!(
        (ended.exit_code, ended.reason.as_deref(), ended.message.as_deref()),
        (0, Some("Completed"), Some("{\"ok\":true}"))
    );
    assert!(pod.metadata.finalizers.is_none(), "a counted pod is let go: {:?}", pod.metadata.finalizers);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_on_a_host_path_lands_on_the_node_and_one_beside_it_is_lost() {
    let program = |process: Process| async move {
        process.files.write("/etc/netplan/91-x.yaml", b"kept", 0o600).expect("the mount");
        process.files.write("/etc/lost.yaml", b"lost", 0o600).expect("the container's own root");
        Exit::SUCCESS
    };
    let cluster = cluster(Programs::new().with_function("agent:*", program)).await;
    let mount = json!({"name": "netplan", "mountPath": "/etc/netplan"});
    let volume = json!({"name": "netplan", "hostPath": {"path": "/etc/netplan", "type": "DirectoryOrCreate"}});
    let api = create(
        &cluster,
        json!({"name": "c", "image": "agent:1", "volumeMounts": [mount]}),
        json!({"restartPolicy": "Never", "volumes": [volume]}),
    )
    .await;
    until(&api, |pod| phase(pod) == "Succeeded").await;
    let node = cluster.node("n1").expect("the node");
    assert_eq!(node.read_file("/etc/netplan/91-x.yaml").await.expect("the file"), b"kept");
    assert_eq!(node.file_mode("/etc/netplan/91-x.yaml").await.expect("the file"), 0o600);
    assert!(node.read_file("/etc/lost.yaml").await.is_err(), "what is not mounted does not reach the node");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_image_that_does_not_exist_is_never_reported_as_run() {
    let cluster = cluster(Programs::new()).await;
    let api = create(&cluster, json!({"name": "c", "image": "nope:1"}), json!({})).await;
    until(&api, |pod| waiting(pod).as_deref() == Some("ErrImagePull")).await;
    let pod = until(&api, |pod| waiting(pod).as_deref() == Some("ImagePullBackOff")).await;
    assert_eq!(phase(&pod), "Pending");
    tokio::time::sleep(Duration::from_mins(10)).await;
    let pod = api.get("p").await.expect("the pod");
    assert_eq!((phase(&pod), container(&pod).restart_count), ("Pending", 0));
    let events = events(cluster.client()).await;
    assert!(events.contains(&("BackOff".to_owned(), "Back-off pulling image \"nope:1\"".to_owned())), "{events:?}");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_fails_again_and_again_waits_longer_each_time() {
    let program = |_process: Process| async { Exit(3) };
    let cluster = cluster(Programs::new().with_function("agent:*", program)).await;
    let began = Instant::now();
    let api = create(&cluster, json!({"name": "c", "image": "agent:1"}), json!({})).await;
    for (restarts, seconds) in [(1, 0), (2, 10), (3, 30), (4, 70)] {
        let pod = until(&api, |pod| container(pod).restart_count == restarts).await;
        assert_eq!(began.elapsed().as_secs(), seconds, "restart {restarts}");
        assert_eq!(phase(&pod), "Running");
    }
    let pod = until(&api, |pod| waiting(pod).as_deref() == Some("CrashLoopBackOff")).await;
    let last = container(&pod).last_state.and_then(|state| state.terminated).expect("it ran before");
    assert_eq!((last.exit_code, last.reason.as_deref()), (3, Some("Error")));
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_gets_its_grace_period_and_no_more() {
    for (ignores_stop, seconds) in [(false, 0), (true, 30)] {
        let script = Script { ignores_stop, ..Script::default() };
        let cluster = cluster(Programs::new().with("agent:*", script)).await;
        let api = create(&cluster, json!({"name": "c", "image": "agent:1"}), json!({})).await;
        until(&api, |pod| phase(pod) == "Running").await;
        let asked = Instant::now();
        api.delete("p", &DeleteParams::default()).await.expect("deleted");
        gone(&api).await;
        assert_eq!(asked.elapsed().as_secs(), seconds, "ignores the signal: {ignores_stop}");
        cluster.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_panics_is_a_container_that_fails() {
    let program = |process: Process| async move {
        assert!(!process.args.is_empty(), "no arguments");
        Exit::SUCCESS
    };
    let cluster = cluster(Programs::new().with_function("agent:*", program)).await;
    let policy = json!({"restartPolicy": "Never"});
    let container = json!({"name": "c", "image": "agent:1", "terminationMessagePolicy": "FallbackToLogsOnError"});
    let api = create(&cluster, container, policy).await;
    let pod = until(&api, |pod| phase(pod) == "Failed").await;
    assert_eq!(exit_code(&pod), Some(134));
    let log = cluster.pod_log("default", "p").expect("a log");
    assert_eq!(log, "panicked: no arguments\n");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_cluster_writes_nothing_however_long_it_stands() {
    let cluster = cluster(Programs::new().with("agent:*", Script::default())).await;
    let api = create(&cluster, json!({"name": "c", "image": "agent:1"}), json!({})).await;
    until(&api, |pod| phase(pod) == "Running").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = cluster.server().revision();
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(cluster.server().revision(), before);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_node_is_switched_off_is_failed_and_removed() {
    let cluster = cluster(Programs::new().with("agent:*", Script::default())).await;
    let api = create(&cluster, json!({"name": "c", "image": "agent:1"}), json!({})).await;
    until(&api, |pod| phase(pod) == "Running").await;
    cluster.remove_node("n1").await.expect("removed");
    let asked = Instant::now();
    gone(&api).await;
    assert_eq!(asked.elapsed().as_secs(), 40);
    cluster.stop().await;
}
