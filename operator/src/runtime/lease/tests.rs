use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::kit::health::Health;

/// An API server that holds one Lease, and can be cut off from single replicas.
#[derive(Clone, Default)]
struct ApiServer {
    lease: Arc<Mutex<Option<Value>>>,
    cut_off: Arc<Mutex<Vec<String>>>,
}

impl ApiServer {
    fn client(&self, replica: &str) -> Client {
        let (server, replica) = (self.clone(), replica.to_owned());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, replica) = (server.clone(), replica.clone());
            async move {
                if server.cut_off.lock().unwrap().contains(&replica) {
                    return std::future::pending().await;
                }
                let method = request.method().clone();
                let body = request.into_body().collect_bytes().await.unwrap();
                let (code, answer) = server.answer(&method, serde_json::from_slice(&body).unwrap_or_default());
                let answer = Body::from(answer.to_string().into_bytes());
                Ok::<_, std::convert::Infallible>(Response::builder().status(code).body(answer).unwrap())
            }
        });
        Client::new(service, "ns")
    }

    fn answer(&self, method: &Method, mut body: Value) -> (u16, Value) {
        let mut lease = self.lease.lock().unwrap();
        let error = |code: u16, reason: &str| {
            (code, json!({ "kind": "Status", "status": "Failure", "reason": reason, "code": code, "message": reason }))
        };
        let version = lease.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
        match (method, version) {
            (&Method::GET | &Method::PUT, None) => return error(404, "NotFound"),
            (&Method::GET, Some(_)) => return (200, lease.clone().unwrap()),
            (&Method::POST, Some(_)) => return error(409, "AlreadyExists"),
            (&Method::PUT, Some(version)) if body["metadata"]["resourceVersion"] != version => {
                return error(409, "Conflict");
            }
            (_, version) => {
                let number: u32 = version.map_or(0, |version| version.as_str().unwrap().parse().unwrap());
                body["metadata"]["resourceVersion"] = (number + 1).to_string().into();
            }
        }
        *lease = Some(body.clone());
        (200, body)
    }

    fn spec(&self) -> Value {
        self.lease.lock().unwrap().as_ref().unwrap()["spec"].clone()
    }
}

struct Replica {
    fence: Fence,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn elector(server: &ApiServer, identity: &str, health: &Health) -> (Elector, Fence) {
    let settings = LeaderElection { identity: Some(identity.to_owned()), ..LeaderElection::default() };
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let fence = Fence::closed();
    (Elector::new(server.client(identity), settings, clock, fence.clone(), health.check("lease")), fence)
}

/// A replica that leads whenever it can, until it is told to stop.
fn replica(server: &ApiServer, identity: &str) -> Replica {
    let (mut elector, fence) = elector(server, identity, &Health::default());
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        let lead = async {
            elector.acquire().await;
            elector.keep().await;
        };
        tokio::select! {
            () = lead => {}
            () = stopped.cancelled() => elector.release().await,
        }
    });
    Replica { fence, stop, task }
}

/// Looks at the fences every tenth of a second for this long: never two may be open. Says how long each one was.
async fn watch(replicas: &[&Replica], seconds: u64) -> Vec<Duration> {
    const TICK: Duration = Duration::from_millis(100);
    let mut open = vec![Duration::ZERO; replicas.len()];
    for _ in 0..seconds * 10 {
        tokio::time::sleep(TICK).await;
        let leading: Vec<_> = (0..replicas.len()).filter(|&at| replicas[at].fence.check().is_ok()).collect();
        assert!(leading.len() <= 1, "two writers");
        for at in leading {
            open[at] += TICK;
        }
    }
    open
}

#[tokio::test(start_paused = true)]
async fn one_replica_leads_for_as_long_as_it_renews() {
    let server = ApiServer::default();
    let (one, other) = (replica(&server, "one"), replica(&server, "other"));
    let open = watch(&[&one, &other], 600).await;
    assert!(open.contains(&Duration::ZERO) && open.iter().any(|open| *open > Duration::from_secs(598)), "{open:?}");
    assert_eq!(server.spec()["leaseTransitions"], 0);
    assert_eq!(server.spec()["leaseDurationSeconds"], 15);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_cut_off_stops_writing_before_another_one_begins() {
    let server = ApiServer::default();
    let one = replica(&server, "one");
    watch(&[&one], 5).await;
    let other = replica(&server, "other");
    watch(&[&one, &other], 30).await;
    server.cut_off.lock().unwrap().push("one".to_owned());
    let open = watch(&[&one, &other], 60).await;
    assert!(open[0] <= Duration::from_secs(10), "{open:?}");
    assert!(open[1] >= Duration::from_secs(60 - 15 - 4), "{open:?}");
    assert!(one.task.is_finished(), "it knows that it does not lead any more");
    assert_eq!((&server.spec()["leaseTransitions"], &server.spec()["holderIdentity"]), (&json!(1), &json!("other")));
}

#[tokio::test(start_paused = true)]
async fn one_that_stops_gives_the_lease_away_at_once() {
    let server = ApiServer::default();
    let one = replica(&server, "one");
    watch(&[&one], 5).await;
    let other = replica(&server, "other");
    watch(&[&one, &other], 5).await;
    one.stop.cancel();
    let open = watch(&[&one, &other], 5).await;
    assert!(one.task.is_finished() && open[1] > Duration::from_secs(2), "{open:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_crashed_is_waited_for_and_a_lease_that_was_stolen_is_lost_at_once() {
    let server = ApiServer::default();
    let one = replica(&server, "one");
    watch(&[&one], 3).await;
    one.task.abort();
    let other = replica(&server, "other");
    let open = watch(&[&one, &other], 30).await;
    assert!(open[1] > Duration::from_secs(10) && open[1] < Duration::from_secs(17), "{open:?}");
    let mut stolen = server.lease.lock().unwrap().clone().unwrap();
    stolen["spec"]["holderIdentity"] = json!("thief");
    server.answer(&Method::PUT, stolen);
    assert!(watch(&[&other], 10).await[0] < Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_replica_is_ready_when_it_knows_who_leads() {
    let (server, health) = (ApiServer::default(), Health::default());
    let (mut first, _) = elector(&server, "first", &Health::default());
    let (mut second, fence) = elector(&server, "second", &health);
    assert!(!health.report().is_ready());
    first.acquire().await;
    assert!(!second.attempt().await.unwrap());
    assert!(health.report().is_ready() && fence.check().is_err());
}

#[test]
fn settings_under_which_two_could_write_are_refused() {
    let with = |lease: u64, renew: u64, retry: u64| LeaderElection {
        lease_duration: Duration::from_secs(lease),
        renew_deadline: Duration::from_secs(renew),
        retry_period: Duration::from_secs(retry),
        ..LeaderElection::default()
    };
    assert_eq!(with(15, 10, 2).check(), Ok(()));
    assert!(matches!(with(10, 10, 2).check(), Err(Unsound::Deadline(..))));
    assert!(matches!(with(15, 2, 2).check(), Err(Unsound::Retry(..))));
    assert!(matches!(with(0, 0, 0).check(), Err(Unsound::Duration(..))));
    let called = |enabled: bool, identity: Option<&str>| {
        LeaderElection { enabled, identity: identity.map(str::to_owned), ..LeaderElection::default() }.check()
    };
    assert_eq!(called(true, Some("")), Err(Unsound::Identity));
    assert_eq!(called(true, None), Err(Unsound::Identity), "two that are called nothing would both lead");
    assert_eq!([called(true, Some("me")), called(false, None)], [Ok(()), Ok(())]);
}
