//! What each kind adds to its schema: defaulting, validation, immutability, status split and printer columns.
//!
//! [`registry`] lists what is served; one file per kind (or family of kinds) holds its [`Rules`]. All of it is pure:
//! time, names and the store belong to the callers.
//!
//! [`Rules`]: crate::resource::Rules

mod config;
pub mod customresourcedefinition;
mod event;
mod job;
mod listing;
pub mod metadata;
mod misc;
pub mod names;
mod namespace;
mod node;
mod pod;
mod policy;
pub(crate) mod print;
pub mod quantity;
mod rbac;
pub mod registry;
mod service;
pub mod shape;
mod simple;
mod storage;
pub(crate) mod value;
mod webhook;
mod workload;
mod workload_print;

pub use registry::Registry;
pub use shape::normalise;

use crate::resource::Rules;

/// The rules of a built-in kind.
fn rules(group: &str, kind: &str) -> &'static dyn Rules {
    match (group, kind) {
        ("", "ConfigMap") => &config::CONFIG_MAP,
        ("", "Endpoints") => &misc::ENDPOINTS,
        ("", "Event") => &event::CORE_EVENT,
        ("", "Namespace") => &namespace::NAMESPACE,
        ("", "Node") => &node::NODE,
        ("", "PersistentVolume") => &storage::VOLUME,
        ("", "PersistentVolumeClaim") => &storage::CLAIM,
        ("", "Pod") => &pod::Pod,
        ("", "PodTemplate") => &workload::POD_TEMPLATE,
        ("", "ReplicationController") => &workload::REPLICATION_CONTROLLER,
        ("", "ResourceQuota") => &misc::RESOURCE_QUOTA,
        ("", "Secret") => &config::SECRET,
        ("", "Service") => &service::Service,
        ("", "ServiceAccount") => &config::ACCOUNT,
        ("apps", "ControllerRevision") => &misc::CONTROLLER_REVISION,
        ("apps", "DaemonSet") => &workload::DAEMON_SET,
        ("apps", "Deployment") => &workload::DEPLOYMENT,
        ("apps", "ReplicaSet") => &workload::REPLICA_SET,
        ("apps", "StatefulSet") => &workload::STATEFUL_SET,
        ("autoscaling", _) => &misc::AUTOSCALER,
        ("batch", "CronJob") => &workload::CRON_JOB,
        ("batch", "Job") => &job::Job,
        ("coordination.k8s.io", "Lease") => &misc::LEASE,
        ("discovery.k8s.io", "EndpointSlice") => &misc::ENDPOINT_SLICE,
        ("events.k8s.io", "Event") => &event::NEW_EVENT,
        ("networking.k8s.io", "Ingress") => &misc::INGRESS,
        ("networking.k8s.io", "NetworkPolicy") => &misc::NETWORK_POLICY,
        ("policy", "PodDisruptionBudget") => &workload::BUDGET,
        ("rbac.authorization.k8s.io", "ClusterRole") => &rbac::CLUSTER_ROLE,
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => &rbac::CLUSTER_BINDING,
        ("rbac.authorization.k8s.io", "Role") => &rbac::ROLE,
        ("rbac.authorization.k8s.io", "RoleBinding") => &rbac::BINDING,
        ("scheduling.k8s.io", "PriorityClass") => &misc::PRIORITY_CLASS,
        ("storage.k8s.io", "StorageClass") => &storage::CLASS,
        ("apiregistration.k8s.io", "APIService") => &listing::API_SERVICE,
        ("networking.k8s.io", "IngressClass") => &listing::INGRESS_CLASS,
        ("networking.k8s.io", "ServiceCIDR") => &listing::SERVICE_CIDR,
        ("node.k8s.io", "RuntimeClass") => &listing::RUNTIME_CLASS,
        ("storage.k8s.io", "CSINode") => &listing::CSI_NODE,
        ("storage.k8s.io", "VolumeAttachment") => &listing::VOLUME_ATTACHMENT,
        (customresourcedefinition::GROUP, "CustomResourceDefinition") => &customresourcedefinition::Definitions,
        // What is left differs only in who keeps the status and whether generations are counted.
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration") => &webhook::Configuration { mutating: true },
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration") => {
            &webhook::Configuration { mutating: false }
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => &policy::POLICY,
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => &policy::BINDING,
        ("flowcontrol.apiserver.k8s.io", _) => &misc::COUNTED_SPLIT,
        ("admissionregistration.k8s.io", _)
        | ("resource.k8s.io", "DeviceClass" | "ResourceSlice")
        | ("storage.k8s.io", "CSIDriver") => &misc::COUNTED,
        ("certificates.k8s.io" | "resource.k8s.io", _) => &misc::SPLIT,
        _ => &misc::PLAIN,
    }
}

#[cfg(test)]
mod tests;
