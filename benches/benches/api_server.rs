//! The API server: what a request costs, without a socket.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::Method;
use serde_json::{Value, json};
use slipway_benches::{Admin, line, pod, runtime};

const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

/// Creates so many Pods.
async fn fill(admin: &Admin, count: usize) {
    for number in 0..count {
        admin.ask(Method::POST, PODS, &pod(&format!("pod-{number}"))).await;
    }
}

fn create(bench: &mut Criterion) {
    let (runtime, admin) = (runtime(), Admin::default());
    let object = pod("one");
    bench.bench_function("create a Pod", |bencher| {
        bencher.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    let since = Instant::now();
                    admin.ask(Method::POST, PODS, &object).await;
                    took += since.elapsed();
                    // Nobody runs it, so nobody needs time to end it.
                    admin.ask(Method::DELETE, &format!("{PODS}/one?gracePeriodSeconds=0"), &json!({})).await;
                }
                took
            })
        });
    });
}

fn get(bench: &mut Criterion) {
    let (runtime, admin) = (runtime(), Admin::default());
    runtime.block_on(fill(&admin, 1_000));
    bench.bench_function("get a Pod of 1,000", |bencher| {
        bencher.iter(|| runtime.block_on(admin.ask(Method::GET, &format!("{PODS}/pod-500"), &Value::Null)));
    });
}

fn list(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("list Pods");
    for count in [100, 1_000] {
        let (runtime, admin) = (runtime(), Admin::default());
        runtime.block_on(fill(&admin, count));
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::new("all", count), PODS, |bencher, path| {
            bencher.iter(|| runtime.block_on(admin.ask(Method::GET, path, &Value::Null)));
        });
        let selected = format!("{PODS}?labelSelector=app%3Dother");
        group.bench_with_input(BenchmarkId::new("none selected of", count), &selected, |bencher, path| {
            bencher.iter(|| runtime.block_on(admin.ask(Method::GET, path, &Value::Null)));
        });
    }
    group.finish();
}

fn apply(bench: &mut Criterion) {
    let (runtime, admin) = (runtime(), Admin::default());
    let path = format!("{DEPLOYMENTS}/web");
    let deployment = |release: u64| {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": "web" },
            "spec": {
                "replicas": 3,
                "selector": { "matchLabels": { "app": "web" } },
                "template": {
                    "metadata": { "labels": { "app": "web" }, "annotations": { "release": release.to_string() } },
                    "spec": pod("web")["spec"],
                },
            },
        })
    };
    let objects = [deployment(1), deployment(2)];
    let mut group = bench.benchmark_group("apply a Deployment");
    group.bench_function("unchanged", |bencher| {
        runtime.block_on(admin.apply(&path, "bench", &objects[0]));
        bencher.iter(|| runtime.block_on(admin.apply(&path, "bench", &objects[0])));
    });
    group.bench_function("changed", |bencher| {
        let mut turn = objects.iter().cycle();
        bencher.iter(|| turn.next().map(|object| runtime.block_on(admin.apply(&path, "bench", object))));
    });
    group.finish();
}

fn watch(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("a write and its watchers");
    for watchers in [1, 10, 100] {
        let (runtime, admin) = (runtime(), Admin::default());
        let mut bodies = runtime.block_on(async {
            fill(&admin, 1).await;
            let mut bodies = Vec::new();
            for _ in 0..watchers {
                bodies.push(admin.open(Method::GET, &format!("{PODS}?watch=true"), "application/json", "").await);
            }
            for body in &mut bodies {
                line(body).await;
            }
            bodies
        });
        let mut turn = 0_u64;
        group.throughput(Throughput::Elements(watchers));
        group.bench_function(BenchmarkId::from_parameter(watchers), |bencher| {
            bencher.iter(|| {
                turn += 1;
                let patch = json!({ "metadata": { "annotations": { "turn": turn.to_string() } } }).to_string();
                runtime.block_on(async {
                    let path = format!("{PODS}/pod-0");
                    admin.open(Method::PATCH, &path, "application/merge-patch+json", patch).await;
                    for body in &mut bodies {
                        line(body).await;
                    }
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, create, get, list, apply, watch);
criterion_main!(benches);
