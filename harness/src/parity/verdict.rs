//! What is to be said of a scenario that ran on two clusters.

use regex::Regex;

use super::{Difference, Witness, compare};
use crate::event::Outcome;

/// How a scenario fared on two clusters.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It came to the same.
    Same,
    /// It ended otherwise, or left something else.
    Differs(Vec<Difference>),
    /// One of them could not run it, and why.
    NotCompared(String),
}

/// What became of a scenario on one cluster.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// How it ended.
    pub outcome: &'a Outcome,
    /// What it left, where somebody could look.
    pub witness: Option<&'a Witness>,
}

/// Compares two endings. A difference whose line matches one of `known` is none.
pub fn judge(first: Ending<'_>, second: Ending<'_>, known: &[Regex]) -> Verdict {
    for (which, ending) in [("the first", first), ("the second", second)] {
        match ending.outcome {
            Outcome::Skipped(why) => return Verdict::NotCompared(why.clone()),
            Outcome::Interrupted | Outcome::NotRun => {
                return Verdict::NotCompared(format!("{} on {which}", ending.outcome.word()));
            }
            Outcome::Passed | Outcome::Failed(_) => {}
        }
    }
    let mut differences: Vec<Difference> = outcomes(first.outcome, second.outcome).into_iter().collect();
    match (first.witness, second.witness) {
        (Some(one), Some(other)) => differences.extend(compare(one, other)),
        // Where nothing was raised nothing is left, and the outcome has said why.
        _ if !differences.is_empty() => {}
        _ => return Verdict::NotCompared("nobody could see what it left".to_owned()),
    }
    differences.retain(|difference| {
        let line = difference.to_string();
        !known.iter().any(|known| known.is_match(&line))
    });
    if differences.is_empty() { Verdict::Same } else { Verdict::Differs(differences) }
}

fn outcomes(first: &Outcome, second: &Outcome) -> Option<Difference> {
    (first.word() != second.word()).then(|| Difference::Outcome { first: told(first), second: told(second) })
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(failure) => format!("failed ({})", failure.message),
        other => other.word().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::Failure;

    fn left(value: i32) -> Witness {
        Witness { objects: [("ConfigMap a/b".to_owned(), json!({"data": value}))].into(), ..Witness::default() }
    }

    #[test]
    fn only_what_is_not_known_already_is_a_difference() {
        let (one, two) = (left(1), left(2));
        let ending = |witness| Ending { outcome: &Outcome::Passed, witness: Some(witness) };
        assert_eq!(judge(ending(&one), ending(&one), &[]), Verdict::Same);
        let Verdict::Differs(differences) = judge(ending(&one), ending(&two), &[]) else { panic!("it differs") };
        assert_eq!(differences.len(), 1);
        let known = [Regex::new("^ConfigMap .*: data is").unwrap()];
        assert_eq!(judge(ending(&one), ending(&two), &known), Verdict::Same);
    }

    #[test]
    fn a_scenario_that_one_cluster_skips_is_not_the_same_on_both() {
        let one = left(1);
        let passed = Ending { outcome: &Outcome::Passed, witness: Some(&one) };
        let skipped = Outcome::Skipped("advances 300 s".to_owned());
        let judged = judge(passed, Ending { outcome: &skipped, witness: None }, &[]);
        assert_eq!(judged, Verdict::NotCompared("advances 300 s".to_owned()));
    }

    #[test]
    fn failing_on_one_is_a_difference_even_where_nothing_is_left() {
        let one = left(1);
        let failed = Outcome::Failed(Box::new(Failure::new("it broke")));
        let passed = Ending { outcome: &Outcome::Passed, witness: Some(&one) };
        let Verdict::Differs(differences) = judge(passed, Ending { outcome: &failed, witness: None }, &[]) else {
            panic!("it differs")
        };
        assert_eq!(differences[0].to_string(), "it passed and failed (it broke)");
    }
}
