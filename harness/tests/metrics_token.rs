//! An operator that tells its metrics only to whom the cluster vouches for: it has each token reviewed (`TokenReview`) and its
//! account's rights too (`SubjectAccessReview`), as real ones do. Slipway asks for the token (`TokenRequest`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use slipway::cluster::Cluster as _;
use slipway::cluster::embedded::{Cluster, EmbeddedConfig};
use slipway::sli::scrape::{Credentials, Endpoint, Scraper};
use slipway::target::elsewhere;
use slipway_apiserver::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PAGE: &str = "controller_runtime_reconcile_total 7\n";

/// The tokens that were shown to an operator.
type Shown = Arc<Mutex<Vec<String>>>;

/// Serves `/metrics` on loopback as `answer` has it for a token; the port, and what tokens were shown.
async fn operator<A, F>(answer: A) -> (u16, Shown)
where
    A: Fn(String) -> F + Send + 'static,
    F: Future<Output = (u16, String)> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let shown = Shown::default();
    let heard = Arc::clone(&shown);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let token = head.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap_or_default();
            heard.lock().unwrap().push(token.to_owned());
            let (code, body) = answer(token.to_owned()).await;
            let length = body.len();
            let reply =
                format!("HTTP/1.1 {code} .\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    (port, shown)
}

/// Whether the cluster vouches for a token, and its account may read `/metrics`.
async fn reviewed(client: Client, token: String) -> u16 {
    if token.is_empty() {
        return 401;
    }
    let spec = TokenReviewSpec { token, ..TokenReviewSpec::default() };
    let review = TokenReview { spec, ..TokenReview::default() };
    let review = Api::<TokenReview>::all(client.clone()).create(&PostParams::default(), &review).await.unwrap();
    let Some(user) = review.status.filter(|status| status.authenticated == Some(true)).and_then(|status| status.user)
    else {
        return 401;
    };
    let spec = SubjectAccessReviewSpec {
        user: user.username,
        groups: user.groups,
        non_resource_attributes: Some(NonResourceAttributes {
            path: Some("/metrics".to_owned()),
            verb: Some("get".to_owned()),
        }),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let review = Api::<SubjectAccessReview>::all(client).create(&PostParams::default(), &review).await.unwrap();
    if review.status.is_some_and(|status| status.allowed) { 200 } else { 403 }
}

async fn create(client: &Client, object: Value) {
    let plurals: BTreeMap<&str, &str> = BTreeMap::from([
        ("Namespace", "namespaces"),
        ("ServiceAccount", "serviceaccounts"),
        ("ClusterRole", "clusterroles"),
        ("ClusterRoleBinding", "clusterrolebindings"),
    ]);
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let types = object.types.clone().unwrap();
    let (group, version) = types.api_version.rsplit_once('/').unwrap_or(("", &types.api_version));
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: types.api_version.clone(),
        plural: plurals[types.kind.as_str()].to_owned(),
        kind: types.kind.clone(),
    };
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.create(&PostParams::default(), &object).await.unwrap();
}

#[tokio::test]
async fn an_operator_that_has_tokens_reviewed_is_heard_by_whom_it_may_be_and_by_nobody_else() {
    let cluster = Cluster::start(EmbeddedConfig::new(Clock::system(), 1)).await.unwrap();
    let client = cluster.client();
    let named = |name: &str| json!({"name": name, "namespace": "monitoring"});
    create(&client, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monitoring"}})).await;
    for name in ["scraper", "bystander"] {
        create(&client, json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named(name)})).await;
    }
    let group = "rbac.authorization.k8s.io";
    let api_version = format!("{group}/v1");
    create(
        &client,
        json!({"apiVersion": api_version, "kind": "ClusterRole", "metadata": {"name": "metrics-reader"},
               "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]}),
    )
    .await;
    create(
        &client,
        json!({"apiVersion": api_version, "kind": "ClusterRoleBinding", "metadata": {"name": "metrics-reader"},
               "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "metrics-reader"},
               "subjects": [{"kind": "ServiceAccount", "name": "scraper", "namespace": "monitoring"}]}),
    )
    .await;
    let reviewer = client.clone();
    let (port, shown) = operator(move |token| {
        let reviewer = reviewer.clone();
        async move {
            let code = reviewed(reviewer, token).await;
            (code, if code == 200 { PAGE.to_owned() } else { String::new() })
        }
    })
    .await;
    let ask = async |client: Client, credentials: Credentials| {
        let scraper = Scraper::new(&format!("http://127.0.0.1:{port}/metrics"), &[], None).unwrap();
        let endpoint = Arc::new(Endpoint { scraper, credentials });
        elsewhere(&endpoint, client).metrics().await.unwrap()
    };
    let account =
        |name: &str| Credentials::ServiceAccount { namespace: "monitoring".to_owned(), name: name.to_owned() };

    assert_eq!(ask(client.clone(), account("scraper")).await.as_deref(), Ok(PAGE));
    for (who, credentials, says) in [
        (client.clone(), Credentials::None, "answered 401: it wants a token that the cluster vouches for"),
        (client.clone(), account("bystander"), "answered 403: the token's account may not read its metrics"),
        (client.clone(), account("nobody"), "no token for service account monitoring/nobody: "),
        (
            cluster.client_as("system:serviceaccount:monitoring:bystander", &[]),
            account("scraper"),
            "no token for service account monitoring/scraper: ",
        ),
    ] {
        let told = ask(who, credentials).await.unwrap_err();
        assert!(told.contains(says), "{told}");
        assert!(!shown.lock().unwrap().iter().any(|token| !token.is_empty() && told.contains(token)), "{told}");
    }
    let tokens: Vec<String> = shown.lock().unwrap().iter().filter(|token| !token.is_empty()).cloned().collect();
    assert_eq!(tokens.len(), 2, "whoever gets no token asks nobody");
    assert_ne!(tokens[0], tokens[1], "each account has its own");
    cluster.stop().await;
}

/// Runs a scenario with this account's token; the exit code, and everything that was printed or written.
async fn run(port: u16, account: &str) -> (Option<i32>, String, Value) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let scenario = "apiVersion: slipway.dev/v1alpha1\nkind: Scenario\nmetadata: {name: elsewhere}\nnamespace: shop\nsteps:\n\
                    - advance: 1h\n- advance: 1h\n";
    std::fs::write(path("s.yaml"), scenario).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command
        .args(["run", &path("s.yaml"), "--artifacts", &path("out"), "--verbose"])
        .args(["--report", &format!("json={}", path("out/report.json"))])
        .args(["--report", &format!("junit={}", path("out/report.xml"))])
        .args(["--metrics-url", &format!("http://127.0.0.1:{port}"), "--metrics-service-account", account])
        .env("NO_COLOR", "1");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let mut told = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    let out = directory.path().join("out");
    for file in std::fs::read_dir(&out).into_iter().flatten() {
        told.push_str(&std::fs::read_to_string(file.unwrap().path()).unwrap());
    }
    let summary = std::fs::read(out.join("sli-summary.json")).unwrap_or_else(|_| b"null".to_vec());
    (output.status.code(), told, serde_json::from_slice(&summary).unwrap())
}

#[tokio::test]
async fn a_token_that_was_asked_for_is_shown_to_the_operator_and_stands_in_no_output() {
    // This one repeats what it was shown, where it can.
    let (port, shown) =
        operator(|token| async move { (200, format!("{PAGE}seen{{by=\"{token}\"}} 1\n{token}\n")) }).await;
    let (code, told, summary) = run(port, "shop/default").await;
    assert_eq!(code, Some(0), "{told}");
    let tokens = shown.lock().unwrap().clone();
    assert!(tokens.len() > 1 && tokens.iter().all(|token| token.split('.').count() == 3), "no token was shown");
    assert!(!tokens.iter().any(|token| told.contains(token)), "the token stands in the output");
    assert!(summary.to_string().contains("[redacted]"), "{summary}");

    let (code, told, summary) = run(port, "shop/nobody").await;
    assert_eq!(code, Some(0), "what cannot be measured fails nothing: {told}");
    assert_eq!(summary["reliability"]["collectionStatus"], "Failed", "{summary}");
    assert!(summary["warnings"].to_string().contains("no token for service account shop/nobody: "), "{summary}");
    assert_eq!(shown.lock().unwrap().len(), tokens.len(), "whoever gets no token asks nobody");

    for account in ["shop", "/default", "shop/"] {
        let (code, told, _) = run(port, account).await;
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains(account), "{told}");
    }
}
