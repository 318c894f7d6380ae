//! Which namespaces are looked after: by name, by pattern, or by label. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};
use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::pattern::Pattern;

/// Namespaces that are in and namespaces that are out; who is in both is out.
///
/// Written as `{"include": ["shop-*", {"matchLabels": {"tier": "web"}}], "exclude": ["kube-system"]}`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NamespaceSelector {
    /// Who is in; everybody, where nobody is named.
    pub include: Vec<Entry>,
    /// Who is out.
    pub exclude: Vec<Entry>,
}

/// A way to say which namespaces are meant.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// By name, with wildcards.
    Name(Pattern),
    /// By label.
    Labels(Selector),
}

impl NamespaceSelector {
    /// Whether a namespace with these labels is looked after.
    pub fn contains(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        let is_meant = |entry: &Entry| match entry {
            Entry::Name(pattern) => pattern.matches(namespace),
            Entry::Labels(selector) => selector.matches(labels),
        };
        !self.exclude.iter().any(is_meant) && (self.include.is_empty() || self.include.iter().any(is_meant))
    }
}

impl NamespaceSelector {
    /// Whether a namespace's labels make a difference.
    pub fn goes_by_labels(&self) -> bool {
        self.include.iter().chain(&self.exclude).any(|entry| matches!(entry, Entry::Labels(_)))
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(name) if name.is_empty() => Err(de::Error::custom("a namespace has no name")),
            serde_json::Value::String(name) => Ok(Self::Name(Pattern::new(name))),
            serde_json::Value::Object(fields) => labels(fields).map_err(de::Error::custom),
            other => Err(de::Error::custom(format!("{other} is neither a name nor a label selector"))),
        }
    }
}

fn labels(fields: serde_json::Map<String, serde_json::Value>) -> Result<Entry, String> {
    if let Some(field) = fields.keys().find(|field| !["matchLabels", "matchExpressions"].contains(&field.as_str())) {
        return Err(format!("a label selector has no {field:?}, only matchLabels and matchExpressions"));
    }
    if fields.is_empty() {
        return Err("a label selector without conditions means every namespace: write \"*\"".to_owned());
    }
    let selector: LabelSelector =
        serde_json::from_value(fields.into()).map_err(|error| format!("bad label selector: {error}"))?;
    Selector::try_from(selector).map(Entry::Labels).map_err(|error| format!("bad label selector: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(text: &str) -> NamespaceSelector {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn exclude_wins_and_an_empty_include_is_everybody() {
        let web = BTreeMap::from([("tier".to_owned(), "web".to_owned())]);
        let none = BTreeMap::new();
        for (text, namespace, labels, inside) in [
            ("{}", "default", &none, true),
            (r#"{"include": []}"#, "default", &none, true),
            (r#"{"exclude": ["kube-system"]}"#, "kube-system", &none, false),
            (r#"{"exclude": ["kube-system"]}"#, "default", &none, true),
            (r#"{"exclude": ["kube-*"]}"#, "kube-public", &none, false),
            (r#"{"include": ["default"]}"#, "default", &none, true),
            (r#"{"include": ["default"]}"#, "shop", &none, false),
            (r#"{"include": ["*"], "exclude": ["shop"]}"#, "shop", &none, false),
            (r#"{"include": ["shop"], "exclude": ["shop"]}"#, "shop", &none, false),
            (r#"{"include": [{"matchLabels": {"tier": "web"}}]}"#, "shop", &web, true),
            (r#"{"include": [{"matchLabels": {"tier": "web"}}]}"#, "shop", &none, false),
            (r#"{"include": ["shop"], "exclude": [{"matchLabels": {"tier": "web"}}]}"#, "shop", &web, false),
            (
                r#"{"include": [{"matchExpressions": [{"key": "tier", "operator": "In", "values": ["db", "web"]}]}]}"#,
                "shop",
                &web,
                true,
            ),
            (
                r#"{"exclude": [{"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}]}"#,
                "shop",
                &none,
                false,
            ),
        ] {
            assert_eq!(selector(text).contains(namespace, labels), inside, "{text}: {namespace} {labels:?}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, says) in [
            (r#"{"exlude": ["a"]}"#, "exlude"),
            (r#"{"include": [7]}"#, "neither a name nor a label selector"),
            (r#"{"include": [""]}"#, "no name"),
            (r#"{"include": [{}]}"#, "every namespace"),
            (r#"{"include": [{"labels": {"a": "b"}}]}"#, "has no \"labels\""),
            (r#"{"include": [{"matchExpressions": [{"key": "a", "operator": "Near"}]}]}"#, "bad label selector"),
            (r#"{"include": "default"}"#, "sequence"),
        ] {
            let error = serde_json::from_str::<NamespaceSelector>(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
