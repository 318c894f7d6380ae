//! What is wrong with a container.

use std::collections::HashSet;

use serde_json::Value;

use crate::field::{FieldError, Kind};
use crate::resources::metadata::{NOT_NEGATIVE, refuse};
use crate::resources::names;
use crate::resources::quantity::Quantity;
use crate::resources::value::{entries, flag, has, int, items, keys, text};

/// Downward API fields of an environment variable.
const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Downward API resources.
const RESOURCE_FIELDS: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const HANDLERS: [&str; 5] = ["exec", "grpc", "httpGet", "sleep", "tcpSocket"];
const MAX_INT32: i64 = 2_147_483_647;

/// Where a container stands; init containers that never restart have no probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Main,
    Init,
    Ephemeral,
}

/// What the checks of one container need to know of its pod.
pub(crate) struct Context<'a> {
    pub(crate) volumes: &'a HashSet<&'a str>,
    pub(crate) host_network: bool,
}

/// Checks one container but for the uniqueness of its name.
pub(crate) fn validate(container: &Value, role: Role, context: &Context<'_>, path: &str, errors: &mut Vec<FieldError>) {
    let name = text(container, "name");
    if name.is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    } else {
        refuse(errors, &format!("{path}.name"), name, names::label(name));
    }
    let image = text(container, "image");
    if image.is_empty() {
        errors.push(FieldError::required(format!("{path}.image"), ""));
    } else if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(format!("{path}.image"), image, detail));
    }
    choice(container, "terminationMessagePolicy", &["FallbackToLogsOnError", "File"], path, errors);
    choice(container, "imagePullPolicy", &["Always", "IfNotPresent", "Never"], path, errors);
    ports(container, context.host_network, path, errors);
    environment(container, path, errors);
    mounts(container, context.volumes, path, errors);
    resources(&container["resources"], &format!("{path}.resources"), errors);
    security(&container["securityContext"], &format!("{path}.securityContext"), errors);
    restart_policy(container, role, path, errors);
    resize(container, path, errors);
    let restarted = role == Role::Main || text(container, "restartPolicy") == "Always";
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let path = format!("{path}.{field}");
        if !has(container, field) {
        } else if role == Role::Ephemeral {
            errors.push(FieldError::forbidden(path, "cannot be set for an Ephemeral Container"));
        } else if !restarted {
            errors.push(FieldError::forbidden(path, "may not be set for init containers without restartPolicy=Always"));
        } else {
            probe(&container[field], field != "readinessProbe", &path, errors);
        }
    }
    if has(container, "lifecycle") {
        if restarted {
            for hook in ["postStart", "preStop"] {
                if has(&container["lifecycle"], hook) {
                    handler(&container["lifecycle"][hook], &format!("{path}.lifecycle.{hook}"), errors);
                }
            }
        } else {
            let detail = "may not be set for init containers without restartPolicy=Always";
            errors.push(FieldError::forbidden(format!("{path}.lifecycle"), detail));
        }
    }
}

/// A field that must be one of a few words.
pub(crate) fn choice(object: &Value, field: &str, words: &[&str], path: &str, errors: &mut Vec<FieldError>) {
    let value = text(object, field);
    if value.is_empty() {
        errors.push(FieldError::required(format!("{path}.{field}"), ""));
    } else if !words.contains(&value) {
        errors.push(FieldError::not_supported(format!("{path}.{field}"), value, words));
    }
}

fn restart_policy(container: &Value, role: Role, path: &str, errors: &mut Vec<FieldError>) {
    let path = format!("{path}.restartPolicy");
    match (text(container, "restartPolicy"), role) {
        ("", _) | ("Always" | "Never" | "OnFailure", Role::Main | Role::Init) => {}
        (_, Role::Ephemeral) => errors.push(FieldError::forbidden(path, "cannot be set for an Ephemeral Container")),
        (other, _) => errors.push(FieldError::not_supported(path, other, &["Always", "Never", "OnFailure"])),
    }
}

fn resize(container: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (i, policy) in items(container, "resizePolicy").iter().enumerate() {
        let path = format!("{path}.resizePolicy[{i}]");
        choice(policy, "resourceName", &["cpu", "memory"], &path, errors);
        choice(policy, "restartPolicy", &["NotRequired", "RestartContainer"], &path, errors);
    }
}

fn ports(container: &Value, host_network: bool, path: &str, errors: &mut Vec<FieldError>) {
    let mut seen = HashSet::new();
    for (i, port) in items(container, "ports").iter().enumerate() {
        let path = format!("{path}.ports[{i}]");
        let name = text(port, "name");
        if !name.is_empty() {
            let wrong = names::port_name(name);
            if wrong.is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(format!("{path}.name"), name));
            }
            refuse(errors, &format!("{path}.name"), name, wrong);
        }
        let number = int(port, "containerPort").unwrap_or_default();
        if number == 0 {
            errors.push(FieldError::required(format!("{path}.containerPort"), ""));
        } else {
            number_of_port(number, &format!("{path}.containerPort"), errors);
        }
        let host = int(port, "hostPort").unwrap_or_default();
        if host != 0 {
            number_of_port(host, &format!("{path}.hostPort"), errors);
        }
        if host_network && host != number {
            let detail = "must match `hostPort` when `hostNetwork` is true";
            errors.push(FieldError::invalid(format!("{path}.containerPort"), number, detail));
        }
        choice(port, "protocol", &["SCTP", "TCP", "UDP"], &path, errors);
        let ip = text(port, "hostIP");
        if !ip.is_empty() {
            refuse(errors, &format!("{path}.hostIP"), ip, names::ip(ip));
        }
    }
}

fn number_of_port(number: i64, path: &str, errors: &mut Vec<FieldError>) {
    errors.extend(names::port_number(number).into_iter().map(|detail| FieldError::invalid(path, number, detail)));
}

/// Ports of the host that two containers claim.
pub(crate) fn host_port_conflicts(spec: &Value, list: &str, path: &str, errors: &mut Vec<FieldError>) {
    let mut seen = HashSet::new();
    for (i, container) in items(spec, list).iter().enumerate() {
        for (j, port) in items(container, "ports").iter().enumerate() {
            let number = int(port, "hostPort").unwrap_or_default();
            if number == 0 {
                continue;
            }
            let claim = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
            if !seen.insert(claim.clone()) {
                errors.push(FieldError::duplicate(format!("{path}.{list}[{i}].ports[{j}].hostPort"), claim));
            }
        }
    }
}

fn environment(container: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (i, variable) in items(container, "env").iter().enumerate() {
        let path = format!("{path}.env[{i}]");
        let name = text(variable, "name");
        if name.is_empty() {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        } else {
            refuse(errors, &format!("{path}.name"), name, names::env_name(name));
        }
        if has(variable, "valueFrom") {
            let from = format!("{path}.valueFrom");
            value_from(&variable["valueFrom"], !text(variable, "value").is_empty(), &from, errors);
        }
    }
    for (i, source) in items(container, "envFrom").iter().enumerate() {
        let path = format!("{path}.envFrom[{i}]");
        let prefix = text(source, "prefix");
        if !prefix.is_empty() {
            refuse(errors, &format!("{path}.prefix"), prefix, names::env_name(prefix));
        }
        let refs: Vec<&str> = ["configMapRef", "secretRef"].into_iter().filter(|r| has(source, r)).collect();
        for reference in &refs {
            if text(&source[*reference], "name").is_empty() {
                errors.push(FieldError::required(format!("{path}.{reference}.name"), ""));
            }
        }
        if refs.is_empty() {
            errors.push(FieldError::invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"));
        } else if refs.len() > 1 {
            errors.push(FieldError::invalid(path, "", "may not have more than one field specified at a time"));
        }
    }
}

fn value_from(source: &Value, has_value: bool, path: &str, errors: &mut Vec<FieldError>) {
    let sources = keys(source);
    if sources.contains(&"fieldRef") {
        field_ref(&source["fieldRef"], &ENV_FIELDS, &format!("{path}.fieldRef"), errors);
    }
    if sources.contains(&"resourceFieldRef") {
        resource_ref(&source["resourceFieldRef"], false, &format!("{path}.resourceFieldRef"), errors);
    }
    for reference in ["configMapKeyRef", "secretKeyRef"] {
        if sources.contains(&reference) {
            let (name, key) = (text(&source[reference], "name"), text(&source[reference], "key"));
            if name.is_empty() {
                errors.push(FieldError::required(format!("{path}.{reference}.name"), ""));
            }
            if key.is_empty() {
                errors.push(FieldError::required(format!("{path}.{reference}.key"), ""));
            } else {
                refuse(errors, &format!("{path}.{reference}.key"), key, names::config_key(key));
            }
        }
    }
    if sources.is_empty() {
        let detail =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.push(FieldError::invalid(path, "", detail));
    } else if has_value {
        errors.push(FieldError::invalid(path, "", "may not be specified when `value` is not empty"));
    } else if sources.len() > 1 {
        errors.push(FieldError::invalid(path, "", "may not have more than one field specified at a time"));
    }
}

/// A `fieldRef` that may name one of `fields`, a label or an annotation.
pub(crate) fn field_ref(reference: &Value, fields: &[&str], path: &str, errors: &mut Vec<FieldError>) {
    const KNOWN: [&str; 6] = [
        "metadata.annotations",
        "metadata.labels",
        "spec.restartPolicy",
        "spec.schedulerName",
        "status.phase",
        "spec.host",
    ];
    let (version, field) = (text(reference, "apiVersion"), text(reference, "fieldPath"));
    if version.is_empty() {
        errors.push(FieldError::required(format!("{path}.apiVersion"), ""));
        return;
    }
    let path = format!("{path}.fieldPath");
    if field.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if let Some((map, key)) = subscript(field) {
        match map {
            "metadata.annotations" => refuse(errors, &path, key, names::qualified(&key.to_lowercase())),
            "metadata.labels" => refuse(errors, &path, key, names::qualified(key)),
            _ => errors.push(FieldError::invalid(path, map, "does not support subscript")),
        }
    } else if !fields.contains(&field) {
        if KNOWN.contains(&field) || ENV_FIELDS.contains(&field) {
            errors.push(FieldError::not_supported(path, field, fields));
        } else {
            let detail = format!("error converting fieldPath: field label not supported: {field}");
            errors.push(FieldError::invalid(path, field, detail));
        }
    }
}

/// `metadata.labels['key']` in its parts.
fn subscript(field: &str) -> Option<(&str, &str)> {
    let (map, key) = field.strip_suffix("']")?.split_once("['")?;
    (!map.is_empty()).then_some((map, key))
}

/// A `resourceFieldRef`; in a volume it must say of which container.
pub(crate) fn resource_ref(reference: &Value, in_volume: bool, path: &str, errors: &mut Vec<FieldError>) {
    let resource = text(reference, "resource");
    if in_volume && text(reference, "containerName").is_empty() {
        errors.push(FieldError::required(format!("{path}.containerName"), ""));
    } else if resource.is_empty() {
        errors.push(FieldError::required(format!("{path}.resource"), ""));
    } else if !RESOURCE_FIELDS.contains(&resource) && !resource.contains("hugepages-") {
        errors.push(FieldError::not_supported(format!("{path}.resource"), resource, &RESOURCE_FIELDS));
    }
}

fn mounts(container: &Value, volumes: &HashSet<&str>, path: &str, errors: &mut Vec<FieldError>) {
    let mut seen = HashSet::new();
    for (i, mount) in items(container, "volumeMounts").iter().enumerate() {
        let path = format!("{path}.volumeMounts[{i}]");
        let (name, at) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        }
        if at.is_empty() {
            errors.push(FieldError::required(format!("{path}.mountPath"), ""));
        }
        if !name.is_empty() && !volumes.contains(name) {
            errors.push(FieldError::new(Kind::NotFound, format!("{path}.name"), name, ""));
        }
        if !seen.insert(at) {
            errors.push(FieldError::invalid(format!("{path}.mountPath"), at, "must be unique"));
        }
        for field in ["subPath", "subPathExpr"] {
            descending_path(text(mount, field), &format!("{path}.{field}"), errors);
        }
        if !text(mount, "subPath").is_empty() && !text(mount, "subPathExpr").is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(format!("{path}.subPathExpr"), text(mount, "subPathExpr"), detail));
        }
        if has(mount, "mountPropagation") {
            choice(mount, "mountPropagation", &["Bidirectional", "HostToContainer", "None"], &path, errors);
        }
    }
}

/// A path that may not lead out of its directory.
pub(crate) fn descending_path(value: &str, path: &str, errors: &mut Vec<FieldError>) {
    if value.starts_with('/') {
        errors.push(FieldError::invalid(path, value, "must be a relative path"));
    }
    no_steps_back(value, path, errors);
}

/// A path without `..`.
pub(crate) fn no_steps_back(value: &str, path: &str, errors: &mut Vec<FieldError>) {
    if value.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, value, "must not contain '..'"));
    }
}

/// Limits and requests.
pub(crate) fn resources(resources: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for list in ["limits", "requests"] {
        for (name, amount) in entries(resources, list) {
            let path = format!("{path}.{list}[{name}]");
            resource_name(name, &path, errors);
            if let Some(quantity) = Quantity::from_json(amount) {
                amount_of(name, &quantity, &path, errors);
            }
        }
    }
    for (name, request) in entries(resources, "requests") {
        let (Some(request), Some(limit)) =
            (Quantity::from_json(request), Quantity::from_json(&resources["limits"][name.as_str()]))
        else {
            continue;
        };
        let path = format!("{path}.requests");
        if !overcommittable(name) && request != limit {
            let detail = format!("must be equal to {name} limit of {limit}");
            errors.push(FieldError::invalid(path, request.to_string(), detail));
        } else if request > limit {
            let detail = format!("must be less than or equal to {name} limit of {limit}");
            errors.push(FieldError::invalid(path, request.to_string(), detail));
        }
    }
}

fn amount_of(name: &str, quantity: &Quantity, path: &str, errors: &mut Vec<FieldError>) {
    if quantity.is_negative() {
        errors.push(FieldError::invalid(path, quantity.to_string(), NOT_NEGATIVE));
    }
    if !overcommittable(name) && !quantity.is_whole() {
        errors.push(FieldError::invalid(path, quantity.to_string(), "must be an integer"));
    }
}

/// Only Kubernetes' own resources may be promised more than once.
fn overcommittable(name: &str) -> bool {
    !name.contains("hugepages-")
        && (!name.contains('/') || name.split('/').next().is_some_and(|d| d.ends_with("kubernetes.io")))
}

fn resource_name(name: &str, path: &str, errors: &mut Vec<FieldError>) {
    let wrong = names::qualified(name);
    if !wrong.is_empty() {
        refuse(errors, path, name, wrong);
    } else if !name.contains('/') {
        let standard = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
        if !standard {
            errors.push(FieldError::invalid(path, name, "must be a standard resource type or fully qualified"));
            errors.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
        }
    }
}

fn security(context: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for field in ["runAsUser", "runAsGroup"] {
        if let Some(id) = int(context, field) {
            let wrong = names::in_range(id, 0, MAX_INT32);
            errors.extend(wrong.into_iter().map(|detail| FieldError::invalid(format!("{path}.{field}"), id, detail)));
        }
    }
    if has(context, "procMount") {
        choice(context, "procMount", &["Default", "Unmasked"], path, errors);
    }
    if context["allowPrivilegeEscalation"] == Value::Bool(false) {
        if flag(context, "privileged") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(path, context.clone(), detail));
        }
        if items(&context["capabilities"], "add").iter().any(|c| c == "CAP_SYS_ADMIN") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(path, context.clone(), detail));
        }
    }
}

fn probe(probe: &Value, once: bool, path: &str, errors: &mut Vec<FieldError>) {
    handler(probe, path, errors);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        if let Some(number) = int(probe, field).filter(|n| *n < 0) {
            errors.push(FieldError::invalid(format!("{path}.{field}"), number, NOT_NEGATIVE));
        }
    }
    if let Some(seconds) = int(probe, "terminationGracePeriodSeconds").filter(|s| *s <= 0) {
        let path = format!("{path}.terminationGracePeriodSeconds");
        errors.push(FieldError::invalid(path, seconds, "must be greater than 0"));
    }
    if once && let Some(number) = int(probe, "successThreshold").filter(|n| *n != 1) {
        errors.push(FieldError::invalid(format!("{path}.successThreshold"), number, "must be 1"));
    }
}

fn handler(handler: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let kinds: Vec<&str> = HANDLERS.into_iter().filter(|kind| has(handler, kind)).collect();
    for (i, kind) in kinds.iter().enumerate() {
        let (action, path) = (&handler[*kind], format!("{path}.{kind}"));
        if i > 0 {
            errors.push(FieldError::forbidden(path, "may not specify more than 1 handler type"));
            continue;
        }
        match *kind {
            "exec" if items(action, "command").is_empty() => {
                errors.push(FieldError::required(format!("{path}.command"), ""));
            }
            "httpGet" => {
                if text(action, "path").is_empty() {
                    errors.push(FieldError::required(format!("{path}.path"), ""));
                }
                port(&action["port"], &format!("{path}.port"), errors);
                choice(action, "scheme", &["HTTP", "HTTPS"], &path, errors);
                for header in items(action, "httpHeaders") {
                    let name = text(header, "name");
                    refuse(errors, &format!("{path}.httpHeaders"), name, names::http_header(name));
                }
            }
            "tcpSocket" | "grpc" => port(&action["port"], &format!("{path}.port"), errors),
            _ => {}
        }
    }
    if kinds.is_empty() {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

/// A port by number or by name.
pub(crate) fn port(port: &Value, path: &str, errors: &mut Vec<FieldError>) {
    match port {
        Value::String(name) => refuse(errors, path, name, names::port_name(name)),
        _ => number_of_port(port.as_i64().unwrap_or_default(), path, errors),
    }
}
