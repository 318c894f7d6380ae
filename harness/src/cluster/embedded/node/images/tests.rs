use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::all;
use crate::cluster::embedded::node::files::{Changes, Files};
use crate::cluster::embedded::node::log::Log;
use crate::cluster::embedded::node::network::NodeNetwork;
use crate::cluster::embedded::node::program::{Exit, NetworkAccess, PodNetwork, Process, Programs, TERMINATION_LOG};
use crate::cluster::embedded::node::tcp::{State, Stream, Tcp};

fn process(env: &[(&str, &str)]) -> Process {
    let changes = Changes::new();
    Process {
        node: "n1".to_owned(),
        args: Vec::new(),
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>(),
        files: Files::node(std::path::PathBuf::from("/nonexistent"), changes.clone()),
        network: NetworkAccess::new(NodeNetwork::empty(true), false, false, changes),
        tcp: PodNetwork::new(Tcp::default(), "10.244.0.2".parse().expect("an address")),
        log: Log::default(),
        termination_log: TERMINATION_LOG.to_owned(),
        stop: CancellationToken::new(),
    }
}

fn start(image: &str, process: &Process) -> tokio::task::JoinHandle<Exit> {
    let program = all(Programs::new()).find(image).expect("an image");
    tokio::spawn(program.run(process.clone()))
}

fn established(process: &Process) -> usize {
    process.tcp.sockets().iter().filter(|(_, socket)| socket.state == State::Established).count()
}

async fn connect(process: &Process, port: u16) -> Stream {
    tokio::task::yield_now().await;
    let client = "192.0.2.1".parse().expect("an address");
    let tcp = process.tcp.clone();
    tcp.connect_from(client, port).await.expect("somebody listens")
}

async fn get(process: &Process, port: u16, path: &str) -> String {
    let mut stream = connect(process, port).await;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .expect("open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    answer
}

#[tokio::test(start_paused = true)]
async fn scripted_connections_go_evenly_once_the_server_drains() {
    let process = process(&[("CONNECTIONS", "4"), ("DRAIN_SECONDS", "20"), ("ON_TERM", "finish")]);
    let running = start("slipway.dev/http-server:1", &process);
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(established(&process), 4, "nobody has told them to go");
    process.stop.cancel();
    for left in [3, 2, 1] {
        tokio::time::sleep(Duration::from_millis(5_001)).await;
        assert_eq!(established(&process), left);
    }
    assert_eq!(running.await.expect("no panic"), Exit::SUCCESS);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_a_handler_drops_what_is_under_way_and_one_with_a_handler_finishes_it() {
    for (on_term, code, answered) in [("exit", 143, false), ("finish", 0, true)] {
        let process = process(&[("RESPONSE_TIME", "10s"), ("ON_TERM", on_term)]);
        let running = start("slipway.dev/http-server:1", &process);
        let asked = Instant::now();
        let request = get(&process, 8080, "/");
        let stop = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(established(&process), 1, "the request is a connection that can be seen");
            process.stop.cancel();
        };
        let (answer, ()) = tokio::join!(request, stop);
        assert_eq!(answer.starts_with("HTTP/1.1 200"), answered, "{on_term}: {answer:?}");
        assert_eq!(running.await.expect("no panic"), Exit(code));
        assert_eq!(asked.elapsed().as_secs(), if answered { 10 } else { 1 });
        assert_eq!(established(&process), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn every_dialect_tells_the_connections_that_are_there() {
    let env = [
        ("CONNECTIONS", "3"),
        ("METRICS_PORT", "9100"),
        ("ENVOY_PORT", "15000"),
        ("LINKERD_PORT", "4191"),
        ("GRPC_METRICS_PORT", "9102"),
        ("SOCKETS", "tcp6"),
    ];
    let process = process(&env);
    let running = start("slipway.dev/http-server:1", &process);
    let _open = connect(&process, 8080).await;
    let cases = [
        (9100, "/metrics", "\nhttp_server_connections 4\n"),
        (9100, "/connections", "\r\n4\n"),
        (15000, "/stats?filter=listener.*downstream_cx_active", "listener.10.244.0.2_8080.downstream_cx_active: 4\n"),
        (4191, "/metrics", "tcp_open_connections{direction=\"inbound\",peer=\"src\""),
        (4191, "/elsewhere", "404 Not Found"),
        (9102, "/metrics", "grpc_type=\"server_stream\"} 4\n"),
        (9102, "/metrics", "grpc_server_handled_total{grpc_code=\"OK\""),
    ];
    for (port, path, expected) in cases {
        let answer = get(&process, port, path).await;
        assert!(answer.contains(expected), "{port}{path}: {answer}");
    }
    assert!(!get(&process, 15000, "/stats?filter=listener%5C.").await.contains("server.live"), "the filter counts");
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_setting_that_makes_no_sense_ends_the_program_and_is_named() {
    for (image, name, value) in [
        ("slipway.dev/http-server:1", "PORT", "http"),
        ("slipway.dev/http-server:1", "ON_TERM", "perhaps"),
        ("slipway.dev/http-server:1", "RESPONSE_TIME", "5"),
        ("slipway.dev/exit:1", "EXIT_CODE", "x"),
    ] {
        let process = process(&[(name, value)]);
        assert_eq!(start(image, &process).await.expect("no panic"), Exit(64), "{name}={value}");
        assert!(process.log.text().contains(&format!("{name}={value} is not ")), "{}", process.log.text());
    }
}
