//! Metrics: `/metrics` in Prometheus' text format.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::kit::metrics::Metrics;

pub(in crate::runtime) fn router(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state(metrics)
}

async fn scrape(State(metrics): State<Metrics>) -> Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::path::Path;

    use kube::Client;

    use crate::kit::clock::Clock;
    use crate::kit::metrics::Description;
    use crate::runtime::{Replica, Settings, operate, serve};

    /// Set this variable to write the table anew.
    const UPDATE: &str = "UPDATE_METRICS";
    const BEGIN: &str =
        "<!-- made from what is registered: UPDATE_METRICS=1 cargo test -p slipway-operator --lib -->\n";
    const END: &str = "<!-- end -->\n";

    /// In which unit the values of a series are; names say so.
    fn unit(name: &str) -> &'static str {
        let name = name.strip_suffix("_total").unwrap_or(name);
        match name.rsplit('_').next() {
            Some("seconds") => "seconds",
            Some("bytes") => "bytes",
            _ => "number",
        }
    }

    fn table(series: &[Description]) -> String {
        let mut table = "| series | kind | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n".to_owned();
        for Description { name, kind, labels, help } in series {
            let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
            let (unit, labels) = (unit(name), labels.join(", "));
            writeln!(table, "| `{name}` | {kind} | {unit} | {labels} | {help} |").unwrap();
        }
        table
    }

    #[tokio::test]
    async fn every_series_is_documented_with_its_unit_and_nothing_else_is() {
        let (service, _) =
            tower_test::mock::pair::<http::Request<kube::client::Body>, http::Response<kube::client::Body>>();
        let replica = Replica::from(Client::new(service, "ns"));
        let metrics = replica.metrics.clone();
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        serve::register(&replica, clock);
        drop(operate::prepared(replica, &Settings::default(), clock, std::future::pending()));
        let series = metrics.descriptions();
        assert!(series.len() > 30 && series.iter().all(|series| series.help.ends_with('.')), "{series:?}");

        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/metrics.md");
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the table");
        let (documented, after) = rest.split_once(END).expect("the table has an end");
        let table = table(&series);
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        } else {
            assert_eq!(documented, table, "the page is stale: run the tests once with {UPDATE}=1 and commit it");
        }
    }

    #[test]
    fn names_say_the_unit() {
        for (name, expected) in [
            ("process_cpu_seconds_total", "seconds"),
            ("process_resident_memory_bytes", "bytes"),
            ("workqueue_depth", "number"),
        ] {
            assert_eq!(unit(name), expected);
        }
    }
}
