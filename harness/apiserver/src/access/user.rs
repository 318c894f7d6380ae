//! An identity, as authentication or impersonation establishes it.

use std::collections::BTreeMap;

/// Members of this group may do anything; RBAC is not asked.
pub const MASTERS: &str = "system:masters";
/// Everybody who authenticated.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Everybody who did not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Who makes a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name RBAC subjects of kind `User` refer to.
    pub name: String,
    /// A stable identifier, empty where there is none.
    pub uid: String,
    /// The groups RBAC subjects of kind `Group` refer to.
    pub groups: Vec<String>,
    /// What an authenticator adds.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user in the given groups, and in [`AUTHENTICATED`].
    pub fn new(name: impl Into<String>, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut groups: Vec<String> = groups.into_iter().map(Into::into).collect();
        if !groups.iter().any(|g| g == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self { name: name.into(), groups, ..Self::default() }
    }

    /// The administrator: in [`MASTERS`], so every request is allowed.
    pub fn admin() -> Self {
        Self::new("kubernetes-admin", [MASTERS])
    }

    /// Who nobody claimed to be.
    pub fn anonymous() -> Self {
        Self { name: "system:anonymous".to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..Self::default() }
    }

    /// The identity of a service account.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self::new(
            format!("system:serviceaccount:{namespace}:{name}"),
            ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")],
        )
    }

    /// Whether the user is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}
