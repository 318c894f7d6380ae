//! What an agent's Job looks like.

use k8s_openapi::api::batch::v1::Job;

use crate::api::agent::{AgentAction, AgentSpec, OsKind};
use crate::controllers::multinic::Settings;
use crate::controllers::multinic::job::build;
use crate::controllers::multinic::observe::AgentJob;

use super::fixtures::*;

fn built(os_image: &str, settings: &Settings) -> Job {
    let mut observed = observed();
    observed.node.as_mut().unwrap().os_image = os_image.to_owned();
    build(&observed.config, &observed.plan().create.unwrap(), settings).unwrap()
}

fn ubuntu() -> Job {
    built("Ubuntu 22.04.3 LTS", &Settings::default())
}

#[test]
fn the_job_is_as_it_was_reviewed() {
    insta::assert_json_snapshot!(ubuntu());
}

#[test]
fn the_agent_has_the_least_it_needs() {
    let job = ubuntu();
    let pod = job.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.host_network, Some(true));
    assert_eq!((pod.host_pid, pod.host_ipc), (None, None));
    assert_eq!(pod.automount_service_account_token, Some(false));
    assert_eq!(pod.node_name.as_deref(), Some(NODE));
    let security = pod.containers[0].security_context.clone().unwrap();
    assert_eq!((security.privileged, security.allow_privilege_escalation), (Some(false), Some(false)));
    let capabilities = security.capabilities.unwrap();
    assert_eq!(capabilities.add.unwrap(), ["NET_ADMIN"]);
    assert_eq!(capabilities.drop.unwrap(), ["ALL"]);
}

#[test]
fn only_the_directories_of_its_system_are_mounted() {
    for (image, paths) in [
        ("Debian GNU/Linux 12 (bookworm)", vec!["/etc/netplan"]),
        ("Red Hat Enterprise Linux 8.9 (Ootpa)", vec!["/etc/sysconfig/network-scripts"]),
        ("Rocky Linux 9.3 (Blue Onyx)", vec!["/etc/NetworkManager/system-connections", "/etc/systemd/network"]),
    ] {
        let mut settings = Settings::default();
        let mounted = |settings: &Settings| -> Vec<String> {
            let pod = built(image, settings).spec.unwrap().template.spec.unwrap();
            pod.volumes.unwrap().into_iter().map(|volume| volume.host_path.unwrap().path).collect()
        };
        let mut with_sysctls = paths.clone();
        with_sysctls.push("/proc/sys/net/ipv4/conf");
        assert_eq!(mounted(&settings), with_sysctls, "{image}");
        settings.agent.arp_sysctls = false;
        settings.agent.rp_filter_loose = false;
        assert_eq!(mounted(&settings), paths, "{image}");
    }
}

#[test]
fn the_agent_is_told_everything_it_needs_to_know() {
    let pod = ubuntu().spec.unwrap().template.spec.unwrap();
    let env = pod.containers[0].env.clone().unwrap();
    let value = |name: &str| env.iter().find(|var| var.name == name).and_then(|var| var.value.clone());
    assert_eq!(value("AGENT_ACTION").as_deref(), Some("apply"));
    let spec: AgentSpec = serde_json::from_str(&value("MULTINIC_SPEC").unwrap()).unwrap();
    assert_eq!((spec.node_name.as_str(), spec.config_uid.as_str(), spec.generation), (NODE, UID, 1));
    assert_eq!(spec.os, OsKind::Netplan);
    let names: Vec<_> = spec.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    assert_eq!(names, ["multinic1", "multinic2", "multinic7"]);
    assert_eq!(spec.interfaces[0].mac, "fa:16:3e:f3:b0:3f");
}

#[test]
fn a_job_is_recognised_by_what_it_was_made_with() {
    let read = AgentJob::from(&ubuntu());
    assert_eq!((read.config_uid.as_str(), read.generation, read.attempt), (UID, 1, 1));
    assert_eq!((read.action, read.system_uuid.as_str()), (AgentAction::Apply, MACHINE));
    assert_eq!(read.name, job(read.phase.clone()).name);
}

#[test]
fn an_apply_goes_with_its_configuration_and_a_cleanup_with_its_node() {
    let apply = ubuntu().metadata.owner_references.unwrap().remove(0);
    assert_eq!((apply.kind.as_str(), apply.uid.as_str(), apply.controller), ("MultiNicNodeConfig", UID, Some(true)));
    let deleted = observed().deleted();
    let order = deleted.plan().create.unwrap();
    let job = build(&deleted.config, &order, &Settings::default()).unwrap();
    let cleanup = job.metadata.owner_references.unwrap().remove(0);
    assert_eq!((cleanup.kind.as_str(), cleanup.uid.as_str()), ("Node", "node-uid"));
}
