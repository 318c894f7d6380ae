//! Service accounts: what their tokens say, and whether that is still true.
//!
//! A token names its account by uid, and may be bound to a Pod, a Secret or a Node: when one of them goes, so does the
//! token. Making claims is pure; believing them reads the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::token::{ISSUER, Refusal};
use super::user::User;
use crate::lifecycle::meta;
use crate::store::{GroupResource, Key, Store, Stored};

const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const NODE_UID: &str = "authentication.kubernetes.io/node-uid";
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// How long something may have been told to go before its tokens are refused.
const LEEWAY: SignedDuration = SignedDuration::from_mins(1);

/// An object as a token names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Its name.
    pub(crate) name: String,
    /// Its uid, empty where it is not there.
    pub(crate) uid: String,
}

impl Named {
    /// An object's name and uid.
    pub(crate) fn of(object: &Value) -> Self {
        Self { name: meta(object, "name").to_owned(), uid: meta(object, "uid").to_owned() }
    }

    fn claim(&self) -> Value {
        if self.uid.is_empty() { json!({"name": self.name}) } else { json!({"name": self.name, "uid": self.uid}) }
    }
}

/// What a token is to say.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    /// The account's namespace.
    pub(crate) namespace: String,
    /// The account.
    pub(crate) account: Named,
    /// What it is bound to, by the name of its claim: `pod`, `secret`, `node`.
    pub(crate) bound: BTreeMap<&'static str, Named>,
    /// Whom it is for.
    pub(crate) audiences: Vec<String>,
    /// When it is made.
    pub(crate) now: Timestamp,
    /// How many seconds it is good for.
    pub(crate) seconds: i64,
    /// After how many seconds its holder should have asked for another one.
    pub(crate) warn_after: Option<i64>,
    /// What it is known by.
    pub(crate) id: String,
}

/// The claims of a token.
pub(crate) fn claims(grant: &Grant) -> Value {
    let now = grant.now.as_second();
    let mut own = Map::new();
    own.insert("namespace".to_owned(), grant.namespace.as_str().into());
    own.insert("serviceaccount".to_owned(), grant.account.claim());
    own.extend(grant.bound.iter().map(|(claim, object)| ((*claim).to_owned(), object.claim())));
    if let Some(seconds) = grant.warn_after {
        own.insert("warnafter".to_owned(), (now + seconds).into());
    }
    json!({
        "aud": grant.audiences, "exp": now + grant.seconds, "iat": now, "iss": ISSUER, "jti": grant.id,
        "kubernetes.io": own, "nbf": now, "sub": User::service_account(&grant.namespace, &grant.account.name).name,
    })
}

/// Whom a token stands for, judged by what it says alone.
pub(crate) fn user(claims: &Value) -> User {
    let own = &claims["kubernetes.io"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let account = &own["serviceaccount"];
    let mut user = User::service_account(&text(&own["namespace"]), &text(&account["name"]));
    user.uid = text(&account["uid"]);
    let mut extra = |key: &str, value: &Value| {
        if let Some(value) = value.as_str().filter(|value| !value.is_empty()) {
            user.extra.insert(key.to_owned(), vec![value.to_owned()]);
        }
    };
    extra(POD_NAME, &own["pod"]["name"]);
    extra(POD_UID, &own["pod"]["uid"]);
    extra(NODE_NAME, &own["node"]["name"]);
    extra(NODE_UID, &own["node"]["uid"]);
    if let Some(id) = claims["jti"].as_str() {
        user.extra.insert(CREDENTIAL.to_owned(), vec![format!("JTI={id}")]);
    }
    user
}

/// Refuses a token whose account, or what it is bound to, is no longer what it says.
///
/// # Errors
/// See [`Refusal`].
pub(crate) fn check(store: &Store, claims: &Value, now: Timestamp) -> Result<(), Refusal> {
    let own = &claims["kubernetes.io"];
    let namespace = own["namespace"].as_str().unwrap_or_default();
    let name = own["serviceaccount"]["name"].as_str().unwrap_or_default();
    let account = get(store, "serviceaccounts", namespace, name);
    let account = account.ok_or_else(|| Refusal::NoAccount { name: name.to_owned() })?;
    same("service account", "claim", &account, &own["serviceaccount"])?;
    if is_gone(&account.value, now) {
        return Err(Refusal::Invalidated);
    }
    // What node a Pod is on is told for information only.
    let node = if own["pod"].is_null() { &own["node"] } else { &Value::Null };
    let bound = [
        ("secret", "secrets", namespace, &own["secret"], "service account secret ref claim"),
        ("pod", "pods", namespace, &own["pod"], "service account pod ref claim"),
        ("node", "nodes", "", node, "service account node ref claim"),
    ];
    for (what, resource, namespace, reference, claim) in bound {
        let Some(name) = reference["name"].as_str() else { continue };
        let object = get(store, resource, namespace, name).ok_or(Refusal::Invalidated)?;
        same(what, claim, &object, reference)?;
        if is_gone(&object.value, now) {
            return Err(Refusal::Invalidated);
        }
    }
    Ok(())
}

fn get(store: &Store, resource: &str, namespace: &str, name: &str) -> Option<Arc<Stored>> {
    store.get(&GroupResource::new("", resource), &Key::new(namespace, name))
}

fn same(what: &'static str, claim: &'static str, object: &Stored, reference: &Value) -> Result<(), Refusal> {
    let claimed = reference["uid"].as_str().unwrap_or_default();
    if object.uid() == claimed {
        return Ok(());
    }
    Err(Refusal::Replaced { what, uid: object.uid().to_owned(), claim, claimed: claimed.to_owned() })
}

/// Whether an object should have been gone for a while.
fn is_gone(object: &Value, now: Timestamp) -> bool {
    let deadline: Option<Timestamp> = meta(object, "deletionTimestamp").parse().ok();
    deadline.is_some_and(|deadline| now.duration_since(deadline) > LEEWAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> Grant {
        let named = |name: &str| Named { name: name.to_owned(), uid: format!("uid of {name}") };
        Grant {
            namespace: "ns".to_owned(),
            account: named("op"),
            bound: BTreeMap::from([("pod", named("p")), ("node", named("n"))]),
            audiences: vec![ISSUER.to_owned()],
            now: Timestamp::from_second(1000).unwrap(),
            seconds: 600,
            warn_after: None,
            id: "7".to_owned(),
        }
    }

    fn put(store: &Store, resource: &str, name: &str, namespace: &str) -> Arc<Stored> {
        let object = json!({"metadata": {"name": name, "namespace": namespace, "uid": format!("uid of {name}")}});
        store.create(&GroupResource::new("", resource), Key::new(namespace, name), object).unwrap()
    }

    #[test]
    fn a_token_says_who_its_account_is_and_where_it_is_used() {
        let claims = claims(&grant());
        assert_eq!(
            claims,
            json!({
                "aud": [ISSUER], "exp": 1600, "iat": 1000, "iss": ISSUER, "jti": "7", "nbf": 1000,
                "sub": "system:serviceaccount:ns:op",
                "kubernetes.io": {
                    "namespace": "ns", "serviceaccount": {"name": "op", "uid": "uid of op"},
                    "pod": {"name": "p", "uid": "uid of p"}, "node": {"name": "n", "uid": "uid of n"},
                },
            })
        );
        let user = user(&claims);
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("system:serviceaccount:ns:op", "uid of op"));
        assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]);
        assert_eq!(
            (user.extra[POD_NAME].as_slice(), user.extra[CREDENTIAL].as_slice()),
            (&["p".to_owned()][..], &["JTI=7".to_owned()][..])
        );
    }

    #[test]
    fn a_token_ends_with_its_account_and_with_what_it_is_bound_to() {
        let (store, claims, now) = (Store::new(10), claims(&grant()), Timestamp::from_second(1000).unwrap());
        assert_eq!(check(&store, &claims, now).unwrap_err().to_string(), r#"serviceaccounts "op" not found"#);
        put(&store, "serviceaccounts", "op", "ns");
        assert_eq!(check(&store, &claims, now), Err(Refusal::Invalidated), "there is no such Pod");
        let pod = put(&store, "pods", "p", "ns");
        assert_eq!(check(&store, &claims, now), Ok(()), "what is said of the node is for information");

        let mut other = pod.value.clone();
        other["metadata"]["uid"] = "new".into();
        let (pods, key) = (GroupResource::new("", "pods"), Key::new("ns", "p"));
        let other = store.update(&pods, key.clone(), pod.revision, other).unwrap();
        let told = check(&store, &claims, now).unwrap_err().to_string();
        assert_eq!(told, "pod UID (new) does not match service account pod ref claim (uid of p)");

        let mut going = pod.value.clone();
        going["metadata"]["deletionTimestamp"] = "1970-01-01T00:15:00Z".into();
        store.update(&pods, key, other.revision, going).unwrap();
        let at = |second: i64| check(&store, &claims, Timestamp::from_second(second).unwrap());
        assert_eq!((at(960), at(961)), (Ok(()), Err(Refusal::Invalidated)));
    }
}
