//! A Pod's status as the kubelet writes it, from what its containers are. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// What the kubelet knows of a Pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) host_ip: String,
    pub(super) pod_ip: Option<String>,
    pub(super) started: Option<Timestamp>,
    pub(super) inits: Vec<ContainerStatus>,
    pub(super) containers: Vec<ContainerStatus>,
    /// Every container has ended for good, or will never start.
    pub(super) ended: bool,
    /// Why the Pod as a whole was stopped, and in which words.
    pub(super) stopped: Option<(&'static str, &'static str)>,
}

/// The status; conditions keep the times of those that have not changed.
pub(super) fn status(pod: &Pod, facts: &Facts, now: Timestamp) -> PodStatus {
    let phase = phase(facts);
    let before = pod.status.as_ref();
    let mut status = PodStatus {
        observed_generation: pod.metadata.generation,
        phase: Some(phase.to_owned()),
        reason: facts.stopped.map(|(reason, _)| reason.to_owned()),
        message: facts.stopped.map(|(_, message)| message.to_owned()),
        host_ip: Some(facts.host_ip.clone()),
        host_ips: Some(vec![HostIP { ip: facts.host_ip.clone() }]),
        pod_ip: facts.pod_ip.clone(),
        pod_ips: facts.pod_ip.clone().map(|ip| vec![PodIP { ip }]),
        start_time: facts.started.map(Time),
        init_container_statuses: (!facts.inits.is_empty()).then(|| facts.inits.clone()),
        container_statuses: Some(facts.containers.clone()),
        qos_class: before.and_then(|before| before.qos_class.clone()),
        ..PodStatus::default()
    };
    let old = before.and_then(|before| before.conditions.as_deref()).unwrap_or_default();
    let conditions = conditions(pod, facts, phase);
    status.conditions = Some(conditions.into_iter().map(|condition| timed(condition, old, now)).collect());
    status
}

fn phase(facts: &Facts) -> &'static str {
    if facts.stopped.is_some() {
        return "Failed";
    }
    let ended = |status: &ContainerStatus| exit_code(status);
    if facts.ended {
        let all_well = facts.containers.iter().all(|status| ended(status) == Some(0));
        return if all_well { "Succeeded" } else { "Failed" };
    }
    let started = |status: &ContainerStatus| {
        let state = status.state.as_ref();
        let now = state.is_some_and(|state| state.running.is_some() || state.terminated.is_some());
        now || status.last_state.as_ref().is_some_and(|last| last.terminated.is_some())
    };
    if !facts.containers.is_empty() && facts.containers.iter().all(started) { "Running" } else { "Pending" }
}

fn exit_code(status: &ContainerStatus) -> Option<i32> {
    Some(status.state.as_ref()?.terminated.as_ref()?.exit_code)
}

fn conditions(pod: &Pod, facts: &Facts, phase: &str) -> Vec<PodCondition> {
    let unready: Vec<&str> = facts.containers.iter().filter(|c| !c.ready).map(|c| c.name.as_str()).collect();
    let completed = match phase {
        "Succeeded" => Some("PodCompleted"),
        "Failed" => Some("PodFailed"),
        _ => None,
    };
    let incomplete: Vec<&str> = facts
        .inits
        .iter()
        .filter(|status| exit_code(status) != Some(0) && status.started != Some(true))
        .map(|status| status.name.as_str())
        .collect();
    let initialized = match phase {
        "Succeeded" => condition("Initialized", true, Some("PodCompleted"), None),
        _ if incomplete.is_empty() => condition("Initialized", true, None, None),
        _ => {
            let message = format!("containers with incomplete status: [{}]", incomplete.join(" "));
            condition("Initialized", false, Some("ContainersNotInitialized"), Some(message))
        }
    };
    let containers_ready = |kind: &str| match completed {
        Some(reason) => condition(kind, false, Some(reason), None),
        None if unready.is_empty() => condition(kind, true, None, None),
        None => {
            let message = format!("containers with unready status: [{}]", unready.join(" "));
            condition(kind, false, Some("ContainersNotReady"), Some(message))
        }
    };
    let mut ready = containers_ready("Ready");
    let closed = closed_gates(pod);
    if ready.status == "True" && !closed.is_empty() {
        ready = condition("Ready", false, Some("ReadinessGatesNotReady"), Some(closed.join(", ")));
    }
    let has_sandbox = facts.pod_ip.is_some() && completed.is_none();
    let mut all = vec![
        condition("PodReadyToStartContainers", has_sandbox, None, None),
        initialized,
        ready,
        containers_ready("ContainersReady"),
        condition("PodScheduled", true, None, None),
    ];
    for condition in &mut all {
        condition.observed_generation = pod.metadata.generation;
    }
    all
}

/// What the readiness gates of a Pod say that others have not opened.
fn closed_gates(pod: &Pod) -> Vec<String> {
    let gates = pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
    let known = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    gates
        .filter_map(|gate| {
            let kind = &gate.condition_type;
            match known.iter().find(|condition| condition.type_ == *kind) {
                None => Some(format!("corresponding condition of pod readiness gate \"{kind}\" does not exist.")),
                Some(found) if found.status == "True" => None,
                Some(found) => {
                    Some(format!("the status of pod readiness gate \"{kind}\" is not \"True\", but {}", found.status))
                }
            }
        })
        .collect()
}

fn condition(kind: &str, value: bool, reason: Option<&str>, message: Option<String>) -> PodCondition {
    PodCondition {
        type_: kind.to_owned(),
        status: if value { "True" } else { "False" }.to_owned(),
        reason: reason.map(str::to_owned),
        message,
        ..PodCondition::default()
    }
}

fn timed(mut condition: PodCondition, old: &[PodCondition], now: Timestamp) -> PodCondition {
    let before = old.iter().find(|before| before.type_ == condition.type_ && before.status == condition.status);
    let since = before.and_then(|before| before.last_transition_time.clone());
    condition.last_transition_time = Some(since.unwrap_or(Time(now)));
    condition
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    #[test]
    fn the_phase_follows_from_the_containers() {
        let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
        let running = json!({"running": {}});
        let (well, badly) = (json!({"terminated": {"exitCode": 0}}), json!({"terminated": {"exitCode": 1}}));
        let cases = [
            (vec![&waiting], false, "Pending"),
            (vec![&running], false, "Running"),
            (vec![&running, &waiting], false, "Pending"),
            (vec![&well, &running], false, "Running"),
            (vec![&badly], false, "Running"),
            (vec![&well, &well], true, "Succeeded"),
            (vec![&well, &badly], true, "Failed"),
            (vec![&waiting], true, "Failed"),
        ];
        for (states, ended, expected) in cases {
            let facts =
                Facts { containers: states.iter().map(|state| container(state)).collect(), ended, ..Facts::default() };
            assert_eq!(phase(&facts), expected, "{states:?}, ended: {ended}");
        }
    }

    #[test]
    fn a_condition_keeps_the_time_of_its_last_change() {
        let first = Timestamp::from_second(100).expect("in range");
        let later = Timestamp::from_second(200).expect("in range");
        let mut facts = Facts { containers: vec![container(&json!({"waiting": {}}))], ..Facts::default() };
        let mut pod = Pod { status: None, ..Pod::default() };
        pod.status = Some(status(&pod, &facts, first));
        let mut running = container(&json!({"running": {}}));
        running.ready = true;
        facts.containers = vec![running];
        let after = status(&pod, &facts, later);
        let time = |kind: &str| {
            let all = after.conditions.as_ref().expect("conditions");
            let found = all.iter().find(|condition| condition.type_ == kind).expect("present");
            (found.status.clone(), found.last_transition_time.as_ref().expect("timed").0)
        };
        assert_eq!(time("Ready"), ("True".to_owned(), later));
        assert_eq!(time("PodScheduled"), ("True".to_owned(), first));
    }

    fn container(state: &Value) -> ContainerStatus {
        from_value(json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}))
            .expect("a status")
    }
}
