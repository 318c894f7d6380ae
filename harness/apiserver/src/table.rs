//! Tables (`meta.k8s.io/v1`), as kubectl prints them.
//!
//! Built-in kinds print through their [`Rules`](crate::resource::Rules), custom resources through the columns of their
//! definition. Pure: ages are counted from a `now` that is passed in.

pub mod jsonpath;

use jiff::Timestamp;
use serde_json::{Value, json};

use self::jsonpath::JsonPath;
use crate::go;
use crate::resource::Resource;
use crate::resources::print;

/// One column of a Table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub ty: String,
    /// `name` for the name column.
    pub format: String,
    /// What it holds.
    pub description: String,
    /// Columns above 0 are printed by `-o wide` only.
    pub priority: i32,
    /// For custom resources: where the value stands.
    pub json_path: Option<String>,
}

/// What of each object a row carries (`includeObject`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// A `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

/// The columns of a kind without columns of its own.
pub fn name_and_age() -> Vec<Column> {
    print::between([])
}

/// Their row.
pub fn name_and_age_row(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![print::name(object), print::age(object, now)]
}

/// The columns of a version of a custom resource definition: the name, then what the definition asks for
/// (`additionalPrinterColumns`), or the age if it asks for nothing.
pub fn printer_columns(version: &Value) -> Vec<Column> {
    let mut columns = vec![print::name_column()];
    match version["additionalPrinterColumns"].as_array().map(Vec::as_slice) {
        None | Some([]) => columns.push(Column {
            ty: "date".to_owned(),
            json_path: Some(".metadata.creationTimestamp".to_owned()),
            ..print::age_column()
        }),
        // A path that cannot be read ends the table, as it does in Kubernetes.
        Some(own) => columns.extend(own.iter().map_while(printer_column)),
    }
    columns
}

fn printer_column(column: &Value) -> Option<Column> {
    let text = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
    let path = text("jsonPath");
    JsonPath::parse(&path).ok()?;
    let description = match text("description") {
        none if none.is_empty() => format!("Custom resource definition column (in JSONPath format): {path}"),
        description => description,
    };
    Some(Column {
        name: text("name"),
        ty: text("type"),
        format: text("format"),
        description,
        priority: column["priority"].as_i64().and_then(|p| p.try_into().ok()).unwrap_or_default(),
        json_path: Some(path),
    })
}

/// A Table of `objects` with the list's own metadata (`resourceVersion`, `continue`, `remainingItemCount`).
///
/// `with_columns` is false for every event of a watch but the first.
pub fn table<'a>(
    resource: &Resource,
    objects: impl IntoIterator<Item = &'a Value>,
    metadata: Value,
    include: IncludeObject,
    with_columns: bool,
    now: Timestamp,
) -> Value {
    let printer = Printer::of(resource);
    let rows: Vec<Value> = objects
        .into_iter()
        .map(|object| {
            let carried = match include {
                IncludeObject::None => Value::Null,
                IncludeObject::Metadata => partial_metadata(object),
                IncludeObject::Object => whole(resource, object),
            };
            let mut row = json!({"cells": printer.cells(object, now), "object": carried});
            let conditions = resource.rules.row_conditions(object);
            if !conditions.is_empty() {
                row["conditions"] = conditions.into();
            }
            row
        })
        .collect();
    let columns = with_columns.then(|| printer.columns().iter().map(definition).collect::<Vec<_>>());
    let mut table = serde_json::Map::new();
    table.insert("kind".to_owned(), "Table".into());
    table.insert("apiVersion".to_owned(), "meta.k8s.io/v1".into());
    table.insert("metadata".to_owned(), metadata);
    table.insert("columnDefinitions".to_owned(), json!(columns));
    table.insert("rows".to_owned(), rows.into());
    Value::Object(table)
}

/// How long ago, as kubectl words it (`5m30s`, `3d2h`).
pub fn human_duration(seconds: i64) -> String {
    /// The larger unit, and the smaller one if there is any of it.
    fn two(large: i64, unit: char, small: i64, smaller: char) -> String {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{smaller}") }
    }
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        // Clocks may be off by a second.
        ..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

/// Its `PartialObjectMetadata` (`meta.k8s.io/v1`).
pub fn partial_metadata(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// How the objects of a resource become rows.
enum Printer<'a> {
    /// By the kind's own rules.
    Rules(&'a Resource),
    /// By the paths of a definition; the first column is the name.
    Paths(Vec<(Column, Option<JsonPath>)>),
}

impl<'a> Printer<'a> {
    fn of(resource: &'a Resource) -> Self {
        if resource.definition.is_none() {
            return Self::Rules(resource);
        }
        let columns =
            if resource.columns.is_empty() { printer_columns(&Value::Null) } else { resource.columns.clone() };
        let path = |column: &Column| column.json_path.as_deref().and_then(|path| JsonPath::parse(path).ok());
        Self::Paths(columns.into_iter().map(|column| (path(&column), column)).map(|(p, c)| (c, p)).collect())
    }

    fn columns(&self) -> Vec<Column> {
        match self {
            Self::Rules(resource) => resource.rules.columns(),
            Self::Paths(columns) => columns.iter().map(|(column, _)| column.clone()).collect(),
        }
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        match self {
            Self::Rules(resource) => resource.rules.row(object, now),
            Self::Paths(columns) => columns
                .iter()
                .map(|(column, path)| match path {
                    None => print::name(object),
                    // Only the first of several values is printed; what cannot be found is null.
                    Some(path) => match path.find(object).ok().and_then(|values| values.first().copied()) {
                        Some(value) => cell(&column.ty, value, now),
                        None => Value::Null,
                    },
                })
                .collect(),
        }
    }
}

/// A value in a column of this type; null if it is of another.
fn cell(ty: &str, value: &Value, now: Timestamp) -> Value {
    match (ty, value) {
        ("string", Value::Null) => json!("<no value>"),
        ("string", Value::Array(_) | Value::Object(_)) => json!(go::json(value)),
        ("string", value) => json!(go::plain(value)),
        ("integer", Value::Number(number)) => {
            #[expect(clippy::cast_possible_truncation, reason = "as Go converts a float to an integer")]
            let whole = number.as_i64().or_else(|| number.as_f64().map(|f| f as i64));
            json!(whole)
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(text)) if text.is_empty() || text == "null" => json!(print::UNKNOWN),
        ("date", Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(time) => json!(human_duration(now.as_second() - time.as_second())),
            Err(_) => json!("<invalid>"),
        },
        _ => Value::Null,
    }
}

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name,
        "type": column.ty,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    })
}

/// The object with its type.
fn whole(resource: &Resource, object: &Value) -> Value {
    let mut object = object.clone();
    let version = &resource.version;
    object["apiVersion"] =
        json!(if resource.group.is_empty() { version.clone() } else { format!("{}/{version}", resource.group) });
    object["kind"] = json!(resource.kind);
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::registry::Registry;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().expect("time")
    }

    fn widget(version: &Value) -> Resource {
        let base = Registry::builtin().find("", "v1", "configmaps").expect("configmaps");
        Resource {
            definition: Some("widgets.example.com".into()),
            columns: printer_columns(version),
            ..(*base).clone()
        }
    }

    #[test]
    fn ages_are_worded_as_kubectl_words_them() {
        const HOUR: i64 = 3_600;
        const DAY: i64 = 24 * HOUR;
        let table = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (599, "9m59s"),
            (600, "10m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 61, "3h1m"),
            (8 * HOUR, "8h"),
            (2 * DAY - 1, "47h"),
            (2 * DAY, "2d"),
            (2 * DAY + 5 * HOUR, "2d5h"),
            (8 * DAY, "8d"),
            (2 * 365 * DAY - 1, "729d"),
            (2 * 365 * DAY, "2y"),
            (2 * 365 * DAY + 3 * DAY, "2y3d"),
            (8 * 365 * DAY, "8y"),
        ];
        for (seconds, want) in table {
            assert_eq!(human_duration(seconds), want, "{seconds}");
        }
    }

    #[test]
    fn custom_resources_print_the_columns_of_their_definition() {
        let resource = widget(&json!({"additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Phase", "type": "string", "jsonPath": ".status.phase", "priority": 1, "description": "How it is."},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ]}));
        let object = json!({
            "metadata": {"name": "w", "creationTimestamp": "2026-01-02T03:00:05Z"},
            "spec": {"size": 7},
        });
        let metadata = json!({"resourceVersion": "9"});
        let table = table(&resource, [&object], metadata.clone(), IncludeObject::Metadata, true, now());
        assert_eq!(table["metadata"], metadata);
        assert_eq!(table["rows"][0]["cells"], json!(["w", 7, null, "4m"]));
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        let columns = table["columnDefinitions"].as_array().expect("columns");
        let names: Vec<&Value> = columns.iter().map(|c| &c["name"]).collect();
        assert_eq!(names, ["Name", "Size", "Phase", "Age"]);
        assert_eq!(columns[1]["description"], "Custom resource definition column (in JSONPath format): .spec.size");
        assert_eq!((&columns[2]["description"], &columns[2]["priority"]), (&json!("How it is."), &json!(1)));
    }

    #[test]
    fn without_columns_a_custom_resource_prints_its_age_and_a_bad_path_ends_the_table() {
        let names = |version: Value| printer_columns(&version).into_iter().map(|c| (c.name, c.ty)).collect::<Vec<_>>();
        let pair = |name: &str, ty: &str| (name.to_owned(), ty.to_owned());
        assert_eq!(names(json!({})), [pair("Name", "string"), pair("Age", "date")]);
        let bad = json!({"additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": "spec"}]});
        assert_eq!(names(bad), [pair("Name", "string")]);
    }

    #[test]
    fn cells_have_the_type_of_their_column_or_are_null() {
        let table = [
            ("string", json!("x"), json!("x")),
            ("string", json!(1.5), json!("1.5")),
            ("string", json!(true), json!("true")),
            ("string", json!({"a": [1]}), json!(r#"{"a":[1]}"#)),
            ("string", json!(null), json!("<no value>")),
            ("integer", json!(7), json!(7)),
            ("integer", json!(7.9), json!(7)),
            ("integer", json!("7"), json!(null)),
            ("number", json!(7.5), json!(7.5)),
            ("boolean", json!(false), json!(false)),
            ("boolean", json!("true"), json!(null)),
            ("date", json!("2026-01-02T03:04:00Z"), json!("5s")),
            ("date", json!("yesterday"), json!("<invalid>")),
            ("date", json!(""), json!("<unknown>")),
            ("date", json!(5), json!(null)),
        ];
        for (ty, value, want) in table {
            assert_eq!(cell(ty, &value, now()), want, "{ty} {value}");
        }
    }

    #[test]
    fn rows_carry_as_much_of_the_object_as_was_asked_for() {
        let resource = widget(&json!({}));
        let object = json!({"metadata": {"name": "w"}, "spec": {}});
        let carried = |include| table(&resource, [&object], json!({}), include, false, now());
        assert_eq!(carried(IncludeObject::None)["rows"][0]["object"], Value::Null);
        assert_eq!(carried(IncludeObject::None)["columnDefinitions"], Value::Null);
        let whole = &carried(IncludeObject::Object)["rows"][0]["object"];
        assert_eq!((&whole["kind"], &whole["spec"]), (&json!("ConfigMap"), &json!({})));
    }
}
