//! What went wrong in a step, and how it is shown: expected against actual, the closest object, what was there instead.

use std::time::Duration;

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::watching::Selection;
use crate::event::Section;
use crate::scenario::duration::Span;
use crate::scenario::expression::Bindings;
use crate::scenario::finding::Finding;
use crate::scenario::partial::project;
use crate::scenario::plan::{Condition, Target};

/// As many lines of an object as are worth showing beside the difference.
const OBJECT_LINES_MAX: usize = 80;

/// As many names as are worth listing.
const NAMES_MAX: usize = 20;

/// Why a step did not do what it was to do.
#[derive(Debug)]
pub(super) struct Trouble {
    /// In one sentence.
    pub(super) message: String,
    /// What helps to find the cause.
    pub(super) sections: Vec<Section>,
}

impl Trouble {
    /// Trouble that one sentence explains.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), sections: Vec::new() }
    }

    /// With a section, unless it is empty.
    #[must_use]
    pub(super) fn with(mut self, title: impl Into<String>, lines: Vec<String>) -> Self {
        self.sections.extend(Section::new(title, lines));
        self
    }

    /// With every section that helps to see why no object is as it should be: the closest one, and how far it is.
    #[must_use]
    pub(super) fn with_closest(
        mut self,
        target: &Target,
        condition: &Condition,
        selection: &Selection,
        bindings: &Bindings,
    ) -> Self {
        let objects = selection.objects();
        let findings = objects.iter().map(|object| (condition.examine(object, &objects, bindings), *object));
        let Some((finding, object)) = findings.min_by_key(|(finding, _)| (finding.is_met(), finding.distance())) else {
            return self.with("actual", vec![format!("there is no {target}")]);
        };
        let name = name(object);
        if let Some(expected) = &condition.object
            && !finding.differences.is_empty()
        {
            let title = format!("{name}: expected (-) against actual (+)");
            self = self.with(title, diff(&yaml(expected), &yaml(&project(expected, object))));
        }
        self = self.with(format!("{name}: expressions that do not hold"), unmet(&finding));
        self.with(format!("{name} as it is"), shown(object))
    }

    /// With the names of what is there.
    #[must_use]
    pub(super) fn with_names(self, selection: &Selection) -> Self {
        let names = selection.names();
        let mut lines: Vec<String> = names.iter().take(NAMES_MAX).map(ToString::to_string).collect();
        if names.len() > NAMES_MAX {
            lines.push(format!("… and {} more", names.len() - NAMES_MAX));
        }
        self.with("there are", lines)
    }
}

/// `within 1m30s`.
pub(super) fn within(limit: Duration) -> String {
    format!("within {}", Span(limit))
}

/// An object's name with its namespace.
pub(super) fn name(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let name = text("/metadata/name").unwrap_or("the object");
    text("/metadata/namespace").map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

/// An object as a person reads it, without what only the server reads.
pub(super) fn shown(object: &Value) -> Vec<String> {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    let text = yaml(&object);
    let mut lines: Vec<String> = text.lines().take(OBJECT_LINES_MAX).map(str::to_owned).collect();
    if text.lines().count() > OBJECT_LINES_MAX {
        lines.push("…".to_owned());
    }
    lines
}

fn unmet(finding: &Finding) -> Vec<String> {
    let mut lines = Vec::new();
    for unmet in &finding.unmet {
        match &unmet.undecided {
            Some(why) => lines.push(format!("{} ({why})", unmet.source)),
            None => lines.push(unmet.source.clone()),
        }
        for (path, value) in &unmet.values {
            let end = value.char_indices().nth(300).map_or(value.len(), |(end, _)| end);
            let more = if end < value.len() { "…" } else { "" };
            lines.push(format!("    {path} is {}{more}", &value[..end]));
        }
    }
    lines
}

/// A value as YAML.
pub(super) fn yaml(value: &Value) -> String {
    serde_yaml::to_string(value).unwrap_or_else(|_| format!("{value:#}"))
}

/// The lines of two texts: `-` expected, `+` actual.
pub(super) fn diff(expected: &str, actual: &str) -> Vec<String> {
    TextDiff::from_lines(expected, actual)
        .iter_all_changes()
        .map(|change| {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            format!("{sign} {}", change.to_string_lossy().trim_end_matches('\n'))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_line_by_line_with_its_surroundings() {
        assert_eq!(diff("a: 1\nb: 2\n", "a: 1\nb: 3\n"), ["  a: 1", "- b: 2", "+ b: 3"]);
    }

    #[test]
    fn an_object_is_shown_without_what_only_the_server_reads() {
        let object = serde_json::json!({"metadata": {"name": "a", "managedFields": [1]}, "kind": "Pod"});
        let text = shown(&object).join("\n");
        assert!(text.contains("name: a") && !text.contains("managedFields"), "{text}");
    }
}
