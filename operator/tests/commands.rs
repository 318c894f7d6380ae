//! The operator's and the agent's programs as those meet them who start them: what they print, what they say when it
//! cannot be done, and how they end.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::{Value, json};

/// A program with nothing in its environment but what coverage and temporary files need.
fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    command.env_clear().stdin(Stdio::null());
    for kept in ["PATH", "TMPDIR", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
}

fn operator(arguments: &[&str]) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_slipway-operator"));
    command.args(arguments);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The objects that a command prints, as kinds and names.
fn printed(arguments: &[&str]) -> Vec<(String, String)> {
    let output = operator(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    let objects: Vec<Value> = serde_yaml::from_multiple(&text(&output.stdout)).unwrap();
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    objects.iter().map(|object| (object["kind"].as_str().unwrap().to_owned(), name(object))).collect()
}

#[test]
fn what_an_installation_needs_is_printed_for_those_controllers_that_run() {
    let definition = |name: &str| ("CustomResourceDefinition".to_owned(), name.to_owned());
    assert_eq!(printed(&["crd", "--controllers", "hello"]), [definition("hellos.demo.example.com")]);
    assert_eq!(printed(&["crd"]).len(), 2);
    assert_eq!(printed(&["crd", "--controllers", "drain"]), []);

    let roles = printed(&["rbac", "--controllers", "hello", "--namespace", "shop", "--install-namespace", "ops"]);
    assert!(roles.contains(&("Role".to_owned(), "slipway-operator-hello".to_owned())), "{roles:?}");
    assert!(!roles.iter().any(|(_, name)| name.contains("drain") || name.contains("multinic")), "{roles:?}");

    let webhooks = printed(&["webhooks", "--namespace", "shop"]);
    let named = |kind: &str| (kind.to_owned(), "slipway-drain".to_owned());
    assert_eq!(webhooks, [named("ValidatingWebhookConfiguration"), named("MutatingWebhookConfiguration")]);
}

#[test]
fn what_cannot_be_done_is_said_in_a_line_and_by_the_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    };
    let misspelt = file("misspelt.yaml", "multinic: {agentImag: one}\n");
    let unsound = file("unsound.yaml", "leaderElection: {enabled: true, leaseDuration: 1s, renewDeadline: 5s}\n");
    let cluster = file("cluster", &kubeconfig("http://127.0.0.1:1"));
    let absent = directory.path().join("absent").to_string_lossy().into_owned();
    for (arguments, kubeconfig, code, said) in [
        (&["run", "--settings", &absent][..], &cluster, 2, "failed to read settings"),
        (&["run", "--settings", &misspelt], &cluster, 2, "agentImag"),
        (&["run", "--settings", &unsound], &cluster, 2, "leader election"),
        (&["run", "--log", "slipway=loud"], &cluster, 2, "log filter"),
        (&["run", "--otlp-endpoint", "no address"], &cluster, 2, "traces"),
        (&["run", "--controllers", "hallo"], &cluster, 2, "hallo"),
        (&["run"], &absent, 3, "failed to find a cluster"),
        (&["drain-release", "--all"], &absent, 3, "failed to find a cluster"),
        (&["drain-release", "--all"], &cluster, 3, "failed to list Pods"),
        (&["drain-release"], &cluster, 2, "--all"),
    ] {
        let output = operator(arguments).env("KUBECONFIG", kubeconfig).output().unwrap();
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(said), "{arguments:?}: {errors}");
    }
}

#[test]
fn nothing_is_printed_to_nobody_and_that_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = operator(&["crd"]).stdout(full).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).contains("failed to write")), (Some(1), true));
}

fn kubeconfig(server: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{ "name": "here", "cluster": { "server": server } }],
        "users": [{ "name": "me", "user": { "token": "a-token-that-nobody-must-see" } }],
        "contexts": [{ "name": "here", "context": { "cluster": "here", "user": "me", "namespace": "here" } }],
    })
    .to_string()
}

/// An API server with nothing in it: lists are empty, watches stay open, everything else is not found.
fn empty_api_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(&stream));
        }
    });
    format!("http://{address}")
}

/// The next request's head and body.
fn next_request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn answer(stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    while let Some((head, _)) = next_request(&mut reader) {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let last = target.split('?').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        let mut writer = stream;
        if target.contains("watch=") {
            let _ = write!(
                writer,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            );
            continue;
        }
        let lists = ["hellos", "multinicnodeconfigs", "nodes", "pods", "jobs", "namespaces", "configmaps"];
        let (status, value) = if head.starts_with("GET") && lists.contains(&last) {
            let kind = if last == "hellos" { "HelloList" } else { "List" };
            ("200 OK", json!({ "apiVersion": "v1", "kind": kind, "metadata": { "resourceVersion": "1" }, "items": [] }))
        } else {
            let status = json!({
                "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "no",
            });
            ("404 Not Found", status)
        };
        let value = value.to_string();
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", value.len());
        if write!(writer, "{head}{value}").is_err() {
            return;
        }
    }
}

/// The lines that a program writes, until one holds this.
fn until(lines: &mut (impl Iterator<Item = std::io::Result<String>> + ?Sized), text: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for line in lines.map_while(Result::ok) {
        seen.push(line);
        if seen.last().is_some_and(|line| line.contains(text)) {
            return seen;
        }
    }
    assert!(seen.iter().any(|line| line.contains(text)), "nobody said {text:?}: {seen:#?}");
    seen
}

fn stop(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

#[test]
fn an_operator_that_is_told_to_stop_says_what_it_does_and_never_its_token() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig(&empty_api_server())).unwrap();
    let off = ["--health-probe-bind-address=0", "--metrics-bind-address=0", "--webhook-bind-address=0"];
    for (controllers, signal) in [("hello,multinic,drain", Signal::SIGTERM), ("hello", Signal::SIGINT)] {
        let mut child = operator(&["run", "--controllers", controllers, "--log", "debug", "--own-namespace", "here"])
            .args(off)
            .env("KUBECONFIG", &path)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = until(&mut lines, "starting manager");
        stop(&child, signal);
        seen.extend(until(&mut lines, "stopped manager"));
        seen.extend(lines.map_while(Result::ok));
        assert_eq!(child.wait().unwrap().code(), Some(0), "{seen:#?}");
        for line in &seen {
            let fields: Value = serde_json::from_str(line).unwrap();
            assert!(fields["@timestamp"].is_string() && fields["level"].is_string(), "{line}");
            assert!(!line.contains("a-token-that"), "{line}");
        }
    }
}

/// An operator without servers that sends traces, until `done` says of its log that it may stop: all that it logged.
fn logs_of_a_traced_life(
    collector: &str,
    done: impl FnOnce(&mut dyn Iterator<Item = std::io::Result<String>>),
) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig(&empty_api_server())).unwrap();
    let mut child = operator(&["run", "--controllers", "hello", "--otlp-endpoint", collector])
        .args(["--health-probe-bind-address=0", "--metrics-bind-address=0", "--webhook-bind-address=0"])
        .env("KUBECONFIG", &path)
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = Vec::new();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = lines.inspect(|line| seen.extend(line.as_ref().ok().cloned()));
    done(&mut lines);
    stop(&child, Signal::SIGTERM);
    lines.by_ref().for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(0), "{seen:#?}");
    seen.join("\n")
}

#[test]
fn a_collector_of_traces_gets_a_span_a_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let collector = format!("http://{}", listener.local_addr().unwrap());
    let (told, posts) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            while let Some(post) = next_request(&mut reader) {
                let _ = told.send(post);
                let _ = (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        }
    });
    let logs = logs_of_a_traced_life(&collector, |_| {
        let arrived = posts.iter().any(|(head, body)| {
            assert!(head.starts_with("POST /v1/traces "), "{head}");
            let sent = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
            let scopes = sent.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
            let mut spans = scopes.flat_map(|scope| &scope.spans);
            spans.any(|span| span.name == "GET /apis/demo.example.com/v1alpha1/hellos")
        });
        assert!(arrived, "the collector is gone");
    });
    assert!(!logs.contains("traces cannot be sent"), "{logs}");
}

#[test]
fn a_collector_that_takes_no_traces_is_told_of_once_and_stops_nobody() {
    for (collector, said) in [("http://127.0.0.1:1", "onnection refused"), (&empty_api_server(), "answers 404")] {
        let logs = logs_of_a_traced_life(collector, |lines| drop(until(lines, "traces cannot be sent")));
        let told: Vec<&str> = logs.lines().filter(|line| line.contains("traces cannot be sent")).collect();
        assert!(told.len() == 1 && told[0].contains(said), "{logs}");
    }
}

/// What an agent makes of its environment: its exit code and its summary.
fn agent(environment: &[(&str, &str)]) -> (i32, Value) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("termination-log");
    let mut command = program(env!("CARGO_BIN_EXE_multinic-agent"));
    command.env("TERMINATION_MESSAGE_PATH", &path).envs(environment.iter().copied());
    let output = command.output().unwrap();
    let code = output.status.code().unwrap();
    let summary = std::fs::read_to_string(path).unwrap_or_else(|_| panic!("no summary: {}", text(&output.stdout)));
    (code, serde_json::from_str(&summary).unwrap())
}

#[test]
fn an_agent_that_is_asked_for_nonsense_touches_nothing_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    };
    let empty = file("empty.json", "{}");
    let absent = directory.path().join("absent.json").to_string_lossy().into_owned();
    for (environment, said) in [
        (&[][..], "MULTINIC_SPEC is not set"),
        (&[("AGENT_ACTION", "dance")], "dance"),
        (&[("MULTINIC_SPEC", "not json")], "MULTINIC_SPEC"),
        (&[("DATA_SOURCE", "file"), ("MULTINIC_SPEC_FILE", &absent)], "absent.json"),
        (&[("DATA_SOURCE", "file"), ("MULTINIC_SPEC_FILE", &empty), ("LOG_LEVEL", "loud")], "empty.json"),
    ] {
        let (code, summary) = agent(&[environment, &[("NODE_NAME", "worker-1")]].concat());
        assert_eq!(code, 2, "{environment:?}: {summary:#}");
        assert_eq!(summary["node"], "worker-1");
        assert!(summary["error"].to_string().contains(said), "{environment:?}: {summary:#}");
    }
}

#[test]
fn an_agent_that_cannot_ask_the_cluster_blames_nobodys_input() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kubeconfig");
    let kubeconfig_at = path.to_string_lossy().into_owned();
    let environment = [
        ("DATA_SOURCE", "nodecr"),
        ("NODE_NAME", "worker-1"),
        ("NODE_CR_NAMESPACE", "multinic-system"),
        ("MULTINIC_OS", "Netplan"),
        ("KUBECONFIG", kubeconfig_at.as_str()),
    ];
    for server in ["http://127.0.0.1:1", &empty_api_server()] {
        std::fs::write(&path, kubeconfig(server)).unwrap();
        let (code, summary) = agent(&environment);
        assert_eq!(code, 3, "{summary:#}");
        assert!(summary["error"].to_string().contains("multinic-system/worker-1"), "{summary:#}");
    }
}

/// Looks at this machine's links, and changes nothing.
#[cfg(target_os = "linux")]
#[test]
fn an_agent_that_only_looks_says_what_is_not_as_it_should_be() {
    let spec = json!({
        "nodeName": "worker-1", "configUid": "u", "generation": 3, "os": "Netplan",
        "interfaces": [{ "id": 1, "name": "multinic1", "mac": "02:00:00:00:00:99" }],
    });
    let (code, summary) = agent(&[("AGENT_ACTION", "verify"), ("MULTINIC_SPEC", &spec.to_string())]);
    assert_eq!(code, 1, "{summary:#}");
    assert_eq!([&summary["action"], &summary["generation"]], [&json!("verify"), &json!(3)]);
    assert!(summary["interfaces"][0].to_string().contains("02:00:00:00:00:99"), "{summary:#}");
}
