//! Scenarios on a cluster that somebody else runs: our own `slipway serve` in a process of its own, reached by kubeconfig
//! as any other cluster is, and found afterwards as it was before.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod elsewhere;

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node};
use kube::Api;
use kube::api::{DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use serde_json::json;
use slipway::cli::commands::vocabulary;
use slipway::cluster::access::Provider as _;
use slipway::cluster::kubeconfig;
use slipway::event::{Event, Outcome};
use slipway::runner::report::terminal::explain;
use slipway::runner::report::{Record, Report};
use slipway::runner::{self, Options};
use slipway::scenario::load::load;
use slipway::scenario::model::Time;
use slipway::scenario::plan::Plan;
use slipway::sim::seed::{RunId, RunSeed};
use slipway::target::{OnCluster, Operator, Placed, RaiseError, Raised, Remains, Stage, Teller, Terms};
use tokio_util::sync::CancellationToken;

use elsewhere::{Foreign, slipway, text};

/// The label of what runs make.
const RUN: &str = "slipway.dev/run";

/// A scenario up to where the operator holds an object of it.
const HELD: &str = "\
nodes: [{name: worker-1, links: [{name: ens4, mac: 'fa:16:3e:00:00:01'}]}]
operator: {controllers: [multinic, drain]}
steps:
  - apply:
      manifest:
        apiVersion: multinic.io/v1alpha1
        kind: MultiNicNodeConfig
        metadata: {name: worker-1}
        spec:
          nodeName: worker-1
          interfaces: [{id: 1, macAddress: 'fa:16:3e:00:00:01', address: 10.0.0.1, cidr: 10.0.0.0/24, mtu: 1500}]
  - expect: {resource: multinicnodeconfigs, that: has(self.metadata.finalizers)}
";

impl Foreign {
    fn temporary_files(&self) -> usize {
        fs::read_dir(self.temporary()).unwrap().count()
    }

    /// Runs a scenario of these lines.
    fn run_text(&self, name: &str, rest: &str) -> Output {
        let file = self.scenario(name, rest);
        self.run(&[&file.to_string_lossy()])
    }

    /// Everything there is once the cluster has made what it makes by itself.
    async fn settled(&self) -> BTreeSet<String> {
        let mut wanted = Vec::new();
        for namespace in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            wanted.push(format!("ServiceAccount {namespace}/default"));
            wanted.push(format!("ConfigMap {namespace}/kube-root-ca.crt"));
        }
        until("the cluster is whole", async || {
            let there = self.objects().await;
            wanted.iter().all(|one| there.contains(one))
        })
        .await;
        self.objects().await
    }

    /// Everything there is but Events, which go by themselves, and the class of volumes, which the cluster makes for the
    /// first claim and keeps.
    async fn objects(&self) -> BTreeSet<String> {
        let client = self.client().await;
        let mut versions = vec!["v1".to_owned()];
        let groups = client.list_api_groups().await.unwrap().groups;
        versions.extend(groups.into_iter().filter_map(|group| Some(group.preferred_version?.group_version)));
        let mut found = BTreeSet::new();
        for version in versions {
            let list = match version.as_str() {
                "v1" => client.list_core_api_resources("v1").await.unwrap(),
                _ => client.list_api_group_resources(&version).await.unwrap(),
            };
            let (group, short) = version.rsplit_once('/').unwrap_or(("", &version));
            for resource in list.resources.into_iter().filter(|one| one.verbs.contains(&"list".to_owned())) {
                if ["Event", "StorageClass"].contains(&resource.kind.as_str()) || resource.name.contains('/') {
                    continue;
                }
                let resource = ApiResource {
                    group: group.to_owned(),
                    version: short.to_owned(),
                    api_version: version.clone(),
                    kind: resource.kind,
                    plural: resource.name,
                };
                let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
                for object in api.list_metadata(&ListParams::default()).await.unwrap().items {
                    let metadata = object.metadata;
                    let namespace = metadata.namespace.unwrap_or_default();
                    found.insert(format!("{} {namespace}/{}", resource.kind, metadata.name.unwrap_or_default()));
                }
            }
        }
        found
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_pass_on_a_cluster_of_others_and_leave_it_as_it_was() {
    let foreign = Foreign::start();
    let before = foreign.settled().await;
    // Only who is asked by webhook can hold an eviction.
    let pod = "metadata: {name: web, annotations: {vpa-managed: 'true', drain.slipway.dev/mechanisms: eviction-gate}}, \
               spec: {terminationGracePeriodSeconds: 1, containers: [{name: web, image: 'slipway.dev/pause:1'}]}";
    let held = foreign.scenario(
        "held",
        &format!(
            "nodes: [{{name: worker-1}}]\noperator: {{controllers: [drain]}}\nsteps:\n  \
             - create: {{manifest: {{apiVersion: v1, kind: Pod, {pod}}}}}\n  \
             - expect: {{resource: pods, name: web, object: {{status: {{phase: Running}}}}}}\n  \
             - evict: {{name: web, as: 'system:serviceaccount:kube-system:vpa-updater', expect: held}}\n"
        ),
    );
    let output = foreign.run(&[
        "scenarios/hello/what-cannot-be-said.yaml",
        "scenarios/multinic/delete-cleans-the-node-up.yaml",
        &held.to_string_lossy(),
        "scenarios/workloads/stateful-set-keeps-order-and-data.yaml",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("4 passed"), "{}", text(&output));
    let after = foreign.objects().await;
    assert_eq!(after.symmetric_difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn a_scenario_that_cannot_run_there_is_skipped_and_every_report_says_why() {
    let foreign = Foreign::start();
    let (json, junit) = (foreign.directory.path().join("r.json"), foreign.directory.path().join("r.xml"));
    let file = foreign.scenario("waits", "steps: [{advance: 5m}]\n");
    let output = foreign.run(&[
        &file.to_string_lossy(),
        "--report",
        &format!("json={}", json.display()),
        "--report",
        &format!("junit={}", junit.display()),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let why = "it lets 5m pass: needs virtual time";
    assert!(text(&output).contains(&format!("- waits (skipped: {why})")), "{}", text(&output));
    assert!(text(&output).contains("0 passed, 1 skipped in"), "{}", text(&output));
    let report: serde_json::Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!((&report["skipped"], &report["scenarios"][0]["skipped"]), (&json!(1), &json!(why)));
    assert!(fs::read_to_string(junit).unwrap().contains(&format!("<skipped message=\"{why}\"/>")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_is_neither_taken_over_nor_removed() {
    let foreign = Foreign::start();
    foreign.settled().await;
    let client = foreign.client().await;
    let named = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let theirs = Namespace { metadata: named("theirs"), ..Namespace::default() };
    namespaces.create(&PostParams::default(), &theirs).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "theirs");
    let map = ConfigMap { metadata: named("precious"), ..ConfigMap::default() };
    maps.create(&PostParams::default(), &map).await.unwrap();
    let nodes: Api<Node> = Api::all(client);
    nodes.create(&PostParams::default(), &Node { metadata: named("worker-1"), ..Node::default() }).await.unwrap();
    let mut before = BTreeSet::new();
    until("their namespace is whole", async || {
        before = foreign.objects().await;
        before.contains("ServiceAccount theirs/default") && before.contains("ConfigMap theirs/kube-root-ca.crt")
    })
    .await;
    let apply = "steps:\n  - apply: {manifest: {apiVersion: v1, kind: ConfigMap, metadata: {name: precious, namespace: theirs}, data: {a: b}}}\n";
    for (name, rest, why) in [
        (
            "space",
            "namespace: theirs\nsteps: [{advance: 1s}]\n",
            "the namespace theirs is there already and is not ours",
        ),
        ("object", apply, "ConfigMap precious is there already and is not ours"),
        ("node", "nodes: [{name: worker-1}]\nsteps: [{advance: 1s}]\n", "a node worker-1 already"),
    ] {
        let output = foreign.run_text(name, rest);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        let said = text(&output).replace("\n    │ ", " ");
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(foreign.objects().await, before);
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut seen = false;
    for _ in 0..600 {
        seen = holds().await;
        if seen {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(seen, "never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_leaves_nothing_that_clean_does_not_find_and_remove() {
    let foreign = Foreign::start();
    let before = foreign.settled().await;
    let file = foreign.scenario("hangs", &format!("namespace: hangs\n{HELD}  - advance: 1m\n"));
    let mut run = foreign
        .command(&["run", &file.to_string_lossy(), "--no-sli", "--cluster", "kubeconfig", "--callback", "127.0.0.1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let client = foreign.client().await;
    let resource = ApiResource {
        group: "multinic.io".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "multinic.io/v1alpha1".to_owned(),
        kind: "MultiNicNodeConfig".to_owned(),
        plural: "multinicnodeconfigs".to_owned(),
    };
    let configs: Api<DynamicObject> = Api::all_with(client, &resource);
    until("the operator holds the object", async || {
        let Ok(list) = configs.list(&ListParams::default()).await else { return false };
        list.items.iter().any(|one| one.metadata.finalizers.is_some())
    })
    .await;
    let here = || slipway(&["clean"]).env("TMPDIR", foreign.temporary()).output().unwrap();
    assert!(!text(&here()).contains("temporary files"), "what a run under way needs stays: {}", text(&here()));
    assert_eq!(foreign.temporary_files(), 1);
    // SIGKILL: nothing can be put away.
    run.kill().unwrap();
    run.wait().unwrap();
    let left = foreign.objects().await;

    let dry = foreign.command(&["clean", "--dry-run"]).output().unwrap();
    assert_eq!(dry.status.code(), Some(0), "{}", text(&dry));
    for kind in ["Namespace", "Node", "Lease", "CustomResourceDefinition", "ClusterRole", "ValidatingWebhook"] {
        assert!(text(&dry).contains(&format!("\n  {kind}")), "{kind}: {}", text(&dry));
    }
    assert_eq!(foreign.objects().await, left);

    let other = foreign.command(&["clean", "--run", "another"]).output().unwrap();
    assert!(text(&other).contains("nothing is left on the cluster of slipway"), "{}", text(&other));
    assert_eq!(foreign.objects().await, left);

    let clean = foreign.command(&["clean"]).output().unwrap();
    assert_eq!(clean.status.code(), Some(0), "{}", text(&clean));
    assert_eq!(foreign.objects().await.symmetric_difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());

    assert_eq!(foreign.temporary_files(), 1);
    let here = here();
    assert_eq!(here.status.code(), Some(0), "{}", text(&here));
    assert!(text(&here).contains("\n  temporary files"), "{}", text(&here));
    assert_eq!(foreign.temporary_files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_puts_everything_away() {
    let foreign = Foreign::start();
    let before = foreign.settled().await;
    let file = foreign.scenario("hangs", "nodes: [{name: worker-1}]\nsteps: [{advance: 1m}]\n");
    let arguments = ["run", &file.to_string_lossy(), "--no-sli", "--cluster", "kubeconfig"];
    let run = foreign.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let nodes: Api<Node> = Api::all(foreign.client().await);
    let ours = ListParams::default().labels(RUN);
    until("the node is there", async || !nodes.list(&ours).await.unwrap().items.is_empty()).await;
    let id = i32::try_from(run.id()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGINT).unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("1 interrupted"), "{}", text(&output));
    assert_eq!(foreign.objects().await, before);
    assert_eq!(foreign.temporary_files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_will_not_die_fails_the_scenario_and_says_what_holds_it() {
    let foreign = Foreign::start();
    let output = foreign.run_text(
        "holds",
        "namespace: undying\nsteps:\n  - create: {manifest: {apiVersion: v1, kind: ConfigMap, metadata: {name: a, finalizers: [example.com/held]}}}\n",
    );
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    for part in
        ["what it made on the cluster does not go", "Namespace undying: ", "example.com/held", "slipway clean --run"]
    {
        assert!(text(&output).contains(part), "{part}: {}", text(&output));
    }
    let again = foreign.run_text("again", "namespace: undying\nsteps: [{advance: 1s}]\n");
    assert!(text(&again).contains("is left over from run"), "{}", text(&again));
    let maps: Api<ConfigMap> = Api::namespaced(foreign.client().await, "undying");
    let free = Patch::Merge(json!({"metadata": {"finalizers": []}}));
    maps.patch("a", &PatchParams::default(), &free).await.unwrap();
    let clean = foreign.command(&["clean"]).output().unwrap();
    assert_eq!(clean.status.code(), Some(0), "{}", text(&clean));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_goes_away_fails_the_scenario_and_says_so() {
    let mut foreign = Foreign::start();
    let file = foreign.scenario(
        "alone",
        "nodes: [{name: worker-1}]\nsteps:\n  - expect: {resource: configmaps, name: never, within: 5s}\n",
    );
    let arguments = ["run", &file.to_string_lossy(), "--no-sli", "--cluster", "kubeconfig"];
    let run = foreign.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let nodes: Api<Node> = Api::all(foreign.client().await);
    let ours = ListParams::default().labels(RUN);
    until("the node is there", async || !nodes.list(&ours).await.unwrap().items.is_empty()).await;
    foreign.server.kill().unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    for part in ["the API server does not say what is left there", "https://127.0.0.1:", "slipway clean --run"] {
        assert!(text(&output).contains(part), "{part}: {}", text(&output));
    }
    let later = foreign.run_text("later", "steps: [{advance: 1s}]\n");
    assert_eq!(later.status.code(), Some(3), "{}", text(&later));
    assert!(text(&later).contains("does not answer: is the cluster up"), "{}", text(&later));
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_are_named_before_anything_is_made() {
    let foreign = Foreign::start();
    let before = foreign.settled().await;
    let path = foreign.kubeconfig_of("default", "default").await;
    let file = foreign.scenario("a", "steps: [{advance: 1s}]\n");
    let output = slipway(&["run", &file.to_string_lossy(), "--no-sli", "--cluster", "kubeconfig"])
        .args(Foreign::arguments(&path))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    for right in ["create namespaces", "patch pods/status", "impersonate users", "delete clusterroles.rbac"] {
        assert!(text(&output).contains(right), "{right}: {}", text(&output));
    }
    assert_eq!(foreign.objects().await, before);
}

#[test]
fn a_context_must_be_there_and_be_meant() {
    let foreign = Foreign::start();
    let file = foreign.scenario("a", "steps: [{advance: 1s}]\n");
    let (file, kubeconfig) = (file.to_string_lossy(), foreign.kubeconfig());
    let kubeconfig = kubeconfig.to_string_lossy();
    let run = |more: &[&str]| {
        let common = ["run", &file, "--no-sli", "--cluster", "kubeconfig", "--kubeconfig", &kubeconfig];
        slipway(&[&common[..], more].concat()).output().unwrap()
    };
    for (more, code, why) in [
        (&["--context", "slipway"][..], 2, "say --allow-context slipway"),
        (&["--context", "slipwax", "--allow-context", "*"], 3, "has no context slipwax: did you mean `slipway`?"),
        (&[], 2, "--context <NAME>"),
    ] {
        let output = run(more);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(text(&output).contains(why), "{}", text(&output));
    }
}

/// A cluster on which the operator cannot be restarted without a bug of ours coming to light.
struct Trapped(OnCluster);

impl Stage for Trapped {
    fn raise<'a>(&'a self, plan: &'a Plan, terms: Terms) -> BoxFuture<'a, Result<Raised, RaiseError>> {
        async {
            let raised = self.0.raise(plan, terms).await?;
            let trap = |operator| Box::new(Trap(operator)) as Box<dyn Operator>;
            Ok(Raised { operator: raised.operator.map(trap), ..raised })
        }
        .boxed()
    }

    fn clear(&self, raised: Option<Raised>) -> BoxFuture<'_, Result<(), Remains>> {
        self.0.clear(raised)
    }

    fn farewell(&self) -> Duration {
        self.0.farewell()
    }
}

/// The operator of such a cluster.
struct Trap(Box<dyn Operator>);

impl Operator for Trap {
    fn start(&mut self) {
        self.0.start();
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        self.0.stop()
    }

    fn crash(&mut self) -> BoxFuture<'_, ()> {
        async { panic!("a bug of ours") }.boxed()
    }

    fn uninstall(&mut self) -> BoxFuture<'_, Result<(), String>> {
        self.0.uninstall()
    }

    fn user(&self) -> String {
        self.0.user()
    }

    fn teller(&self) -> Option<Arc<dyn Teller>> {
        self.0.teller()
    }

    fn ended(&mut self) -> BoxFuture<'_, String> {
        self.0.ended()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_the_middle_of_a_scenario_leaves_nothing_on_the_cluster() {
    let foreign = Foreign::start();
    let before = foreign.settled().await;
    let rest = format!("namespace: panics\n{HELD}  - operator: restart\n");
    let file = foreign.scenario("panics", &rest);
    let plans = load(&[file], &vocabulary()).unwrap().plans;
    let settings = kubeconfig::Settings {
        kubeconfigs: vec![foreign.kubeconfig()],
        context: "slipway".to_owned(),
        allowed: vec!["slip*".to_owned()],
        callback: Some("127.0.0.1:0".parse().unwrap()),
    };
    let access = kubeconfig::start(&settings).await.unwrap().access();
    let stage: Arc<dyn Stage> = Arc::new(Trapped(OnCluster::new(access, RunId::random(), Placed::InProcess)));
    let options = Options {
        specs: Vec::new().into(),
        endpoint: None,
        witness: false,
        jobs: NonZeroUsize::MIN,
        fail_fast: false,
        seed: RunSeed(0),
        time: Some(Time::Real),
        wall_clock_limit: Duration::from_mins(2),
        interrupt: CancellationToken::new(),
        outside: Arc::default(),
    };
    let summary = tokio::task::spawn_blocking(move || runner::run(plans, &stage, &options, &mut Silent)).await.unwrap();
    let Some(Outcome::Failed(failure)) = &summary.records[0].outcome else {
        panic!("{:?}", summary.records[0].outcome)
    };
    let said = explain(failure, false).join("\n");
    assert!(said.contains("the scenario panicked") && said.contains("a bug of ours"), "{said}");
    assert!(!said.contains("slipway clean"), "{said}");
    assert_eq!(foreign.objects().await.symmetric_difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// The test reports.
struct Silent;

impl Report for Silent {
    fn tell(&mut self, _: &Event, _: &[Record]) {}
}
