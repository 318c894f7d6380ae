//! Conditions, after the Kubernetes API conventions: the types this operator writes, and how they are merged. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// What the object asks for is in effect.
pub const READY: &str = "Ready";

/// What the object asks for can be carried out.
pub const ACCEPTED: &str = "Accepted";

/// The API server refuses longer messages.
const MESSAGE_CHARS_MAX: usize = 32768;

/// A condition without its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// One of the types above.
    pub type_: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
}

/// Puts drafts in the place of the conditions of their types. Conditions of other types stay, and so does the time of
/// the last transition where the status is the same.
pub fn merge(old: &[Condition], drafts: Vec<Draft>, generation: i64, now: Timestamp) -> Vec<Condition> {
    let mut merged = old.to_vec();
    for draft in drafts {
        let status = if draft.holds { "True" } else { "False" };
        let known = merged.iter().position(|condition| condition.type_ == draft.type_);
        let since = known
            .map(|index| &merged[index])
            .filter(|condition| condition.status == status)
            .map_or(Time(now), |condition| condition.last_transition_time.clone());
        let condition = Condition {
            type_: draft.type_.to_owned(),
            status: status.to_owned(),
            reason: draft.reason,
            message: draft.message.chars().take(MESSAGE_CHARS_MAX).collect(),
            observed_generation: Some(generation),
            last_transition_time: since,
        };
        match known {
            Some(index) => merged[index] = condition,
            None => merged.push(condition),
        }
    }
    merged
}

/// The condition of a type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(holds: bool, reason: &str) -> Vec<Draft> {
        vec![Draft { type_: READY, holds, reason: reason.to_owned(), message: String::new() }]
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let time = |second: i64| Timestamp::from_second(second).unwrap();
        let foreign = merge(&[], vec![Draft { type_: ACCEPTED, ..ready(true, "Accepted").remove(0) }], 1, time(1));
        let first = merge(&foreign, ready(false, "Applying"), 1, time(2));
        let second = merge(&first, ready(false, "Failed"), 2, time(3));
        let third = merge(&second, ready(true, "Configured"), 2, time(4));
        let since = |conditions: &[Condition]| find(conditions, READY).unwrap().last_transition_time.0.as_second();
        assert_eq!((since(&first), since(&second), since(&third)), (2, 2, 4));
        assert_eq!(find(&second, READY).unwrap().reason, "Failed");
        assert_eq!(find(&second, READY).unwrap().observed_generation, Some(2));
        assert_eq!(find(&third, ACCEPTED), find(&foreign, ACCEPTED), "conditions of others stay as they are");
    }
}
