//! A decision without a cluster: the pure steps one after the other, on a Pod that somebody has. Pure.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

use super::configuration::{Configuration, Invalid};
use super::configured::{Found, Standing};
use super::intent::{self, Intent, View};
use super::plan::{self, Facts};
use super::pod::Pod;

/// What there is to do about a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing, now or later.
    Nothing,
    /// Something, now or at a known time.
    Something,
    /// It drains, and this is a step on the way.
    Drains,
}

/// Decides by one configuration.
#[derive(Clone, Debug)]
pub struct Decider(Standing);

impl Decider {
    /// By a configuration as its `ConfigMap` has it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(data: &BTreeMap<String, String>) -> Result<Self, Invalid> {
        let configuration = Configuration::parse(data)?;
        Ok(Self(Standing::after(None, Found::Good(Box::new(configuration)))))
    }

    /// About a Pod in a namespace with these labels, of which nothing is known but the Pod.
    pub fn decide(&self, pod: &Pod, namespace_labels: &BTreeMap<String, String>, now: Timestamp) -> Asked {
        let view = View { pod, standing: &self.0, namespace_labels, peers: &[] };
        match intent::intent(view, now).0 {
            Intent::Rest(None) => Asked::Nothing,
            Intent::Rest(Some(_)) | Intent::Do(_) => Asked::Something,
            Intent::Drain(drain) => {
                plan::plan(&drain, pod, &[], &Facts::default(), &self.0.configuration, now);
                Asked::Drains
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_held_when_somebody_manages_it() {
        let decider = Decider::parse(&BTreeMap::new()).unwrap();
        let asked = |managed: &str| {
            let pod = serde_json::from_value::<Pod>(json!({
                "metadata": { "name": "one", "namespace": "shop", "annotations": { "vpa-managed": managed } },
                "spec": { "containers": [{ "name": "main" }] },
                "status": { "phase": "Running" },
            }));
            decider.decide(&pod.unwrap(), &BTreeMap::new(), Timestamp::UNIX_EPOCH)
        };
        assert_eq!((asked("true"), asked("false")), (Asked::Something, Asked::Nothing));
    }
}
