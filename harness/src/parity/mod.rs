//! Whether a scenario comes to the same on two clusters: what is left of it on each, and where the two differ. Pure: the
//! runner looks at the cluster, and hands over what it saw.
//!
//! What two runs can never have in common is left out before they are compared: uids, resource versions, points in time,
//! addresses, generated parts of names, and the label of the run. Everything else counts, defaults included: a field
//! that one cluster sets and the other does not is what this is for.

mod compare;
mod plain;
mod verdict;

use std::collections::BTreeMap;

use serde_json::Value;

pub use self::compare::{Difference, compare};
pub use self::plain::{Names, plain};
pub use self::verdict::{Ending, Verdict, judge};

/// What a scenario left on a cluster, in comparable form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Witness {
    /// Objects by kind, namespace and name. Those with generated names are told apart by a number.
    pub objects: BTreeMap<String, Value>,
    /// The reasons of Events about each object, in the order in which they were first recorded.
    pub events: BTreeMap<String, Vec<String>>,
}

impl Witness {
    /// Takes in an object as a cluster shows it.
    pub fn saw(&mut self, object: &Value, names: &Names) {
        let object = plain(object, names);
        let (mut alike, mut objects) = (title(&object), vec![object]);
        let first = alike.clone();
        // Those of one title are told apart by what they are, not by who came first.
        for number in 2.. {
            let Some(known) = self.objects.remove(&alike) else { break };
            objects.push(known);
            alike = format!("{first} ({number})");
        }
        objects.sort_by_cached_key(Value::to_string);
        for (index, object) in objects.into_iter().enumerate() {
            let title = if index == 0 { first.clone() } else { format!("{first} ({})", index + 1) };
            self.objects.insert(title, object);
        }
    }

    /// Takes in an Event: what it is about and its reason.
    pub fn heard(&mut self, about: &Value, reason: &str, names: &Names) {
        let text = |pointer: &str| about.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let name = names.plain(text("/name"));
        let reasons = self.events.entry(format!("{} {name}", text("/kind"))).or_default();
        // How often something was tried is a matter of time.
        if !reasons.iter().any(|known| known == reason) {
            reasons.push(reason.to_owned());
        }
    }
}

/// Kind, namespace and name.
fn title(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match text("/metadata/namespace") {
        "" => format!("{} {}", text("/kind"), text("/metadata/name")),
        namespace => format!("{} {namespace}/{}", text("/kind"), text("/metadata/name")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_of_generated_names_are_all_kept() {
        let pod =
            |name: &str| json!({"kind": "Pod", "metadata": {"name": name, "generateName": "web-", "namespace": "a"}});
        let mut witness = Witness::default();
        let names = Names::new("a");
        witness.saw(&pod("web-x1x1x"), &names);
        witness.saw(&pod("web-y2y2y"), &names);
        let titles: Vec<_> = witness.objects.keys().collect();
        assert_eq!(titles, ["Pod <namespace>/web-*", "Pod <namespace>/web-* (2)"]);
    }

    #[test]
    fn pods_of_generated_names_are_told_apart_by_what_they_are() {
        let names = Names::new("a");
        let on = |nodes: [&str; 3]| {
            let mut witness = Witness::default();
            for (node, suffix) in nodes.into_iter().zip(["b2b2b", "c4c4c", "d5d5d"]) {
                let metadata = json!({"name": format!("web-{suffix}"), "generateName": "web-", "namespace": "a"});
                witness.saw(&json!({"kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}}), &names);
            }
            witness
        };
        assert_eq!(on(["one", "two", "three"]), on(["three", "one", "two"]));
        assert_eq!(on(["one", "two", "three"]).objects.len(), 3);
    }

    #[test]
    fn an_event_that_comes_again_is_the_same_event() {
        let (mut witness, names) = (Witness::default(), Names::new("a"));
        for reason in ["Scheduled", "Started", "Scheduled"] {
            witness.heard(&json!({"kind": "Pod", "name": "p"}), reason, &names);
        }
        assert_eq!(witness.events["Pod p"], ["Scheduled", "Started"]);
    }
}
