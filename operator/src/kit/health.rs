//! Whether the operator is ready, and if not, what it waits for: named checks, shown by `/readyz?verbose`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a check says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// All is well.
    Ready,
    /// It works, and somebody should know this all the same: a configuration that was refused, for example.
    Noted(String),
    /// It does not work yet, or no more, because of this.
    Waiting(String),
}

/// The checks of one operator. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Health {
    checks: Arc<Mutex<BTreeMap<String, State>>>,
}

impl Health {
    /// A new check that waits; one of that name that is there already begins anew.
    pub fn check(&self, name: impl Into<String>) -> Check {
        let check = Check { health: self.clone(), name: name.into() };
        check.waiting("has not said anything yet");
        check
    }

    /// What all checks say, by name.
    pub fn report(&self) -> Report {
        Report(self.lock().clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One check, for whoever knows its state.
#[derive(Clone, Debug)]
pub struct Check {
    health: Health,
    name: String,
}

impl Check {
    /// All is well.
    pub fn ready(&self) {
        self.set(State::Ready);
    }

    /// It works, with a message. The operator stays ready.
    pub fn noted(&self, message: impl Into<String>) {
        self.set(State::Noted(message.into()));
    }

    /// It does not work, because of `message`. The operator is not ready.
    pub fn waiting(&self, message: impl Into<String>) {
        self.set(State::Waiting(message.into()));
    }

    /// Takes the check away: there is nothing to say about it any more.
    pub fn withdraw(&self) {
        self.health.lock().remove(&self.name);
    }

    fn set(&self, state: State) {
        self.health.lock().insert(self.name.clone(), state);
    }
}

/// What all checks said at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report(BTreeMap<String, State>);

impl Report {
    /// Whether nothing is waited for.
    pub fn is_ready(&self) -> bool {
        !self.0.values().any(|state| matches!(state, State::Waiting(_)))
    }

    /// What the check of that name said.
    pub fn state(&self, name: &str) -> Option<&State> {
        self.0.get(name)
    }
}

/// A line for each check, as the API server's own `?verbose` writes them.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, state) in &self.0 {
            match state {
                State::Ready => writeln!(f, "[+]{name} ok")?,
                State::Noted(message) => writeln!(f, "[+]{name} ok: {message}")?,
                State::Waiting(message) => writeln!(f, "[-]{name} failed: {message}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_check_that_waits_keeps_the_operator_from_being_ready_and_a_note_does_not() {
        let health = Health::default();
        assert!(health.report().is_ready());
        let (caches, config) = (health.check("caches"), health.check("configuration"));
        assert!(!health.report().is_ready());
        caches.ready();
        config.noted("kept the last good one");
        let report = health.report();
        assert!(report.is_ready());
        assert_eq!(report.to_string(), "[+]caches ok\n[+]configuration ok: kept the last good one\n");
        caches.waiting("listing pods");
        assert_eq!(health.report().state("caches"), Some(&State::Waiting("listing pods".to_owned())));
        caches.withdraw();
        assert!(health.report().is_ready());
    }
}
