use proptest::prelude::*;

use super::*;
use crate::decode::{FieldValidation, Media, media, object};
use crate::resource::Resource;
use crate::resources::Registry;

/// What kubectl 1.36 sent for `create namespace demo`.
const NAMESPACE: &str = "6b3873000a0f0a02763112094e616d657370616365121c0a140a0464656d6f12001a0022002a003200380042001200\
                         1a020a001a002200";
/// For `create configmap x --from-literal=a=b`.
const CONFIG_MAP: &str = "6b3873000a0f0a0276311209436f6e6669674d6170121f0a150a017812001a0464656d6f22002a00320038004200\
                          12060a01611201621a002200";
/// For `create job j --image=busybox -- echo hi`.
const JOB: &str = "6b3873000a0f0a0862617463682f763112034a6f621286010a150a016a12001a0464656d6f22002a003200380042001263\
                   32610a100a0012001a0022002a00320038004200124d122a0a016a120762757379626f781a046563686f1a0268692a0042\
                   006a007200800100880100900100a201001a054e65766572320042004a0052005800600068008201008a01009a0100c201\
                   001a082000280030003a001a002200";
/// For `create deployment d --image=nginx --replicas=0`.
const DEPLOYMENT: &str = "6b3873000a150a07617070732f7631120a4465706c6f796d656e7412a7010a1f0a016412001a0464656d6f22002a\
                          003200380042005a080a0361707012016412760800120a0a080a036170701201641a5e0a1a0a0012001a0022002a\
                          003200380042005a080a03617070120164124012220a056e67696e7812056e67696e782a0042006a007200800100\
                          880100900100a201001a00320042004a0052005800600068008201008a01009a0100c2010022020a00280038001a\
                          0c0800100018002000280038001a002200";

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) * 16 + digit(pair[1])).collect()
}

fn resource(group: &str, version: &str, plural: &str) -> Resource {
    Resource::clone(&Registry::builtin().find(group, version, plural).unwrap())
}

/// A number in its field.
fn int(number: u64, value: u64) -> Vec<u8> {
    let mut written = Vec::new();
    for mut value in [number << 3, value] {
        while value > 0x7f {
            written.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        written.push(value.to_le_bytes()[0]);
    }
    written
}

/// Bytes, a string, or fields of a message in their field.
fn field(number: u64, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut written = int(number, content.len() as u64);
    // The same number as a field's tag, but of another type.
    written[0] |= 2;
    written.extend(content);
    written
}

fn body(version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    [MAGIC, &field(1, [field(1, version), field(2, kind)].concat()), &field(2, message)].concat()
}

#[test]
fn kubectl_makes_the_same_object_in_protobuf_as_in_json() {
    let namespace = json!({"metadata": {"name": "demo"}, "spec": {}, "status": {}});
    let config_map = json!({"metadata": {"name": "x", "namespace": "demo"}, "data": {"a": "b"}});
    let job = json!({"metadata": {"name": "j", "namespace": "demo"}, "spec": {"template": {"metadata": {}, "spec": {
        "containers": [{"name": "j", "image": "busybox", "command": ["echo", "hi"], "resources": {}}],
        "restartPolicy": "Never",
    }}}, "status": {}});
    let deployment = json!({"metadata": {"name": "d", "namespace": "demo", "labels": {"app": "d"}}, "spec": {
        "replicas": 0, "selector": {"matchLabels": {"app": "d"}}, "strategy": {},
        "template": {"metadata": {"labels": {"app": "d"}}, "spec": {
            "containers": [{"name": "nginx", "image": "nginx", "resources": {}}],
        }},
    }, "status": {}});
    let cases = [
        (NAMESPACE, resource("", "v1", "namespaces"), namespace),
        (CONFIG_MAP, resource("", "v1", "configmaps"), config_map),
        (JOB, resource("batch", "v1", "jobs"), job),
        (DEPLOYMENT, resource("apps", "v1", "deployments"), deployment),
    ];
    for (hex, resource, json) in cases {
        let read = |body: &[u8], media| {
            object(body, media, &resource, FieldValidation::Strict, &mut Vec::new()).unwrap_or_else(|e| {
                assert_eq!(e.message, "", "{}", resource.kind);
                Value::Null
            })
        };
        let wanted = read(json.to_string().as_bytes(), Media::Json);
        assert_eq!(read(&bytes(hex), Media::Protobuf), wanted, "{}", resource.kind);
        assert_eq!(wanted["spec"], json["spec"], "{}", resource.kind);
        assert_eq!(wanted["data"], json["data"], "{}", resource.kind);
    }
}

#[test]
fn a_pod_keeps_its_times_quantities_ports_and_volumes() {
    let port = [int(1, 1), field(3, "http")].concat();
    let probe = field(1, field(2, [field(1, "/ready"), field(2, port), field(4, "")].concat()));
    let limits = field(1, [field(1, "memory"), field(2, field(1, "64Mi"))].concat());
    let container = [field(1, "c"), field(2, ""), field(8, limits), field(10, [probe, int(2, 5)].concat()), int(16, 0)];
    let secret = field(2, field(6, [field(1, "s"), int(3, 0o400)].concat()));
    let empty_dir = field(2, field(2, field(1, "")));
    let spec = [
        field(1, [field(1, "certs"), secret].concat()),
        field(1, [field(1, "tmp"), empty_dir].concat()),
        field(2, container.concat()),
        int(4, 0),
        field(7, [field(1, "disk"), field(2, "ssd")].concat()),
    ];
    // A deletion time of 2026-01-01T00:00:00.5Z, of which the API keeps whole seconds; no creation time.
    let deleted = field(9, [int(1, 1_767_225_600), int(2, 500_000_000)].concat());
    let message = [field(1, [field(1, "p"), field(8, ""), deleted].concat()), field(2, spec.concat()), field(3, "")];
    let pod = decode(&body("v1", "Pod", &message.concat()), None).unwrap();
    let wanted = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "containers": [{
                "name": "c",
                "resources": {"limits": {"memory": "64Mi"}},
                "livenessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "initialDelaySeconds": 5},
            }],
            "nodeSelector": {"disk": "ssd"},
            "terminationGracePeriodSeconds": 0,
            "volumes": [
                {"name": "certs", "secret": {"secretName": "s", "defaultMode": 256}},
                {"name": "tmp", "emptyDir": {}},
            ],
        },
        "status": {},
    });
    assert_eq!(pod, wanted);
}

#[test]
fn values_have_the_form_that_json_gives_them() {
    let schema = |fields: &[u8]| {
        body("apiextensions.k8s.io/v1", "CustomResourceDefinition", &{
            let version = [field(1, "v1"), int(2, 1), int(3, 0), field(4, field(1, fields))].concat();
            field(2, field(7, version))
        })
    };
    let properties = |value: Vec<u8>| field(29, [field(1, "p"), field(2, value)].concat());
    let number = |number: u64, value: f64| {
        [int(number, 0)[..1].iter().map(|b| b | 1).collect(), value.to_le_bytes().to_vec()].concat()
    };
    let of = |fields: Vec<u8>| {
        decode(&schema(&fields), None).map(|v| v["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
    };
    let cases = [
        (field(5, ""), json!({})),
        (field(5, "object"), json!({"type": "object"})),
        ([field(5, "object"), field(5, "")].concat(), json!({})),
        (
            properties([field(5, "integer"), int(14, 0)].concat()),
            json!({"properties": {"p": {"type": "integer", "minLength": 0}}}),
        ),
        (field(8, field(1, "{\"a\":[1]}")), json!({"default": {"a": [1]}})),
        (number(9, 5.0), json!({"maximum": 5})),
        (number(9, -0.5), json!({"maximum": -0.5})),
        (field(24, field(1, field(5, "string"))), json!({"items": {"type": "string"}})),
        (field(24, [field(2, field(5, "string")), field(2, "")].concat()), json!({"items": [{"type": "string"}, {}]})),
        (field(30, int(1, 1)), json!({"additionalProperties": true})),
        (
            field(30, [int(1, 0), field(2, field(5, "string"))].concat()),
            json!({"additionalProperties": {"type": "string"}}),
        ),
        // What is not listed is passed over.
        ([field(5, "object"), int(900, 7), field(901, "x")].concat(), json!({"type": "object"})),
        // A message that comes twice goes on where it was.
        (
            [field(28, field(5, "string")), field(28, field(6, "byte"))].concat(),
            json!({"not": {"type": "string", "format": "byte"}}),
        ),
    ];
    for (fields, wanted) in cases {
        assert_eq!(of(fields).unwrap(), wanted);
    }

    let secret = body("v1", "Secret", &field(2, [field(1, "p"), field(2, [0xff, 0])].concat()));
    assert_eq!(decode(&secret, None).unwrap()["data"], json!({"p": "/wA="}));
    let config = body("v1", "ConfigMap", &field(2, field(1, "k")));
    assert_eq!(decode(&config, None).unwrap()["data"], json!({"k": ""}));
    let lease = field(2, field(4, [int(1, 1), int(2, 1_234_567)].concat()));
    let lease = decode(&body("coordination.k8s.io/v1", "Lease", &lease), None).unwrap();
    assert_eq!(lease["spec"]["renewTime"], "1970-01-01T00:00:01.001234Z");
    let extra = field(2, field(5, [field(1, "scopes"), field(2, [field(1, "a"), field(1, "b")].concat())].concat()));
    let review = body("authorization.k8s.io/v1", "SubjectAccessReview", &extra);
    assert_eq!(decode(&review, None).unwrap()["spec"]["extra"], json!({"scopes": ["a", "b"]}));
    let options = body("policy/v1", "DeleteOptions", &[int(1, 0), field(4, "Background")].concat());
    let wanted = json!({"apiVersion": "policy/v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "propagationPolicy": "Background"});
    assert_eq!(decode(&options, None).unwrap(), wanted);
}

#[test]
fn numbers_may_be_packed_together() {
    let gids = |content: &[u8]| {
        let context = field(14, content);
        decode(&body("v1", "Pod", &field(2, context)), None).unwrap()["spec"]["securityContext"].clone()
    };
    assert_eq!(gids(&[int(4, 1), int(4, 300)].concat()), json!({"supplementalGroups": [1, 300]}));
    assert_eq!(gids(&field(4, [1, 0xac, 0x02])), json!({"supplementalGroups": [1, 300]}));
}

#[test]
fn a_body_that_is_no_built_in_object_is_refused_with_the_reason() {
    let nested = (0..200).fold(Vec::new(), |inner, _| field(28, inner));
    let deep =
        body("apiextensions.k8s.io/v1", "CustomResourceDefinition", &field(2, field(7, field(4, field(1, nested)))));
    let cases = [
        (b"{}".to_vec(), "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"),
        (MAGIC.to_vec(), "Object 'Kind' is missing in the protobuf envelope"),
        (
            body("example.com/v1", "Widget", &[]),
            "no kind \"Widget\" is registered for version \"example.com/v1\" in protobuf",
        ),
        (body("v1", "Pod", &[0x0a, 5]), "proto: unexpected end of the message"),
        (
            body("v1", "Pod", &int(1, 1)),
            "proto: wrong wire type for a field of type apimachinery.pkg.apis.meta.v1.ObjectMeta",
        ),
        (body("v1", "Pod", &field(1, field(8, int(1, u64::MAX / 2)))), "proto: time out of range"),
        (
            body("apps/v1", "ControllerRevision", &field(2, field(1, "{"))),
            "raw JSON in a protobuf message: EOF while parsing an object at line 1 column 1",
        ),
        (deep, "proto: exceeded max depth"),
    ];
    for (body, why) in cases {
        assert_eq!(decode(&body, None).unwrap_err().to_string(), why);
    }
    // The caller may know better.
    let nameless = [MAGIC, &field(2, field(2, [field(1, "k"), field(2, "v")].concat()))].concat();
    let wanted = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v"}});
    assert_eq!(decode(&nameless, Some(("v1", "ConfigMap"))).unwrap(), wanted);
}

#[test]
fn a_body_is_protobuf_when_its_content_type_says_so() {
    for (content_type, wanted) in [
        ("application/vnd.kubernetes.protobuf", Some(Media::Protobuf)),
        ("application/vnd.kubernetes.protobuf; charset=utf-8", Some(Media::Protobuf)),
        ("application/cbor", None),
    ] {
        let headers = [(http::header::CONTENT_TYPE, content_type.parse().unwrap())].into_iter().collect();
        assert_eq!(media(&headers).ok(), wanted, "{content_type}");
    }
}

#[test]
fn custom_resources_have_no_protobuf() {
    let custom = Resource { definition: Some("widgets.example.com".to_owned()), ..resource("", "v1", "configmaps") };
    let error = object(&bytes(CONFIG_MAP), Media::Protobuf, &custom, FieldValidation::Strict, &mut Vec::new());
    assert_eq!(error.unwrap_err().code, http::StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[test]
fn every_message_is_listed_under_the_names_of_its_schema() {
    for (name, message) in MESSAGES.iter() {
        let schema = builtin::document(&format!("io.k8s.{name}"));
        let properties = schema.as_ref().and_then(|s| s["properties"].as_object());
        for field in &message.fields {
            if let Kind::Message(below) = field.kind {
                assert!(MESSAGES.contains_key(below), "{name}.{} is of {below}, which is not listed", field.name);
            }
            if let Some(properties) = properties.filter(|_| !field.name.is_empty()) {
                assert!(properties.contains_key(field.name), "{name} has no {}", field.name);
            }
        }
    }
    let unlisted = |name: &&str| !MESSAGES.contains_key(name.strip_prefix("io.k8s.").unwrap_or_default());
    let mut unlisted: Vec<_> = builtin::names().filter(unlisted).filter_map(|name| name.rsplit('.').next()).collect();
    unlisted.sort_unstable();
    let values = ["FieldsV1", "IntOrString", "JSON", "MicroTime", "Quantity", "RawExtension", "Time"];
    unlisted.retain(|name| !values.contains(name));
    // What is left is the aggregator's, which is not read in protobuf.
    let aggregated = ["APIService", "APIServiceCondition", "APIServiceList", "APIServiceSpec", "APIServiceStatus"];
    assert_eq!(unlisted, [&aggregated[..], &["ServiceReference"]].concat());
}

proptest! {
    #[test]
    fn no_bytes_bring_the_server_down(
        message in proptest::collection::vec(any::<u8>(), 0..200),
        kind in 0_usize..5,
    ) {
        let kinds = [
            ("v1", "Pod"), ("v1", "Secret"), ("apps/v1", "Deployment"), ("coordination.k8s.io/v1", "Lease"),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ];
        let (version, kind) = kinds[kind];
        let _ = decode(&message, Some((version, kind)));
        if let Ok(object) = decode(&body(version, kind, &message), None) {
            prop_assert_eq!(&object["kind"], kind);
        }
    }

    #[test]
    fn no_damage_to_a_body_brings_the_server_down(
        at in any::<proptest::sample::Index>(),
        damage in any::<u8>(),
        end in any::<proptest::sample::Index>(),
    ) {
        for hex in [NAMESPACE, CONFIG_MAP, JOB, DEPLOYMENT] {
            let mut body = bytes(hex);
            let at = at.index(body.len());
            body[at] = damage;
            let resource = resource("batch", "v1", "jobs");
            let _ = object(&body, Media::Protobuf, &resource, FieldValidation::Strict, &mut Vec::new());
            body.truncate(end.index(body.len()));
            let _ = decode(&body, Some(("batch/v1", "Job")));
        }
    }
}
