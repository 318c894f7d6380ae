//! What is wrong with a pod spec, in a pod or in a template.

use std::collections::HashSet;

use serde_json::Value;

use super::container::{self, Context, Role, choice};
use super::volume;
use crate::field::FieldError;
use crate::resources::metadata::{self, NOT_NEGATIVE, labels, refuse};
use crate::resources::names;
use crate::resources::value::{flag, has, int, items, text};

const MAX_INT32: i64 = 2_147_483_647;
const DNS_POLICIES: [&str; 4] = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];

/// Checks a pod spec that defaulting has been through.
pub(crate) fn validate(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let volumes = volume::validate(spec, path, errors);
    containers(spec, &volumes, path, errors);
    match text(spec, "restartPolicy") {
        "" => errors.push(FieldError::required(format!("{path}.restartPolicy"), "")),
        "Always" | "OnFailure" | "Never" => {}
        other => {
            let words = ["Always", "OnFailure", "Never"];
            errors.push(FieldError::not_supported(format!("{path}.restartPolicy"), other, &words));
        }
    }
    choice(spec, "dnsPolicy", &DNS_POLICIES, path, errors);
    dns_config(spec, path, errors);
    labels(spec, "nodeSelector", &format!("{path}.nodeSelector"), errors);
    host(spec, path, errors);
    for (field, rule) in [
        ("serviceAccountName", names::subdomain as fn(&str) -> Vec<String>),
        ("nodeName", names::subdomain),
        ("runtimeClassName", names::subdomain),
        ("priorityClassName", names::subdomain),
        ("hostname", names::label),
        ("subdomain", names::label),
        ("schedulerName", |_| Vec::new()),
    ] {
        let value = text(spec, field);
        if !value.is_empty() {
            refuse(errors, &format!("{path}.{field}"), value, rule(value));
        }
    }
    if let Some(seconds) = int(spec, "activeDeadlineSeconds") {
        let wrong = names::in_range(seconds, 1, MAX_INT32);
        let path = format!("{path}.activeDeadlineSeconds");
        errors.extend(wrong.into_iter().map(|detail| FieldError::invalid(&path, seconds, detail)));
    }
    if let Some(seconds) = int(spec, "terminationGracePeriodSeconds").filter(|s| *s < 0) {
        errors.push(FieldError::invalid(format!("{path}.terminationGracePeriodSeconds"), seconds, NOT_NEGATIVE));
    }
    if has(spec, "preemptionPolicy") {
        choice(spec, "preemptionPolicy", &["Never", "PreemptLowerPriority"], path, errors);
    }
    for (i, gate) in items(spec, "readinessGates").iter().enumerate() {
        let kind = text(gate, "conditionType");
        refuse(errors, &format!("{path}.readinessGates[{i}].conditionType"), kind, names::qualified(kind));
    }
    scheduling_gates(spec, path, errors);
    tolerations(spec, path, errors);
    affinity(&spec["affinity"], &format!("{path}.affinity"), errors);
    spread(spec, path, errors);
    for (i, alias) in items(spec, "hostAliases").iter().enumerate() {
        let ip = text(alias, "ip");
        refuse(errors, &format!("{path}.hostAliases[{i}].ip"), ip, names::ip(ip));
        for (j, name) in items(alias, "hostnames").iter().filter_map(Value::as_str).enumerate() {
            refuse(errors, &format!("{path}.hostAliases[{i}].hostnames[{j}]"), name, names::subdomain(name));
        }
    }
    if has(spec, "overhead") {
        let wrapped = serde_json::json!({"limits": spec["overhead"].clone()});
        let mut inner = Vec::new();
        container::resources(&wrapped, path, &mut inner);
        errors.extend(inner.into_iter().map(|e| FieldError { field: e.field.replace(".limits[", ".overhead["), ..e }));
    }
}

fn containers(spec: &Value, volumes: &HashSet<&str>, path: &str, errors: &mut Vec<FieldError>) {
    if items(spec, "containers").is_empty() {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let context = Context { volumes, host_network: flag(spec, "hostNetwork") };
    let mut seen = HashSet::new();
    for (list, role) in
        [("containers", Role::Main), ("initContainers", Role::Init), ("ephemeralContainers", Role::Ephemeral)]
    {
        for (i, one) in items(spec, list).iter().enumerate() {
            let path = format!("{path}.{list}[{i}]");
            container::validate(one, role, &context, &path, errors);
            let name = text(one, "name");
            if !name.is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(format!("{path}.name"), name));
            }
        }
        container::host_port_conflicts(spec, list, path, errors);
    }
}

fn dns_config(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let config = &spec["dnsConfig"];
    let path = format!("{path}.dnsConfig");
    if text(spec, "dnsPolicy") == "None" {
        if config.is_null() {
            let detail = "must provide `dnsConfig` when `dnsPolicy` is None";
            errors.push(FieldError::required(&path, detail));
        } else if items(config, "nameservers").is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(FieldError::required(format!("{path}.nameservers"), detail));
        }
    }
    if items(config, "nameservers").len() > 3 {
        let detail = "must not have more than 3 nameservers";
        errors.push(FieldError::invalid(format!("{path}.nameservers"), config["nameservers"].clone(), detail));
    }
    for (i, server) in items(config, "nameservers").iter().filter_map(Value::as_str).enumerate() {
        refuse(errors, &format!("{path}.nameservers[{i}]"), server, names::ip(server));
    }
    for (i, option) in items(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            errors.push(FieldError::required(format!("{path}.options[{i}]"), "must not be empty"));
        }
    }
}

fn host(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let context = &spec["securityContext"];
    if flag(spec, "shareProcessNamespace") && flag(spec, "hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(format!("{path}.shareProcessNamespace"), true, detail));
    }
    if spec["hostUsers"] == Value::Bool(false) {
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            if flag(spec, field) {
                let detail = "when `hostUsers` is false";
                errors.push(FieldError::forbidden(format!("{path}.{field}"), detail));
            }
        }
    }
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        if let Some(id) = int(context, field) {
            let path = format!("{path}.securityContext.{field}");
            let wrong = names::in_range(id, 0, MAX_INT32);
            errors.extend(wrong.into_iter().map(|detail| FieldError::invalid(&path, id, detail)));
        }
    }
    for (i, id) in items(context, "supplementalGroups").iter().filter_map(Value::as_i64).enumerate() {
        let path = format!("{path}.securityContext.supplementalGroups[{i}]");
        let wrong = names::in_range(id, 0, MAX_INT32);
        errors.extend(wrong.into_iter().map(|detail| FieldError::invalid(&path, id, detail)));
    }
}

fn scheduling_gates(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let mut seen = HashSet::new();
    for (i, gate) in items(spec, "schedulingGates").iter().enumerate() {
        let (name, path) = (text(gate, "name"), format!("{path}.schedulingGates[{i}]"));
        refuse(errors, &path, name, names::qualified(name));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(path, name));
        }
    }
}

fn tolerations(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    const MATCH_ALL: &str =
        "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
    for (i, toleration) in items(spec, "tolerations").iter().enumerate() {
        let path = format!("{path}.tolerations[{i}]");
        let (key, operator, value, effect) = (
            text(toleration, "key"),
            text(toleration, "operator"),
            text(toleration, "value"),
            text(toleration, "effect"),
        );
        if key.is_empty() {
            if operator != "Exists" {
                errors.push(FieldError::invalid(format!("{path}.operator"), operator, MATCH_ALL));
            }
        } else {
            refuse(errors, &format!("{path}.key"), key, names::qualified(key));
        }
        if has(toleration, "tolerationSeconds") && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(format!("{path}.effect"), effect, detail));
        }
        match operator {
            "" | "Equal" => {
                let wrong = names::label_value(value).join(";");
                if !wrong.is_empty() {
                    errors.push(FieldError::invalid(format!("{path}.operator"), value, wrong));
                }
            }
            "Exists" if !value.is_empty() => {
                let detail = "value must be empty when `operator` is 'Exists'";
                errors.push(FieldError::invalid(format!("{path}.operator"), toleration.clone(), detail));
            }
            "Exists" => {}
            other => {
                errors.push(FieldError::not_supported(format!("{path}.operator"), other, &["Equal", "Exists"]));
            }
        }
        if !effect.is_empty() {
            effect_of(effect, &format!("{path}.effect"), errors);
        }
    }
}

/// The effect of a taint or toleration.
pub(crate) fn effect_of(effect: &str, path: &str, errors: &mut Vec<FieldError>) {
    let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    if !effects.contains(&effect) {
        errors.push(FieldError::not_supported(path, effect, &effects));
    }
}

fn affinity(affinity: &Value, path: &str, errors: &mut Vec<FieldError>) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let node = &affinity["nodeAffinity"];
    if has(node, REQUIRED) {
        let path = format!("{path}.nodeAffinity.{REQUIRED}.nodeSelectorTerms");
        let terms = items(&node[REQUIRED], "nodeSelectorTerms");
        if terms.is_empty() {
            errors.push(FieldError::required(&path, "must have at least one node selector term"));
        }
        for (i, term) in terms.iter().enumerate() {
            node_term(term, &format!("{path}[{i}]"), errors);
        }
    }
    for (i, preferred) in items(node, PREFERRED).iter().enumerate() {
        let path = format!("{path}.nodeAffinity.{PREFERRED}[{i}]");
        weight(preferred, &path, errors);
        node_term(&preferred["preference"], &format!("{path}.preference"), errors);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        for (i, term) in items(&affinity[kind], REQUIRED).iter().enumerate() {
            pod_term(term, &format!("{path}.{kind}.{REQUIRED}[{i}]"), errors);
        }
        for (i, preferred) in items(&affinity[kind], PREFERRED).iter().enumerate() {
            let path = format!("{path}.{kind}.{PREFERRED}[{i}]");
            weight(preferred, &path, errors);
            pod_term(&preferred["podAffinityTerm"], &format!("{path}.podAffinityTerm"), errors);
        }
    }
}

fn weight(preferred: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let weight = int(preferred, "weight").unwrap_or_default();
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(format!("{path}.weight"), weight, "must be in the range 1-100"));
    }
}

fn node_term(term: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (i, requirement) in items(term, "matchExpressions").iter().enumerate() {
        let path = format!("{path}.matchExpressions[{i}]");
        let (values, operator) = (items(requirement, "values"), text(requirement, "operator"));
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(format!("{path}.values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(format!("{path}.values"), detail));
            }
            "Gt" | "Lt" if values.len() != 1 => {
                let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.push(FieldError::required(format!("{path}.values"), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            _ => {
                let detail = "not a valid selector operator";
                errors.push(FieldError::invalid(format!("{path}.operator"), operator, detail));
            }
        }
        let key = text(requirement, "key");
        refuse(errors, &format!("{path}.key"), key, names::qualified(key));
    }
}

fn pod_term(term: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for selector in ["labelSelector", "namespaceSelector"] {
        metadata::selector(&term[selector], &format!("{path}.{selector}"), errors);
    }
    for (i, name) in items(term, "namespaces").iter().filter_map(Value::as_str).enumerate() {
        refuse(errors, &format!("{path}.namespaces[{i}]"), name, names::label(name));
    }
    let key = text(term, "topologyKey");
    if key.is_empty() {
        errors.push(FieldError::required(format!("{path}.topologyKey"), "can not be empty"));
    }
    refuse(errors, &format!("{path}.topologyKey"), key, names::qualified(key));
}

fn spread(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (i, constraint) in items(spec, "topologySpreadConstraints").iter().enumerate() {
        let path = format!("{path}.topologySpreadConstraints[{i}]");
        let skew = int(constraint, "maxSkew").unwrap_or_default();
        if skew <= 0 {
            errors.push(FieldError::invalid(format!("{path}.maxSkew"), skew, "must be greater than zero"));
        }
        let key = text(constraint, "topologyKey");
        if key.is_empty() {
            errors.push(FieldError::required(format!("{path}.topologyKey"), "can not be empty"));
        } else {
            refuse(errors, &format!("{path}.topologyKey"), key, names::qualified(key));
        }
        let action = text(constraint, "whenUnsatisfiable");
        let actions = ["DoNotSchedule", "ScheduleAnyway"];
        if !actions.contains(&action) {
            errors.push(FieldError::not_supported(format!("{path}.whenUnsatisfiable"), action, &actions));
        }
        metadata::selector(&constraint["labelSelector"], &format!("{path}.labelSelector"), errors);
    }
}

/// A template: its labels, annotations and spec. Ephemeral containers belong to running pods only.
pub(crate) fn validate_template(template: &Value, path: &str, errors: &mut Vec<FieldError>) {
    validate_template_metadata(template, path, errors);
    validate(&template["spec"], &format!("{path}.spec"), errors);
    if !items(&template["spec"], "ephemeralContainers").is_empty() {
        let detail = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(format!("{path}.spec.ephemeralContainers"), detail));
    }
}

/// What a template says of its Pods, but for their specification.
pub(crate) fn validate_template_metadata(template: &Value, path: &str, errors: &mut Vec<FieldError>) {
    labels(&template["metadata"], "labels", &format!("{path}.labels"), errors);
    metadata::annotations(&template["metadata"], &format!("{path}.annotations"), errors);
}
