//! What a running controller remembers besides the cluster: what it has said already and what it has just promised.
//! A restart forgets it, and then says a thing twice at worst.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::intent::later;

/// How long a disruption is counted beside a budget's own count: longer than the cluster takes to count it.
const CLAIM: Duration = Duration::from_secs(10);

/// Below this, nobody looks whether Pods are still there.
const SWEPT_FROM: usize = 64;

/// What is remembered. Everything is by uid.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Digests of what was said of each Pod.
    said: HashMap<String, HashSet<u64>>,
    /// Who is disrupted since when, by budget.
    claims: HashMap<String, HashMap<String, Timestamp>>,
}

impl Memory {
    /// Whether this is news about a Pod; it is not any more from now on.
    pub(super) fn is_news(&self, uid: &str, news: &impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        news.hash(&mut hasher);
        self.kept().said.entry(uid.to_owned()).or_default().insert(hasher.finish())
    }

    /// Takes one of a budget's disruptions; says whether there was one. Who has one already keeps it.
    pub(super) fn claim(&self, budget: &str, uid: &str, allowed: usize, now: Timestamp) -> bool {
        let kept = &mut self.kept();
        let claims = kept.claims.entry(budget.to_owned()).or_default();
        claims.retain(|_, since| later(*since, CLAIM) > now);
        let granted = claims.contains_key(uid) || claims.len() < allowed;
        if granted {
            claims.entry(uid.to_owned()).or_insert(now);
        }
        kept.claims.retain(|_, claims| !claims.is_empty());
        granted
    }

    /// Gives back a disruption that came to nothing.
    pub(super) fn forgo(&self, budget: &str, uid: &str) {
        let kept = &mut self.kept();
        if let Some(claims) = kept.claims.get_mut(budget) {
            claims.remove(uid);
        }
        kept.claims.retain(|_, claims| !claims.is_empty());
    }

    /// Lets everything go about Pods that are not there any more, once that is worth the look.
    pub(super) fn sweep(&self, there: usize, is_there: impl Fn(&str) -> bool) {
        let said = &mut self.kept().said;
        if said.len() > 2 * there + SWEPT_FROM {
            said.retain(|uid, _| is_there(uid));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_said_once() {
        let memory = Memory::default();
        assert!(memory.is_news("a", &"hello"));
        assert!(!memory.is_news("a", &"hello"));
        assert!(memory.is_news("a", &"world") && memory.is_news("b", &"hello"));
    }

    #[test]
    fn a_budget_is_not_spent_twice_before_it_is_counted() {
        let memory = Memory::default();
        let now = Timestamp::UNIX_EPOCH;
        assert!(memory.claim("budget", "a", 2, now) && memory.claim("budget", "b", 2, now));
        assert!(!memory.claim("budget", "c", 2, now));
        assert!(memory.claim("budget", "a", 2, now), "who has one keeps it");
        assert!(memory.claim("other", "c", 1, now));
        assert!(!memory.claim("none", "c", 0, now));
        assert!(memory.claim("budget", "c", 1, later(now, CLAIM)), "by then it is in the budget's own count");
        memory.forgo("other", "c");
        assert!(memory.claim("other", "d", 1, now), "what came to nothing is there for others");
    }

    #[test]
    fn what_was_said_of_pods_that_are_gone_is_forgotten_in_the_end() {
        let memory = Memory::default();
        for pod in 0..1000 {
            memory.is_news(&pod.to_string(), &"hello");
            memory.sweep(1, |uid| uid == "0");
        }
        assert!(memory.kept().said.len() <= 2 + SWEPT_FROM + 1);
        assert!(!memory.is_news("0", &"hello"), "that one is still there");
    }
}
