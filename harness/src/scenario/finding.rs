//! Holds objects against a condition: which are so, and how far the others are from it.

use serde_json::Value;

use super::expression::{Bindings, Scope, Verdict};
use super::partial::{Difference, differences};
use super::plan::Condition;

/// What a condition says of one object.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    /// Where the object is not as the partial object says.
    pub differences: Vec<Difference>,
    /// Expressions that do not hold.
    pub unmet: Vec<Unmet>,
}

/// An expression that does not hold.
#[derive(Clone, Debug)]
pub struct Unmet {
    /// The expression.
    pub source: String,
    /// Why it could not be decided, where that is the reason.
    pub undecided: Option<String>,
    /// The fields it names, with their values.
    pub values: Vec<(String, String)>,
}

impl Finding {
    /// Whether the object is as it should be.
    pub fn is_met(&self) -> bool {
        self.differences.is_empty() && self.unmet.is_empty()
    }

    /// How far the object is from what it should be.
    pub fn distance(&self) -> usize {
        self.differences.len() + self.unmet.len()
    }
}

impl Condition {
    /// Holds one object, of all those selected, against the condition.
    pub fn examine(&self, object: &Value, all: &[&Value], bindings: &Bindings) -> Finding {
        let differences = self.object.as_ref().map(|expected| differences(expected, object)).unwrap_or_default();
        if self.that.is_empty() {
            return Finding { differences, unmet: Vec::new() };
        }
        let scope = Scope::new(Some(object), all, bindings);
        let unmet = self.that.iter().filter_map(|expression| {
            let undecided = match expression.verdict(&scope) {
                Verdict::Holds => return None,
                Verdict::Fails => None,
                Verdict::Undecided(why) => Some(why),
            };
            Some(Unmet { source: expression.source().to_owned(), undecided, values: expression.explain(&scope) })
        });
        Finding { differences, unmet: unmet.collect() }
    }

    /// The condition with run-time bindings in its partial object.
    #[must_use]
    pub fn object_filled(&self, bindings: &Bindings) -> Option<Value> {
        self.object.as_ref().map(|object| super::template::fill_value(object, bindings))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scenario::expression::Expression;

    #[test]
    fn an_object_is_as_it_should_be_when_every_field_and_every_expression_says_so() {
        let that = vec![Expression::compile("self.status.n > 1", []).unwrap()];
        let condition = Condition { object: Some(json!({"status": {"state": "Done"}})), that };
        let examine = |object: Value| condition.examine(&object, &[], &Bindings::new());
        assert!(examine(json!({"status": {"state": "Done", "n": 2}})).is_met());
        let half = examine(json!({"status": {"state": "Done", "n": 1}}));
        assert_eq!((half.distance(), half.unmet[0].undecided.as_deref()), (1, None));
        let nothing = examine(json!({}));
        assert_eq!(nothing.distance(), 2);
        assert!(nothing.unmet[0].undecided.as_deref().unwrap().contains("status"), "{nothing:?}");
    }
}
