//! Pod templates as a real server shows them in its messages.
//!
//! Some refusals quote the object that was refused. What they quote is the server's internal Go struct, with its field
//! names, its order and its nulls. `data/podspec.txt` tells them, one type a line: `GoName=field:` and `s` (a string),
//! `i` (a number), `b` (a boolean), `q` (a quantity), `n` (anything that may be nil), `?` (left out when empty), or a
//! type (`*` a pointer, `[]` a list).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use serde_json::Value;

type Fields = Vec<(&'static str, &'static str, &'static str)>;

static TYPES: LazyLock<HashMap<&'static str, Fields>> =
    LazyLock::new(|| include_str!("../../../data/podspec.txt").lines().filter_map(read_line).collect());

fn read_line(line: &'static str) -> Option<(&'static str, Fields)> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let field = |word: &'static str| {
        let (go, rest) = word.split_once('=')?;
        let (json, kind) = rest.split_once(':')?;
        Some((go, json, kind))
    };
    Some((name, words.filter_map(field).collect()))
}

/// A value in Go's order of fields.
enum Shown {
    Plain(String),
    List(Vec<Shown>),
    Struct(Vec<(String, Shown)>),
}

/// A pod template on one line, as in `field is immutable` of a Job's template.
pub(crate) fn template(template: &Value) -> String {
    // The template's metadata is embedded: its fields stand beside `Spec`.
    let mut flat = template["metadata"].clone();
    if !flat.is_object() {
        flat = Value::Object(serde_json::Map::new());
    }
    flat["spec"] = template["spec"].clone();
    let mut text = String::new();
    write_compact(&shown("PodTemplateSpec", &flat), &mut text);
    text
}

/// A pod spec on many lines, as the diff of a refused pod update is made from.
pub(crate) fn spec_lines(spec: &Value) -> Vec<String> {
    let mut text = String::new();
    write_indented(&shown("PodSpec", spec), 0, &mut text);
    text.split('\n').map(str::to_owned).collect()
}

/// In the internal form the host's namespaces are part of the security context.
fn with_host_fields(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if spec["securityContext"].is_object() {
        for field in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"] {
            let value = spec[field].clone();
            spec["securityContext"][field] = value;
        }
    }
    spec
}

fn shown(kind: &str, value: &Value) -> Shown {
    let null = || Shown::Plain("null".to_owned());
    if let Some(item) = kind.strip_prefix("[]") {
        return value.as_array().map_or_else(null, |list| Shown::List(list.iter().map(|v| shown(item, v)).collect()));
    }
    if let Some(target) = kind.strip_prefix('*') {
        return if value.is_null() { null() } else { shown(target, value) };
    }
    let zero = match kind {
        "s" => "\"\"",
        "i" => "0",
        "b" => "false",
        "q" => "\"0\"",
        _ => "null",
    };
    if let Some(fields) = TYPES.get(kind) {
        let hosted;
        let value = if kind == "PodSpec" {
            hosted = with_host_fields(value);
            &hosted
        } else {
            value
        };
        let present = fields.iter().filter(|(_, json, kind)| *kind != "?" || !value[*json].is_null());
        return Shown::Struct(present.map(|(go, json, kind)| ((*go).to_owned(), shown(kind, &value[*json]))).collect());
    }
    if value.is_null() { Shown::Plain(zero.to_owned()) } else { plain(value) }
}

/// A value whose fields have the same names inside and outside.
fn plain(value: &Value) -> Shown {
    match value {
        Value::Array(list) => Shown::List(list.iter().map(plain).collect()),
        Value::Object(map) => Shown::Struct(map.iter().map(|(k, v)| (k.clone(), plain(v))).collect()),
        other => Shown::Plain(escape(&other.to_string())),
    }
}

/// Go escapes what a browser could take for markup.
fn escape(json: &str) -> String {
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

fn write_compact(value: &Shown, out: &mut String) {
    let mut separate = "";
    match value {
        Shown::Plain(text) => out.push_str(text),
        Shown::List(items) => {
            out.push('[');
            for item in items {
                out.push_str(separate);
                write_compact(item, out);
                separate = ",";
            }
            out.push(']');
        }
        Shown::Struct(fields) => {
            out.push('{');
            for (name, field) in fields {
                let _ = write!(out, "{separate}\"{name}\":");
                write_compact(field, out);
                separate = ",";
            }
            out.push('}');
        }
    }
}

fn write_indented(value: &Shown, depth: usize, out: &mut String) {
    let mut separate = "";
    match value {
        Shown::Plain(text) => out.push_str(text),
        Shown::List(items) if items.is_empty() => out.push_str("[]"),
        Shown::Struct(fields) if fields.is_empty() => out.push_str("{}"),
        Shown::List(items) => {
            out.push('[');
            for item in items {
                let _ = write!(out, "{separate}\n{:1$}", "", depth + 1);
                write_indented(item, depth + 1, out);
                separate = ",";
            }
            let _ = write!(out, "\n{:1$}]", "", depth);
        }
        Shown::Struct(fields) => {
            out.push('{');
            for (name, field) in fields {
                let _ = write!(out, "{separate}\n{:1$}\"{name}\": ", "", depth + 1);
                write_indented(field, depth + 1, out);
                separate = ",";
            }
            let _ = write!(out, "\n{:1$}}}", "", depth);
        }
    }
}

/// The differences of two texts as a unified diff with three lines of context and no header.
pub(crate) fn diff(old: &[String], new: &[String]) -> String {
    const CONTEXT: usize = 3;
    let edits = edits(old, new);
    let mut out = String::new();
    let mut at = 0;
    while let Some(first) = edits[at..].iter().position(|e| !matches!(e, Edit::Keep(..))).map(|i| i + at) {
        // A hunk ends where more unchanged lines follow than its context and the next one's can share.
        let (mut last, mut quiet) = (first, 0);
        for (i, edit) in edits.iter().enumerate().skip(first) {
            quiet = if matches!(edit, Edit::Keep(..)) { quiet + 1 } else { 0 };
            if quiet == 0 {
                last = i;
            }
            if quiet > 2 * CONTEXT {
                break;
            }
        }
        let hunk = &edits[first.saturating_sub(CONTEXT).max(at)..(last + 1 + CONTEXT).min(edits.len())];
        write_hunk(hunk, old, new, &mut out);
        at = (last + 1 + CONTEXT).min(edits.len());
    }
    out
}

#[derive(Clone, Copy, Debug)]
enum Edit {
    Keep(usize, usize),
    Remove(usize, usize),
    Add(usize, usize),
}

fn write_hunk(hunk: &[Edit], old: &[String], new: &[String], out: &mut String) {
    let Some(Edit::Keep(old_start, new_start) | Edit::Remove(old_start, new_start) | Edit::Add(old_start, new_start)) =
        hunk.first().copied()
    else {
        return;
    };
    let removed = hunk.iter().filter(|e| !matches!(e, Edit::Add(..))).count();
    let added = hunk.iter().filter(|e| !matches!(e, Edit::Remove(..))).count();
    let range = |start: usize, length: usize| match length {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        _ => format!("{},{length}", start + 1),
    };
    let _ = writeln!(out, "@@ -{} +{} @@", range(old_start, removed), range(new_start, added));
    for edit in hunk {
        let _ = match edit {
            Edit::Keep(i, _) => writeln!(out, " {}", old[*i]),
            Edit::Remove(i, _) => writeln!(out, "-{}", old[*i]),
            Edit::Add(_, j) => writeln!(out, "+{}", new[*j]),
        };
    }
}

/// What turns `old` into `new`, found as Python's difflib finds it: the longest common run of lines first, then to
/// either side of it.
fn edits(old: &[String], new: &[String]) -> Vec<Edit> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (j, line) in new.iter().enumerate() {
        places.entry(line).or_default().push(j);
    }
    // Lines that stand everywhere in a long text say nothing about where it matches.
    if new.len() >= 200 {
        places.retain(|_, at| at.len() <= new.len() / 100 + 1);
    }
    let mut blocks = Vec::new();
    let mut open = vec![(0, old.len(), 0, new.len())];
    while let Some((old_low, old_high, new_low, new_high)) = open.pop() {
        let (i, j, length) = longest(old, new, &places, (old_low, old_high, new_low, new_high));
        if length > 0 {
            blocks.push((i, j, length));
            open.push((old_low, i, new_low, j));
            open.push((i + length, old_high, j + length, new_high));
        }
    }
    blocks.sort_unstable();
    blocks.push((old.len(), new.len(), 0));
    let (mut i, mut j) = (0, 0);
    let mut edits = Vec::new();
    for (next_i, next_j, length) in blocks {
        while i < next_i {
            edits.push(Edit::Remove(i, j));
            i += 1;
        }
        while j < next_j {
            edits.push(Edit::Add(i, j));
            j += 1;
        }
        for _ in 0..length {
            edits.push(Edit::Keep(i, j));
            (i, j) = (i + 1, j + 1);
        }
    }
    edits
}

fn longest(
    old: &[String],
    new: &[String],
    places: &HashMap<&str, Vec<usize>>,
    (old_low, old_high, new_low, new_high): (usize, usize, usize, usize),
) -> (usize, usize, usize) {
    let (mut best_i, mut best_j, mut best) = (old_low, new_low, 0);
    let mut runs: HashMap<usize, usize> = HashMap::new();
    for (i, line) in old.iter().enumerate().take(old_high).skip(old_low) {
        let mut next = HashMap::new();
        for &j in places.get(line.as_str()).into_iter().flatten().filter(|j| (new_low..new_high).contains(*j)) {
            let length = if j == 0 { 1 } else { runs.get(&(j - 1)).copied().unwrap_or_default() + 1 };
            next.insert(j, length);
            if length > best {
                (best_i, best_j, best) = (i + 1 - length, j + 1 - length, length);
            }
        }
        runs = next;
    }
    // Lines that were too common to start a run may still prolong one.
    while best_i > old_low && best_j > new_low && old[best_i - 1] == new[best_j - 1] {
        (best_i, best_j, best) = (best_i - 1, best_j - 1, best + 1);
    }
    while best_i + best < old_high && best_j + best < new_high && old[best_i + best] == new[best_j + best] {
        best += 1;
    }
    (best_i, best_j, best)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refused_change_is_shown_as_a_real_server_shows_it() {
        let old = json!({"containers": [{"name": "app", "image": "nginx:1.27"}], "securityContext": {}});
        let mut new = old.clone();
        new["containers"][0]["command"] = json!(["x"]);
        let wanted = "@@ -5,7 +5,9 @@\n   {\n    \"Name\": \"app\",\n    \"Image\": \"nginx:1.27\",\n-   \"Command\": null,\n+   \"Command\": [\n+    \"x\"\n+   ],\n    \"Args\": null,\n    \"WorkingDir\": \"\",\n    \"Ports\": null,\n";
        assert_eq!(diff(&spec_lines(&old), &spec_lines(&new)), wanted);
        assert_eq!(diff(&spec_lines(&old), &spec_lines(&old)), "");
    }

    #[test]
    fn far_changes_are_hunks_of_their_own() {
        let lines = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        let shown = diff(&lines("abcdefghijklmn"), &lines("Abcdefghijklmnz"));
        assert_eq!(shown, "@@ -1,4 +1,4 @@\n-a\n+A\n b\n c\n d\n@@ -12,3 +12,4 @@\n l\n m\n n\n+z\n");
    }
}
