//! `demo.example.com/v1alpha1 Hello`: something to say, and what was said.

#![expect(unreachable_pub, reason = "`KubeSchema` puts a copy of each struct into a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// What to say.
#[expect(clippy::duplicated_attributes, reason = "two printer columns are of one type")]
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "demo.example.com",
    version = "v1alpha1",
    kind = "Hello",
    plural = "hellos",
    singular = "hello",
    namespaced,
    status = "HelloStatus",
    derive = "PartialEq",
    doc = "Something to say. The smallest complete example of how this operator works.",
    printcolumn(name = "Greeting", type_ = "string", json_path = ".status.greeting"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct HelloSpec {
    /// What to say, on one line. Left out, the object is greeted by its name.
    #[schemars(length(max = 1024))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foo: Option<String>,
}

/// What was said.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HelloStatus {
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// What was said; absent while there is nothing that can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greeting: Option<String>,

    /// `Accepted` (it can be said) and `Ready` (it is said).
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
