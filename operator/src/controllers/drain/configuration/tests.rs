//! Configurations as people write them.

use super::*;

fn parse(values: &[(&str, &str)]) -> Result<Configuration, Invalid> {
    Configuration::parse(&values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
}

#[test]
fn an_empty_configuration_is_the_default() {
    let configuration = parse(&[]).unwrap();
    assert_eq!(configuration, Configuration::default());
    assert_eq!(configuration.terms.grace, Duration::from_secs(30));
    assert_eq!(configuration.terms.timeout, Duration::from_mins(5));
    assert_eq!(configuration.terms.mechanisms, Mechanisms { finalizer: true, eviction_gate: true });
    assert!(!configuration.size_heuristic, "resources that look computed select nobody");
    assert!(configuration.namespaces.contains("kube-system", &BTreeMap::new()), "and nothing is excluded");
}

#[test]
fn every_key_is_read() {
    let configuration = parse(&[
        ("gracePeriodSeconds", "10"),
        ("drainTimeoutSeconds", " 120\n"),
        ("settleSeconds", "0"),
        ("recheckSeconds", "1"),
        ("holdSeconds", "60"),
        ("mechanisms", "eviction-gate"),
        ("evictors", "system:serviceaccount:autoscaling:*, group:resizers"),
        ("finalizerHolds", "deletions"),
        ("namespaceSelector", r#"{"include": ["shop-*"], "exclude": ["shop-test"]}"#),
        ("perWorkload", "Job: {drainTimeoutSeconds: 3600}\nStatefulSet:\n  mechanisms: [finalizer]\n"),
        ("sizeHeuristic", "true"),
        ("connectionSources", "[{http: {port: 8080, path: /active}}, endpoints]"),
    ])
    .unwrap();
    let gate = Mechanisms { finalizer: false, eviction_gate: true };
    let terms = Terms {
        grace: Duration::from_secs(10),
        timeout: Duration::from_mins(2),
        settle: Duration::ZERO,
        mechanisms: gate,
        sources: list("[{http: {port: 8080, path: /active}}, endpoints]").unwrap(),
    };
    assert_eq!(configuration.terms, terms);
    assert_eq!(configuration.terms_for(Workload::Deployment), terms);
    let of_jobs = Terms { timeout: Duration::from_hours(1), ..terms.clone() };
    assert_eq!(configuration.terms_for(Workload::Job), of_jobs);
    let finalizer = Mechanisms { finalizer: true, eviction_gate: false };
    assert_eq!(configuration.terms_for(Workload::StatefulSet), Terms { mechanisms: finalizer, ..terms });
    assert_eq!((configuration.recheck, configuration.hold), (Duration::from_secs(1), Duration::from_mins(1)));
    assert_eq!(configuration.finalizer_holds, FinalizerHolds::Deletions);
    assert!(configuration.size_heuristic);
    assert!(configuration.namespaces.contains("shop-1", &BTreeMap::new()));
    assert!(!configuration.namespaces.contains("shop-test", &BTreeMap::new()));
    assert!(configuration.evictors.contain("system:serviceaccount:autoscaling:any", []));
    assert!(configuration.evictors.contain("somebody", ["system:authenticated", "resizers"]));
    assert!(!configuration.evictors.contain("system:serviceaccount:kube-system:vpa-updater", []));
}

#[test]
fn lists_are_written_as_people_like() {
    for text in [
        "finalizer,eviction-gate",
        "finalizer, eviction-gate",
        "[eviction-gate, finalizer]",
        r#"["finalizer","eviction-gate"]"#,
        "- finalizer\n- eviction-gate\n",
    ] {
        let configuration = parse(&[("mechanisms", text)]).unwrap();
        assert_eq!(configuration.terms.mechanisms, Mechanisms { finalizer: true, eviction_gate: true }, "{text}");
    }
    for nobody in ["", "[]"] {
        let configuration = parse(&[("mechanisms", nobody)]).unwrap();
        assert_eq!(configuration.terms.mechanisms, Mechanisms { finalizer: false, eviction_gate: false });
    }
}

#[test]
fn only_the_autoscaler_is_held_unless_somebody_says_otherwise() {
    let evictors = Evictors::default();
    for (user, held) in [
        ("system:serviceaccount:kube-system:vpa-updater", true),
        ("system:serviceaccount:vpa:my-release-vpa-updater", true),
        ("system:serviceaccount:vpa:vertical-pod-autoscaler-updater", true),
        ("system:serviceaccount:kube-system:vpa-recommender", false),
        ("system:serviceaccount:kube-system:cluster-autoscaler", false),
        ("kubernetes-admin", false),
        ("vpa-updater", false),
    ] {
        assert_eq!(evictors.contain(user, ["system:masters"]), held, "{user}");
    }
}

#[test]
fn values_have_bounds_and_the_bounds_are_inside() {
    for (key, inside, outside) in [
        ("gracePeriodSeconds", &["0", "30", "300"][..], &["-1", "3601", "1.5", "", "30s", "301"][..]),
        ("drainTimeoutSeconds", &["30", "7200"], &["0", "7201", "29", "soon"]),
        ("settleSeconds", &["0", "300"], &["301"]),
        ("recheckSeconds", &["1", "300"], &["0", "301"]),
        ("holdSeconds", &["10", "86400"], &["9", "86401"]),
        ("sizeHeuristic", &["true", "false"], &["perhaps"]),
        ("finalizerHolds", &["evictions", "deletions"], &["everything"]),
        ("mechanisms", &["finalizer"], &["finaliser"]),
        ("connectionSources", &["sockets", "sockets,endpoints", "[]"], &["socket", "http"]),
        ("perWorkload", &["{}", "Other: {}"], &["Deploymnt: {}", "Job: {timeout: 3}", "Job: {drainTimeoutSeconds: 0}"]),
        ("namespaceSelector", &["{}"], &["{", r#"{"includes": []}"#]),
    ] {
        for value in inside {
            parse(&[(key, value)]).unwrap_or_else(|error| panic!("{key}={value}: {error}"));
        }
        for value in outside {
            let Invalid(problems) = parse(&[(key, value)]).unwrap_err();
            assert!(problems.iter().all(|problem| problem.key.starts_with(key)), "{key}={value}: {problems:?}");
        }
    }
    parse(&[("gracePeriodSeconds", "3600"), ("drainTimeoutSeconds", "3600")]).unwrap();
    parse(&[("gracePeriodSeconds", "1"), ("drainTimeoutSeconds", "1")]).unwrap();
}

#[test]
fn the_grace_period_is_never_more_than_the_time_out_whichever_is_given() {
    for values in [
        &[("gracePeriodSeconds", "301")][..],
        &[("drainTimeoutSeconds", "29")],
        &[("gracePeriodSeconds", "60"), ("drainTimeoutSeconds", "59")],
        &[("perWorkload", "Job: {gracePeriodSeconds: 301}")],
    ] {
        parse(values).expect_err("the time-out would come first");
    }
    let configuration = parse(&[("perWorkload", "Job: {drainTimeoutSeconds: 5}")]).unwrap();
    assert_eq!(configuration.terms_for(Workload::Job).grace, Duration::from_secs(5), "an inherited one gives way");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let error = parse(&[
        ("gracePeriodSeconds", "soon"),
        ("drainTimeoutSeconds", "9000"),
        ("drainTimeout", "5"),
        ("perWorkload", "Job: {drainTimeoutSeconds: 0}"),
    ])
    .unwrap_err()
    .to_string();
    for part in [
        "gracePeriodSeconds: \"soon\" is not a whole number",
        "drainTimeoutSeconds: 9000 is not from 1 to 7200",
        "drainTimeout: is no key",
        "perWorkload.Job.drainTimeoutSeconds: 0 is not from",
    ] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    assert!(!error.contains('\n'), "{error}");
}

/// The rows of the table in the guide: a key, and the default as it is written there.
fn documented() -> Vec<(&'static str, &'static str)> {
    let guide = include_str!("../../../../../docs/guide/drain.md");
    let (_, table) = guide.split_once("| key | default | bounds |").unwrap();
    let (table, _) = table.split_once("<!-- end -->").unwrap();
    let cells = |line: &'static str| line.split('|').map(str::trim).collect::<Vec<_>>();
    let rows = table.lines().skip(2).map(cells).filter(|row| row.len() > 3);
    rows.map(|row| (row[1].trim_matches('`'), row[2])).collect()
}

#[test]
fn the_guide_has_every_key_with_the_default_that_is_in_force() {
    let rows = documented();
    let mut keys: Vec<_> = rows.iter().map(|(key, _)| *key).collect();
    let mut expected = KEYS.to_vec();
    keys.sort_unstable();
    expected.sort_unstable();
    assert_eq!(keys, expected);
    for (key, default) in rows {
        match default.strip_prefix('`').and_then(|text| text.strip_suffix('`')) {
            Some(value) => assert_eq!(parse(&[(key, value)]).unwrap(), Configuration::default(), "{key}={value}"),
            None => assert!(["everything", "nothing"].contains(&default), "{key}: {default}"),
        }
    }
}

#[test]
fn the_guide_has_every_annotation_event_and_outcome() {
    use crate::api::drain::{Outcome, PREFIX};
    let guide = include_str!("../../../../../docs/guide/drain.md");
    for annotation in crate::api::drain::OVERRIDES {
        assert!(annotation.starts_with(PREFIX) && guide.contains(&format!("`{annotation}`")), "{annotation}");
    }
    for outcome in Outcome::ALL {
        assert!(guide.contains(&format!("`{outcome}`")), "{outcome}");
    }
    let notices = include_str!("../notices.rs");
    let reasons = notices.split('"').filter(|word| word.len() > 6 && word.chars().all(char::is_alphanumeric));
    let reasons: Vec<_> = reasons.filter(|word| word.starts_with(char::is_uppercase)).collect();
    assert!(reasons.len() > 8, "{reasons:?}");
    for reason in reasons.into_iter().filter(|word| !["Configure", "Release", "Restore"].contains(word)) {
        assert!(guide.contains(&format!("`{reason}`")), "{reason}");
    }
}
