//! One webhook, compiled from its configuration.

use std::time::Duration;

use serde_json::Value;

use crate::admission::expression::Conditions;
use crate::admission::matching::Matching;
use crate::dial::client::ClientConfig;
use crate::resources::value::{int, items, text};

/// How long a webhook may take that does not say.
const DEFAULT_TIMEOUT_SECONDS: u64 = 10;

/// The version of `AdmissionReview` that a webhook is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V1Beta1,
}

impl Version {
    pub(super) fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1Beta1 => "admission.k8s.io/v1beta1",
        }
    }
}

/// A webhook.
#[derive(Debug)]
pub(crate) struct Hook {
    /// The name of the configuration it stands in.
    pub(super) configuration: String,
    /// Its name.
    pub(super) name: String,
    pub(super) matching: Matching,
    pub(super) conditions: Conditions,
    /// None where the configuration names nobody, which validation refuses.
    pub(super) client: Option<ClientConfig>,
    pub(super) timeout: Duration,
    /// Whether the request goes on when it cannot be asked.
    pub(super) ignores_failures: bool,
    /// Whether it may be asked about requests that change nothing.
    pub(super) allows_dry_run: bool,
    /// Whether it is asked again when others changed the object after it.
    pub(super) reinvocable: bool,
    /// The first version that both sides know.
    pub(super) version: Option<Version>,
}

impl Hook {
    pub(crate) fn from_object(configuration: &str, hook: &Value) -> Self {
        let seconds =
            int(hook, "timeoutSeconds").and_then(|s| u64::try_from(s).ok()).unwrap_or(DEFAULT_TIMEOUT_SECONDS);
        let versions = items(hook, "admissionReviewVersions").iter().filter_map(Value::as_str);
        Self {
            configuration: configuration.to_owned(),
            name: text(hook, "name").to_owned(),
            matching: Matching::of_webhook(hook),
            conditions: Conditions::from_list(items(hook, "matchConditions")),
            client: ClientConfig::from_object(&hook["clientConfig"]),
            timeout: Duration::from_secs(seconds),
            ignores_failures: hook["failurePolicy"] == "Ignore",
            allows_dry_run: matches!(text(hook, "sideEffects"), "None" | "NoneOnDryRun"),
            reinvocable: hook["reinvocationPolicy"] == "IfNeeded",
            version: versions.into_iter().find_map(|version| match version {
                "v1" => Some(Version::V1),
                "v1beta1" => Some(Version::V1Beta1),
                _ => None,
            }),
        }
    }
}
