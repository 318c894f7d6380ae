//! Logs: one line an event, as JSON for machines or as text for people.
//!
//! A JSON line has `@timestamp`, `level`, `message` and `logger`, then the fields of the spans around it, from the
//! outermost, and its own: `controller`, `object` with `namespace` and `name`, `reconcileID`. Times come from the
//! operator's clock.
//!
//! Guarantee: what looks like a token, a bearer credential or a private key does not appear, in whichever field, and
//! neither does the value of a field that is called like one.

use std::borrow::Cow;
use std::fmt::{self, Write};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, span};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::Sink;
use crate::kit::clock::Clock;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object.
    Json,
    /// For people.
    Text,
}

/// Stands in for what must not be told.
const REDACTED: &str = "[redacted]";

/// Words in the name of a field whose value is a secret.
const SECRET_NAMES: [&str; 5] = ["token", "password", "secret", "authorization", "private_key"];

/// The layer that writes the log.
pub(super) struct Logs {
    format: LogFormat,
    clock: Clock,
    sink: Sink,
}

impl Logs {
    pub(super) fn new(format: LogFormat, clock: Clock, sink: Sink) -> Self {
        Self { format, clock, sink }
    }
}

/// The fields of a span.
struct SpanFields(Map<String, Value>);

impl<S> Layer<S> for Logs
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanFields(fields.0));
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(span) = context.span(id)
            && let Some(known) = span.extensions_mut().get_mut::<SpanFields>()
        {
            known.0.extend(fields.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut own = Fields::default();
        event.record(&mut own);
        let mut own = own.0;
        let message = own.remove("message").unwrap_or_default();
        let mut fields = Map::new();
        for span in context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            if let Some(known) = span.extensions().get::<SpanFields>() {
                fields.extend(known.0.clone());
            }
        }
        fields.extend(own);
        let metadata = event.metadata();
        let line = match self.format {
            LogFormat::Json => json(&self.clock, *metadata.level(), metadata.target(), message, fields),
            LogFormat::Text => text(&self.clock, *metadata.level(), &message, &fields),
        };
        (self.sink)(&line);
    }
}

fn json(clock: &Clock, level: Level, logger: &str, message: Value, fields: Map<String, Value>) -> String {
    let mut line = Map::new();
    line.insert("@timestamp".to_owned(), timestamp(clock).into());
    line.insert("level".to_owned(), level.as_str().to_lowercase().into());
    line.insert("logger".to_owned(), logger.into());
    line.insert("message".to_owned(), message);
    for (name, value) in fields {
        match name.split_once('.') {
            // For the collector of traces only.
            Some(("otel", _)) => {}
            Some((outer, inner)) => {
                let nested = line.entry(outer).or_insert_with(|| Map::new().into());
                match nested.as_object_mut() {
                    Some(nested) => drop(nested.insert(inner.to_owned(), value)),
                    None => drop(line.insert(name, value)),
                }
            }
            None => drop(line.insert(name, value)),
        }
    }
    Value::Object(line).to_string()
}

fn text(clock: &Clock, level: Level, message: &Value, fields: &Map<String, Value>) -> String {
    let mut line = format!("{} {level:>5} {}", timestamp(clock), plain(message));
    let field = |name: &str| fields.get(name).map(plain).unwrap_or_default();
    if fields.contains_key("object.name") {
        // Writing to a String does not fail.
        let _ = write!(line, " object={}/{}", field("object.namespace"), field("object.name"));
    }
    for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with("object.") && !name.starts_with("otel.")) {
        let _ = write!(line, " {name}={}", plain(value));
    }
    // One event is one line, whatever somebody put into an object.
    line.replace(['\n', '\r'], " ")
}

fn timestamp(clock: &Clock) -> String {
    format!("{:.3}", clock.now())
}

fn plain(value: &Value) -> Cow<'_, str> {
    value.as_str().map_or_else(|| value.to_string().into(), Cow::Borrowed)
}

/// Collects fields, without secrets.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn insert(&mut self, field: &Field, value: Value) {
        let value = match value {
            _ if is_secret(field.name()) => REDACTED.into(),
            Value::String(text) => redacted(&text).into_owned().into(),
            other => other,
        };
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}").into());
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET_NAMES.iter().any(|word| name == *word || name.ends_with(&format!("_{word}")))
}

/// The text without what looks like a credential.
fn redacted(text: &str) -> Cow<'_, str> {
    if text.contains("PRIVATE KEY-----") {
        return REDACTED.into();
    }
    let bearer = |word: &str| word.eq_ignore_ascii_case("bearer");
    let is_edge = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.' | '+' | '/' | '=' | '~');
    let mut words = text.split(is_edge).filter(|word| !word.is_empty());
    let mut secrets = Vec::new();
    while let Some(word) = words.next() {
        if is_token(word) {
            secrets.push(word);
        } else if bearer(word)
            && let Some(credential) = words.next()
        {
            secrets.push(credential);
        }
    }
    secrets.into_iter().fold(text.into(), |text, secret| text.replace(secret, REDACTED).into())
}

/// A JSON web token, as service accounts have them: three parts, of which the first begins like a JSON object.
fn is_token(word: &str) -> bool {
    word.starts_with("eyJ") && word.split('.').count() == 3
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// What is logged while `work` runs.
    fn logged(format: LogFormat, work: impl FnOnce()) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let clock = Clock::starting_at("2026-01-02T03:04:05.678Z".parse().unwrap());
        let sink: Sink = Arc::new(move |line| sink.lock().unwrap().push(line.to_owned()));
        let subscriber = tracing_subscriber::registry().with(Logs::new(format, clock, sink));
        tracing::subscriber::with_default(subscriber, work);
        Arc::into_inner(lines).unwrap().into_inner().unwrap()
    }

    fn reconcile() {
        let span = tracing::info_span!(
            "reconcile",
            controller = "hello",
            object.namespace = "demo",
            object.name = "world",
            reconcileID = "7",
            otel.kind = "internal",
            error = tracing::field::Empty,
        );
        span.in_scope(|| {
            tracing::info!("reconcile hit");
            span.record("error", "apply");
            tracing::warn!(attempts = 3, "it is\ndone");
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_of_json_says_when_what_and_about_which_object() {
        let lines = logged(LogFormat::Json, reconcile);
        let first: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(
            first,
            json!({
                "@timestamp": "2026-01-02T03:04:05.678Z", "level": "info", "message": "reconcile hit",
                "logger": module_path!(), "controller": "hello", "reconcileID": "7",
                "object": { "namespace": "demo", "name": "world" },
            })
        );
        let second: Value = serde_json::from_str(&lines[1]).unwrap();
        assert_eq!(
            (&second["level"], &second["attempts"], &second["error"]),
            (&json!("warn"), &json!(3), &json!("apply"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_of_text_is_one_line() {
        let lines = logged(LogFormat::Text, reconcile);
        assert_eq!(
            lines[0],
            "2026-01-02T03:04:05.678Z  INFO reconcile hit object=demo/world controller=hello reconcileID=7"
        );
        assert!(lines[1].contains(" WARN it is done") && !lines[1].contains('\n'), "{}", lines[1]);
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_and_secrets_never_appear() {
        const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJl";
        const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----";
        #[derive(Debug)]
        #[expect(dead_code, reason = "it is read by its Debug")]
        struct Holder {
            header: String,
        }
        for format in [LogFormat::Json, LogFormat::Text] {
            let lines = logged(format, || {
                let holder = Holder { header: format!("Authorization: Bearer {TOKEN}") };
                let span = tracing::info_span!("request", token = "hunter2", header = format!("bearer opaque-{}", 17));
                span.in_scope(|| {
                    tracing::info!(?holder, bearer_token = "hunter2", "sent {TOKEN} away");
                    tracing::error!(error = KEY, password = 4711, "Bearer hunter2, and `{TOKEN}`");
                });
            });
            let text = lines.join("\n");
            for secret in [TOKEN, "hunter2", "MIGHAgE", "opaque-17", "4711", "c2lnbmF0dXJl"] {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
            assert!(text.contains("sent [redacted] away"), "{text}");
        }
        assert_eq!(redacted("bearer of news"), "bearer [redacted] news");
        assert_eq!(redacted("nothing to hide: a.b.c"), "nothing to hide: a.b.c");
    }
}
