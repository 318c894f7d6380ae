//! What stands between requests and the store, compiled: made anew when a configuration changes, read by every write.

use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

use super::GROUP;
use super::policy::Policy;
use super::webhook::Hook;
use crate::dial::client::Clients;
use crate::lifecycle::meta;
use crate::resources::value::items;
use crate::store::{GroupResource, Store, Stored};

/// The webhooks of all configurations, in the order in which they are asked.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) mutating: Vec<Hook>,
    pub(crate) validating: Vec<Hook>,
    /// Policies that are bound to something, by name.
    pub(crate) policies: Vec<Policy>,
}

impl Table {
    fn read(store: &Store) -> Self {
        let hooks = |plural: &str| -> Vec<Hook> {
            let configurations = all(store, plural);
            configurations.iter().flat_map(|configuration| hooks(&configuration.value)).collect()
        };
        let bindings = all(store, "validatingadmissionpolicybindings");
        let bindings: Vec<&Value> = bindings.iter().map(|binding| &binding.value).collect();
        let policies = all(store, "validatingadmissionpolicies");
        let policies = policies.iter().map(|policy| Policy::from_object(&policy.value, &bindings));
        let policies = policies.filter(Policy::is_bound);
        Self {
            mutating: hooks("mutatingwebhookconfigurations"),
            validating: hooks("validatingwebhookconfigurations"),
            policies: policies.collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.mutating.is_empty() && self.validating.is_empty() && self.policies.is_empty()
    }
}

/// The objects of a resource, by name.
fn all(store: &Store, plural: &str) -> Vec<Arc<Stored>> {
    // The present is never compacted.
    store.list(&GroupResource::new(GROUP, plural), None, None).map(|now| now.objects).unwrap_or_default()
}

fn hooks(configuration: &Value) -> Vec<Hook> {
    let name = meta(configuration, "name");
    items(configuration, "webhooks").iter().map(|hook| Hook::from_object(name, hook)).collect()
}

/// The admission of one server.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    table: RwLock<Arc<Table>>,
    /// The connections to webhooks.
    pub(crate) clients: Clients,
}

impl Admission {
    /// What is in force now; none where nothing is, which is the common case.
    pub(crate) fn table(&self) -> Option<Arc<Table>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        (!table.is_empty()).then(|| Arc::clone(&table))
    }

    /// Takes up what the store holds.
    pub(crate) fn reload(&self, store: &Store) {
        // Read under the lock, or an older state could replace a newer one.
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        *table = Arc::new(Table::read(store));
    }
}
