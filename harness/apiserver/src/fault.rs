//! Faults on purpose: what a request must suffer before it is answered, by rules.
//!
//! Which requests a rule is about is decided here; time passes on the server's clock, so that a delay costs virtual time
//! nothing. A server without rules looks at none.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::route::{Target, Verb};

/// What befalls which requests. A part that is not given is about every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Verbs.
    pub verbs: Vec<Verb>,
    /// `plural.group`, or the plural alone in the core group.
    pub resource: Option<String>,
    /// The subresource; empty for objects themselves.
    pub subresource: Option<String>,
    /// How long each request waits before it is carried out.
    pub delay: Duration,
}

impl Rule {
    fn is_about(&self, target: &Target) -> bool {
        let resource = match target.group.as_str() {
            "" => target.resource.clone(),
            group => format!("{}.{group}", target.resource),
        };
        (self.verbs.is_empty() || self.verbs.contains(&target.verb))
            && self.resource.as_ref().is_none_or(|wanted| *wanted == resource)
            && self.subresource.as_ref().is_none_or(|wanted| *wanted == target.subresource)
    }
}

/// The rules of a server.
#[derive(Debug, Default)]
pub(crate) struct Faults(RwLock<Arc<[Rule]>>);

impl Faults {
    /// Replaces all rules.
    pub(crate) fn set(&self, rules: Vec<Rule>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = rules.into();
    }

    /// How long a request waits: what its rules come to together.
    pub(crate) fn delay(&self, target: &Target) -> Duration {
        let rules = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        rules.iter().filter(|rule| rule.is_about(target)).map(|rule| rule.delay).sum()
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::route::{Query, Route, route};

    fn target(method: &Method, path: &str) -> Target {
        match route(method, path, &Query::parse("")).unwrap() {
            Route::Resource(target) => target,
            Route::Path(path) => panic!("{path} is no resource"),
        }
    }

    #[test]
    fn a_request_waits_for_every_rule_that_is_about_it_and_for_no_other() {
        let rule = |verbs: &[Verb], resource: Option<&str>, subresource: Option<&str>, ms| Rule {
            verbs: verbs.to_vec(),
            resource: resource.map(str::to_owned),
            subresource: subresource.map(str::to_owned),
            delay: Duration::from_millis(ms),
        };
        let faults = Faults::default();
        faults.set(vec![
            rule(&[Verb::Update, Verb::Patch], None, Some("status"), 200),
            rule(&[], Some("jobs.batch"), None, 30),
            rule(&[Verb::Get], Some("pods"), Some(""), 1),
        ]);
        for (method, path, expected) in [
            (Method::PATCH, "/apis/demo.example.com/v1alpha1/namespaces/a/hellos/b/status", 200),
            (Method::PATCH, "/apis/demo.example.com/v1alpha1/namespaces/a/hellos/b", 0),
            (Method::PUT, "/apis/batch/v1/namespaces/a/jobs/b/status", 230),
            (Method::GET, "/apis/batch/v1/namespaces/a/jobs/b/status", 30),
            (Method::GET, "/api/v1/namespaces/a/pods/b", 1),
            (Method::GET, "/api/v1/namespaces/a/pods/b/log", 0),
        ] {
            assert_eq!(faults.delay(&target(&method, path)), Duration::from_millis(expected), "{method} {path}");
        }
    }
}
