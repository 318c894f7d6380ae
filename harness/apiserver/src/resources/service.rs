//! Services.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::metadata::{labels, refuse};
use super::names;
use super::pod::container::{choice, port as check_port};
use super::pod::defaults::default_text;
use super::print::{NONE, age, age_column, column, label_list, name, name_column, wide};
use super::value::{copy, each, has, int, items, object, remove, set, set_default, text};
use crate::field::FieldError;
use crate::resource::{NameRule, Rules};
use crate::table::Column;

const TYPE: &str = "type determines how the Service is exposed. Defaults to ClusterIP. Valid options are ExternalName, \
    ClusterIP, NodePort, and LoadBalancer. \"ClusterIP\" allocates a cluster-internal IP address for \
    load-balancing to endpoints. Endpoints are determined by the selector or if that is not specified, by manual \
    construction of an Endpoints object or EndpointSlice objects. If clusterIP is \"None\", no virtual IP is \
    allocated and the endpoints are published as a set of endpoints rather than a virtual IP. \"NodePort\" \
    builds on ClusterIP and allocates a port on every node which routes to the same endpoints as the clusterIP. \
    \"LoadBalancer\" builds on NodePort and creates an external load-balancer (if supported in the current \
    cloud) which routes to the same endpoints as the clusterIP. \"ExternalName\" aliases this service to the \
    specified externalName. Several other fields do not apply to ExternalName services. More info: \
    https://kubernetes.io/docs/concepts/services-networking/service/#publishing-services-service-types";
const CLUSTER_IP: &str = "clusterIP is the IP address of the service and is usually assigned randomly. If an address is specified \
    manually, is in-range (as per system configuration), and is not in use, it will be allocated to the service; \
    otherwise creation of the service will fail. This field may not be changed through updates unless the type \
    field is also being changed to ExternalName (which requires this field to be blank) or the type field is \
    being changed from ExternalName (in which case this field may optionally be specified, as describe \
    above).  Valid values are \"None\", empty string (\"\"), or a valid IP address. Setting this to \"None\" \
    makes a \"headless service\" (no virtual IP), which is useful when direct endpoint connections are preferred \
    and proxying is not required.  Only applies to types ClusterIP, NodePort, and LoadBalancer. If this field is \
    specified when creating a Service of type ExternalName, creation will fail. This field will be wiped when \
    updating a Service to type ExternalName. More info: \
    https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies";
const EXTERNAL_IP: &str = "externalIPs is a list of IP addresses for which nodes in the cluster will also accept traffic for \
    this service.  These IPs are not managed by Kubernetes.  The user is responsible for ensuring that traffic arrives \
    at a node with this IP.  A common example is external load-balancers that are not part of the Kubernetes system.";
const PORTS: &str = "The list of ports that are exposed by this service. More info: \
    https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies";
const SELECTOR: &str = "Route service traffic to pods with label keys and values matching this selector. If empty or not \
    present, the service is assumed to have an external process managing its endpoints, which Kubernetes will not \
    modify. Only applies to types ClusterIP, NodePort, and LoadBalancer. Ignored if type is ExternalName. More info: \
    https://kubernetes.io/docs/concepts/services-networking/service/";

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
/// Services get addresses of `10.96.0.0/12`, as kubeadm has it; the first hosts are left to the cluster's own.
const FIRST_ADDRESS: u32 = 0x0a60_0000;
const ADDRESSES: u32 = 1 << 20;
const RESERVED_ADDRESSES: u32 = 16;
/// Ports that nodes keep for services.
const NODE_PORTS: std::ops::Range<u32> = 30_000..32_768;

/// The rules of Services.
#[derive(Debug)]
pub(super) struct Service;

impl Rules for Service {
    fn default(&self, service: &mut Value) {
        let Some(spec) = object(service, "spec") else { return };
        default_text(spec, "sessionAffinity", "None");
        default_text(spec, "type", "ClusterIP");
        if text(spec, "sessionAffinity") == "ClientIP"
            && let Some(config) = object(spec, "sessionAffinityConfig")
            && let Some(client) = object(config, "clientIP")
        {
            set_default(client, "timeoutSeconds", 10_800);
        }
        for port in each(spec, "ports") {
            default_text(port, "protocol", "TCP");
            if matches!(&port["targetPort"], Value::Null) || port["targetPort"] == 0 || port["targetPort"] == "" {
                let number = port["port"].clone();
                set(port, "targetPort", number);
            }
        }
        let kind = text(spec, "type").to_owned();
        if kind != "ExternalName" {
            set_default(spec, "internalTrafficPolicy", "Cluster");
        }
        if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
            default_text(spec, "externalTrafficPolicy", "Cluster");
        }
        if kind == "LoadBalancer" {
            set_default(spec, "allocateLoadBalancerNodePorts", true);
        }
    }

    fn prepare_create(&self, service: &mut Value) {
        set(service, "status", json!({"loadBalancer": {}}));
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        copy(new, old, "status");
        let Some(spec) = object(new, "spec") else { return };
        if text(spec, "type") == "ExternalName" {
            return;
        }
        // What was given out and is not named again stays.
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"] {
            if !has(spec, field) && has(&old["spec"], field) {
                copy(spec, &old["spec"], field);
            }
        }
        if matches!(text(spec, "type"), "NodePort" | "LoadBalancer") {
            for port in each(spec, "ports") {
                let before = items(&old["spec"], "ports")
                    .iter()
                    .find(|o| o["port"] == port["port"] && o["protocol"] == port["protocol"]);
                if !has(port, "nodePort")
                    && let Some(before) = before
                {
                    copy(port, before, "nodePort");
                }
            }
        }
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        copy(new, old, "spec");
    }

    fn has_generation(&self) -> bool {
        false
    }

    fn needs_peers(&self) -> bool {
        true
    }

    fn allocate(&self, service: &mut Value, peers: &[&Value]) {
        let uid = text(&service["metadata"], "uid").to_owned();
        if let Some(spec) = object(service, "spec") {
            allocate(spec, peers, &uid);
        }
    }

    fn validate(&self, service: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        validate(&service["spec"], &mut errors);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        let (now, before) = (&new["spec"], &old["spec"]);
        let internal = |spec: &Value| text(spec, "type") != "ExternalName";
        let first =
            |spec: &Value| items(spec, "clusterIPs").first().and_then(Value::as_str).unwrap_or_default().to_owned();
        if internal(now) && internal(before) && !first(before).is_empty() && first(now) != first(before) {
            let value = now["clusterIPs"].clone();
            errors.push(FieldError::invalid("spec.clusterIPs[0]", value, "may not change once set"));
        }
        errors
    }

    fn name_rule(&self) -> NameRule {
        NameRule::Rfc1035Label
    }

    fn fields(&self) -> &'static [&'static str] {
        &["spec.clusterIP", "spec.type"]
    }

    fn field(&self, service: &Value, path: &str) -> Option<String> {
        let field = match path {
            "spec.clusterIP" => "clusterIP",
            "spec.type" => "type",
            _ => return None,
        };
        Some(text(&service["spec"], field).to_owned())
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            name_column(),
            column("Type", "string", TYPE),
            column("Cluster-IP", "string", CLUSTER_IP),
            column("External-IP", "string", EXTERNAL_IP),
            column("Port(s)", "string", PORTS),
            age_column(),
            wide("Selector", "string", SELECTOR),
        ]
    }

    fn row(&self, service: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &service["spec"];
        let address = items(spec, "clusterIPs").first().and_then(Value::as_str).unwrap_or(NONE);
        vec![
            name(service),
            text(spec, "type").into(),
            address.into(),
            external(service).into(),
            ports(spec).into(),
            age(service, now),
            label_list(spec, "selector").into(),
        ]
    }
}

/// The address stands in a list and, the first of them, beside it.
fn same_cluster_ips(spec: &mut Value) {
    let one = text(spec, "clusterIP").to_owned();
    let first = items(spec, "clusterIPs").first().and_then(Value::as_str).map(str::to_owned);
    match first {
        Some(first) if one.is_empty() => set(spec, "clusterIP", first),
        None if !one.is_empty() => set(spec, "clusterIPs", json!([one])),
        _ => {}
    }
}

/// Gives out what a service needs and nobody else has: an address, ports of the nodes.
fn allocate(spec: &mut Value, peers: &[&Value], uid: &str) {
    same_cluster_ips(spec);
    if text(spec, "type") == "ExternalName" {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            drop(remove(spec, field).filter(|v| !v.is_null()));
        }
        return;
    }
    let headless = text(spec, "clusterIP") == "None";
    let selects = has(spec, "selector");
    // A headless service without a selector is not served by the cluster: any family will do.
    let (policy, families) = if headless && !selects {
        ("RequireDualStack", json!(["IPv4", "IPv6"]))
    } else {
        ("SingleStack", json!(["IPv4"]))
    };
    set_default(spec, "ipFamilyPolicy", policy);
    set_default(spec, "ipFamilies", families);
    let seed = uid.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    if text(spec, "clusterIP").is_empty() {
        let taken: HashSet<&str> = peers.iter().map(|peer| text(&peer["spec"], "clusterIP")).collect();
        let usable = ADDRESSES - RESERVED_ADDRESSES - 1;
        let address = (0..usable)
            .map(|step| FIRST_ADDRESS + RESERVED_ADDRESSES + seed.wrapping_add(step) % usable)
            .map(|number| std::net::Ipv4Addr::from(number).to_string())
            .find(|address| !taken.contains(address.as_str()));
        if let Some(address) = address {
            set(spec, "clusterIP", address.clone());
            set(spec, "clusterIPs", json!([address]));
        }
    }
    let wants_ports = match text(spec, "type") {
        "NodePort" => true,
        "LoadBalancer" => spec["allocateLoadBalancerNodePorts"] != Value::Bool(false),
        _ => false,
    };
    if wants_ports {
        let taken = peers.iter().flat_map(|peer| items(&peer["spec"], "ports")).filter_map(|p| int(p, "nodePort"));
        let mut taken: HashSet<i64> = taken.collect();
        for port in each(spec, "ports") {
            if int(port, "nodePort").unwrap_or_default() != 0 {
                continue;
            }
            let count = NODE_PORTS.end - NODE_PORTS.start;
            let free = (0..count).map(|step| i64::from(NODE_PORTS.start + seed.wrapping_add(step) % count));
            if let Some(number) = free.into_iter().find(|number| !taken.contains(number)) {
                taken.insert(number);
                set(port, "nodePort", number);
            }
        }
    }
}

fn validate(spec: &Value, errors: &mut Vec<FieldError>) {
    let kind = text(spec, "type");
    let headless = text(spec, "clusterIP") == "None";
    let list = items(spec, "ports");
    if list.is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    choice(spec, "type", &TYPES, "spec", errors);
    choice(spec, "sessionAffinity", &["ClientIP", "None"], "spec", errors);
    if kind == "LoadBalancer" && headless {
        let detail = "may not be set to 'None' for LoadBalancer services";
        errors.push(FieldError::invalid("spec.clusterIPs[0]", "None", detail));
    }
    if kind == "ExternalName" {
        let target = text(spec, "externalName").trim_end_matches('.');
        if target.is_empty() {
            errors.push(FieldError::required("spec.externalName", ""));
        } else {
            refuse(errors, "spec.externalName", target, names::subdomain(target));
        }
    }
    labels(spec, "selector", "spec.selector", errors);
    let (mut seen_names, mut seen_ports) = (HashSet::new(), HashSet::new());
    for (i, port) in list.iter().enumerate() {
        let path = format!("spec.ports[{i}]");
        let own = text(port, "name");
        if own.is_empty() {
            if list.len() > 1 {
                errors.push(FieldError::required(format!("{path}.name"), ""));
            }
        } else {
            refuse(errors, &format!("{path}.name"), own, names::label(own));
            if !seen_names.insert(own) {
                errors.push(FieldError::duplicate(format!("{path}.name"), own));
            }
        }
        check_port(&port["port"], &format!("{path}.port"), errors);
        choice(port, "protocol", &["SCTP", "TCP", "UDP"], &path, errors);
        check_port(&port["targetPort"], &format!("{path}.targetPort"), errors);
        if kind == "ClusterIP" && int(port, "nodePort").is_some_and(|n| n != 0) {
            let detail = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(format!("{path}.nodePort"), detail));
        }
        if !seen_ports.insert((text(port, "protocol"), int(port, "port"))) {
            let value = json!({"protocol": port["protocol"].clone(), "port": port["port"].clone()});
            errors.push(FieldError::duplicate(&path, value));
        }
    }
    for (i, ip) in items(spec, "externalIPs").iter().filter_map(Value::as_str).enumerate() {
        refuse(errors, &format!("spec.externalIPs[{i}]"), ip, names::ip(ip));
    }
}

fn external(service: &Value) -> String {
    let spec = &service["spec"];
    let own: Vec<&str> = items(spec, "externalIPs").iter().filter_map(Value::as_str).collect();
    let balancers = items(&service["status"]["loadBalancer"], "ingress").iter().map(|i| match text(i, "ip") {
        "" => text(i, "hostname"),
        ip => ip,
    });
    match text(spec, "type") {
        "ExternalName" => text(spec, "externalName").to_owned(),
        "LoadBalancer" => {
            let all: Vec<&str> = balancers.chain(own).collect();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        _ if own.is_empty() => NONE.to_owned(),
        _ => own.join(","),
    }
}

fn ports(spec: &Value) -> String {
    let shown = items(spec, "ports").iter().map(|port| {
        let (number, protocol) = (int(port, "port").unwrap_or_default(), text(port, "protocol"));
        match int(port, "nodePort").filter(|n| *n != 0) {
            Some(node) => format!("{number}:{node}/{protocol}"),
            None => format!("{number}/{protocol}"),
        }
    });
    let shown = shown.collect::<Vec<_>>().join(",");
    if shown.is_empty() { NONE.to_owned() } else { shown }
}
