//! What an administrator chooses, in a `ConfigMap` whose values are texts. Pure.
//!
//! Every problem of a configuration is found at once, and one with a problem is refused as a whole: half of what
//! somebody meant is not what they meant.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::connections::Source;
use super::namespaces::NamespaceSelector;
use super::pattern::Pattern;
use super::workload::Workload;

/// How long a Pod that nobody can count connections of stays after it has left its Services, at most.
pub const GRACE_SECONDS_MAX: u64 = 3600;
/// How long a drain may be let go on, at least and at most.
pub const TIMEOUT_SECONDS: std::ops::RangeInclusive<u64> = 1..=7200;
/// How long Services may take to forget a Pod, at most.
pub const SETTLE_SECONDS_MAX: u64 = 300;
/// How often connections are counted again, at least and at most.
const RECHECK_SECONDS: std::ops::RangeInclusive<u64> = 1..=300;
/// How long a hold may be kept that nobody asks for, at least and at most.
const HOLD_SECONDS: std::ops::RangeInclusive<u64> = 10..=86_400;

/// What an administrator chooses.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// How Pods drain.
    pub terms: Terms,
    /// How Pods of a kind of workload drain, where that is different.
    pub per_workload: BTreeMap<Workload, Changes>,
    /// Which namespaces are looked after.
    pub namespaces: NamespaceSelector,
    /// Whose evictions are held.
    pub evictors: Evictors,
    /// Which deletions the finalizer waits for.
    pub finalizer_holds: FinalizerHolds,
    /// How often connections are counted again.
    pub recheck: Duration,
    /// How long a Pod that may go, or waits for its turn, stays as it is although nobody asks for its eviction again.
    pub hold: Duration,
    /// Whether resources that look computed select a Pod.
    pub size_heuristic: bool,
    /// Whether new Pods get the readiness gate by which they leave their Services.
    pub inject_readiness_gate: bool,
}

/// How a Pod drains.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// How long a Pod stays, out of its Services, whose connections nobody can count.
    pub grace: Duration,
    /// After how long the drain is given up.
    pub timeout: Duration,
    /// How long Services take to forget a Pod: no count of connections is believed before.
    pub settle: Duration,
    /// What holds the Pod.
    pub mechanisms: Mechanisms,
    /// Where its connections are counted, in this order.
    pub sources: Vec<Source>,
}

/// What is different from [`Terms`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Changes {
    /// Of [`Terms::grace`].
    pub grace_period_seconds: Option<u64>,
    /// Of [`Terms::timeout`].
    pub drain_timeout_seconds: Option<u64>,
    /// Of [`Terms::settle`].
    pub settle_seconds: Option<u64>,
    /// Of [`Terms::mechanisms`].
    pub mechanisms: Option<Vec<Mechanism>>,
    /// Of [`Terms::sources`].
    pub connection_sources: Option<Vec<Source>>,
}

/// A way to hold a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// Keeps the object of a Pod that is deleted.
    Finalizer,
    /// Keeps evictions from deleting the Pod.
    EvictionGate,
}

/// The ways that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mechanisms {
    /// [`Mechanism::Finalizer`].
    pub finalizer: bool,
    /// [`Mechanism::EvictionGate`].
    pub eviction_gate: bool,
}

/// Which deletions the finalizer waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinalizerHolds {
    /// Those that began as an eviction.
    #[default]
    Evictions,
    /// All but those without grace.
    Deletions,
}

/// Whose evictions are held: users, with wildcards, and groups, as `group:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evictors {
    users: Vec<Pattern>,
    groups: Vec<Pattern>,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key.
    pub key: String,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.why)
    }
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Invalid(pub Vec<Problem>);

impl Default for Configuration {
    fn default() -> Self {
        Self {
            terms: Terms::default(),
            per_workload: BTreeMap::new(),
            namespaces: NamespaceSelector::default(),
            evictors: Evictors::default(),
            finalizer_holds: FinalizerHolds::default(),
            recheck: Duration::from_secs(5),
            // An autoscaler asks once a minute; ten times without a word, and it has changed its mind.
            hold: Duration::from_mins(10),
            size_heuristic: false,
            inject_readiness_gate: true,
        }
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(30),
            timeout: Duration::from_mins(5),
            // A proxy gathers changes of endpoints for a second before it acts on them.
            settle: Duration::from_secs(2),
            mechanisms: Mechanisms { finalizer: true, eviction_gate: true },
            sources: Source::defaults(),
        }
    }
}

impl Default for Evictors {
    /// The updater, by the names that its manifests and charts give to its service account.
    fn default() -> Self {
        let users = ["system:serviceaccount:*:*vpa-updater", "system:serviceaccount:*:vertical-pod-autoscaler-updater"];
        Self { users: users.map(Pattern::new).into(), groups: Vec::new() }
    }
}

impl Evictors {
    /// What a group's name begins with in a list of users.
    const GROUP: &str = "group:";

    fn parse(names: Vec<String>) -> Self {
        let (groups, users): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.starts_with(Self::GROUP));
        let groups = groups.iter().filter_map(|name| name.strip_prefix(Self::GROUP)).map(Pattern::new).collect();
        Self { users: users.into_iter().map(Pattern::new).collect(), groups }
    }

    /// Whether this user's evictions are held.
    pub fn contain<'a>(&self, user: &str, groups: impl IntoIterator<Item = &'a str>) -> bool {
        let in_group = |group: &str| self.groups.iter().any(|pattern| pattern.matches(group));
        self.users.iter().any(|pattern| pattern.matches(user)) || groups.into_iter().any(in_group)
    }
}

impl FromIterator<Mechanism> for Mechanisms {
    fn from_iter<I: IntoIterator<Item = Mechanism>>(mechanisms: I) -> Self {
        mechanisms.into_iter().fold(Self { finalizer: false, eviction_gate: false }, |all, mechanism| match mechanism {
            Mechanism::Finalizer => Self { finalizer: true, ..all },
            Mechanism::EvictionGate => Self { eviction_gate: true, ..all },
        })
    }
}

impl Terms {
    /// These terms with changes. A grace period that is not among the changes gives way to a shorter time-out.
    ///
    /// # Errors
    /// Every value that is out of its bounds, or does not go with another.
    pub fn with(&self, changes: &Changes) -> Result<Self, Invalid> {
        let mut problems = Vec::new();
        let mut seconds = |key: &str, value: Option<u64>, range: std::ops::RangeInclusive<u64>, before: Duration| {
            let Some(value) = value else { return before };
            if !range.contains(&value) {
                let why = format!("{value} is not from {} to {}", range.start(), range.end());
                problems.push(Problem { key: key.to_owned(), why });
            }
            Duration::from_secs(value)
        };
        let mut terms = Self {
            grace: seconds(GRACE, changes.grace_period_seconds, 0..=GRACE_SECONDS_MAX, self.grace),
            timeout: seconds(TIMEOUT, changes.drain_timeout_seconds, TIMEOUT_SECONDS, self.timeout),
            settle: seconds(SETTLE, changes.settle_seconds, 0..=SETTLE_SECONDS_MAX, self.settle),
            mechanisms: changes.mechanisms.clone().map_or(self.mechanisms, Mechanisms::from_iter),
            sources: changes.connection_sources.clone().unwrap_or_else(|| self.sources.clone()),
        };
        if terms.grace > terms.timeout {
            if changes.grace_period_seconds.is_some() {
                let timeout = terms.timeout.as_secs();
                let why = format!("{} is more than {TIMEOUT}, which is {timeout}", terms.grace.as_secs());
                problems.push(Problem { key: GRACE.to_owned(), why });
            }
            terms.grace = terms.timeout;
        }
        if problems.is_empty() { Ok(terms) } else { Err(Invalid(problems)) }
    }
}

impl Configuration {
    /// Reads the values of a `ConfigMap`.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn parse(data: &BTreeMap<String, String>) -> Result<Self, Invalid> {
        let mut reader = Reader { data, problems: Vec::new() };
        let default = Self::default();
        let changes = Changes {
            grace_period_seconds: reader.read(GRACE, integer),
            drain_timeout_seconds: reader.read(TIMEOUT, integer),
            settle_seconds: reader.read(SETTLE, integer),
            mechanisms: reader.read(MECHANISMS, list),
            connection_sources: reader.read(SOURCES, list),
        };
        let terms = reader.accept("", Self::terms(&default.terms, &changes)).unwrap_or(default.terms);
        let per_workload: BTreeMap<Workload, Changes> = reader.read(PER_WORKLOAD, yaml).unwrap_or_default();
        for (workload, changes) in &per_workload {
            reader.accept(&format!("{PER_WORKLOAD}.{workload}."), terms.with(changes));
        }
        let configuration = Self {
            per_workload,
            namespaces: reader.read(NAMESPACE_SELECTOR, yaml).unwrap_or_default(),
            evictors: reader.read(EVICTORS, list).map_or(default.evictors, Evictors::parse),
            finalizer_holds: reader.read(FINALIZER_HOLDS, yaml).unwrap_or_default(),
            recheck: reader.read(RECHECK, |text| seconds(text, RECHECK_SECONDS)).unwrap_or(default.recheck),
            hold: reader.read(HOLD, |text| seconds(text, HOLD_SECONDS)).unwrap_or(default.hold),
            size_heuristic: reader.read(SIZE_HEURISTIC, yaml).unwrap_or_default(),
            inject_readiness_gate: reader.read(INJECT_READINESS_GATE, yaml).unwrap_or(default.inject_readiness_gate),
            terms,
        };
        for key in data.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let why = format!("is no key; there are {}", KEYS.join(", "));
            reader.problems.push(Problem { key: key.clone(), why });
        }
        if reader.problems.is_empty() { Ok(configuration) } else { Err(Invalid(reader.problems)) }
    }

    /// Unlike a workload's, the time-out of all must not be less than the grace period, whichever of the two is given.
    fn terms(default: &Terms, changes: &Changes) -> Result<Terms, Invalid> {
        let terms = default.with(changes)?;
        if changes.grace_period_seconds.is_none() && terms.grace < default.grace {
            let (timeout, grace) = (terms.timeout.as_secs(), default.grace.as_secs());
            let why = format!("{timeout} is less than {GRACE}, which is {grace} unless it is given");
            return Err(Invalid(vec![Problem { key: TIMEOUT.to_owned(), why }]));
        }
        Ok(terms)
    }

    /// How Pods of this kind of workload drain.
    pub fn terms_for(&self, workload: Workload) -> Terms {
        let changed = self.per_workload.get(&workload).and_then(|changes| self.terms.with(changes).ok());
        changed.unwrap_or_else(|| self.terms.clone())
    }
}

const GRACE: &str = "gracePeriodSeconds";
const TIMEOUT: &str = "drainTimeoutSeconds";
const SETTLE: &str = "settleSeconds";
const MECHANISMS: &str = "mechanisms";
const SOURCES: &str = "connectionSources";
const PER_WORKLOAD: &str = "perWorkload";
const NAMESPACE_SELECTOR: &str = "namespaceSelector";
const EVICTORS: &str = "evictors";
const FINALIZER_HOLDS: &str = "finalizerHolds";
const RECHECK: &str = "recheckSeconds";
const HOLD: &str = "holdSeconds";
const SIZE_HEURISTIC: &str = "sizeHeuristic";
const INJECT_READINESS_GATE: &str = "injectReadinessGate";

/// Every key of the `ConfigMap`.
pub const KEYS: [&str; 13] = [
    GRACE,
    TIMEOUT,
    NAMESPACE_SELECTOR,
    MECHANISMS,
    SOURCES,
    EVICTORS,
    FINALIZER_HOLDS,
    SETTLE,
    RECHECK,
    HOLD,
    PER_WORKLOAD,
    SIZE_HEURISTIC,
    INJECT_READINESS_GATE,
];

/// Values that are read, and what is wrong with them.
struct Reader<'a> {
    data: &'a BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// A value; none where there is none or where it cannot be read.
    fn read<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.data.get(key)?.trim();
        match parse(text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.problems.push(Problem { key: key.to_owned(), why });
                None
            }
        }
    }

    fn accept<T>(&mut self, prefix: &str, checked: Result<T, Invalid>) -> Option<T> {
        let problems = match checked {
            Ok(value) => return Some(value),
            Err(Invalid(problems)) => problems,
        };
        let named = |problem: Problem| Problem { key: format!("{prefix}{}", problem.key), ..problem };
        self.problems.extend(problems.into_iter().map(named));
        None
    }
}

/// A whole number.
///
/// # Errors
/// That it is none.
pub(super) fn integer(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number of seconds"))
}

fn seconds(text: &str, range: std::ops::RangeInclusive<u64>) -> Result<Duration, String> {
    let value = integer(text)?;
    if range.contains(&value) {
        Ok(Duration::from_secs(value))
    } else {
        Err(format!("{value} is not from {} to {}", range.start(), range.end()))
    }
}

fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_yaml::from_str(text).map_err(|error| first_line(&error.to_string()))
}

/// A list, as YAML or JSON, or as words between commas.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn list<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, String> {
    let is_yaml = text.starts_with('[') || text.starts_with('-');
    if is_yaml { yaml(text) } else { yaml(&format!("[{text}]")) }
}

/// Errors with positions draw the text around them, which fits no Event.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
