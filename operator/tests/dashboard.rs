//! The Grafana dashboard, held against what the operator measures: a panel that asks for something else stays empty, and
//! nobody would notice before they need it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;
use serde_json::Value;

/// What Prometheus adds to every series of a Pod.
const OF_THE_TARGET: [&str; 5] = ["namespace", "pod", "job", "instance", "service"];

fn dashboard() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/dashboards/slipway.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A series as it is documented, which another test holds against what is registered.
struct Series {
    name: String,
    labels: Vec<String>,
}

/// What the operator measures, by the names that can be asked for.
fn measured() -> BTreeMap<String, Series> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/metrics.md");
    let row = Regex::new(r"(?m)^\| `([a-z_]+)` \| (counter|gauge|histogram) \|[^|]*\|([^|]*)\|").unwrap();
    let mut names = BTreeMap::new();
    for found in row.captures_iter(&std::fs::read_to_string(path).unwrap()) {
        let suffixes: &[&str] = if &found[2] == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        for suffix in suffixes {
            let labels = found[3].split(',').map(|label| label.trim().trim_matches('`').to_owned()).collect();
            names.insert(format!("{}{suffix}", &found[1]), Series { name: found[1].to_owned(), labels });
        }
    }
    assert!(names.len() > 30, "the table is written otherwise than it is read");
    names
}

/// Every expression, by the title of its panel.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let panels = dashboard["panels"].as_array().unwrap();
    let of_panels = panels.iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(|target| (text(&panel["title"]), text(&target["expr"])))
    });
    let annotations = dashboard["annotations"]["list"].as_array().unwrap();
    of_panels.chain(annotations.iter().map(|it| (text(&it["name"]), text(&it["expr"])))).collect()
}

/// What an expression asks for: series, and labels.
fn asked(expression: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let take = |pattern: &str, text: &str| -> Vec<String> {
        let pattern = Regex::new(pattern).unwrap();
        pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
    };
    let mut labels: BTreeSet<String> = take(r#"([a-z_]+)\s*(?:=~|!~|!=|=)\s*""#, expression).into_iter().collect();
    for list in take(r"\b(?:by|without)\s*\(([^)]*)\)", expression) {
        labels.extend(list.split(',').map(|label| label.trim().to_owned()));
    }
    let rest = Regex::new(r"\b(?:by|without)\s*\([^)]*\)|\{[^}]*\}|\[[^\]]*\]").unwrap().replace_all(expression, " ");
    let words = Regex::new(r"([a-z_][a-z0-9_:]*)\s*(\(?)").unwrap();
    let series = words.captures_iter(&rest).filter(|found| found[2].is_empty()).map(|found| found[1].to_owned());
    (series.collect(), labels)
}

#[test]
fn an_expression_is_taken_apart() {
    let (series, labels) = asked(
        r#"histogram_quantile(0.95, sum by (verb, le) (rate(a_seconds_bucket{code=~"5..", b!="x"}[5m]))) > 60 * c_total"#,
    );
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!((series, labels), (set(&["a_seconds_bucket", "c_total"]), set(&["b", "code", "le", "verb"])));
}

#[test]
fn every_panel_asks_for_what_the_operator_measures() {
    let measured = measured();
    let expressions = expressions(&dashboard());
    assert!(expressions.len() > 20);
    let mut asked_for = BTreeSet::new();
    for (title, expression) in expressions {
        let (series, labels) = asked(&expression);
        assert!(!series.is_empty(), "{title}: {expression} asks for nothing");
        for name in &series {
            let description = measured.get(name).unwrap_or_else(|| panic!("{title}: nobody measures {name:?}"));
            for label in labels.iter().filter(|label| !OF_THE_TARGET.contains(&label.as_str())) {
                let there = description.labels.contains(label) || (label == "le" && name.ends_with("_bucket"));
                assert!(there, "{title}: {name} has no label {label:?}, only {:?}", description.labels);
            }
            asked_for.insert(description.name.clone());
        }
    }
    // What is ours alone nobody finds on somebody else's dashboard.
    let ours = measured.values().map(|description| &description.name).filter(|name| name.starts_with("slipway_"));
    let missing: BTreeSet<_> = ours.filter(|name| !asked_for.contains(*name)).collect();
    assert!(missing.is_empty(), "no panel shows {missing:?}");
}

#[test]
fn the_dashboard_can_be_imported() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_i64().unwrap()), "{} has another one's id", panel["title"]);
        let place = &panel["gridPos"];
        assert!(
            place["x"].as_i64().unwrap() + place["w"].as_i64().unwrap() <= 24,
            "{} is beside the grid",
            panel["title"]
        );
        if panel["type"] != "row" {
            assert!(!panel["description"].as_str().unwrap().is_empty(), "{} says nothing", panel["title"]);
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{} has no unit", panel["title"]);
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{} is tied to one Grafana", panel["title"]);
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let variables: BTreeSet<_> = variables.map(|variable| variable["name"].as_str().unwrap()).collect();
    let used = Regex::new(r"\$\{?([a-z]+)\b").unwrap();
    for name in used.captures_iter(&dashboard.to_string()).map(|found| found[1].to_owned()) {
        assert!(variables.contains(name.as_str()), "nobody defines ${name}");
    }
}
