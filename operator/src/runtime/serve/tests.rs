use std::sync::Mutex;

use axum::Router;
use axum::routing::get;
use jiff::Timestamp;
use kube::Client;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::kit::error::chain;
use crate::runtime::Controller;

type Objects = Arc<Mutex<std::collections::BTreeMap<String, Value>>>;

/// An API server with these objects that knows the token `good` of somebody who may, and `other` of somebody who may
/// not. It counts the questions.
fn api_server(objects: &Objects, questions: &Arc<Mutex<u32>>) -> Client {
    let (objects, questions) = (Arc::clone(objects), Arc::clone(questions));
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let (objects, questions) = (Arc::clone(&objects), Arc::clone(&questions));
        async move {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let body = request.into_body().collect_bytes().await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let (code, answer) = answer(&objects, &questions, method.as_str(), &path, body);
            let answer = kube::client::Body::from(answer.to_string().into_bytes());
            Ok::<_, Infallible>(Response::builder().status(code).body(answer).unwrap())
        }
    });
    Client::new(service, "ns")
}

fn answer(objects: &Objects, questions: &Mutex<u32>, method: &str, path: &str, mut body: Value) -> (u16, Value) {
    if path.ends_with("tokenreviews") {
        *questions.lock().unwrap() += 1;
        let token = body["spec"]["token"].as_str().unwrap();
        let known = ["good", "other"].contains(&token);
        body["status"] = json!({ "authenticated": known, "user": { "username": token, "groups": ["g"] } });
        return (201, body);
    }
    if path.ends_with("subjectaccessreviews") {
        assert_eq!(body["spec"]["nonResourceAttributes"], json!({ "path": "/metrics", "verb": "get" }));
        body["status"] = json!({ "allowed": body["spec"]["user"] == "good" });
        return (201, body);
    }
    let mut objects = objects.lock().unwrap();
    match (method, objects.get(path)) {
        ("GET", Some(object)) => (200, object.clone()),
        ("GET", None) => refusal(404, "NotFound"),
        ("POST", _) => {
            let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
            if objects.contains_key(&path) {
                return refusal(409, "AlreadyExists");
            }
            objects.insert(path, body.clone());
            (201, body)
        }
        (_, known) => {
            let version = known.map(|known| known["metadata"]["resourceVersion"].clone()).unwrap_or_default();
            if body["metadata"]["resourceVersion"] != version {
                return refusal(409, "Conflict");
            }
            let next = version.as_str().map_or(1, |version| version.parse::<u32>().unwrap() + 1);
            body["metadata"]["resourceVersion"] = next.to_string().into();
            objects.insert(path.to_owned(), body.clone());
            (200, body)
        }
    }
}

fn refusal(code: u16, reason: &str) -> (u16, Value) {
    (code, json!({ "kind": "Status", "status": "Failure", "reason": reason, "code": code, "message": reason }))
}

/// Sends a request as text over a stream, and gives the answer's first line and body.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, head: &str) -> String {
    let request = format!("GET /metrics HTTP/1.1\r\nhost: here\r\nconnection: close\r\n{head}\r\n");
    // Whoever says too much may be cut short.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    said
}

fn serving(door: &Door, access: Option<Arc<Access>>) -> DuplexStream {
    let (ours, theirs) = duplex(64 * 1024);
    let door = door.clone();
    tokio::spawn(async move { connection("test", theirs, door, access).await });
    ours
}

#[tokio::test(start_paused = true)]
async fn metrics_are_for_those_whom_the_api_server_lets_read_them() {
    let questions = Arc::new(Mutex::new(0));
    let access = Arc::new(Access::new(api_server(&Objects::default(), &questions)));
    let door = Door::default();
    let _open = door.open(Router::new().route("/metrics", get(async || "series")));
    for (head, status) in [
        ("", "401 Unauthorized"),
        ("authorization: Basic Zm9v\r\n", "401 Unauthorized"),
        ("authorization: Bearer wrong\r\n", "401 Unauthorized"),
        ("authorization: Bearer other\r\n", "403 Forbidden"),
        ("authorization: Bearer good\r\n", "200 OK"),
        ("authorization: Bearer good\r\n", "200 OK"),
    ] {
        let said = ask(serving(&door, Some(Arc::clone(&access))), head).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{head}: {said}");
        assert_eq!(said.contains("series"), status == "200 OK");
    }
    assert_eq!(*questions.lock().unwrap(), 3, "an answer is remembered for a while");
    tokio::time::advance(Duration::from_secs(61)).await;
    ask(serving(&door, Some(access)), "authorization: Bearer good\r\n").await;
    assert_eq!(*questions.lock().unwrap(), 4, "and not for longer");
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_or_too_much_is_not_waited_for() {
    let door = Door::default();
    let said = ask(serving(&door, None), "").await;
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("the operator is not running"), "{said}");

    let mut silent = serving(&door, None);
    silent.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
    let mut said = String::new();
    let read = tokio::time::timeout(PATIENCE * 2, silent.read_to_string(&mut said));
    read.await.expect("the connection is closed").unwrap();

    let large = format!("x: {}\r\n", "x".repeat(HEAD_BYTES_MAX * 2));
    let said = ask(serving(&door, None), &large).await;
    assert!(said.starts_with("HTTP/1.1 431"), "{said}");

    let _open = door.open(Router::new().route("/metrics", get(std::future::pending::<&'static str>)));
    let said = ask(serving(&door, None), "").await;
    assert!(said.starts_with("HTTP/1.1 504"), "{said}");
}

/// The certificate is of the operator's time, and has to be looked at in it.
#[derive(Debug)]
struct InItsTime(Clock);

impl rustls::time_provider::TimeProvider for InItsTime {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        Some(rustls::pki_types::UnixTime::since_unix_epoch(self.0.now().as_duration().unsigned_abs()))
    }
}

const CONFIGURATION: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/slipway-drain";

/// A webhook configuration that nobody has told yet who vouches.
fn configuration(objects: &Objects) {
    let hook = json!({ "name": "a.b.c", "clientConfig": {}, "sideEffects": "None", "admissionReviewVersions": ["v1"] });
    objects.lock().unwrap().insert(CONFIGURATION.to_owned(), json!({ "metadata": {}, "webhooks": [hook] }));
}

/// The bundle that the webhook configuration holds now.
fn bundle(objects: &Objects) -> Vec<u8> {
    let stored = objects.lock().unwrap()[CONFIGURATION]["webhooks"][0]["clientConfig"]["caBundle"].clone();
    serde_json::from_value::<k8s_openapi::ByteString>(stored).unwrap().0
}

/// Connects as an API server does that trusts this bundle.
async fn trusting<S>(bundle: &[u8], clock: Clock, stream: S) -> std::io::Result<tokio_rustls::client::TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut roots = rustls::RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(bundle) {
        roots.add(authority.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_details(provider, Arc::new(InItsTime(clock)))
        .with_safe_default_protocol_versions()
        .unwrap();
    let client = Arc::new(client.with_root_certificates(roots).with_no_client_auth());
    let name = ServerName::try_from("slipway-operator-webhooks.ns.svc").unwrap();
    tokio_rustls::TlsConnector::from(client).connect(name, stream).await
}

/// Asks as an API server does that trusts this bundle. What is answered, or why nothing is.
async fn review(acceptor: &TlsAcceptor, door: &Door, bundle: &[u8], clock: Clock) -> Result<String, String> {
    let (ours, theirs) = duplex(64 * 1024);
    let (connected, accepted) = futures::future::join(trusting(bundle, clock, ours), acceptor.accept(theirs)).await;
    let stream = connected.map_err(|error| chain(&error).to_string())?;
    let (door, accepted) = (door.clone(), accepted.unwrap());
    tokio::spawn(async move { connection("webhooks", accepted, door, None).await });
    Ok(ask(stream, "").await)
}

#[tokio::test(start_paused = true)]
async fn the_webhook_keeps_answering_while_certificates_and_authorities_change() {
    let objects = Objects::default();
    configuration(&objects);
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let replicas = [(); 2].map(|()| Replica::from(api_server(&objects, &Arc::default())));
    let [one, two] = replicas.each_ref().map(|replica| Certificates::new(replica, Certificate::default(), clock));
    let acceptors = [one.acceptor().unwrap(), two.acceptor().unwrap()];
    let keeping = tokio::spawn(async move { futures::future::join(one.keep(), two.keep()).await });
    let door = Door::default();
    let _open = door.open(Router::new().route("/metrics", get(async || "reviewed")));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let first = bundle(&objects);
    let mut bundles = vec![first.clone()];
    let answers = async |trusted: &[u8]| {
        for acceptor in &acceptors {
            let said = review(acceptor, &door, trusted, clock).await;
            assert!(said.as_ref().is_ok_and(|said| said.ends_with("reviewed")), "{}: {said:?}", clock.now());
        }
    };
    // Six years, in steps shorter than the time in which a certificate is made anew.
    for _ in 0..88 {
        let before = bundle(&objects);
        tokio::time::advance(Duration::from_hours(25 * 24)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        // An API server may trust the newest bundle at once, or learn of it a moment later.
        answers(&before).await;
        answers(&bundle(&objects)).await;
        tokio::time::sleep(Duration::from_mins(2)).await;
        answers(&bundle(&objects)).await;
        if bundles.last() != Some(&bundle(&objects)) {
            bundles.push(bundle(&objects));
        }
    }
    assert_eq!(bundles.len(), 2, "certificates change often, the authority rarely");
    assert!(review(&acceptors[0], &door, &first, clock).await.is_err(), "the first authority has had its time");
    for replica in &replicas {
        assert!(replica.health.report().is_ready(), "{}", replica.health.report());
    }
    keeping.abort();
}

#[tokio::test(start_paused = true)]
async fn replicas_share_a_certificate_that_the_webhook_configuration_trusts() {
    let objects = Objects::default();
    configuration(&objects);
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let replica = Replica::from(api_server(&objects, &Arc::default()));
    let other = Replica::from(api_server(&objects, &Arc::default()));
    let [one, two] = [&replica, &other].map(|replica| Certificates::new(replica, Certificate::default(), clock));
    assert!(!replica.health.report().is_ready(), "nobody can connect yet");
    let acceptors = [one.acceptor().unwrap(), two.acceptor().unwrap()];
    let keeping = tokio::spawn(async move { futures::future::join(one.keep(), two.keep()).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(replica.health.report().is_ready(), "{}", replica.health.report());
    let door = Door::default();
    let _open = door.open(Router::new().route("/metrics", get(async || "reviewed")));
    for acceptor in acceptors {
        let said = review(&acceptor, &door, &bundle(&objects), clock).await;
        assert!(said.as_ref().is_ok_and(|said| said.ends_with("reviewed")), "{said:?}");
    }
    keeping.abort();
}

#[tokio::test(start_paused = true)]
async fn certificates_that_are_given_are_read_again_when_they_change() {
    let directory = tempfile::tempdir().unwrap();
    let write = || {
        let made = rcgen::generate_simple_self_signed(vec!["here".to_owned()]).unwrap();
        std::fs::write(directory.path().join("tls.crt"), made.cert.pem()).unwrap();
        std::fs::write(directory.path().join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        made.cert.der().clone()
    };
    let replica = Replica::from(api_server(&Objects::default(), &Arc::default()));
    let settings = Certificate { directory: Some(directory.path().to_owned()), ..Certificate::default() };
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let certificates = Certificates::new(&replica, settings, clock);
    let acceptor = certificates.acceptor().unwrap();
    let keeping = tokio::spawn(async move { certificates.keep().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!replica.health.report().is_ready(), "there is none yet");
    for _ in 0..2 {
        let written = write();
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert!(replica.health.report().is_ready());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(written).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = Arc::new(client.with_root_certificates(roots).with_no_client_auth());
        let (ours, theirs) = duplex(64 * 1024);
        let connecting = tokio_rustls::TlsConnector::from(client).connect(ServerName::try_from("here").unwrap(), ours);
        let (connected, _) = futures::future::join(connecting, acceptor.accept(theirs)).await;
        connected.unwrap();
    }
    keeping.abort();
}

#[tokio::test(start_paused = true)]
async fn files_that_are_no_certificate_are_named_and_the_last_good_one_is_shown_on() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let made = || rcgen::generate_simple_self_signed(vec!["here".to_owned()]).unwrap();
    let replica = Replica::from(api_server(&Objects::default(), &Arc::default()));
    let settings = Certificate { directory: Some(directory.path().to_owned()), ..Certificate::default() };
    let certificates = Certificates::new(&replica, settings, Clock::starting_at(Timestamp::UNIX_EPOCH));
    let keeping = tokio::spawn(async move { certificates.keep().await });
    let (good, other) = (made(), made());
    let (certificate, key) = (good.cert.pem(), good.signing_key.serialize_pem());
    let bad = [
        ("", key.as_str(), "there is no certificate"),
        ("-----BEGIN CERTIFICATE-----\n-", &key, "the certificate is not PEM"),
        (&certificate, "no key", "the key is not PEM"),
        (&certificate, &other.signing_key.serialize_pem(), "the key is not this certificate's"),
    ];
    let place = directory.path().display().to_string();
    for is_ready in [false, true] {
        for (certificate, key, said) in bad {
            put("tls.crt", certificate);
            put("tls.key", key);
            tokio::time::sleep(Duration::from_mins(2)).await;
            let report = replica.health.report();
            let text = report.to_string();
            assert!(text.contains(said) && text.contains(&place), "{said}: {text}");
            assert_eq!(report.is_ready(), is_ready, "{said}: {text}");
        }
        put("tls.crt", &certificate);
        put("tls.key", &key);
        tokio::time::sleep(Duration::from_mins(2)).await;
        assert!(replica.health.report().is_ready(), "{}", replica.health.report());
    }
    keeping.abort();
}

/// Servers on loopback, each on a port that is free.
fn on_loopback() -> Servers {
    let free = Some(Address::At(([127, 0, 0, 1], 0).into()));
    Servers { health_address: free, metrics_address: free, webhooks_address: free, ..Servers::default() }
}

#[tokio::test]
async fn each_server_listens_where_it_is_told_and_those_with_a_certificate_speak_tls() {
    let objects = Objects::default();
    configuration(&objects);
    let replica = Replica::from(api_server(&objects, &Arc::default()));
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let certificates = Certificates::new(&replica, Certificate::default(), clock);
    let doors = Doors::default();
    let router = || Router::new().route("/metrics", get(async || "answered"));
    let _open = [&doors.health, &doors.metrics, &doors.webhooks].map(|door| door.open(router()));
    let sockets = sockets(&on_loopback(), &doors, Some(&certificates), &replica).await.unwrap();
    let [health, metrics, webhooks] = ["health", "metrics", "webhooks"]
        .map(|name| sockets.iter().find(|socket| socket.name == name).unwrap().listener.local_addr().unwrap());
    let _serving =
        tokio::spawn(
            async move { futures::future::join(certificates.keep(), join_all(sockets.iter().map(accept))).await },
        );
    let connect = async |address| tokio::net::TcpStream::connect(address).await.unwrap();

    assert!(ask(connect(health).await, "").await.ends_with("answered"));
    while !replica.health.report().is_ready() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for (address, head, status) in
        [(webhooks, "", "200 OK"), (metrics, "", "401"), (metrics, "authorization: Bearer good\r\n", "200 OK")]
    {
        let stream = trusting(&bundle(&objects), clock, connect(address).await).await.unwrap();
        let said = ask(stream, head).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{address} {head}: {said}");
    }
    let (mut stream, mut said) = (connect(webhooks).await, Vec::new());
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").await.unwrap();
    // An alert, and then nothing; the connection may also be reset.
    let _ = stream.read_to_end(&mut said).await;
    assert!(!String::from_utf8_lossy(&said).contains("answered"), "nobody is answered in the clear");
}

#[tokio::test]
async fn an_operator_whose_port_is_taken_does_not_start_and_one_without_servers_does() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let off = Servers {
        health_address: Some(Address::Off),
        metrics_address: Some(Address::Off),
        webhooks_address: Some(Address::Off),
        ..Servers::default()
    };
    let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
    let run = async |servers: Servers| {
        let replica = Replica::from(api_server(&Objects::default(), &Arc::default()));
        let settings = Settings { servers, controllers: [Controller::Hello].into(), ..Settings::default() };
        serve(replica, settings, clock, std::future::ready(())).await
    };
    let at = Some(Address::At(address));
    for servers in [
        Servers { health_address: at, ..off.clone() },
        Servers { metrics_address: at, ..off.clone() },
        Servers { webhooks_address: at, ..off.clone() },
    ] {
        let error = run(servers).await.unwrap_err();
        let said = chain(&error).to_string();
        assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
    }
    run(off).await.unwrap();
}
