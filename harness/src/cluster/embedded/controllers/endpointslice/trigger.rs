//! Since when what a slice newly says has been true: the annotation that says how late it is. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;

use super::super::workload::pods;

/// The annotation.
pub(super) const ANNOTATION: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The times that a Service's slices have already answered to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answered {
    service: Option<Timestamp>,
    pods: BTreeMap<String, Timestamp>,
}

impl Answered {
    /// The earliest time that has not been answered to, and what has been once it is.
    pub(super) fn next<'a>(
        &self,
        service: &Service,
        selected: impl Iterator<Item = &'a Pod>,
    ) -> (Option<Timestamp>, Self) {
        let made = service.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let changed = |pod: &Pod| {
            let ready = pods::condition(pod, "Ready")?.last_transition_time.as_ref()?.0;
            Some((pod.name_any(), ready))
        };
        let pods: BTreeMap<String, Timestamp> = selected.filter_map(changed).collect();
        let news = pods.iter().filter(|(name, time)| self.pods.get(*name).is_none_or(|before| before < *time));
        let service_news = made.filter(|made| self.service.is_none_or(|before| before < *made));
        let earliest = news.map(|(_, time)| *time).chain(service_news).min();
        (earliest, Self { service: made.max(self.service), pods })
    }
}
