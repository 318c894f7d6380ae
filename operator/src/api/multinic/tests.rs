//! Schema and CEL rules of the CRD against the same decision in Rust, over specs as they come from the field.

use std::fmt::Write;
use std::sync::LazyLock;

use kube_cel::{CompiledSchema, ErrorKind, Validator, compile_schema, estimate_rule_cost};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::*;

/// The schema of the whole object, as the API server gets it.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let crd = crate::api::definition::<MultiNicNodeConfig>();
    let schema = crd.spec.versions[0].schema.clone().unwrap().open_api_v3_schema.unwrap();
    serde_json::to_value(schema).unwrap()
});

static RULES: LazyLock<CompiledSchema> = LazyLock::new(|| compile_schema(&SCHEMA));

/// What the API server would say to this object: the schema first, and the rules where the schema is content.
fn refusals(object: &Value, old: Option<&Value>) -> Vec<String> {
    let mut refused = Vec::new();
    structural(&SCHEMA, object, "", &mut refused);
    if !refused.is_empty() {
        return refused;
    }
    match Validator::new().validate_compiled(&RULES, object, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .iter()
            .map(|error| {
                assert_eq!(error.kind, ErrorKind::ValidationFailure, "a rule broke down: {error} ({})", error.rule);
                error.to_string()
            })
            .collect(),
    }
}

/// The parts of structural validation that this schema uses.
fn structural(schema: &Value, value: &Value, path: &str, refused: &mut Vec<String>) {
    let mut check = |ok: bool, what: &str| {
        if !ok {
            refused.push(format!("{path}: {what}"));
        }
    };
    let bound = |key: &str| schema[key].as_f64();
    let count = |count: usize| f64::from(u32::try_from(count).unwrap());
    match value {
        Value::String(text) => {
            let chars = count(text.chars().count());
            check(bound("maxLength").is_none_or(|max| chars <= max), "maxLength");
            check(bound("minLength").is_none_or(|min| chars >= min), "minLength");
            let pattern = schema["pattern"].as_str().map(|pattern| regex::Regex::new(pattern).unwrap());
            check(pattern.is_none_or(|pattern| pattern.is_match(text)), "pattern");
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap();
            check(bound("maximum").is_none_or(|max| number <= max), "maximum");
            check(bound("minimum").is_none_or(|min| number >= min), "minimum");
        }
        Value::Array(items) => {
            let count = count(items.len());
            check(bound("maxItems").is_none_or(|max| count <= max), "maxItems");
            check(bound("minItems").is_none_or(|min| count >= min), "minItems");
            for (index, item) in items.iter().enumerate() {
                structural(&schema["items"], item, &format!("{path}[{index}]"), refused);
            }
        }
        Value::Object(fields) => {
            for required in schema["required"].as_array().into_iter().flatten() {
                let present = fields.contains_key(required.as_str().unwrap());
                check(present, &format!("required {required}"));
            }
            for (name, field) in fields {
                structural(&schema["properties"][name], field, &format!("{path}.{name}"), refused);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn object(name: &str, spec: &MultiNicNodeConfigSpec) -> Value {
    json!({
        "apiVersion": "multinic.io/v1alpha1",
        "kind": "MultiNicNodeConfig",
        "metadata": { "name": name },
        "spec": spec,
    })
}

fn macs() -> impl Strategy<Value = String> {
    prop_oneof![
        // Cards as clouds hand them out, each in several spellings.
        8 => (0u8..12, select(vec!["fa:16:3e", "FA:16:3E", "52:54:00", "02:00:0a"])).prop_map(|(last, vendor)| format!("{vendor}:00:00:{last:02x}")),
        1 => (0u8..12).prop_map(|last| format!("Fa:16:3E:00:00:{last:02X}")),
        1 => any::<[u8; 6]>().prop_map(|octets| octets.map(|octet| format!("{octet:02x}")).join(":")),
        1 => select(vec![
            "", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01", "fa-16-3e-00-00-01",
            "fa163e000001", "fa16.3e00.0001", "fa:16:3e:00:00", "fa:16:3e:00:00:01:02", "fa:16:3e:00:00:0g", " fa:16:3e:00:00:01",
            "fa:16:3e:00:00:1", "80:00:02:08:fe:80:00:00:00:00:00:00:fa:16:3e:00:00:00:00:01",
        ])
        .prop_map(str::to_owned),
    ]
}

/// Addresses with their networks: at home, at every edge, outside, and none at all.
fn addressing() -> impl Strategy<Value = (Option<String>, Option<String>)> {
    let v4 = (0u8..4, any::<u8>(), 8u8..=32).prop_map(|(third, last, prefix)| {
        (Some(format!("11.11.{third}.{last}")), Some(format!("11.11.{third}.{}/{prefix}", last & 0xfc)))
    });
    let v4_edge = (any::<u32>(), 0u8..=32, -1i64..=1, any::<bool>()).prop_map(|(ip, prefix, step, top)| {
        let net = ipnet::Ipv4Net::new(ip.into(), prefix).unwrap();
        let edge: u32 = if top { net.broadcast().into() } else { net.network().into() };
        let address = std::net::Ipv4Addr::from(edge.wrapping_add(u32::try_from(step & 0xffff_ffff).unwrap()));
        (Some(address.to_string()), Some(format!("{}/{prefix}", net.network())))
    });
    let v6 = (0u8..4, 0u16..4, 48u8..=128).prop_map(|(net, host, prefix)| {
        (Some(format!("2001:db8:0:{net}::{host:x}")), Some(format!("2001:db8:0:{net}::/{prefix}")))
    });
    let text = || {
        select(vec![
            "11.11.11.33",
            "11.11.11.033",
            "11.11.11.256",
            "11.11.11",
            "11.11.11.33/24",
            "0.0.0.0",
            "127.0.0.1",
            "224.0.0.1",
            "239.1.2.3",
            "169.254.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "0.0.0.1",
            "::",
            "::1",
            "fe80::1",
            "fe80::1%eth0",
            "ff02::1",
            "fd00::5",
            "2001:DB8::5",
            "2001:db8:0:0:0:0:0:5",
            "::ffff:11.11.11.33",
            "::11.11.11.33",
            "localhost",
            "",
            " 11.11.11.33",
            "1.1.1.1.1",
        ])
        .prop_map(str::to_owned)
    };
    let nets = || {
        select(vec![
            "11.11.11.0/24",
            "11.11.11.33/24",
            "11.11.11.0/024",
            "11.11.11.0/+24",
            "11.11.11.0/33",
            "11.11.11.0",
            "/24",
            "11.11.11.0/",
            "0.0.0.0/0",
            "::/0",
            "0.0.0.0/1",
            "2001:db8::/64",
            "fd00::/8",
            "fd00::/129",
            "::ffff:11.11.11.0/120",
            "11.11.11.0/24/8",
            "eth0",
            "",
            "127.0.0.0/8",
            "fe80::/10",
            "11.11.11.0/-1",
            "240.0.0.0/4",
        ])
        .prop_map(str::to_owned)
    };
    prop_oneof![
        6 => v4,
        3 => v6,
        2 => v4_edge,
        2 => Just((None, None)),
        2 => (text(), nets()).prop_map(|(address, cidr)| (Some(address), Some(cidr))),
        1 => (option::of(text()), option::of(nets())),
    ]
}

fn interfaces() -> impl Strategy<Value = InterfaceSpec> {
    let ids = prop_oneof![20 => 0..=9, 1 => select(vec![-1, 10, i32::MAX, i32::MIN])];
    let names = prop_oneof![
        6 => Just(None),
        2 => (0..=9).prop_map(|number| Some(format!("multinic{number}"))),
        1 => select(vec!["multinic10", "multinic", "Multinic1", "eth0", "", "multinic1 ", "multinic٣"]).prop_map(|name| Some(name.to_owned())),
    ];
    let mtus = prop_oneof![
        4 => Just(None),
        4 => select(vec![1280, 1400, 1450, 1500, 9000]).prop_map(Some),
        1 => select(vec![i32::MIN, -1, 0, 67, 68, 69, 1279, 1280, 1281, 8999, 9000, 9001, 65536, i32::MAX]).prop_map(Some),
    ];
    let port_ids = option::weighted(0.1, "[a-z0-9-]{0,36}");
    (ids, macs(), port_ids, names, addressing(), mtus).prop_map(
        |(id, mac_address, port_id, name, (address, cidr), mtu)| InterfaceSpec {
            id,
            mac_address,
            port_id,
            name,
            address,
            cidr,
            mtu,
        },
    )
}

fn specs() -> impl Strategy<Value = (String, MultiNicNodeConfigSpec)> {
    let nodes = select(vec!["worker-1", "worker-1.example.com", "n", ""]);
    let instances = option::of(select(vec!["b4975c7c-4b8a-4e8c-9f3e-0123456789ab", "i-0abc", ""]));
    let lists = prop_oneof![
        6 => prop::collection::vec(interfaces(), 1..=3),
        1 => prop::collection::vec(interfaces(), 0..=12),
    ];
    (nodes, any::<prop::sample::Index>(), instances, lists).prop_map(|(node, other, instance_id, interfaces)| {
        // One in ten is named as another node.
        let name = if other.index(10) == 0 { "other" } else { node };
        let spec = MultiNicNodeConfigSpec {
            node_name: node.to_owned(),
            instance_id: instance_id.map(str::to_owned),
            interfaces,
        };
        (name.to_owned(), spec)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_api_server_accepts_exactly_what_the_agent_can_carry_out((name, spec) in specs()) {
        let refused = refusals(&object(&name, &spec), None);
        let verdict = validate(&name, &spec);
        prop_assert_eq!(refused.is_empty(), verdict.is_ok(), "API server: {:?}\nwe: {:?}", refused, verdict);
    }
}

#[test]
fn the_property_sees_enough_specs_of_both_kinds() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let accepted = (0..1000)
        .map(|_| specs().new_tree(&mut runner).unwrap().current())
        .filter(|(name, spec)| validate(name, spec).is_ok())
        .count();
    assert!((100..=900).contains(&accepted), "{accepted} of 1000 are accepted");
}

fn one(interface: &Value) -> Value {
    json!({
        "apiVersion": "multinic.io/v1alpha1", "kind": "MultiNicNodeConfig", "metadata": { "name": "n" },
        "spec": { "nodeName": "n", "interfaces": [interface] },
    })
}

#[test]
fn one_mistake_makes_one_message_that_names_it() {
    let with = |more: Value| {
        let mut interface = json!({ "id": 1, "macAddress": "fa:16:3e:00:00:01" });
        interface.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        one(&interface)
    };
    for (object, words) in [
        (with(json!({ "address": "11.11.11.33" })), "given together"),
        (with(json!({ "cidr": "11.11.11.0/24" })), "given together"),
        (with(json!({ "address": "11.11.12.33", "cidr": "11.11.11.0/24" })), "inside cidr"),
        (with(json!({ "address": "11.11.11.0", "cidr": "11.11.11.0/24" })), "network's own"),
        (with(json!({ "address": "11.11.11.255", "cidr": "11.11.11.0/24" })), "broadcast"),
        (with(json!({ "address": "11.11.11", "cidr": "11.11.11.0/24" })), "unicast address"),
        (with(json!({ "address": "11.11.11.33", "cidr": "11.11.11.0" })), "cidr must be"),
        (with(json!({ "address": "fd00::5", "cidr": "fd00::/64", "mtu": 1279 })), "1280"),
        (with(json!({ "macAddress": "00:00:00:00:00:00" })), "network card"),
        (with(json!({ "macAddress": "01:00:5e:00:00:01" })), "pattern"),
        (with(json!({ "id": 10 })), "maximum"),
        (with(json!({ "mtu": 67 })), "minimum"),
        (with(json!({ "name": "eth0" })), "pattern"),
    ] {
        let refused = refusals(&object, None);
        assert_eq!(refused.len(), 1, "{object}: {refused:?}");
        assert!(refused[0].contains(words), "{object}: {refused:?}");
    }
}

#[test]
fn the_node_of_a_configuration_cannot_be_changed() {
    let old = one(&json!({ "id": 1, "macAddress": "fa:16:3e:00:00:01" }));
    let mut new = old.clone();
    new["spec"]["interfaces"][0]["mtu"] = json!(1400);
    assert_eq!(refusals(&new, Some(&old)), Vec::<String>::new());
    new["spec"]["nodeName"] = json!("m");
    new["metadata"]["name"] = json!("m");
    let refused = refusals(&new, Some(&old));
    assert!(refused.iter().any(|refusal| refusal.contains("cannot be changed")), "{refused:?}");
}

#[test]
fn the_rules_are_cheap_enough_for_a_real_api_server() {
    let mut warnings = String::new();
    assert!(!RULES.has_errors(), "{:?}", RULES.compilation_errors());
    visit(&SCHEMA, &mut |schema| {
        let compiled = compile_schema(schema);
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let rule = rule["rule"].as_str().unwrap();
            for warning in estimate_rule_cost(rule, &compiled) {
                writeln!(warnings, "{rule}: {warning:?}").unwrap();
            }
        }
    });
    assert_eq!(warnings, "");
}

fn visit(schema: &Value, look: &mut impl FnMut(&Value)) {
    look(schema);
    schema["properties"]
        .as_object()
        .into_iter()
        .flat_map(|fields| fields.values())
        .for_each(|field| visit(field, look));
    if schema["items"].is_object() {
        visit(&schema["items"], look);
    }
}

#[test]
fn every_violation_is_reported_not_only_the_first() {
    let mac = |last: u8| format!("fa:16:3e:00:00:{last:02x}");
    let spec = MultiNicNodeConfigSpec {
        node_name: "n".to_owned(),
        interfaces: vec![
            InterfaceSpec {
                id: 1,
                mac_address: mac(1),
                name: Some("multinic2".to_owned()),
                ..InterfaceSpec::default()
            },
            InterfaceSpec { id: 2, mac_address: mac(1).to_uppercase(), ..InterfaceSpec::default() },
            InterfaceSpec { id: 12, mac_address: mac(3), ..InterfaceSpec::default() },
        ],
        ..MultiNicNodeConfigSpec::default()
    };
    let said: Vec<String> = validate("m", &spec).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            r#"metadata.name "m" is not spec.nodeName "n""#,
            "interface 12: id 12 is not from 0 to 9",
            "interfaces 1 and 2 have the same MAC address",
            "interfaces 1 and 2 have the same name",
        ]
    );
}
