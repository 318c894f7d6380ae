//! Scraping operators elsewhere, against servers on loopback that do not do as they should.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use slipway::sli::scrape::token::Token;
use slipway::sli::scrape::{BYTES_MAX, Scraper};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const SECRET: &str = "s3cr3t-t0k3n";
const PAGE: &str = "# TYPE controller_runtime_reconcile_total counter\ncontroller_runtime_reconcile_total 7\n";

/// What a server says, after it has heard a request's head.
#[derive(Clone)]
enum Says {
    /// These bytes, and then it hangs up.
    Bytes(Vec<u8>),
    /// Chunks without an end; counts what could be sent.
    Flood(Arc<AtomicUsize>),
    /// Nothing.
    Silence,
}

fn bytes(text: impl Into<Vec<u8>>) -> Says {
    Says::Bytes(text.into())
}

fn page(content_type: &str, body: &str) -> Says {
    let length = body.len();
    bytes(format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"))
}

/// Answers one connection. Gives what it heard.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, says: Says) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            break;
        }
        heard.push(byte[0]);
    }
    match says {
        Says::Bytes(bytes) => {
            // Whoever has heard enough may hang up.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Says::Flood(sent) => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
            let _ = stream.write_all(head.as_bytes()).await;
            let chunk = format!("10000\r\n{}\r\n", "a 1\n".repeat(0x4000));
            while stream.write_all(chunk.as_bytes()).await.is_ok() {
                sent.fetch_add(0x10000, Ordering::Relaxed);
            }
        }
        Says::Silence => std::future::pending().await,
    }
    String::from_utf8_lossy(&heard).into_owned()
}

/// A server that answers every connection so.
async fn serve(says: Says) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, says.clone()));
        }
    });
    address
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn token() -> Token {
    Token::new(SECRET, "a test").unwrap()
}

#[tokio::test]
async fn an_operator_is_heard_and_shown_the_token() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = tokio::spawn(async move { answer(listener.accept().await.unwrap().0, page("text/plain", PAGE)).await });
    let scraper = Scraper::new(&format!("http://localhost:{port}"), &[], None).unwrap();
    assert_eq!(scraper.scrape(Some(&token())).await.unwrap(), PAGE);
    let heard = heard.await.unwrap();
    assert!(heard.starts_with("GET /metrics HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains(&format!("authorization: Bearer {SECRET}\r\n")), "{heard}");
}

#[tokio::test]
async fn an_answer_that_is_no_exposition_is_an_error_in_words() {
    let echo = format!("controller{{token=\"{SECRET}\"}} 1\n{SECRET}\n");
    for (what, says, expected) in [
        ("no HTTP", bytes("hello\r\n\r\n"), "did not answer"),
        ("a hang-up", bytes(""), "did not answer"),
        (
            "a refusal",
            bytes(format!("HTTP/1.1 401 Unauthorized\r\ncontent-length: 12\r\n\r\n{SECRET}")),
            "answered 401",
        ),
        ("a page", page("text/html", "<html></html>"), "\"text/html\", which is no exposition"),
        ("a page that says it is text", page("text/plain", "<html>\n"), "is no exposition of metrics: line 1"),
        ("our own token", page("text/plain", &echo), "line 2 is no metric: it has no value: \"[redacted]\""),
        ("our own token as a type", page(&format!("text/{SECRET}"), ""), "\"text/[redacted]\""),
        ("JSON", page("application/json", "{}"), "\"application/json\""),
        ("nothing", page("text/plain", ""), "answered no metrics"),
        ("comments", page("text/plain", "# HELP a b\n"), "answered no metrics"),
        ("half a line", page("text/plain", "a 1\nb 2"), "breaks off"),
        ("less than it promised", bytes("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\na 1\n"), "did not answer"),
        ("no text", bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\xff\n".to_vec()), "answered no text"),
        (
            "gigabytes, as it says",
            bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\na 1\n", 8_u64 << 30)),
            "answered more than 16777216 bytes",
        ),
        (
            "another host",
            bytes(format!("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.2:1/?{SECRET}\r\ncontent-length: 0\r\n\r\n")),
            "it leads to another host",
        ),
        (
            "another scheme",
            bytes("HTTP/1.1 302 Found\r\nlocation: ftp://127.0.0.1/\r\ncontent-length: 0\r\n\r\n"),
            "it leads to another host",
        ),
        (
            "circles",
            bytes("HTTP/1.1 302 Found\r\nlocation: /metrics\r\ncontent-length: 0\r\n\r\n"),
            "it leads in circles",
        ),
    ] {
        let scraper = Scraper::new(&format!("http://{}/metrics?key=hidden", serve(says).await), &[], None).unwrap();
        let error = scraper.scrape(Some(&token())).await.unwrap_err();
        let (told, shown) = (chain(&error), format!("{error:?}"));
        assert!(told.contains(expected), "{what}: {told}");
        assert!(![&told, &shown].iter().any(|text| text.contains(SECRET)), "{what}: {told} {shown}");
        assert!(!told.contains("hidden"), "{what}: {told}");
    }
}

#[tokio::test]
async fn a_body_without_an_end_is_given_up_when_it_is_too_much() {
    let sent = Arc::new(AtomicUsize::new(0));
    let scraper = Scraper::new(&format!("http://{}", serve(Says::Flood(Arc::clone(&sent))).await), &[], None).unwrap();
    let error = scraper.scrape(None).await.unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
    // What was sent beyond is on its way in the kernel's buffers.
    assert!(sent.load(Ordering::Relaxed) < 4 * BYTES_MAX);
}

#[tokio::test]
async fn an_operator_that_says_nothing_is_not_waited_for() {
    let scraper = Scraper::new(&format!("http://{}", serve(Says::Silence).await), &[], None).unwrap();
    let error = scraper.within(Duration::from_millis(50)).scrape(None).await.unwrap_err();
    assert!(chain(&error).contains("timed out"), "{}", chain(&error));
}

#[tokio::test]
async fn a_certificate_is_verified_by_the_authorities_that_are_given() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (own, foreign) = (write("own.pem", &made.cert.pem()), write("foreign.pem", &other.cert.pem()));
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![made.cert.der().clone()],
            PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                answer(stream, page("text/plain; version=0.0.4; charset=utf-8", PAGE)).await;
            }
        }
    });
    let ask = async |host: &str, authorities: &Path| {
        let scraper = Scraper::new(&format!("https://{host}:{port}"), &[], Some(authorities)).unwrap();
        scraper.scrape(Some(&token())).await.map_err(|error| chain(&error))
    };
    assert_eq!(ask("localhost", &own).await.as_deref(), Ok(PAGE));
    for (host, authorities) in [("localhost", &foreign), ("127.0.0.1", &own)] {
        let error = ask(host, authorities).await.unwrap_err();
        assert!(error.contains("invalid peer certificate"), "{host}: {error}");
    }
    let empty = write("empty.pem", "nothing");
    for (authorities, says) in [
        (None, "needs a file with the authorities"),
        (Some(empty.as_path()), "there is no certificate in"),
        (Some(Path::new("/nonexistent/ca.pem")), "cannot read the authorities"),
    ] {
        let error = Scraper::new("https://localhost", &[], authorities).unwrap_err();
        assert!(chain(&error).contains(says), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_token_is_not_sent_over_an_open_line() {
    let scraper = Scraper::new("http://operator.shop.svc", &[], None).unwrap();
    let error = scraper.scrape(Some(&token())).await.unwrap_err();
    assert!(error.to_string().contains("over https or to loopback only"), "{error}");
}

/// Runs a scenario without an operator of its own, and gives the exit code, everything that was printed, and the summary.
async fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let scenario = "apiVersion: slipway.dev/v1alpha1\nkind: Scenario\nmetadata: {name: elsewhere}\nnamespace: shop\nsteps:\n\
                    - create: {manifest: {apiVersion: v1, kind: ConfigMap, metadata: {name: one}}}\n\
                    - advance: 1h\n- expect: {resource: configmaps, name: one}\n";
    std::fs::write(path("s.yaml"), scenario).unwrap();
    std::fs::write(path("token"), SECRET).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command.args(["run", &path("s.yaml"), "--artifacts", &path("out"), "--metrics-token-file", &path("token")]);
    command.args(arguments).env("NO_COLOR", "1").env_remove("SLIPWAY_JOBS");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    let summary = std::fs::read_to_string(directory.path().join("out/sli-summary.json")).unwrap_or_default();
    (output.status.code(), printed, summary)
}

#[tokio::test]
async fn an_operator_elsewhere_is_measured_while_scenarios_run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for count in 40.. {
            let text = format!("controller_runtime_reconcile_total {count}\n");
            answer(listener.accept().await.unwrap().0, page("text/plain", &text)).await;
        }
    });
    let (code, printed, summary) = run(&["--metrics-url", &url]).await;
    assert_eq!(code, Some(0), "{printed}");
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["reliability"]["collectionStatus"], "Complete", "{summary}");
    let results = summary["results"].as_array().unwrap();
    let reconciles = results.iter().find(|result| result["id"] == "reconcile_total_delta").unwrap();
    let value = reconciles["value"].as_f64().unwrap();
    assert!((1.0..10.0).contains(&value), "what was counted before the run does not count: {reconciles}");
}

#[tokio::test]
async fn an_operator_that_lies_fails_nothing_and_is_told_of() {
    let url = format!("http://{}/metrics", serve(page("text/plain", &format!("{SECRET}\n"))).await);
    let (code, printed, summary) = run(&["--metrics-url", &url]).await;
    assert_eq!(code, Some(0), "{printed}");
    let told: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(told["reliability"]["collectionStatus"], "Failed", "{told}");
    assert!(summary.contains("is no exposition of metrics"), "{summary}");
    assert!(!summary.contains(SECRET) && !printed.contains(SECRET), "{printed}{summary}");
}

#[tokio::test]
async fn a_url_that_is_not_the_runs_business_is_bad_input() {
    for (url, says) in [
        ("http://example.com/metrics", "--allow-metrics-host example.com"),
        ("https://apiserver.kube-system.svc", "is a Service of kube-system"),
        ("http://me:hunter2@localhost", "holds a user or a password"),
        ("https://localhost", "needs a file with the authorities"),
    ] {
        let (code, printed, summary) = run(&["--metrics-url", url]).await;
        assert_eq!((code, summary.as_str()), (Some(2), ""), "{printed}");
        assert!(printed.contains(says) && !printed.contains("hunter2"), "{printed}");
    }
}
