//! `slipway.dev/http-server`: an application with connections that a drain can see.
//!
//! Its connections are those that clients have opened, and `CONNECTIONS` more that it is told to hold: they begin with it
//! and go one by one while it drains, from when it is told to stop, somebody gets `/drain` or their time has come, or
//! never. What its metrics ports say is counted, not told.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::USAGE;
use super::setting::{self, Malformed, Settings};
use super::web::{self, Handler};
use crate::cluster::embedded::node::program::{Exit, PodNetwork, Process, Program};
use crate::cluster::embedded::node::tcp::{Entry, Kind, Socket, State};

/// The exit code of a process that a signal has ended which it has no handler for.
const TERMINATED: i32 = 143;

/// The exit code of a server that cannot listen.
const NO_PORT: i32 = 1;

/// The longest that an answer takes which a client asks to wait for.
const WAIT_MAX: Duration = Duration::from_mins(10);

/// Where scripted clients are: a network kept for examples.
const CLIENTS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 0);

/// The first port of scripted clients.
const CLIENT_PORT: u16 = 40_000;

/// How it takes the signal to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnTerm {
    /// As an application without a handler: what is under way is lost.
    Exit,
    /// It takes no more, finishes what is under way, and waits for its scripted connections.
    Finish,
    /// It goes on as if nothing had been said.
    Ignore,
}

/// When scripted connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drain {
    /// One after the other, the last after this long.
    Within(Duration),
    /// Never.
    Stuck,
}

#[derive(Clone, Debug)]
struct Config {
    port: u16,
    response_time: Duration,
    connections: u16,
    drain: Drain,
    /// When scripted connections begin to go by themselves.
    drain_after: Option<Duration>,
    on_term: OnTerm,
    sockets: Kind,
    ready_after: Duration,
    /// Ports for statistics, and what speaks there.
    ports: Vec<(u16, Dialect)>,
}

/// In whose words statistics are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// A gauge of the application's own.
    Application,
    /// Envoy's admin interface.
    Envoy,
    /// linkerd-proxy's metrics.
    Linkerd,
    /// The metrics of a gRPC server, which has a stream where others have a connection.
    Grpc,
}

impl Config {
    fn read(env: &BTreeMap<String, String>) -> Result<Self, Malformed> {
        let settings = Settings(env);
        let drain = match settings.text("DRAIN_SECONDS") {
            Some("stuck") => Drain::Stuck,
            _ => Drain::Within(settings.seconds("DRAIN_SECONDS")?.unwrap_or_default()),
        };
        let on_term = [("exit", OnTerm::Exit), ("finish", OnTerm::Finish), ("ignore", OnTerm::Ignore)];
        let port = |name, dialect| Ok(settings.number::<u16>(name)?.map(|port| (port, dialect)));
        let ports = [
            port("METRICS_PORT", Dialect::Application)?,
            port("ENVOY_PORT", Dialect::Envoy)?,
            port("LINKERD_PORT", Dialect::Linkerd)?,
            port("GRPC_METRICS_PORT", Dialect::Grpc)?,
        ];
        Ok(Self {
            port: settings.number("PORT")?.unwrap_or(8080),
            response_time: settings.duration("RESPONSE_TIME")?.unwrap_or_default(),
            connections: settings.number("CONNECTIONS")?.unwrap_or(0),
            drain,
            drain_after: settings.seconds("DRAIN_AFTER_SECONDS")?,
            on_term: settings.choice("ON_TERM", "exit, finish or ignore", &on_term)?,
            sockets: settings.choice(
                "SOCKETS",
                "tcp, tcp6 or udp",
                &[("tcp", Kind::Tcp), ("tcp6", Kind::Tcp6), ("udp", Kind::Udp)],
            )?,
            ready_after: settings.seconds("READY_AFTER_SECONDS")?.unwrap_or_default(),
            ports: ports.into_iter().flatten().collect(),
        })
    }
}

/// The image.
#[derive(Clone, Copy, Debug)]
pub(super) struct HttpServer;

impl Program for HttpServer {
    fn run(&self, process: Process) -> BoxFuture<'static, Exit> {
        async move {
            match Config::read(&process.env) {
                Ok(config) => run(process, config).await,
                Err(malformed) => {
                    process.log.write(&malformed.to_string());
                    Exit(USAGE)
                }
            }
        }
        .boxed()
    }

    fn has_commands(&self, env: &BTreeMap<String, String>) -> bool {
        env.get("SHELL").is_none_or(|shell| shell != "none")
    }
}

/// What the ports of one server share.
#[derive(Debug)]
struct Server {
    host: String,
    config: Config,
    network: PodNetwork,
    /// Scripted connections that are still there.
    held: Mutex<Vec<Entry>>,
    /// Somebody has said that connections should go.
    draining: watch::Sender<bool>,
    ready: watch::Sender<bool>,
}

impl Server {
    /// Connections to the application: those of clients and the scripted ones.
    fn connections(&self) -> usize {
        let ours = |socket: &Socket| socket.local.port() == self.config.port && socket.state == State::Established;
        self.network.sockets().iter().filter(|(_, socket)| ours(socket)).count()
    }

    fn hold(&self) {
        let entries = (0..self.config.connections).map(|at| {
            let [a, b, c, _] = CLIENTS.octets();
            let last = u8::try_from(at % 254 + 1).unwrap_or(1);
            let client = SocketAddr::new(IpAddr::from([a, b, c, last]), CLIENT_PORT + at % 20_000);
            self.network.hold(self.config.port, client, self.config.sockets)
        });
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = entries.collect();
    }

    /// Lets scripted connections go, evenly over the time they have.
    async fn drain(&self) {
        // The sender is in `self`.
        let _ = self.draining.subscribe().wait_for(|draining| *draining).await;
        let Drain::Within(time) = self.config.drain else { return std::future::pending().await };
        let every = time.checked_div(u32::from(self.config.connections)).unwrap_or_default();
        for _ in 0..self.config.connections {
            tokio::time::sleep(every).await;
            self.held.lock().unwrap_or_else(PoisonError::into_inner).pop();
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" if *self.ready.borrow() => text(StatusCode::OK, "ok\n"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            "/drain" => {
                self.draining.send_replace(true);
                text(StatusCode::OK, "draining\n")
            }
            path => {
                let time = path.strip_prefix("/wait/").and_then(setting::duration);
                tokio::time::sleep(time.unwrap_or(self.config.response_time).min(WAIT_MAX)).await;
                text(StatusCode::OK, format!("{} {path} from {}\n", request.method(), self.host))
            }
        }
    }

    fn statistics(&self, dialect: Dialect, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (count, port) = (self.connections(), self.config.port);
        let path = request.uri().path();
        let found = match dialect {
            Dialect::Application if path == "/metrics" => Some(format!(
                "# HELP http_server_connections Connections that are open.\n\
                 # TYPE http_server_connections gauge\nhttp_server_connections {count}\n"
            )),
            Dialect::Application if path == "/connections" => Some(format!("{count}\n")),
            Dialect::Envoy if path == "/stats" => {
                Some(envoy(count, self.network.address(), port, request.uri().query().unwrap_or_default()))
            }
            Dialect::Linkerd if path == "/metrics" => Some(linkerd(count, port)),
            Dialect::Grpc if path == "/metrics" => Some(grpc(count, usize::from(self.config.connections).max(count))),
            _ => None,
        };
        found.map_or_else(|| text(StatusCode::NOT_FOUND, "not found\n"), |found| text(StatusCode::OK, found))
    }
}

/// Envoy's counters of inbound listeners, those that the filter lets through.
fn envoy(count: usize, address: IpAddr, port: u16, query: &str) -> String {
    let lines = [
        format!("listener.{address}_{port}.downstream_cx_active: {count}"),
        format!("listener.{address}_{port}.downstream_cx_destroy: 0"),
        format!("http.inbound_0.0.0.0_{port};.downstream_cx_active: {count}"),
        "listener.admin.downstream_cx_active: 1".to_owned(),
        "server.live: 1".to_owned(),
    ];
    let parameters = query.split('&').filter_map(|part| part.split_once('='));
    let filter = parameters.filter(|(name, _)| *name == "filter").map(|(_, value)| unescape(value)).next();
    // Envoy takes the filter as a regular expression, searched for anywhere.
    let filter = filter.and_then(|filter| regex::Regex::new(&filter).ok());
    let shown = lines.iter().filter(|line| filter.as_ref().is_none_or(|filter| filter.is_match(line)));
    shown.flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// linkerd-proxy's gauge, by direction and peer.
fn linkerd(count: usize, port: u16) -> String {
    let labels = |peer: &str| {
        format!("direction=\"inbound\",peer=\"{peer}\",target_addr=\"0.0.0.0:{port}\",target_port=\"{port}\"")
    };
    format!(
        "# HELP tcp_open_connections Number of currently-open connections.\n# TYPE tcp_open_connections gauge\n\
         tcp_open_connections{{{}}} {count}\ntcp_open_connections{{{}}} {count}\n",
        labels("src"),
        labels("dst"),
    )
}

/// What a gRPC server's interceptor counts: calls that have begun, and calls that have ended.
fn grpc(under_way: usize, begun: usize) -> String {
    let labels = "grpc_method=\"Watch\",grpc_service=\"slipway.Server\",grpc_type=\"server_stream\"";
    format!(
        "# TYPE grpc_server_started_total counter\ngrpc_server_started_total{{{labels}}} {begun}\n\
         # TYPE grpc_server_handled_total counter\n\
         grpc_server_handled_total{{grpc_code=\"OK\",{labels}}} {}\n",
        begun - under_way,
    )
}

/// Resolves `%XX` of bytes that are ASCII.
fn unescape(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        let byte = behind.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(u8::is_ascii);
        match byte {
            Some(byte) => out.push(char::from(byte)),
            None => out.push('%'),
        }
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    out.push_str(rest);
    out
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}

async fn run(process: Process, config: Config) -> Exit {
    let host = process.env.get("HOSTNAME").cloned().unwrap_or_default();
    let server = Arc::new(Server {
        host,
        network: process.tcp.clone(),
        held: Mutex::default(),
        draining: watch::Sender::new(false),
        ready: watch::Sender::new(config.ready_after.is_zero()),
        config,
    });
    let finish = CancellationToken::new();
    let mut ports = Vec::new();
    let _datagrams = (server.config.sockets == Kind::Udp).then(|| process.tcp.take_datagrams(server.config.port));
    for (port, handler) in handlers(&server) {
        match process.tcp.listen(port, server.config.sockets == Kind::Tcp6).await {
            Ok(listener) => ports.push(web::serve(listener, handler, finish.clone())),
            Err(error) => {
                process.log.write(&format!("cannot listen on port {port}: {error}"));
                return Exit(NO_PORT);
            }
        }
    }
    process.log.write(&format!("listening on port {}", server.config.port));
    server.hold();
    let on_term = server.config.on_term;
    let told = async {
        process.stop.cancelled().await;
        server.draining.send_replace(true);
        match on_term {
            OnTerm::Exit => {}
            OnTerm::Finish => {
                process.log.write("finishing what is under way");
                finish.cancel();
                std::future::pending::<()>().await;
            }
            OnTerm::Ignore => std::future::pending::<()>().await,
        }
    };
    let becomes_ready = async {
        tokio::time::sleep(server.config.ready_after).await;
        server.ready.send_replace(true);
    };
    let begins_to_drain = async {
        if let Some(after) = server.config.drain_after {
            tokio::time::sleep(after).await;
            server.draining.send_replace(true);
        }
    };
    let whole = async {
        tokio::join!(join_all(ports), server.drain(), becomes_ready, begins_to_drain);
    };
    tokio::select! {
        biased;
        () = told => Exit(TERMINATED),
        () = whole => Exit::SUCCESS,
    }
}

/// What answers on which port.
fn handlers(server: &Arc<Server>) -> Vec<(u16, Handler)> {
    let application = Arc::clone(server);
    let application: Handler = Arc::new(move |request| {
        let server = Arc::clone(&application);
        async move { server.answer(request).await }.boxed()
    });
    let statistics = server.config.ports.iter().map(|(port, dialect)| {
        let (server, dialect) = (Arc::clone(server), *dialect);
        let handler: Handler = Arc::new(move |request| {
            let answer = server.statistics(dialect, &request);
            std::future::ready(answer).boxed()
        });
        (*port, handler)
    });
    std::iter::once((server.config.port, application)).chain(statistics).collect()
}
