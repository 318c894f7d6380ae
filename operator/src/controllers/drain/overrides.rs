//! How one Pod drains: as its kind of workload does, unless its annotations say otherwise. Pure.
//!
//! An annotation is checked like the configuration. A bad one is told of, and what it would have changed stays as it is.

use kube::ResourceExt;

use crate::api::drain::{CONNECTION_SOURCES, DRAIN_TIMEOUT_SECONDS, GRACE_PERIOD_SECONDS, MECHANISMS, SETTLE_SECONDS};

use super::configuration::{Changes, Configuration, Invalid, Problem, Terms, integer, list};
use super::pod::Pod;
use super::workload::Workload;

/// How this Pod drains, and what is wrong with its annotations.
pub fn terms(configuration: &Configuration, pod: &Pod) -> (Terms, Vec<Problem>) {
    let base = configuration.terms_for(Workload::of(pod));
    let mut problems = Vec::new();
    let seconds = read(pod, GRACE_PERIOD_SECONDS, integer, &mut problems);
    let grace = Changes { grace_period_seconds: seconds, ..Changes::default() };
    let seconds = read(pod, DRAIN_TIMEOUT_SECONDS, integer, &mut problems);
    let timeout = Changes { drain_timeout_seconds: seconds, ..Changes::default() };
    let seconds = read(pod, SETTLE_SECONDS, integer, &mut problems);
    let settle = Changes { settle_seconds: seconds, ..Changes::default() };
    let mechanisms = Changes { mechanisms: read(pod, MECHANISMS, list, &mut problems), ..Changes::default() };
    let sources = read(pod, CONNECTION_SOURCES, list, &mut problems);
    let sources = Changes { connection_sources: sources, ..Changes::default() };
    let mut terms = base;
    // The time-out first: the grace period is measured by it.
    for (annotation, changes) in [
        (DRAIN_TIMEOUT_SECONDS, timeout),
        (GRACE_PERIOD_SECONDS, grace),
        (SETTLE_SECONDS, settle),
        (MECHANISMS, mechanisms),
        (CONNECTION_SOURCES, sources),
    ] {
        match terms.with(&changes) {
            Ok(changed) => terms = changed,
            Err(Invalid(found)) => {
                problems.extend(found.into_iter().map(|it| Problem { key: annotation.to_owned(), ..it }));
            }
        }
    }
    (terms, problems)
}

fn read<T>(
    pod: &Pod,
    annotation: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    match parse(pod.annotations().get(annotation)?.trim()) {
        Ok(value) => Some(value),
        Err(why) => {
            problems.push(Problem { key: annotation.to_owned(), why });
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::configuration::Mechanisms;
    use super::*;

    fn of(annotations: &[(&str, &str)]) -> (Terms, Vec<String>) {
        let annotations = annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut pod = Pod::default();
        pod.metadata.annotations = Some(annotations.collect());
        let (terms, problems) = terms(&Configuration::default(), &pod);
        (terms, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_pod_can_say_how_it_drains() {
        let (terms, problems) = of(&[
            (GRACE_PERIOD_SECONDS, "600"),
            (DRAIN_TIMEOUT_SECONDS, "900"),
            (SETTLE_SECONDS, "7"),
            (MECHANISMS, "eviction-gate"),
            (CONNECTION_SOURCES, "[{http: {port: 8080}}, endpoints]"),
        ]);
        assert_eq!(problems, Vec::<String>::new());
        let expected = Terms {
            grace: Duration::from_mins(10),
            timeout: Duration::from_mins(15),
            settle: Duration::from_secs(7),
            mechanisms: Mechanisms { finalizer: false, eviction_gate: true },
            sources: list("[{http: {port: 8080}}, endpoints]").unwrap(),
        };
        assert_eq!(terms, expected);
    }

    #[test]
    fn a_bad_value_is_told_of_and_the_rest_still_counts() {
        for (annotation, value, says) in [
            (GRACE_PERIOD_SECONDS, "-1", "not a whole number"),
            (GRACE_PERIOD_SECONDS, "400", "more than drainTimeoutSeconds, which is 300"),
            (DRAIN_TIMEOUT_SECONDS, "99999", "not from 1 to 7200"),
            (DRAIN_TIMEOUT_SECONDS, "", "not a whole number"),
            (SETTLE_SECONDS, "2s", "not a whole number"),
            (MECHANISMS, "hope", "hope"),
            (CONNECTION_SOURCES, "http", "missing field `port`"),
        ] {
            let ((terms, problems), good) = (of(&[(annotation, value)]), Terms::default());
            assert_eq!(terms, good, "{annotation}={value}");
            let [problem] = problems.as_slice() else { panic!("{problems:?}") };
            assert!(problem.starts_with(annotation) && problem.contains(says), "{problem}");
        }
        let (terms, problems) = of(&[(DRAIN_TIMEOUT_SECONDS, "0"), (GRACE_PERIOD_SECONDS, "5")]);
        assert_eq!((terms.grace, problems.len()), (Duration::from_secs(5), 1));
    }

    #[test]
    fn a_shorter_time_out_alone_shortens_the_grace_period_too() {
        let (terms, problems) = of(&[(DRAIN_TIMEOUT_SECONDS, "10")]);
        assert_eq!((terms.timeout, terms.grace), (Duration::from_secs(10), Duration::from_secs(10)));
        assert_eq!(problems, Vec::<String>::new());
    }
}
