//! HTTP method, path and query to a typed request.
//!
//! The rules are those of apiserver's `RequestInfo`: what a path means is decided before anything is looked up, so
//! that authorization can judge requests for things that do not exist.

use http::Method;

use crate::status::ApiError;

/// What may be done, in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the documented verbs of Kubernetes")]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// As RBAC rules name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// A request for a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What is to be done.
    pub verb: Verb,
    /// The API group, empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The resource's plural name.
    pub resource: String,
    /// Empty at cluster scope and for lists over all namespaces.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    /// Empty for the object itself.
    pub subresource: String,
    /// Whether the name stands in the path; lists and watches take theirs from a field selector.
    pub named: bool,
    /// Whether more segments follow, which only proxies know what to do with.
    pub overlong: bool,
}

/// Where a request leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// To a resource.
    Resource(Target),
    /// To anything else: health, version, discovery.
    Path(String),
}

/// The route of a request.
///
/// # Errors
/// 400 for a path or query that is not UTF-8, 405 for a method without a verb.
pub fn route(method: &Method, path: &str, query: &Query) -> Result<Route, ApiError> {
    let segments = path.split('/').filter(|s| !s.is_empty()).map(decode_percent).collect::<Option<Vec<String>>>();
    let segments = segments.ok_or_else(|| ApiError::bad_request("the path is not valid UTF-8"))?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, version, rest) = match segments.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Ok(Route::Path(path.to_owned())),
    };
    let (special, rest) = match rest {
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        _ => (false, rest),
    };
    let (namespace, parts) = match rest {
        ["namespaces", namespace, third, ..] if !matches!(*third, "status" | "finalize") => (*namespace, &rest[2..]),
        ["namespaces", namespace, ..] => (*namespace, rest),
        _ => ("", rest),
    };
    let part = |i: usize| parts.get(i).copied().unwrap_or_default().to_owned();
    let mut target = Target {
        verb: verb(method)?,
        group: group.to_owned(),
        version: version.to_owned(),
        resource: part(0),
        namespace: namespace.to_owned(),
        name: part(1),
        subresource: if special { String::new() } else { part(2) },
        named: parts.len() > 1,
        overlong: parts.len() > 3,
    };
    if special {
        target.verb = Verb::Watch;
    } else if target.name.is_empty() {
        target.verb = match target.verb {
            Verb::Get if query.flag("watch") => Verb::Watch,
            Verb::Get => Verb::List,
            Verb::Delete => Verb::DeleteCollection,
            other => other,
        };
    }
    if !target.named && matches!(target.verb, Verb::List | Verb::Watch) {
        target.name = named_by_selector(query).unwrap_or_default();
    }
    Ok(Route::Resource(target))
}

fn verb(method: &Method) -> Result<Verb, ApiError> {
    match *method {
        Method::GET | Method::HEAD => Ok(Verb::Get),
        Method::POST => Ok(Verb::Create),
        Method::PUT => Ok(Verb::Update),
        Method::PATCH => Ok(Verb::Patch),
        Method::DELETE => Ok(Verb::Delete),
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// A list narrowed to one name is authorized as a request for that name.
fn named_by_selector(query: &Query) -> Option<String> {
    let selector = crate::selector::FieldSelector::parse(query.get("fieldSelector")?).ok()?;
    selector.exact("metadata.name").map(str::to_owned)
}

/// The parameters after the question mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses what stands after the question mark; parts that are not UTF-8 are left out.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|part| !part.is_empty()).filter_map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let decode = |s: &str| decode_percent(&s.replace('+', " "));
            Some((decode(name)?, decode(value)?))
        });
        Self(pairs.collect())
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The first value of a parameter, none also when it is empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect()
    }

    /// A switch: there, and neither `false` nor `0`.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| !matches!(v.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    /// A whole number.
    ///
    /// # Errors
    /// 400 when it is something else.
    pub fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|error: std::num::ParseIntError| {
            use std::num::IntErrorKind::{NegOverflow, PosOverflow};
            let why = match error.kind() {
                PosOverflow | NegOverflow => "value out of range",
                _ => "invalid syntax",
            };
            ApiError::bad_request(format!("strconv.ParseInt: parsing {}: {why}", crate::field::quote(text)))
        })
    }
}

/// Resolves `%XX`; none when the result is not UTF-8.
fn decode_percent(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (byte, hex(at + 1), hex(at + 2)) {
            out.push(u8::try_from(high * 16 + low).unwrap_or_default());
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: &Method, uri: &str) -> Target {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        match route(method, path, &Query::parse(query)).unwrap() {
            Route::Resource(target) => target,
            Route::Path(path) => panic!("{path} is no resource"),
        }
    }

    #[test]
    fn a_path_means_what_a_real_server_takes_it_for() {
        let cases = [
            (Method::GET, "/api/v1/namespaces/ns/pods", "list /pods ns  "),
            (Method::GET, "/api/v1/namespaces/ns/pods?watch=1", "watch /pods ns  "),
            (Method::GET, "/api/v1/namespaces/ns/pods?watch=false", "list /pods ns  "),
            (Method::GET, "/api/v1/namespaces/ns/pods/p", "get /pods ns p "),
            (Method::GET, "/api/v1/namespaces/ns/pods/p/log", "get /pods ns p log"),
            (Method::GET, "/api/v1/namespaces/ns", "get /namespaces ns ns "),
            (Method::PUT, "/api/v1/namespaces/ns/finalize", "update /namespaces ns ns finalize"),
            (Method::GET, "/api/v1/namespaces", "list /namespaces   "),
            (Method::GET, "/api/v1/watch/namespaces/ns/pods/p", "watch /pods ns p "),
            (Method::DELETE, "/apis/g.io/v1/things", "deletecollection g.io/things   "),
            (Method::PATCH, "/apis/g.io/v1/things/a%2Fb", "patch g.io/things  a/b "),
            (Method::GET, "/api/v1/pods?fieldSelector=metadata.name%3Dx", "list /pods  x "),
        ];
        for (method, uri, expected) in cases {
            let t = target(&method, uri);
            let got =
                format!("{} {}/{} {} {} {}", t.verb.as_str(), t.group, t.resource, t.namespace, t.name, t.subresource);
            assert_eq!(got, expected, "{uri}");
        }
    }

    #[test]
    fn short_paths_are_no_resources() {
        for path in ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/version"] {
            let route = route(&Method::GET, path, &Query::default()).unwrap();
            assert_eq!(route, Route::Path(path.to_owned()));
        }
    }

    #[test]
    fn broken_escapes_are_taken_literally_and_broken_utf8_is_refused() {
        assert_eq!(decode_percent("a%2").as_deref(), Some("a%2"));
        assert_eq!(decode_percent("%zz").as_deref(), Some("%zz"));
        assert_eq!(decode_percent("%ff"), None);
    }
}
