//! What kubectl prints of definitions and of their objects.

use serde_json::Value;

use crate::table::Column;

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources \
     may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for \
     creation idempotence and configuration definition. Cannot be updated. More info: \
     https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";

const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is \
     not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is \
     represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
     https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// The columns of the definitions themselves.
pub(super) fn of_definitions() -> Vec<Column> {
    let column = |name: &str, ty: &str, format: &str, description: &str| Column {
        name: name.to_owned(),
        ty: ty.to_owned(),
        format: format.to_owned(),
        description: description.to_owned(),
        priority: 0,
        json_path: None,
    };
    vec![column("Name", "string", "name", NAME), column("Created At", "date", "", CREATED)]
}

/// The columns after the name of a version's objects; the age where the definition asks for nothing.
pub(super) fn of_version(version: &Value) -> Vec<Column> {
    let asked = version["additionalPrinterColumns"].as_array().filter(|list| !list.is_empty());
    let Some(asked) = asked else {
        return vec![Column {
            name: "Age".to_owned(),
            ty: "date".to_owned(),
            format: String::new(),
            description: CREATED.to_owned(),
            priority: 0,
            json_path: Some(".metadata.creationTimestamp".to_owned()),
        }];
    };
    asked.iter().map(column).collect()
}

fn column(column: &Value) -> Column {
    let text = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
    let path = text("jsonPath");
    let description = text("description");
    Column {
        name: text("name"),
        ty: text("type"),
        format: text("format"),
        description: if description.is_empty() {
            format!("Custom resource definition column (in JSONPath format): {path}")
        } else {
            description
        },
        priority: column["priority"].as_i64().and_then(|p| i32::try_from(p).ok()).unwrap_or_default(),
        json_path: Some(path),
    }
}
