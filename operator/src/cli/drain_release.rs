//! `slipway-operator drain-release`: lets every Pod go that the drain controller holds.
//!
//! | exit code | meaning |
//! | --- | --- |
//! | 0 | nothing is held any more; with `--dry-run`, it is told what would be let go |
//! | 1 | some Pods are still held; each is named, with the reason |
//! | 2 | bad arguments |
//! | 3 | no cluster, or its Pods cannot be listed |
//!
//! A Pod is a line on standard output, and the last line has the sum.

use std::io::Write;

use k8s_openapi::jiff::Timestamp;
use kube::Client;

use crate::controllers::drain::{Reach, Released, release_all};
use crate::kit::clock::Clock;
use crate::kit::error::chain;

#[derive(Debug, clap::Args)]
pub(super) struct ReleaseArgs {
    /// Everything that is held. Stop the operator first, or it holds Pods anew
    #[arg(long, required = true)]
    all: bool,
    /// In this namespace only
    #[arg(long)]
    namespace: Option<String>,
    /// Only tell what would be let go
    #[arg(long)]
    dry_run: bool,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("failed to find a cluster")]
    Cluster(#[source] Box<kube::Error>),
    #[error("failed to list Pods")]
    List(#[source] Box<kube::Error>),
    #[error("{0} Pods are still held")]
    Held(usize),
}

impl Error {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Held(_) => 1,
            Self::Cluster(_) | Self::List(_) => 3,
        }
    }
}

pub(super) async fn run(args: ReleaseArgs) -> Result<(), Error> {
    let client = Client::try_default().await.map_err(|error| Error::Cluster(Box::new(error)))?;
    let ReleaseArgs { all: _, namespace, dry_run } = args;
    release(&client, &Reach { namespace, dry_run }, Clock::system().now(), std::io::stdout()).await
}

async fn release(client: &Client, reach: &Reach, now: Timestamp, mut out: impl Write) -> Result<(), Error> {
    let (mut pods, mut held) = (0usize, 0usize);
    let mut say = |text: String| {
        // Nobody listens: that is no reason to stop.
        let _ = writeln!(out, "{text}{}", if reach.dry_run { " (dry run)" } else { "" });
    };
    let told = |released: Released| {
        pods += 1;
        held += usize::from(released.failed.is_some());
        say(line(&released));
    };
    Box::pin(release_all(client, reach, now, told)).await.map_err(|error| Error::List(Box::new(error)))?;
    say(format!("{} of {pods} held Pods released", pods - held));
    if held == 0 { Ok(()) } else { Err(Error::Held(held)) }
}

fn line(released: &Released) -> String {
    let Released { namespace, name, what, failed } = released;
    let what = if what.is_empty() { "gone".to_owned() } else { what.join(", ") };
    match failed {
        Some(why) => format!("pod {namespace}/{name}: still held: {}", chain(why)),
        None => format!("pod {namespace}/{name}: {what}"),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Method, Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::drain::{FINALIZER, REQUESTED_AT};

    /// Two Pods that are held and one that is not, of which one cannot be written.
    fn cluster(code: u16) -> Client {
        let pod = |name: &str, finalizers: Value, annotations: Value| {
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": {
                "name": name, "namespace": "shop", "uid": name, "resourceVersion": "7",
                "finalizers": finalizers, "annotations": annotations,
            } })
        };
        let service = tower::service_fn(move |request: Request<Body>| async move {
            let held = pod("web-1", json!([FINALIZER]), json!({ REQUESTED_AT: "2026-01-02T03:04:05Z" }));
            let stuck = pod("web-2", json!([FINALIZER]), json!({}));
            let free = pod("web-3", json!(["example.com/other"]), json!({}));
            let path = request.uri().path().to_owned();
            let (code, answer) = match (request.method(), path.as_str()) {
                (&Method::GET, "/api/v1/pods" | "/api/v1/namespaces/shop/pods") if code < 500 => {
                    (200, json!({ "metadata": {}, "items": [held, stuck, free] }))
                }
                (&Method::PATCH, path) if path.ends_with("web-1") => (200, free),
                (&Method::GET, path) if path.ends_with("web-1") => {
                    (200, pod("web-1", json!(["example.com/other"]), json!({})))
                }
                (&Method::GET, path) if path.ends_with("web-2") && code == 200 => (200, free),
                (&Method::PATCH, path) if path.ends_with("web-2") && code == 200 => (200, free),
                (method, path) => {
                    let message = format!("nobody may {method} {path}");
                    (403, json!({ "kind": "Status", "status": "Failure", "code": 403, "message": message }))
                }
            };
            let body = Body::from(answer.to_string().into_bytes());
            Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
        });
        Client::new(service, "default")
    }

    async fn told(code: u16, reach: &Reach) -> (Option<u8>, String) {
        let mut out = Vec::new();
        let now = "2026-01-02T03:05:00Z".parse().unwrap();
        let done = release(&cluster(code), reach, now, &mut out).await;
        (done.err().map(|error| error.exit_code()), String::from_utf8(out).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn each_pod_is_told_of_and_the_exit_code_says_whether_all_are_let_go() {
        let all = Reach::default();
        let (code, text) = told(200, &all).await;
        assert_eq!(
            text,
            "pod shop/web-1: put back into service\npod shop/web-2: finalizer removed\n2 of 2 held Pods released\n"
        );
        assert_eq!(code, None);
        let (code, text) = told(403, &all).await;
        let still =
            "pod shop/web-2: still held: failed to let it go: nobody may PATCH /api/v1/namespaces/shop/pods/web-2";
        assert_eq!(text, format!("pod shop/web-1: put back into service\n{still}\n1 of 2 held Pods released\n"));
        assert_eq!(code, Some(1));
        assert_eq!(told(500, &all).await, (Some(3), String::new()), "no Pods are known");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dry_run_tells_what_would_be_done_and_writes_nothing() {
        let reach = Reach { namespace: Some("shop".to_owned()), dry_run: true };
        let (code, text) = told(403, &reach).await;
        assert_eq!(
            text,
            "pod shop/web-1: put back into service, finalizer removed (dry run)\n\
             pod shop/web-2: finalizer removed (dry run)\n2 of 2 held Pods released (dry run)\n"
        );
        assert_eq!(code, None);
    }

    #[test]
    fn whoever_means_everything_says_so() {
        use clap::Parser;
        let parse = |line: &[&str]| super::super::Args::try_parse_from(line);
        assert!(parse(&["slipway-operator", "drain-release"]).is_err());
        assert!(parse(&["slipway-operator", "drain-release", "--namespace", "shop"]).is_err());
        assert!(parse(&["slipway-operator", "drain-release", "--all"]).is_ok());
        assert!(parse(&["slipway-operator", "drain-release", "--all", "--dry-run", "--namespace", "shop"]).is_ok());
    }
}
