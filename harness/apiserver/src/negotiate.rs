//! The form a client wants its answer in: JSON or YAML, the object itself, its metadata or a table.

use http::{HeaderMap, StatusCode, header};
use serde_json::json;

use crate::status::ApiError;

/// What of an object is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// The object or list itself.
    #[default]
    Whole,
    /// `PartialObjectMetadata`, of an object or a watch's events.
    Metadata,
    /// `PartialObjectMetadataList`.
    MetadataList,
    /// `Table`.
    Table,
}

/// A negotiated form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// YAML instead of JSON.
    pub yaml: bool,
    /// What of the object.
    pub form: Form,
}

/// The first form of the `Accept` header that the server has, by weight, then by order.
///
/// # Errors
/// 406 when there is none.
pub fn output(headers: &HeaderMap) -> Result<Output, ApiError> {
    let accept: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    let accept = accept.join(",");
    if accept.trim().is_empty() {
        return Ok(Output::default());
    }
    let mut clauses: Vec<Clause<'_>> = accept.split(',').map(Clause::parse).collect();
    clauses.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    clauses.iter().find_map(Clause::output).ok_or_else(not_acceptable)
}

fn not_acceptable() -> ApiError {
    let message = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
                   application/vnd.kubernetes.protobuf";
    let error = ApiError::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message);
    ApiError { details: json!({}), ..error }
}

/// One alternative of an `Accept` header.
struct Clause<'a> {
    media: &'a str,
    weight: f64,
    kind: Option<&'a str>,
    group: &'a str,
    version: &'a str,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let mut clause =
            Self { media: parts.next().unwrap_or_default(), weight: 1.0, kind: None, group: "", version: "" };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "q" => clause.weight = value.trim().parse().unwrap_or(1.0),
                "as" => clause.kind = Some(value.trim()),
                "g" => clause.group = value.trim(),
                "v" => clause.version = value.trim(),
                _ => {}
            }
        }
        clause
    }

    fn output(&self) -> Option<Output> {
        let yaml = match self.media {
            "application/json" | "application/*" | "*/*" => false,
            "application/yaml" => true,
            _ => return None,
        };
        let form = match self.kind {
            None => Form::Whole,
            Some(_) if self.group != "meta.k8s.io" || !matches!(self.version, "v1" | "v1beta1") => return None,
            Some("PartialObjectMetadata") => Form::Metadata,
            Some("PartialObjectMetadataList") => Form::MetadataList,
            Some("Table") => Form::Table,
            Some(_) => return None,
        };
        Some(Output { yaml, form })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(accept: &str) -> Option<Output> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        output(&headers).ok()
    }

    #[test]
    fn a_client_gets_the_first_form_it_prefers_that_is_there() {
        let json = |form| Some(Output { yaml: false, form });
        let cases = [
            ("application/json", json(Form::Whole)),
            ("*/*", json(Form::Whole)),
            ("application/vnd.kubernetes.protobuf,application/json", json(Form::Whole)),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", json(Form::Table)),
            ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", json(Form::Whole)),
            ("application/json;q=0.5, application/yaml", Some(Output { yaml: true, form: Form::Whole })),
            ("text/html", None),
        ];
        for (accept, expected) in cases {
            assert_eq!(of(accept), expected, "{accept}");
        }
    }
}
