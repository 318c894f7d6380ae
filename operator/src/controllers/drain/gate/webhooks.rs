//! The webhook configurations that the gate is asked through. Pure.
//!
//! Both fail open: while nobody answers, evictions pass and new Pods come without the readiness gate. The certificate
//! authority is put in by the operator when it runs, so that it can be made anew.

use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
    ValidatingWebhook, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::core::ObjectMeta;

/// The name of both configurations.
pub const NAME: &str = "slipway-drain";

/// Where the API server asks about evictions.
pub const EVICTIONS_PATH: &str = "/evictions";

/// Where the API server asks about new Pods.
pub const PODS_PATH: &str = "/pods";

/// How long the API server waits for an answer.
pub const TIMEOUT_SECONDS: i32 = 5;

/// The label that every namespace has its name in.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Where the operator answers, and as whom it asks itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The operator's namespace.
    pub namespace: String,
    /// The Service before its webhooks.
    pub service: String,
    /// That Service's port.
    pub port: u16,
    /// The operator's user name.
    pub user: String,
    /// The only namespace that is looked at; all of them where there is none.
    pub watched: Option<String>,
}

/// What the API server has to know to ask about evictions.
pub fn evictions(at: &Installation) -> ValidatingWebhookConfiguration {
    let webhook = ValidatingWebhook {
        name: "evictions.drain.slipway.dev".to_owned(),
        client_config: client_config(at, EVICTIONS_PATH),
        rules: Some(vec![rule("pods/eviction")]),
        failure_policy: Some("Ignore".to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        namespace_selector: at.watched.as_ref().map(|only| in_namespaces("In", &[only])),
        // Evictions that are never held are not asked about: the gate's absence cannot even slow them down.
        match_conditions: Some(vec![
            condition(
                "not-forced",
                "!has(object.deleteOptions) || !has(object.deleteOptions.gracePeriodSeconds) || object.deleteOptions.gracePeriodSeconds != 0",
            ),
            condition("not-our-own", &format!("request.userInfo.username != '{}'", at.user)),
        ]),
        // It writes down what it holds, and nothing in a dry run.
        side_effects: "NoneOnDryRun".to_owned(),
        timeout_seconds: Some(TIMEOUT_SECONDS),
        admission_review_versions: vec!["v1".to_owned()],
        ..ValidatingWebhook::default()
    };
    ValidatingWebhookConfiguration { metadata: metadata(), webhooks: Some(vec![webhook]) }
}

/// What the API server has to know to ask about new Pods.
pub fn pods(at: &Installation) -> MutatingWebhookConfiguration {
    let own: &str = &at.namespace;
    let webhook = MutatingWebhook {
        name: "pods.drain.slipway.dev".to_owned(),
        client_config: client_config(at, PODS_PATH),
        rules: Some(vec![rule("pods")]),
        failure_policy: Some("Ignore".to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        // The operator must be able to come up without itself.
        namespace_selector: Some(match &at.watched {
            Some(only) => in_namespaces("In", &[only]),
            None => in_namespaces("NotIn", &[own]),
        }),
        // An autoscaler's webhook may come later, and its annotations are what selects the Pod.
        reinvocation_policy: Some("IfNeeded".to_owned()),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(TIMEOUT_SECONDS),
        admission_review_versions: vec!["v1".to_owned()],
        ..MutatingWebhook::default()
    };
    MutatingWebhookConfiguration { metadata: metadata(), webhooks: Some(vec![webhook]) }
}

fn metadata() -> ObjectMeta {
    ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() }
}

fn client_config(at: &Installation, path: &str) -> WebhookClientConfig {
    let service = ServiceReference {
        namespace: at.namespace.clone(),
        name: at.service.clone(),
        path: Some(path.to_owned()),
        port: Some(i32::from(at.port)),
    };
    WebhookClientConfig { service: Some(service), ..WebhookClientConfig::default() }
}

fn rule(resource: &str) -> RuleWithOperations {
    RuleWithOperations {
        operations: Some(vec!["CREATE".to_owned()]),
        api_groups: Some(vec![String::new()]),
        api_versions: Some(vec!["v1".to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        scope: Some("Namespaced".to_owned()),
    }
}

fn condition(name: &str, expression: &str) -> MatchCondition {
    MatchCondition { name: name.to_owned(), expression: expression.to_owned() }
}

fn in_namespaces(operator: &str, names: &[&str]) -> LabelSelector {
    let requirement = LabelSelectorRequirement {
        key: NAMESPACE_NAME.to_owned(),
        operator: operator.to_owned(),
        values: Some(names.iter().map(ToString::to_string).collect()),
    };
    LabelSelector { match_expressions: Some(vec![requirement]), ..LabelSelector::default() }
}
