//! What people read in Events. Pure.

use crate::api::drain::Outcome;
use crate::kit::report::{Kind, Notice};

use super::configuration::Problem;
use super::connections::Reading;
use super::intent::{Drain, Release};
use super::measures::By;
use super::plan::Waits;

fn normal(reason: &str, action: &str, note: String) -> Notice {
    Notice { kind: Kind::Normal, reason: reason.to_owned(), action: action.to_owned(), note }
}

fn warning(reason: &str, action: &str, note: String) -> Notice {
    Notice { kind: Kind::Warning, ..normal(reason, action, note) }
}

pub(super) fn bad_configuration(what: &str, trouble: &str) -> Notice {
    warning("BadConfiguration", "Configure", format!("{what}: {trouble}"))
}

pub(super) fn configuration_read() -> Notice {
    normal("ConfigurationRead", "Configure", "the configuration is in force".to_owned())
}

pub(super) fn bad_override(problem: &Problem) -> Notice {
    warning("BadOverride", "Configure", format!("annotation {problem}; what is configured applies"))
}

/// What a drain waits for. Connections come and go; that they are waited for is said once.
pub(super) fn waiting(drain: &Drain, waits: &Waits) -> Notice {
    let held = match (drain.by, drain.requested_by.as_str()) {
        (By::EvictionGate, by) => format!("the eviction that {by} asked for is held"),
        (By::Finalizer, _) => "the object is kept".to_owned(),
    };
    match waits {
        Waits::Turn(why) => normal("WaitingForTurn", "Drain", format!("{held}: {why}")),
        Waits::Budget(why) => normal("WaitingForBudget", "Drain", format!("{held}: {why}")),
        Waits::Connections(what) => normal("Draining", "Drain", format!("{held}: {what}")),
        Waits::Completion => normal("Draining", "Drain", format!("{held} until its work is complete")),
    }
}

/// Sources that should have said something; `None` where there are none.
pub(super) fn unreadable(reading: &Reading) -> Option<Notice> {
    let failures: Vec<_> = reading.failures().map(|it| format!("{}: {}", it.source, it.why)).collect();
    let note = format!("connections could not be counted by {}", failures.join("; "));
    (!failures.is_empty()).then(|| warning("ConnectionsUnreadable", "Drain", note))
}

/// The end of a drain; `None` where nothing was held that anybody would have waited for.
pub(super) fn released(release: &Release) -> Option<Notice> {
    let what = match release.by {
        By::Finalizer => "the object is let go",
        By::EvictionGate => "the eviction may pass",
    };
    let note = format!("{what}: {}", release.why);
    match release.outcome {
        Outcome::Idle | Outcome::Assumed | Outcome::Ended => Some(normal("Drained", "Release", note)),
        Outcome::TimedOut => Some(warning("DrainTimedOut", "Release", note)),
        Outcome::Dropped => None,
    }
}

pub(super) fn put_back(why: &str) -> Notice {
    normal("DrainUndone", "Restore", format!("back in service: {why}"))
}

pub(super) fn evicted() -> Notice {
    normal("Evicted", "Evict", "it was drained and belongs to nobody any more: its eviction is completed".to_owned())
}
