//! Graceful drain: the names and texts by which autoscalers, users, the webhook and the controller talk through a Pod.
//!
//! A Pod's annotations are the whole state of its drain, so that any replica, before and after any restart, can go on:
//!
//! ```text
//! eviction asked for → requested-at, requested-by   (the webhook; it answers 429)
//!                    → isolated-at                  (the controller takes the Pod out of its Services)
//!                    → released-at, outcome         (the controller; from now on the webhook lets evictions through)
//! ```
//!
//! Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use k8s_openapi::jiff::Timestamp;

/// Keeps the object of a Pod while it drains.
pub const FINALIZER: &str = "drain.slipway.dev/finalizer";
/// The finalizer of the controller that this one replaces. It is never added, and released like our own.
pub const FINALIZER_BEFORE: &str = "vpa-graceful-drain.cho.github.io/finalizer";
/// Every finalizer that is ours to release.
pub const FINALIZERS: [&str; 2] = [FINALIZER, FINALIZER_BEFORE];

/// Annotation: `"true"` selects a Pod, anything else is a hard no.
pub const MANAGED: &str = "vpa-managed";
/// Annotation that selects a Pod: the updater has touched it.
pub const LAST_UPDATED: &str = "vpa-updater.client.k8s.io/last-updated";
/// Annotation that selects a Pod unless it is empty: the autoscaler's name.
pub const RESOURCE_NAME: &str = "vpa.k8s.io/resource-name";
/// Label that selects a Pod, whatever its value.
pub const MANAGED_LABEL: &str = "vpa.k8s.io/managed";
/// Annotation that selects a Pod: what the autoscaler's admission controller writes about the resources it has set.
pub const VPA_UPDATES: &str = "vpaUpdates";
/// Annotation that selects a Pod: the containers that the autoscaler watches.
pub const VPA_OBSERVED_CONTAINERS: &str = "vpaObservedContainers";

/// What all annotations begin with that the webhook and the controller write, and users override settings with.
pub const PREFIX: &str = "drain.slipway.dev/";
/// Annotation: when the eviction was first asked for, RFC 3339.
pub const REQUESTED_AT: &str = "drain.slipway.dev/requested-at";
/// Annotation: who asked.
pub const REQUESTED_BY: &str = "drain.slipway.dev/requested-by";
/// Annotation: since when the Pod is out of its Services, RFC 3339.
pub const ISOLATED_AT: &str = "drain.slipway.dev/isolated-at";
/// Annotation: since when evictions may pass, RFC 3339.
pub const RELEASED_AT: &str = "drain.slipway.dev/released-at";
/// Annotation: how the drain ended, an [`Outcome`].
pub const OUTCOME: &str = "drain.slipway.dev/outcome";
/// Annotation: labels that were taken away so that no Service selects the Pod, and their values, as JSON.
pub const LABELS: &str = "drain.slipway.dev/labels";
/// Condition, and readiness gate: whether a Pod serves as far as its drain is concerned.
pub const SERVING: &str = "drain.slipway.dev/serving";
/// Every annotation of a drain's state but [`LABELS`], which is let go only when the labels are put back.
pub const STATE: [&str; 5] = [REQUESTED_AT, REQUESTED_BY, ISOLATED_AT, RELEASED_AT, OUTCOME];

/// Annotation of a Pod: `gracePeriodSeconds` for it.
pub const GRACE_PERIOD_SECONDS: &str = "drain.slipway.dev/grace-period-seconds";
/// Annotation of a Pod: `drainTimeoutSeconds` for it.
pub const DRAIN_TIMEOUT_SECONDS: &str = "drain.slipway.dev/drain-timeout-seconds";
/// Annotation of a Pod: `settleSeconds` for it.
pub const SETTLE_SECONDS: &str = "drain.slipway.dev/settle-seconds";
/// Annotation of a Pod: `mechanisms` for it.
pub const MECHANISMS: &str = "drain.slipway.dev/mechanisms";
/// Annotation of a Pod: `connectionSources` for it.
pub const CONNECTION_SOURCES: &str = "drain.slipway.dev/connection-sources";
/// Every annotation by which a Pod says how it drains.
pub const OVERRIDES: [&str; 5] =
    [GRACE_PERIOD_SECONDS, DRAIN_TIMEOUT_SECONDS, SETTLE_SECONDS, MECHANISMS, CONNECTION_SOURCES];

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Its connections were counted, and there were none.
    Idle,
    /// Nobody could count its connections; it was out of its Services for the grace period.
    Assumed,
    /// Nothing of the Pod ran any more.
    Ended,
    /// The deadline passed first.
    TimedOut,
    /// It was not to be drained any more: unselected, excluded, or by a deletion that is not waited for.
    Dropped,
}

impl Outcome {
    /// Every outcome there is.
    pub const ALL: [Self; 5] = [Self::Idle, Self::Assumed, Self::Ended, Self::TimedOut, Self::Dropped];

    /// The word for it, in annotations and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Assumed => "assumed",
            Self::Ended => "ended",
            Self::TimedOut => "timed-out",
            Self::Dropped => "dropped",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no [`Outcome`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no outcome of a drain")]
pub struct UnknownOutcome(String);

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, UnknownOutcome> {
        let found = Self::ALL.into_iter().find(|outcome| outcome.as_str() == text);
        found.ok_or_else(|| UnknownOutcome(text.to_owned()))
    }
}

/// An eviction that is held, as the Pod's annotations tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// When the eviction was first asked for.
    pub requested_at: Timestamp,
    /// Who asked.
    pub requested_by: String,
    /// Since when the Pod is out of its Services.
    pub isolated_at: Option<Timestamp>,
    /// Since when evictions may pass.
    pub released: Option<Released>,
}

/// The end of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// When.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
}

impl Hold {
    /// The hold that these annotations tell of. A time that cannot be read is as good as none: what it belongs to is
    /// done again.
    pub fn of(annotations: &BTreeMap<String, String>) -> Option<Self> {
        let time = |name: &str| annotations.get(name)?.parse::<Timestamp>().ok();
        let outcome = || annotations.get(OUTCOME).and_then(|text| text.parse().ok()).unwrap_or(Outcome::Assumed);
        Some(Self {
            requested_at: time(REQUESTED_AT)?,
            requested_by: annotations.get(REQUESTED_BY).cloned().unwrap_or_default(),
            isolated_at: time(ISOLATED_AT),
            released: time(RELEASED_AT).map(|at| Released { at, outcome: outcome() }),
        })
    }

    /// Whether there is anything of a drain's state, readable or not.
    pub fn is_marked(annotations: &BTreeMap<String, String>) -> bool {
        STATE.iter().any(|name| annotations.contains_key(*name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(texts: &[(&str, &str)]) -> BTreeMap<String, String> {
        texts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_hold_is_read_as_far_as_it_has_come() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut texts = vec![(REQUESTED_AT, "2026-01-02T03:04:05Z"), (REQUESTED_BY, "updater")];
        let requested = Hold {
            requested_at: at("2026-01-02T03:04:05Z"),
            requested_by: "updater".to_owned(),
            isolated_at: None,
            released: None,
        };
        assert_eq!(Hold::of(&annotations(&texts)), Some(requested.clone()));
        texts.push((ISOLATED_AT, "2026-01-02T03:04:06Z"));
        let isolated = Hold { isolated_at: Some(at("2026-01-02T03:04:06Z")), ..requested };
        assert_eq!(Hold::of(&annotations(&texts)), Some(isolated.clone()));
        for outcome in Outcome::ALL {
            let mut texts = texts.clone();
            texts.extend([(RELEASED_AT, "2026-01-02T03:05:00Z"), (OUTCOME, outcome.as_str())]);
            let released = Some(Released { at: at("2026-01-02T03:05:00Z"), outcome });
            assert_eq!(Hold::of(&annotations(&texts)), Some(Hold { released, ..isolated.clone() }));
        }
    }

    #[test]
    fn a_time_that_cannot_be_read_is_as_good_as_none() {
        assert_eq!(Hold::of(&annotations(&[(REQUESTED_AT, "yesterday")])), None);
        assert!(Hold::is_marked(&annotations(&[(REQUESTED_AT, "yesterday")])), "and can still be swept away");
        let texts = annotations(&[(REQUESTED_AT, "2026-01-02T03:04:05Z"), (RELEASED_AT, "soon"), (ISOLATED_AT, "")]);
        let hold = Hold::of(&texts).unwrap();
        assert_eq!((hold.isolated_at, hold.released), (None, None));
        assert!(!Hold::is_marked(&annotations(&[(MANAGED, "true"), (DRAIN_TIMEOUT_SECONDS, "5")])));
    }
}
