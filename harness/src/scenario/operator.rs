//! The operator under test as a plan has it: which of the three kinds it is, with its manifests read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::diagnostic::Place;
use super::model::OperatorSpec;

/// The operator of a scenario.
#[derive(Clone, Debug)]
pub struct OperatorPlan {
    /// Where the scenario speaks of it.
    pub place: Place,
    /// Not started before a step says so.
    pub stopped: bool,
    /// Which.
    pub which: Which,
}

/// Whose operator it is, and how it is run.
#[derive(Clone, Debug)]
pub enum Which {
    /// Ours, in this process.
    BuiltIn(Box<OperatorSpec>),
    /// A program of this machine.
    Command(Box<Program>),
    /// Something that runs in the cluster.
    Deployed(Box<Deployed>),
}

impl OperatorPlan {
    /// The operator of this workspace, where it is that.
    pub fn built_in(&self) -> Option<&OperatorSpec> {
        match &self.which {
            Which::BuiltIn(ours) => Some(ours),
            Which::Command(_) | Which::Deployed(_) => None,
        }
    }

    /// The same, to be changed.
    pub fn built_in_mut(&mut self) -> Option<&mut OperatorSpec> {
        match &mut self.which {
            Which::BuiltIn(ours) => Some(ours),
            Which::Command(_) | Which::Deployed(_) => None,
        }
    }
}

/// A program of this machine. In its texts, `${name}` stands for a port.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program with its arguments; never empty.
    pub command: Vec<String>,
    /// Its own environment.
    pub env: BTreeMap<String, String>,
    /// What it has of ours.
    pub inherit_env: Vec<String>,
    /// Where it runs.
    pub working_dir: PathBuf,
    /// The names of its ports.
    pub ports: Vec<String>,
    /// What is there before it starts.
    pub install: Vec<Value>,
    /// Whose rights it has; an administrator's where nobody is named.
    pub account: Option<Named>,
    /// How it is known to be at work; as soon as it is started where nothing is said.
    pub ready: Option<Ready>,
    /// Where its metrics are.
    pub metrics: Option<String>,
    /// How long it may take to stop.
    pub grace_period: Duration,
}

/// An operator that the cluster runs.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// What makes it run.
    pub manifests: Vec<Value>,
    /// How it is known to be at work, beside what its Deployments say.
    pub ready: Option<Ready>,
}

/// How an operator is known to be at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// By what.
    pub by: Sign,
    /// How long it may take.
    pub within: Duration,
}

/// What shows that an operator is at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A URL that answers with success.
    Url(String),
    /// A text in its output.
    Log(String),
    /// A Lease that it holds.
    Lease(Named),
}

/// An object by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its namespace, where it is not the scenario's.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl Named {
    /// Reads `namespace/name`, or the name alone.
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        let good = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))
        };
        (namespace.is_none_or(good) && good(name))
            .then(|| Self { namespace: namespace.map(str::to_owned), name: name.to_owned() })
    }

    /// Where it is, seen from a namespace.
    pub fn namespace<'a>(&'a self, other: &'a str) -> &'a str {
        self.namespace.as_deref().unwrap_or(other)
    }
}
