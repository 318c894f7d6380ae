//! What was collected while something ran, and what it comes to: for one scenario, or for a whole run.

use super::compute::{Measured, measure};
use super::exposition::{ExpositionError, Scrape};
use super::observed::Observations;
use super::spec::{Compute, Source, Spec};
use super::summary::Collected;

/// What was collected while one scenario ran.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    /// What the operator told that was new, oldest first. Begins with nothing: the operator begins with the scenario.
    told: Vec<Scrape>,
    /// How often the operator could be heard, the first time aside where it had counted before.
    scrapes: usize,
    /// Whether it had counted before, and has not been heard yet.
    joins: bool,
    /// Why the operator could not be heard, each time.
    failures: Vec<String>,
    /// What the server saw.
    pub seen: Observations,
    /// Whether there is an operator that could tell something.
    expected: bool,
}

impl Session {
    /// Nothing collected yet; `expected` where there is an operator that could tell something.
    pub fn new(expected: bool) -> Self {
        Self { told: vec![Scrape::default()], expected, ..Self::default() }
    }

    /// Nothing collected yet of an operator that runs already: what it has counted before is not this session's.
    pub fn joined() -> Self {
        Self { joins: true, expected: true, ..Self::default() }
    }

    /// Takes down what the operator told; of that, what indicators ask for.
    pub fn told(&mut self, answer: Result<String, String>, specs: &[Spec]) {
        match answer.and_then(|text| Scrape::parse(&text).map_err(|error: ExpositionError| error.to_string())) {
            Ok(mut scrape) => {
                // One number is no difference.
                self.scrapes += usize::from(!std::mem::take(&mut self.joins));
                scrape.series.retain(|series| specs.iter().any(|spec| spec.reads(&series.name)));
                // What stays the same need not be kept twice.
                if self.told.last() != Some(&scrape) {
                    self.told.push(scrape);
                }
            }
            Err(why) if self.failures.last() != Some(&why) => self.failures.push(why),
            Err(_) => {}
        }
    }

    /// What one indicator comes to.
    pub fn measure(&self, spec: &Spec) -> Measured {
        let told = if self.scrapes == 0 { &[] } else { self.told.as_slice() };
        measure(spec, told, &self.seen)
    }
}

/// What the server saw over several sessions.
pub fn seen(sessions: &[&Session]) -> Observations {
    let mut all = Observations::default();
    for session in sessions {
        all.merge(&session.seen);
    }
    all
}

/// What the indicators come to over several sessions.
pub fn together<'a>(specs: &'a [Spec], sessions: &[&Session]) -> Collected<'a> {
    let mut all = Session::default();
    for session in sessions {
        if session.scrapes > 0 {
            all.told.extend(session.told.iter().cloned());
        }
        all.failures.extend(session.failures.iter().cloned());
        all.expected |= session.expected;
        all.seen.merge(&session.seen);
    }
    let scrapes = sessions.iter().map(|session| session.scrapes).sum();
    let results = specs.iter().map(|spec| (spec, over(spec, &all, sessions))).collect();
    Collected { results, failures: all.failures, scrapes, expected: all.expected }
}

/// Counters go on from one session to the next. What is a state is that of the session where it was greatest, and
/// restarts are those within a session.
fn over(spec: &Spec, all: &Session, sessions: &[&Session]) -> Measured {
    let whole = || measure(spec, &all.told, &all.seen);
    let each = || sessions.iter().map(|session| session.measure(spec)).filter(|measured| measured.value.is_some());
    let value = |measured: &Measured| measured.value.unwrap_or_default();
    match (spec.source, spec.compute) {
        (Source::Metrics, Compute::Start | Compute::End) => {
            each().max_by(|one, other| value(one).total_cmp(&value(other))).unwrap_or_else(whole)
        }
        (Source::Metrics, Compute::Restarts) => each()
            .reduce(|one, other| Measured { value: Some(value(&one) + value(&other)), ..one })
            .unwrap_or_else(whole),
        _ => whole(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sli::spec;

    fn session(texts: &[&str]) -> Session {
        let specs = spec::built_in().unwrap();
        let mut session = Session::new(true);
        for text in texts {
            session.told(Ok((*text).to_owned()), &specs);
        }
        session
    }

    fn value(sessions: &[&Session], id: &str) -> Option<f64> {
        let specs = spec::built_in().unwrap();
        let collected = together(&specs, sessions);
        let found = collected.results.iter().find(|(spec, _)| spec.id == id).unwrap();
        found.1.value
    }

    #[test]
    fn scenarios_add_up_each_with_an_operator_of_its_own() {
        let one = session(&[
            "controller_runtime_reconcile_total 2\nworkqueue_depth 4\n",
            "controller_runtime_reconcile_total 5\nworkqueue_depth 1\n",
        ]);
        let other = session(&["controller_runtime_reconcile_total 3\nworkqueue_depth 2\nunrelated 1\n"]);
        let both = [&one, &other];
        assert_eq!(value(&both, "reconcile_total_delta"), Some(8.0));
        assert_eq!(value(&both, "workqueue_depth_end"), Some(2.0), "the deepest that any of them ended with");
        assert_eq!(value(&both, "workqueue_depth_max"), Some(4.0));
        assert!(other.told[1].named("unrelated").next().is_none(), "what nobody asks for is not kept");
    }

    #[test]
    fn what_an_operator_counted_before_it_was_joined_does_not_count() {
        let specs = spec::built_in().unwrap();
        let mut session = Session::joined();
        session.told(Err("connection refused".to_owned()), &specs);
        session.told(Ok("controller_runtime_reconcile_total 40\n".to_owned()), &specs);
        assert_eq!(value(&[&session], "reconcile_total_delta"), None, "one number is no difference");
        session.told(Ok("controller_runtime_reconcile_total 43\n".to_owned()), &specs);
        assert_eq!(value(&[&session], "reconcile_total_delta"), Some(3.0));
    }

    #[test]
    fn an_operator_that_had_nothing_to_do_was_heard_all_the_same() {
        let specs = spec::built_in().unwrap();
        let mut session = Session::joined();
        for _ in 0..3 {
            session.told(Ok("controller_runtime_reconcile_total 40\n".to_owned()), &specs);
        }
        assert_eq!(value(&[&session], "reconcile_total_delta"), Some(0.0));
        assert_eq!(together(&specs, &[&session]).scrapes, 2);
    }

    #[test]
    fn an_operator_that_cannot_be_heard_is_told_once() {
        let specs = spec::built_in().unwrap();
        let mut session = Session::new(true);
        for _ in 0..3 {
            session.told(Err("connection refused".to_owned()), &specs);
        }
        let collected = together(&specs, &[&session]);
        assert_eq!((collected.failures.len(), collected.scrapes, collected.expected), (1, 0, true));
    }
}
