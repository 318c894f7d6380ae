//! Whole kinds at work: what they default to, what they refuse and in which words, and what no input may do to them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Registry, normalise};
use crate::field::FieldError;
use crate::resource::SharedResource;
use crate::schema;
use crate::schema::node::{SchemaRef, Type};

fn resource(group: &str, version: &str, plural: &str) -> SharedResource {
    Registry::builtin().find(group, version, plural).unwrap()
}

/// As the server fills in a decoded object.
fn filled(resource: &SharedResource, mut object: Value) -> Value {
    schema::default::apply(&mut object, &resource.schema);
    resource.rules.default(&mut object);
    normalise(resource, &mut object);
    object
}

/// As the server prepares a new object.
fn created(resource: &SharedResource, object: Value) -> Value {
    let mut object = filled(resource, object);
    resource.rules.prepare_create(&mut object);
    filled(resource, object)
}

fn words(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// Puts fields into an object, over those it has.
fn over(object: &mut Value, fields: &Value) {
    for (name, value) in fields.as_object().unwrap() {
        object[name] = value.clone();
    }
}

fn pod(spec: &Value) -> Value {
    let mut pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": [{"name": "a", "image": "i:1"}]}});
    over(&mut pod["spec"], spec);
    pod
}

#[test]
fn a_bad_pod_is_refused_in_kubernetes_words() {
    let pods = resource("", "v1", "pods");
    let container = |fields: Value| {
        let mut container = json!({"name": "a", "image": "i:1"});
        over(&mut container, &fields);
        json!({"containers": [container]})
    };
    let cases = [
        (json!({}), vec![]),
        (json!({"containers": []}), vec!["spec.containers: Required value"]),
        (container(json!({"image": ""})), vec!["spec.containers[0].image: Required value"]),
        (
            container(json!({"ports": [{"containerPort": 0}, {"containerPort": 80, "name": "a--b"}]})),
            vec![
                "spec.containers[0].ports[0].containerPort: Required value",
                "spec.containers[0].ports[1].name: Invalid value: \"a--b\": must not contain consecutive hyphens",
            ],
        ),
        (
            container(
                json!({"env": [{"name": "A=B"}, {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "spec.bogus"}}}]}),
            ),
            vec![
                "spec.containers[0].env[0].name: Invalid value: \"A=B\": a valid environment variable name must consist only of printable ASCII characters other than '='",
                "spec.containers[0].env[1].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.bogus\": error converting fieldPath: field label not supported: spec.bogus",
            ],
        ),
        (
            container(json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]})),
            vec![
                "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
                "spec.containers[0].volumeMounts[1].name: Not found: \"v\"",
                "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique",
            ],
        ),
        (
            container(json!({"resources": {"requests": {"cpu": "2", "nope": "1"}, "limits": {"cpu": "1"}}})),
            vec![
                "spec.containers[0].resources.requests[nope]: Invalid value: \"nope\": must be a standard resource type or fully qualified",
                "spec.containers[0].resources.requests[nope]: Invalid value: \"nope\": must be a standard resource for containers",
                "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            ],
        ),
        (
            container(json!({"livenessProbe": {"successThreshold": 2}})),
            vec![
                "spec.containers[0].livenessProbe: Required value: must specify a handler type",
                "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
            ],
        ),
        (
            json!({"tolerations": [{"operator": "Equal"}, {"key": "k", "effect": "Nope"}]}),
            vec![
                "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
                "spec.tolerations[1].effect: Unsupported value: \"Nope\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
            ],
        ),
        (
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}, {"name": "v", "secret": {}, "configMap": {"name": "c"}}]}),
            vec![
                "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
                "spec.volumes[1].secret: Forbidden: may not specify more than 1 volume type",
                "spec.volumes[1].name: Duplicate value: \"v\"",
            ],
        ),
        (
            json!({"activeDeadlineSeconds": 0}),
            vec!["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
        ),
        (
            json!({"dnsPolicy": "None"}),
            vec!["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
    ];
    for (spec, wanted) in cases {
        let pod = created(&pods, pod(&spec));
        assert_eq!(words(&pods.rules.validate(&pod)), wanted, "{spec}");
    }
}

#[test]
fn a_pod_gets_the_defaults_of_a_real_server() {
    let pods = resource("", "v1", "pods");
    let rich = created(
        &pods,
        pod(&json!({
            "serviceAccount": "sa", "hostNetwork": true,
            "volumes": [{"name": "c", "configMap": {"name": "c"}}, {"name": "e"}, {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
            "containers": [{"name": "a", "image": "reg:5000/i", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "0.1", "memory": "1.5Gi"}}}],
        })),
    );
    let spec = &rich["spec"];
    assert_eq!(spec["serviceAccountName"], "sa");
    assert_eq!(spec["containers"][0]["imagePullPolicy"], "Always");
    assert_eq!(spec["containers"][0]["ports"][0], json!({"containerPort": 80, "hostPort": 80, "protocol": "TCP"}));
    assert_eq!(spec["containers"][0]["resources"]["requests"], json!({"cpu": "100m", "memory": "1536Mi"}));
    assert_eq!(spec["volumes"][0]["configMap"]["defaultMode"], 420);
    assert_eq!(spec["volumes"][1]["emptyDir"], json!({}));
    assert_eq!(spec["volumes"][2]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3600);
    assert_eq!(rich["status"], json!({"phase": "Pending", "qosClass": "Guaranteed"}));
}

#[test]
fn a_pod_that_exists_changes_its_images_and_little_else() {
    let pods = resource("", "v1", "pods");
    let old =
        created(&pods, pod(&json!({"activeDeadlineSeconds": 9, "tolerations": [{"key": "k", "operator": "Exists"}]})));
    let change = |change: &dyn Fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new["spec"]);
        words(&pods.rules.validate_update(&new, &old))
    };
    assert_eq!(change(&|spec| spec["containers"][0]["image"] = json!("j:2")), Vec::<String>::new());
    assert_eq!(change(&|spec| spec["activeDeadlineSeconds"] = json!(5)), Vec::<String>::new());
    assert_eq!(
        change(&|spec| spec["activeDeadlineSeconds"] = json!(10)),
        ["spec.activeDeadlineSeconds: Invalid value: 10: must be less than or equal to previous value"]
    );
    assert_eq!(
        change(&|spec| spec["tolerations"] = json!([])),
        ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]
    );
    let refused = change(&|spec| spec["hostname"] = json!("h"));
    assert!(refused[0].ends_with("- \"Hostname\": \"\",\n+ \"Hostname\": \"h\",\n  \"Subdomain\": \"\",\n  \"SetHostnameAsFQDN\": null,\n  \"Affinity\": null,\n"), "{refused:?}");
}

#[test]
fn a_pod_is_deleted_with_the_grace_it_can_use() {
    let pods = resource("", "v1", "pods");
    let running =
        json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Running"}});
    let unscheduled = json!({"spec": {"terminationGracePeriodSeconds": 30}});
    let done =
        json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Succeeded"}});
    let cases = [
        (&running, None, 30),
        (&running, Some(5), 5),
        (&running, Some(0), 0),
        (&running, Some(-1), 1),
        (&unscheduled, None, 0),
        (&done, Some(9), 0),
    ];
    for (pod, requested, wanted) in cases {
        assert_eq!(pods.rules.grace_seconds(pod, requested), Some(wanted), "{pod} {requested:?}");
    }
}

#[test]
fn a_terminated_container_is_not_revived_by_its_kubelet() {
    let pods = resource("", "v1", "pods");
    let status = |policy: &str, state: Value| json!({"spec": {"restartPolicy": policy}, "status": {"containerStatuses": [{"name": "a", "state": state}]}});
    let ended = |code: i64| json!({"terminated": {"exitCode": code}});
    let cases =
        [("Never", 0, true), ("Never", 1, true), ("OnFailure", 0, true), ("OnFailure", 1, false), ("Always", 0, false)];
    for (policy, code, refused) in cases {
        let (old, new) = (status(policy, ended(code)), status(policy, json!({"running": {}})));
        let errors = words(&pods.rules.validate_status_update(&new, &old));
        assert_eq!(!errors.is_empty(), refused, "{policy} {code}: {errors:?}");
    }
}

#[test]
fn a_job_selects_its_own_pods_and_keeps_its_template() {
    let jobs = resource("batch", "v1", "jobs");
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i:1"}]}});
    let old = created(
        &jobs,
        json!({"metadata": {"name": "j", "namespace": "n", "uid": "u"}, "spec": {"template": template}}),
    );
    assert_eq!(old["spec"]["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}));
    assert_eq!(old["metadata"]["labels"]["job-name"], "j");
    assert_eq!(old["status"], json!({}));
    assert_eq!(words(&jobs.rules.validate(&old)), Vec::<String>::new());
    let change = |path: &str, value: Value| {
        let mut new = old.clone();
        *new.pointer_mut(path).unwrap() = value;
        words(&jobs.rules.validate_update(&new, &old))
    };
    assert_eq!(change("/spec/parallelism", json!(3)), Vec::<String>::new());
    assert_eq!(change("/spec/suspend", json!(true)), Vec::<String>::new());
    assert_eq!(change("/spec/completions", json!(3)), ["spec.completions: Invalid value: 3: field is immutable"]);
    let refused = change("/spec/template/spec/containers/0/image", json!("i:2"));
    assert!(
        refused[0]
            .starts_with("spec.template: Invalid value: {\"labels\":{\"batch.kubernetes.io/controller-uid\":\"u\""),
        "{refused:?}"
    );
    assert!(refused[0].ends_with("}}: field is immutable"), "{refused:?}");
    let foreign = json!({"metadata": {"name": "k", "namespace": "n", "uid": "v"}, "spec": {"template": old["spec"]["template"].clone()}});
    let errors = words(&jobs.rules.validate(&created(&jobs, foreign)));
    assert!(
        errors.iter().any(|e| e.starts_with("spec.template.metadata.labels[controller-uid]: Invalid value:")),
        "{errors:?}"
    );
}

#[test]
fn a_finished_job_agrees_with_itself() {
    let jobs = resource("batch", "v1", "jobs");
    let started = json!({"startTime": "2026-01-01T00:00:00Z", "active": 1});
    let is = |kind: &str| json!({"type": kind, "status": "True"});
    let done = json!({"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:09Z", "succeeded": 1, "conditions": [is("SuccessCriteriaMet"), is("Complete")]});
    let change = |old: &Value, new: &Value| {
        let job = |status: &Value| json!({"spec": {"completions": 1, "parallelism": 1}, "status": status});
        words(&jobs.rules.validate_status_update(&job(new), &job(old)))
    };
    assert_eq!(change(&started, &done), Vec::<String>::new());
    assert_eq!(
        change(&done, &started),
        [
            "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
            "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
            "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter",
        ]
    );
    let failed = json!({"startTime": "2026-01-01T00:00:00Z", "failed": 1, "conditions": [is("Failed")]});
    assert_eq!(
        change(&started, &failed),
        ["status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition"]
    );
}

#[test]
fn configuration_marked_immutable_stays() {
    for (plural, field, value) in [("configmaps", "data", json!({"k": "w"})), ("secrets", "data", json!({"k": "dw=="}))]
    {
        let kind = resource("", "v1", plural);
        let old = created(
            &kind,
            json!({"metadata": {"name": "a", "namespace": "n"}, "immutable": true, "data": {"k": "dg=="}}),
        );
        let mut new = old.clone();
        new[field] = value;
        let detail = "Forbidden: field is immutable when `immutable` is set";
        assert_eq!(words(&kind.rules.validate_update(&new, &old)), [format!("data: {detail}")]);
        new = old.clone();
        new["immutable"] = json!(false);
        assert_eq!(words(&kind.rules.validate_update(&new, &old)), [format!("immutable: {detail}")]);
    }
}

#[test]
fn string_data_becomes_data_and_is_not_kept() {
    let secrets = resource("", "v1", "secrets");
    let secret = created(
        &secrets,
        json!({"metadata": {"name": "s"}, "data": {"a": "eA==", "b": "eQ=="}, "stringData": {"a": "z"}}),
    );
    assert_eq!(
        (&secret["data"], &secret["stringData"], &secret["type"]),
        (&json!({"a": "eg==", "b": "eQ=="}), &Value::Null, &json!("Opaque"))
    );
}

#[test]
fn a_binding_keeps_its_role() {
    let bindings = resource("rbac.authorization.k8s.io", "v1", "rolebindings");
    let binding = |role: &str| {
        let reference = json!({"kind": "Role", "name": role});
        created(
            &bindings,
            json!({"metadata": {"name": "b", "namespace": "n"}, "roleRef": reference, "subjects": [{"kind": "User", "name": "u"}]}),
        )
    };
    let (old, new) = (binding("r"), binding("s"));
    assert_eq!(words(&bindings.rules.validate(&old)), Vec::<String>::new());
    let refused = words(&bindings.rules.validate_update(&new, &old));
    assert!(refused[0].ends_with(": cannot change roleRef"), "{refused:?}");
}

#[test]
fn services_share_no_address_and_no_node_port() {
    let services = resource("", "v1", "services");
    let service = |uid: &str| {
        created(
            &services,
            json!({"metadata": {"name": "s", "namespace": "n", "uid": uid}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}),
        )
    };
    let mut all: Vec<Value> = Vec::new();
    for _ in 0..50 {
        // The same uid each time, so that every one of them tries the same address first.
        let mut next = service("u");
        services.rules.allocate(&mut next, &all.iter().collect::<Vec<_>>());
        all.push(next);
    }
    let mut seen = std::collections::HashSet::new();
    for service in &all {
        let spec = &service["spec"];
        let address: std::net::Ipv4Addr = spec["clusterIP"].as_str().unwrap().parse().unwrap();
        assert_eq!((address.octets()[0], address.octets()[1] & 0xf0), (10, 96));
        assert!(seen.insert(address.to_string()) && seen.insert(spec["ports"][0]["nodePort"].to_string()));
        assert_eq!((&spec["clusterIPs"][0], &spec["ipFamilyPolicy"]), (&spec["clusterIP"], &json!("SingleStack")));
    }
}

#[test]
fn an_event_written_through_one_group_reads_in_the_words_of_the_other() {
    let (core, new) = (resource("", "v1", "events"), resource("events.k8s.io", "v1", "events"));
    let about = json!({"kind": "Pod", "name": "p", "namespace": "n"});
    let mut event = json!({"regarding": about, "note": "hello", "reason": "Why", "reportingController": "e.com/c"});
    let original = event.clone();
    core.rules.convert(&mut event);
    assert_eq!(
        event,
        json!({"involvedObject": about, "message": "hello", "reason": "Why", "reportingComponent": "e.com/c"})
    );
    for resource in [&core, &new] {
        for event in [&event, &original] {
            assert_eq!(resource.rules.field(event, "involvedObject.name").as_deref(), Some("p"));
        }
    }
    new.rules.convert(&mut event);
    assert_eq!(event, original);
}

#[test]
fn kinds_are_selected_by_their_own_fields() {
    for resource in Registry::builtin().table().all() {
        for field in resource.rules.fields() {
            assert!(resource.rules.field(&json!({}), field).is_some(), "{} {field}", resource.plural);
        }
        assert!(resource.rules.field(&json!({}), "spec.bogus").is_none(), "{}", resource.plural);
    }
    let pods = resource("", "v1", "pods");
    let pod = json!({"spec": {"nodeName": "n"}, "status": {"podIP": "10.0.0.1"}});
    assert_eq!(pods.rules.field(&pod, "spec.nodeName").as_deref(), Some("n"));
    assert_eq!(pods.rules.field(&pod, "spec.hostNetwork").as_deref(), Some("false"));
}

#[test]
fn every_row_has_a_cell_for_each_column() {
    for resource in Registry::builtin().table().all() {
        let object = created(resource, json!({"metadata": {"name": "a"}, "spec": {}}));
        let (columns, row) = (resource.rules.columns(), resource.rules.row(&object, jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(columns.len(), row.len(), "{}", resource.plural);
    }
}

/// Random enough to wander through a schema.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        let at = self.roll(u64::try_from(all.len()).unwrap());
        all[usize::try_from(at).unwrap()].clone()
    }
}

const TEXTS: [&str; 15] = [
    "",
    "a",
    "Always",
    "Never",
    "/",
    "..",
    "a.b/c",
    "1Gi",
    "-5m",
    "25%",
    "2026-01-01T00:00:00Z",
    "ClusterIP",
    "Ω",
    "Indexed",
    "None",
];

/// Some JSON under a schema: mostly of the right types, now and then of any type at all.
fn arbitrary(schema: &SchemaRef, dice: &mut Dice, depth: u32) -> Value {
    if dice.roll(24) == 0 {
        let any =
            [json!(null), json!([]), json!({}), json!("x"), json!(-1), json!(1.5), json!(true), json!([[{}], null])];
        return dice.one_of(&any);
    }
    if depth == 0 {
        return Value::Null;
    }
    let schema = match schema {
        SchemaRef::Inline(schema) => schema,
        SchemaRef::Builtin(name) => schema::builtin::definition(name),
    };
    if let Some(items) = &schema.items {
        return (0..dice.roll(3)).map(|_| arbitrary(items, dice, depth - 1)).collect();
    }
    if !schema.properties.is_empty() {
        let mut object = serde_json::Map::new();
        for (name, property) in &schema.properties {
            let always = matches!(name.as_str(), "metadata" | "spec" | "status" | "template" | "containers");
            if always || dice.roll(3) == 0 {
                object.insert(name.clone(), arbitrary(property, dice, depth - 1));
            }
        }
        return object.into();
    }
    if let Some(values) = &schema.additional {
        let key = dice.one_of(&TEXTS);
        return json!({key: arbitrary(values, dice, depth - 1)});
    }
    match schema.ty {
        Type::Integer | Type::Number => dice.one_of(&[-1, 0, 1, 80, 99_999, i64::MIN, i64::MAX]).into(),
        Type::Boolean => (dice.roll(2) == 0).into(),
        _ => dice.one_of(&TEXTS).into(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn no_object_makes_a_kind_panic_and_filling_in_twice_changes_nothing(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        for resource in Registry::builtin().table().all() {
            let object = arbitrary(&resource.schema, &mut dice, 12);
            let other = arbitrary(&resource.schema, &mut dice, 12);
            if !object.is_object() || !other.is_object() {
                continue;
            }
            let (object, other) = (created(resource, object), created(resource, other));
            prop_assert_eq!(&filled(resource, object.clone()), &object, "{}", resource.plural);
            drop(resource.rules.validate(&object));
            drop(resource.rules.validate_update(&object, &other));
            drop(resource.rules.validate_status_update(&object, &other));
            drop(super::metadata::validate(resource, &object));
            drop(super::metadata::validate_update(resource, &object, &other));
            let mut next = object.clone();
            resource.rules.prepare_update(&mut next, &other);
            resource.rules.prepare_status_update(&mut next, &other);
            resource.rules.allocate(&mut next, &[&other]);
            prop_assert_eq!(resource.rules.row(&object, jiff::Timestamp::UNIX_EPOCH).len(), resource.rules.columns().len());
            let _ = resource.rules.grace_seconds(&object, None);
        }
    }
}
