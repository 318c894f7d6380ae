//! `spec.podFailurePolicy`: what one failed Pod means for its Job. Pure.

use k8s_openapi::api::batch::v1::{Job, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use super::pods;

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The Job fails, with this message.
    FailJob(String),
    /// The failure does not count.
    Ignore,
    /// The failure counts, as it does without a rule.
    Count,
}

/// The verdict of the first rule that matches a failed Pod.
pub(super) fn judge(job: &Job, pod: &Pod) -> Verdict {
    let policy = job.spec.as_ref().and_then(|spec| spec.pod_failure_policy.as_ref());
    let rules = policy.map(|policy| policy.rules.as_slice()).unwrap_or_default();
    if pods::phase(pod) != "Failed" {
        return Verdict::Count;
    }
    for (at, rule) in rules.iter().enumerate() {
        if let Some(what) = matched(rule, pod) {
            return match rule.action.as_str() {
                "FailJob" => Verdict::FailJob(format!("{what} matching FailJob rule at index {at}")),
                "Ignore" => Verdict::Ignore,
                _ => Verdict::Count,
            };
        }
    }
    Verdict::Count
}

/// What of a Pod a rule matches, as the Job's message begins.
fn matched(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    let status = pod.status.as_ref()?;
    if let Some(wanted) = &rule.on_exit_codes {
        let inits = status.init_container_statuses.iter().flatten();
        let matching = |container: &&ContainerStatus| {
            let code = exit_code(container)?;
            let named = wanted.container_name.as_ref().is_none_or(|name| *name == container.name);
            let listed = wanted.values.contains(&code);
            let fits = if wanted.operator == "In" { listed } else { !listed };
            (code != 0 && named && fits).then_some(code)
        };
        return inits.chain(status.container_statuses.iter().flatten()).find_map(|container| {
            let code = matching(&container)?;
            Some(format!("Container {} for pod {name} failed with exit code {code}", container.name))
        });
    }
    let present = status.conditions.as_deref().unwrap_or_default();
    rule.on_pod_conditions.iter().flatten().find_map(|pattern| {
        let wanted = pattern.status.as_deref().unwrap_or("True");
        let found = present.iter().any(|condition| condition.type_ == pattern.type_ && condition.status == wanted);
        found.then(|| format!("Pod {name} has condition {}", pattern.type_))
    })
}

fn exit_code(container: &ContainerStatus) -> Option<i32> {
    Some(container.state.as_ref()?.terminated.as_ref()?.exit_code)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    #[test]
    fn the_first_matching_rule_decides_what_a_failed_pod_means() {
        let fail_on_two = json!({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2]}});
        let ignore_drained = json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]});
        let fail_unless_one = json!({"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [1]}});
        let message = "Container agent for pod default/p failed with exit code 2 matching FailJob rule at index 0";
        let cases = [
            (vec![&fail_on_two], 2, false, Verdict::FailJob(message.to_owned())),
            (vec![&fail_on_two], 3, false, Verdict::Count),
            (vec![&ignore_drained, &fail_on_two], 2, true, Verdict::Ignore),
            (vec![&ignore_drained], 1, false, Verdict::Count),
            (vec![&fail_unless_one], 1, false, Verdict::Count),
            (vec![&fail_unless_one], 2, false, Verdict::FailJob(message.to_owned())),
        ];
        for (rules, code, drained, expected) in cases {
            assert_eq!(judge(&job(&rules), &pod(code, drained)), expected, "{rules:?} on {code}, drained: {drained}");
        }
    }

    fn job(rules: &[&Value]) -> Job {
        from_value(json!({"spec": {"template": {}, "podFailurePolicy": {"rules": rules}}})).expect("a job")
    }

    fn pod(code: i32, drained: bool) -> Pod {
        let status = if drained { "True" } else { "False" };
        from_value(json!({
            "metadata": {"name": "p", "namespace": "default"},
            "status": {
                "phase": "Failed",
                "conditions": [{"type": "DisruptionTarget", "status": status}],
                "containerStatuses": [{
                    "name": "agent", "image": "a", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": code}},
                }],
            },
        }))
        .expect("a pod")
    }
}
