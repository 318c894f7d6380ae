//! Evictions, asked for as an autoscaler or a node drain asks for them: by somebody, and again while they are refused.

use std::time::Duration;

use kube::api::{DynamicObject, ListParams};
use kube::core::Status;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use super::chain;
use super::trouble::Trouble;
use crate::scenario::model::Verdict;
use crate::scenario::plan::{Eviction, Target};

/// What a gate answers, as a cause beside the code; a disruption budget names another.
const HELD: &str = "Draining";
const TOO_MANY_REQUESTS: u16 = 429;

/// Who asks beside a user's own groups: rights are not what a step that evicts is about.
const ADMINISTRATORS: &str = "system:masters";

/// The groups of a user, as the API server knows them.
pub(super) fn groups(user: &str, more: &[String]) -> Vec<String> {
    let mut groups = vec![ADMINISTRATORS.to_owned(), "system:authenticated".to_owned()];
    if let Some((namespace, _)) = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        groups.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]);
    }
    groups.extend_from_slice(more);
    groups
}

/// Asks for the evictions, round after round as an updater does, until each has been answered as expected.
pub(super) async fn evict(
    client: &Client,
    pods: &Api<DynamicObject>,
    namespace: &str,
    target: &Target,
    eviction: &Eviction,
) -> Result<(), Trouble> {
    let mut names = if let Some(name) = &target.name {
        vec![name.clone()]
    } else {
        let labels: Vec<_> = target.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let listed = pods.list(&ListParams::default().labels(&labels.join(","))).await;
        let listed = listed.map_err(|error| Trouble::new(format!("list {target}: {}", chain(&error))))?;
        listed.items.iter().map(ResourceExt::name_any).collect()
    };
    if names.is_empty() {
        return Err(Trouble::new(format!("there is no {target} to evict")));
    }
    let patience = Instant::now() + eviction.within;
    loop {
        let mut open = Vec::new();
        for name in names {
            let said = ask(client, namespace, &name, eviction.grace_period_seconds).await?;
            if said.verdict == eviction.expect && said.contains(eviction) && said.hints(eviction) {
                continue;
            }
            // Held or refused for now may be another thing later; what has passed has passed.
            let again = eviction.every.filter(|every| {
                said.code == Some(TOO_MANY_REQUESTS) && Instant::now() + *every <= patience && !every.is_zero()
            });
            if again.is_none() {
                return Err(said.trouble(&name, eviction));
            }
            open.push(name);
        }
        match eviction.every {
            Some(every) if !open.is_empty() => tokio::time::sleep(every).await,
            _ => return Ok(()),
        }
        names = open;
    }
}

/// What the API server said.
struct Said {
    verdict: Verdict,
    code: Option<u16>,
    message: String,
    retry_after: Option<Duration>,
}

impl Said {
    fn contains(&self, eviction: &Eviction) -> bool {
        eviction.message.as_ref().is_none_or(|message| message.missing(&self.message).is_empty())
    }

    fn hints(&self, eviction: &Eviction) -> bool {
        eviction.retry_after.is_none() || eviction.retry_after == self.retry_after
    }

    fn trouble(&self, name: &str, eviction: &Eviction) -> Trouble {
        let code = self.code.map(|code| format!(" with {code}")).unwrap_or_default();
        let (expected, got) = (eviction.expect.as_str(), self.verdict.as_str());
        let waited = if eviction.every.is_some() { format!(" within {:?}", eviction.within) } else { String::new() };
        let message = format!("the eviction of {name} was not {expected}{waited}: it was {got}{code}");
        let hint = self.retry_after.map(|after| format!("ask again after {after:?}"));
        let said = self.message.lines().map(str::to_owned).chain(hint).collect();
        Trouble::new(message).with("what the API server said", said)
    }
}

async fn ask(client: &Client, namespace: &str, name: &str, grace: Option<u32>) -> Result<Said, Trouble> {
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": { "name": name, "namespace": namespace },
        "deleteOptions": grace.map(|grace| json!({ "gracePeriodSeconds": grace })),
    });
    let request = http::Request::post(format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(eviction.to_string().into_bytes())
        .map_err(|error| Trouble::new(format!("evict {name}: {error}")))?;
    match client.request::<Status>(request).await {
        Ok(_) => Ok(Said { verdict: Verdict::Passed, code: None, message: String::new(), retry_after: None }),
        Err(kube::Error::Api(status)) => {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            let is_held = status.code == TOO_MANY_REQUESTS && causes.into_iter().any(|cause| cause.reason == HELD);
            let verdict = if is_held { Verdict::Held } else { Verdict::Refused };
            let retry_after = status.details.as_ref().map(|details| details.retry_after_seconds);
            let retry_after =
                retry_after.filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(seconds.into()));
            Ok(Said { verdict, code: Some(status.code), message: status.message.clone(), retry_after })
        }
        Err(error) => Err(Trouble::new(format!("evict {name}: {}", chain(&error)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_is_in_its_groups() {
        let groups = groups("system:serviceaccount:kube-system:vpa-updater", &["resizers".to_owned()]);
        for group in
            ["system:serviceaccounts", "system:serviceaccounts:kube-system", "resizers", "system:authenticated"]
        {
            assert!(groups.iter().any(|other| other == group), "{group}");
        }
        assert!(!super::groups("alice", &[]).iter().any(|group| group.starts_with("system:serviceaccounts")));
    }
}
