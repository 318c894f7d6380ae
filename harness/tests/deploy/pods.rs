//! The Pod Security Standard `restricted`, as far as what we ship has to do with it.

use libtest_mimic::Failed;
use serde_json::{Value, json};

/// Whether a Pod's spec is as `restricted` asks.
pub(crate) fn check_restricted(spec: &Value) -> Result<(), Failed> {
    for shared in ["hostNetwork", "hostPID", "hostIPC"] {
        demand(spec[shared].as_bool() != Some(true), &format!("{shared} is shared"))?;
    }
    let kinds =
        ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        let known = volume.as_object().unwrap().keys().all(|key| key == "name" || kinds.contains(&key.as_str()));
        demand(known, &format!("a volume of another kind: {volume}"))?;
    }
    let pod = &spec["securityContext"];
    for container in
        ["initContainers", "containers"].iter().flat_map(|list| spec[*list].as_array().into_iter().flatten())
    {
        let own = &container["securityContext"];
        let either = |field: &str| if own[field].is_null() { &pod[field] } else { &own[field] };
        demand(own["allowPrivilegeEscalation"] == false, "privilege escalation is not forbidden")?;
        demand(own["privileged"] != true, "a container is privileged")?;
        demand(own["capabilities"]["drop"] == json!(["ALL"]), "capabilities are kept")?;
        demand(own["capabilities"]["add"].is_null(), "capabilities are added")?;
        demand(either("runAsNonRoot") == &json!(true), "it may run as root")?;
        demand(either("runAsUser").as_i64().is_some_and(|user| user > 0), "it may run as root")?;
        demand(either("seccompProfile")["type"] == "RuntimeDefault", "there is no seccomp profile")?;
        // Not asked for by the standard, but by us.
        demand(own["readOnlyRootFilesystem"] == true, "its root file system can be written")?;
        demand(!container["resources"]["limits"]["memory"].is_null(), "its memory has no limit")?;
        for port in container["ports"].as_array().into_iter().flatten() {
            demand(port["hostPort"].is_null(), "it takes a port of the node")?;
        }
    }
    Ok(())
}

fn demand(holds: bool, otherwise: &str) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(otherwise.to_owned().into()) }
}
