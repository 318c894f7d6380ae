//! The faults of a scenario, in the API server's words. Pure.

use slipway_apiserver::fault::Rule;
use slipway_apiserver::route::Verb;

use crate::scenario::model::{Fault, FaultVerb};

pub(super) fn rule(fault: &Fault) -> Rule {
    Rule {
        verbs: fault.verbs.iter().copied().map(verb).collect(),
        resource: fault.resource.clone(),
        subresource: fault.subresource.clone(),
        delay: fault.delay.0,
    }
}

fn verb(verb: FaultVerb) -> Verb {
    match verb {
        FaultVerb::Get => Verb::Get,
        FaultVerb::List => Verb::List,
        FaultVerb::Watch => Verb::Watch,
        FaultVerb::Create => Verb::Create,
        FaultVerb::Update => Verb::Update,
        FaultVerb::Patch => Verb::Patch,
        FaultVerb::Delete => Verb::Delete,
        FaultVerb::DeleteCollection => Verb::DeleteCollection,
    }
}
