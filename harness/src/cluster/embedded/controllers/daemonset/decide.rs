//! What a DaemonSet needs next: Pods to make and to delete, node by node, and its status. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use super::super::workload::amount::{self, Round, count, unless_zero};
use super::super::workload::pods;
use super::nodes::{self, Place};

/// What a DaemonSet needs next.
#[derive(Debug)]
pub(super) struct Decision {
    /// Nodes that lack a Pod.
    pub(super) create: Vec<String>,
    /// Pods to delete.
    pub(super) delete: Vec<Arc<Pod>>,
    /// Pods that have ended, which is no end for a daemon: they are deleted, with patience where they have failed.
    pub(super) ended: Vec<(String, Arc<Pod>)>,
    pub(super) status: DaemonSetStatus,
    /// When a Pod becomes available without anything else happening.
    pub(super) again: Option<Duration>,
}

struct Site<'a> {
    node: &'a str,
    place: Place,
    /// Those that are bound first, and of those the oldest.
    pods: Vec<Arc<Pod>>,
}

impl Site<'_> {
    /// The Pods that have not been told to go.
    fn staying(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().filter(|pod| !pods::is_deleting(pod.as_ref()))
    }
}

struct View<'a> {
    set: &'a DaemonSet,
    hash: &'a str,
    min_ready: i32,
    now: Timestamp,
}

/// Decides. `template` and `hash` are those of the newest revision.
pub(super) fn decide(
    set: &DaemonSet,
    template: &PodTemplateSpec,
    hash: &str,
    nodes: &[Arc<Node>],
    pods: &[Arc<Pod>],
    now: Timestamp,
) -> Decision {
    let default = DaemonSetSpec::default();
    let spec = set.spec.as_ref().unwrap_or(&default);
    let view = View { set, hash, min_ready: spec.min_ready_seconds.unwrap_or(0), now };
    let pod_spec = template.spec.clone().unwrap_or_default();
    let mut by_node = by_node(pods);
    let mut site = |node| {
        let (name, place) = (nodes::name(node), nodes::place(&pod_spec, node));
        Site { node: name, place, pods: by_node.remove(name).unwrap_or_default() }
    };
    let sites: Vec<Site<'_>> = nodes.iter().map(|node| site(node.as_ref())).collect();
    let left = pods.iter().filter_map(|pod| pods::available_in(pod, view.min_ready, now));
    let mut decision = Decision {
        create: Vec::new(),
        // What waits for a node that is gone would wait forever.
        delete: by_node.into_values().flatten().filter(|pod| pods::node(pod).is_none()).collect(),
        ended: Vec::new(),
        status: view.status(&sites),
        again: left.filter(|left| !left.is_zero()).min(),
    };
    let strategy = spec.update_strategy.as_ref();
    let rolling = strategy.filter(|strategy| strategy.type_.as_deref() != Some("OnDelete"));
    let update = rolling.and_then(|rolling| rolling.rolling_update.as_ref());
    let wanted = decision.status.desired_number_scheduled;
    let of = |amount: Option<&IntOrString>| amount.map_or(0, |amount| amount::of(amount, wanted, Round::Up));
    let surge = of(update.and_then(|update| update.max_surge.as_ref()));
    for site in &sites {
        view.keep(site, surge > 0, &mut decision);
    }
    let settled = decision.create.is_empty() && decision.delete.is_empty() && decision.ended.is_empty();
    if rolling.is_some() && settled {
        let unavailable = update.and_then(|update| update.max_unavailable.as_ref()).map_or(1, |most| of(Some(most)));
        if surge > 0 {
            view.surge(&sites, surge, &mut decision);
        } else {
            view.replace(&sites, unavailable.max(1), &mut decision);
        }
    }
    decision
}

fn by_node(pods: &[Arc<Pod>]) -> BTreeMap<&str, Vec<Arc<Pod>>> {
    let mut sites: BTreeMap<&str, Vec<Arc<Pod>>> = BTreeMap::new();
    // A Pod that has ended and is going takes nobody's place.
    for pod in pods.iter().filter(|pod| !(pods::has_ended(pod) && pods::is_deleting(pod.as_ref()))) {
        if let Some(node) = nodes::target(pod) {
            sites.entry(node).or_default().push(Arc::clone(pod));
        }
    }
    for pods in sites.values_mut() {
        pods.sort_by_key(|pod| {
            let made = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (pods::node(pod).is_none(), made, pod.name_any())
        });
    }
    sites
}

impl View<'_> {
    fn is_available(&self, pod: &Pod) -> bool {
        pods::is_available(pod, self.min_ready, self.now)
    }

    fn is_current(&self, pod: &Pod) -> bool {
        nodes::is_current(self.set, self.hash, pod)
    }

    /// One Pod where there is to be one, and none elsewhere; while one is replaced by surging, one of each template.
    fn keep(&self, site: &Site<'_>, surges: bool, decision: &mut Decision) {
        match site.place {
            Place::Wanted if site.pods.is_empty() => decision.create.push(site.node.to_owned()),
            Place::Unwanted => decision.delete.extend(site.staying().cloned()),
            Place::Wanted | Place::Stays => {
                let (ended, running): (Vec<_>, Vec<_>) = site.staying().cloned().partition(|pod| pods::has_ended(pod));
                decision.ended.extend(ended.into_iter().map(|pod| (site.node.to_owned(), pod)));
                if surges {
                    self.keep_surging(site, running, decision);
                } else {
                    decision.delete.extend(running.into_iter().skip(1));
                }
            }
        }
    }

    /// A former Pod stays beside a new one only for as long as it serves and the new one does not yet.
    fn keep_surging(&self, site: &Site<'_>, running: Vec<Arc<Pod>>, decision: &mut Decision) {
        if running.is_empty() && site.place == Place::Wanted {
            // A successor need not wait until its predecessor is gone.
            decision.create.push(site.node.to_owned());
        }
        if running.len() < 2 {
            return;
        }
        let (new, old): (Vec<_>, Vec<_>) = running.into_iter().partition(|pod| self.is_current(pod));
        let replaced = new.first().zip(old.first());
        let replaced = replaced.filter(|(new, old)| !pods::is_ready(old) || self.is_available(new));
        let kept = usize::from(replaced.is_none());
        decision.delete.extend(new.iter().skip(1).chain(old.iter().skip(kept)).cloned());
    }

    /// Deletes Pods of former templates, as many as may be missing; those that are missing anyway first.
    fn replace(&self, sites: &[Site<'_>], unavailable_max: i32, decision: &mut Decision) {
        let (mut out, mut candidates) = (0, Vec::new());
        for site in sites.iter().filter(|site| !site.pods.is_empty()) {
            let Some(pod) = site.staying().next() else {
                out += 1;
                continue;
            };
            let available = self.is_available(pod);
            out += i32::from(!available);
            if self.is_current(pod) {
                continue;
            }
            if available { candidates.push(Arc::clone(pod)) } else { decision.delete.push(Arc::clone(pod)) }
        }
        let room = usize::try_from(unavailable_max - out).unwrap_or(0);
        decision.delete.extend(candidates.into_iter().take(room));
    }

    /// Makes Pods of the new template beside former ones, which [`View::keep_surging`] ends. Where a node is not to have
    /// a new one, the former goes as soon as enough others serve.
    fn surge(&self, sites: &[Site<'_>], surge_max: i32, decision: &mut Decision) {
        let (mut surging, mut serving) = (0, 0);
        let (mut candidates, mut leaving) = (Vec::new(), Vec::new());
        for site in sites {
            let old = site.staying().find(|pod| !self.is_current(pod));
            let new = site.staying().find(|pod| self.is_current(pod));
            serving += i32::from(old.or(new).is_some_and(|pod| self.is_available(pod)));
            let Some(old) = old else { continue };
            match (new, self.is_available(old), site.place == Place::Wanted) {
                (Some(_), _, _) => surging += 1,
                (None, true, true) => candidates.push(site.node.to_owned()),
                (None, true, false) => leaving.push(Arc::clone(old)),
                // It serves nobody: its successor need not count.
                (None, false, true) => decision.create.push(site.node.to_owned()),
                (None, false, false) => decision.delete.push(Arc::clone(old)),
            }
        }
        let of = |room: i32| usize::try_from(room).unwrap_or(0);
        decision.delete.extend(leaving.into_iter().take(of(serving - decision.status.desired_number_scheduled)));
        decision.create.extend(candidates.into_iter().take(of(surge_max - surging)));
    }

    /// Counts nodes by the first Pod of each, whether that is going or not.
    fn status(&self, sites: &[Site<'_>]) -> DaemonSetStatus {
        let wanted = || sites.iter().filter(|site| site.place == Place::Wanted);
        let first = |is: &dyn Fn(&Pod) -> bool| {
            count(wanted().filter(|site| site.pods.first().is_some_and(|pod| is(pod))).count())
        };
        let stray = sites.iter().filter(|site| site.place != Place::Wanted && !site.pods.is_empty());
        let (desired, available) = (count(wanted().count()), first(&|pod| self.is_available(pod)));
        let old = self.set.status.as_ref();
        DaemonSetStatus {
            observed_generation: self.set.metadata.generation,
            desired_number_scheduled: desired,
            current_number_scheduled: first(&|_| true),
            number_misscheduled: count(stray.count()),
            number_ready: first(&pods::is_ready),
            number_available: unless_zero(available),
            number_unavailable: unless_zero(desired - available),
            updated_number_scheduled: unless_zero(first(&|pod| self.is_current(pod))),
            collision_count: old.and_then(|status| status.collision_count),
            conditions: old.and_then(|status| status.conditions.clone()),
        }
    }
}
