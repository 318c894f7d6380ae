//! The step that sends requests: with what they begin, or what is looked at when they end. Pure.

use std::time::Duration;

use super::Compiler;
use crate::scenario::duration::Span;
use crate::scenario::model::Traffic;
use crate::scenario::plan::{Action, TrafficSpec};

/// How long a client pauses between requests unless it says otherwise, and at least.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_LEAST: Duration = Duration::from_millis(1);

/// How many clients there may be: each has a connection, and in real time a socket at either end.
const CLIENTS_MAX: u32 = 1000;

/// How long a client waits for an answer unless it says otherwise.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How long changes of endpoints take to reach clients unless it is said: what kube-proxy takes on a quiet node.
const PROPAGATION: Duration = Duration::from_millis(100);

impl Compiler<'_> {
    /// The step, with a summary of what it is about.
    pub(super) fn traffic(&mut self, traffic: &Traffic) -> Option<(String, Action)> {
        match (&traffic.start, &traffic.stop) {
            (Some(name), None) => self.start(name, traffic),
            (None, Some(name)) => Some(self.stop(name, traffic)),
            _ => {
                self.complain("", "`traffic` says `start` or `stop`, and not both", "this step");
                None
            }
        }
    }

    fn start(&mut self, name: &str, traffic: &Traffic) -> Option<(String, Action)> {
        if traffic.that.is_some() {
            self.complain("/that", "counters are looked at when traffic stops", "too early");
        }
        if !traffic.bind.is_empty() {
            self.complain("/bind", "counters are kept when traffic stops", "too early");
        }
        let Some(service) = traffic.service.clone() else {
            self.complain("", "`start` needs a `service`", "requests to whom?");
            return None;
        };
        let paths = traffic.path.as_ref().map_or_else(|| vec!["/".to_owned()], |path| path.0.clone());
        if paths.is_empty() || paths.iter().any(|path| !path.starts_with('/')) {
            self.complain("/path", "a path begins with `/`", "not a path");
        }
        let clients = traffic.clients.unwrap_or(1);
        if !(1..=CLIENTS_MAX).contains(&clients) {
            self.complain("/clients", &format!("from 1 to {CLIENTS_MAX} clients can send"), "not so many");
        }
        let span = |given: Option<Span>, default| given.map_or(default, |span| span.0);
        let spec = TrafficSpec {
            service,
            namespace: traffic.namespace.clone(),
            port: traffic.port.clone(),
            paths,
            clients,
            // Without any pause virtual time would stand still.
            pause: span(traffic.pause, PAUSE).max(PAUSE_LEAST),
            requests_per_connection: traffic.requests_per_connection.unwrap_or(1).max(1),
            timeout: span(traffic.timeout, ANSWER_WITHIN),
            propagation: span(traffic.propagation, PROPAGATION),
        };
        Some((format!("start {name} to {}", spec.service), Action::StartTraffic { name: name.to_owned(), spec }))
    }

    fn stop(&mut self, name: &str, traffic: &Traffic) -> (String, Action) {
        // Taking it apart here makes a forgotten field a compile error.
        let Traffic {
            start: _,
            stop: _,
            service,
            namespace,
            port,
            path,
            clients,
            pause,
            requests_per_connection,
            timeout,
            propagation,
            that,
            bind,
        } = traffic;
        let others = [
            ("service", service.is_some()),
            ("namespace", namespace.is_some()),
            ("port", port.is_some()),
            ("path", path.is_some()),
            ("clients", clients.is_some()),
            ("pause", pause.is_some()),
            ("requestsPerConnection", requests_per_connection.is_some()),
            ("timeout", timeout.is_some()),
            ("propagation", propagation.is_some()),
        ];
        for (field, _) in others.into_iter().filter(|(_, is_given)| *is_given) {
            self.complain(&format!("/{field}"), "`stop` takes the name, `that` and `bind`", "said by `start`");
        }
        let that = self.condition(None, that.as_ref()).that;
        let bind = self.bind(bind);
        (format!("stop {name}"), Action::StopTraffic { name: name.to_owned(), that, bind })
    }
}
