//! Whether an eviction is held. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use k8s_openapi::api::policy::v1::Eviction;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::core::admission::AdmissionRequest;

use crate::api::drain::{self, Outcome};

use super::super::configuration::Configuration;
use super::super::overrides;
use super::super::pod::Pod;
use super::super::selection::{Ignored, select};

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Who asks.
    pub(super) user: String,
    /// The groups they are in.
    pub(super) groups: Vec<String>,
    /// Where the Pod is.
    pub(super) namespace: String,
    /// The Pod.
    pub(super) name: String,
    /// The Pod is to be killed at once.
    pub(super) force: bool,
    /// Nothing is to be done, only said.
    pub(super) dry_run: bool,
}

impl Asked {
    /// Reads the API server's question. An Eviction that cannot be read asks for nothing in particular.
    pub(super) fn of(request: &AdmissionRequest<DynamicObject>) -> Self {
        let eviction = request.object.clone().and_then(|object| object.try_parse::<Eviction>().ok());
        let options = eviction.and_then(|eviction| eviction.delete_options);
        let tries = options.as_ref().and_then(|options| options.dry_run.as_ref()).is_some_and(|dry| !dry.is_empty());
        Self {
            user: request.user_info.username.clone().unwrap_or_default(),
            groups: request.user_info.groups.clone().unwrap_or_default(),
            namespace: request.namespace.clone().unwrap_or_default(),
            name: request.name.clone(),
            force: options.and_then(|options| options.grace_period_seconds) == Some(0),
            dry_run: request.dry_run || tries,
        }
    }

    /// The Pod, for people.
    pub(super) fn pod(&self) -> impl fmt::Display {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// What becomes of an eviction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on.
    Pass(Pass),
    /// It is asked for again later.
    Hold(Hold),
}

/// Why an eviction goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Whoever asks for no grace has no time for ours.
    Forced,
    /// Nobody whose evictions are held asks.
    OtherEvictor,
    /// The operator does not look at that namespace.
    OtherNamespace,
    /// There is no such Pod.
    Gone,
    /// The Pod is being deleted.
    Leaving,
    /// Its connections are not looked after.
    Unselected(Ignored),
    /// Its evictions are not held.
    Off,
    /// It has served nobody yet.
    NotStarted,
    /// The drain is over.
    Released(Outcome),
    /// The drain has taken as long as it may.
    Deadline,
    /// Nobody has chosen that evictions are held.
    Unconfigured,
    /// Not known; this is why.
    Undecided(String),
}

/// An eviction that is asked for again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    /// It is asked for for the first time.
    pub(super) first: bool,
    /// What is waited for.
    pub(super) message: String,
    /// When it is worth asking again.
    pub(super) retry_after: Duration,
}

impl Verdict {
    /// Every word there is, for metrics.
    pub(super) const WORDS: [&'static str; 13] = [
        "held",
        "forced",
        "other-evictor",
        "other-namespace",
        "gone",
        "leaving",
        "unselected",
        "mechanism-off",
        "not-started",
        "released",
        "deadline",
        "unconfigured",
        "undecided",
    ];

    /// The word for it, in metrics and logs.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Hold(_) => "held",
            Self::Pass(Pass::Forced) => "forced",
            Self::Pass(Pass::OtherEvictor) => "other-evictor",
            Self::Pass(Pass::OtherNamespace) => "other-namespace",
            Self::Pass(Pass::Gone) => "gone",
            Self::Pass(Pass::Leaving) => "leaving",
            Self::Pass(Pass::Unselected(_)) => "unselected",
            Self::Pass(Pass::Off) => "mechanism-off",
            Self::Pass(Pass::NotStarted) => "not-started",
            Self::Pass(Pass::Released(_)) => "released",
            Self::Pass(Pass::Deadline) => "deadline",
            Self::Pass(Pass::Unconfigured) => "unconfigured",
            Self::Pass(Pass::Undecided(_)) => "undecided",
        }
    }

    /// Whether somebody has to write it down.
    pub(super) fn is_news(&self) -> bool {
        matches!(self, Self::Hold(Hold { first: true, .. }))
    }
}

/// Why an eviction passes whichever Pod it is of.
pub(super) fn untouched(asked: &Asked, configuration: &Configuration) -> Option<Pass> {
    if asked.force {
        Some(Pass::Forced)
    } else if !configuration.evictors.contain(&asked.user, asked.groups.iter().map(String::as_str)) {
        Some(Pass::OtherEvictor)
    } else {
        None
    }
}

/// What becomes of an eviction by somebody whose evictions are held. Where nobody has chosen the configuration, only
/// those are held that are held already. A Pod that waits for its turn has the time of as many as take turns.
pub(super) fn decide(
    pod: &Pod,
    namespace_labels: &BTreeMap<String, String>,
    configuration: &Configuration,
    is_chosen: bool,
    turns: u32,
    now: Timestamp,
) -> Verdict {
    if pod.metadata.deletion_timestamp.is_some() {
        return Verdict::Pass(Pass::Leaving);
    }
    if let Err(ignored) = select(pod, configuration, namespace_labels) {
        return Verdict::Pass(Pass::Unselected(ignored));
    }
    let (terms, _) = overrides::terms(configuration, pod);
    if !terms.mechanisms.eviction_gate {
        return Verdict::Pass(Pass::Off);
    }
    let hold = drain::Hold::of(pod.annotations());
    let (since, time) = match &hold {
        Some(drain::Hold { isolated_at: Some(isolated), .. }) => (*isolated, terms.timeout),
        Some(hold) => (hold.requested_at, terms.timeout.saturating_mul(turns)),
        None => (now, terms.timeout),
    };
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    let deadline = since.saturating_add(time).unwrap_or(Timestamp::MAX);
    let message = match &hold {
        Some(drain::Hold { released: Some(released), .. }) => return Verdict::Pass(Pass::Released(released.outcome)),
        Some(_) if deadline <= now => return Verdict::Pass(Pass::Deadline),
        Some(drain::Hold { isolated_at: Some(_), .. }) => "waits until its connections are gone",
        Some(_) => "is about to leave its Services",
        None if !has_started(pod) => return Verdict::Pass(Pass::NotStarted),
        None if !is_chosen => return Verdict::Pass(Pass::Unconfigured),
        None => "leaves its Services first, and waits until its connections are gone",
    };
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let left = Duration::try_from(deadline.duration_since(now)).unwrap_or_default();
    Verdict::Hold(Hold {
        first: hold.is_none(),
        message: format!("Pod {namespace}/{name} drains before it is evicted: it {message}, until {deadline} at most"),
        retry_after: configuration.recheck.min(left).max(Duration::from_secs(1)),
    })
}

/// Whether any of its containers has ever run.
fn has_started(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    statuses.iter().any(|status| {
        let has_run = status.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some());
        has_run || status.last_state.as_ref().is_some_and(|state| state.terminated.is_some())
    })
}
