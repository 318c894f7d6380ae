//! Patches against objects, as tables.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{PatchKind, apply, problems};
use crate::schema::builtin;
use crate::schema::node::SchemaRef;

fn pod() -> SchemaRef {
    builtin::for_kind("", "v1", "Pod").expect("pod")
}

fn patched(kind: PatchKind, live: &Value, patch: &Value) -> Value {
    apply(kind, live, patch.to_string().as_bytes(), &pod()).expect("applies")
}

fn refused(kind: PatchKind, live: &Value, patch: &str) -> (u16, String) {
    let error = apply(kind, live, patch.as_bytes(), &pod()).expect_err(patch);
    (error.code.as_u16(), error.message)
}

#[test]
fn json_patch_does_what_kubernetes_does() {
    let live = json!({"data": {"y": "2", "z": "3"}, "list": [1, 2], "a~b": {"c/d": 1}});
    let table = [
        (
            json!([{"op": "test", "path": "/data/y", "value": "2"}, {"op": "replace", "path": "/data/y", "value": "9"}]),
            "/data/y",
            json!("9"),
        ),
        (json!([{"op": "copy", "from": "/data/y", "path": "/data/w"}]), "/data/w", json!("2")),
        (json!([{"op": "move", "from": "/data/z", "path": "/data/v"}]), "/data", json!({"y": "2", "v": "3"})),
        (json!([{"op": "add", "path": "/list/-", "value": 3}]), "/list", json!([1, 2, 3])),
        (json!([{"op": "add", "path": "/list/1", "value": 3}]), "/list", json!([1, 3, 2])),
        (json!([{"op": "add", "path": "/list/2", "value": 3}]), "/list", json!([1, 2, 3])),
        (json!([{"op": "add", "path": "/list/-1", "value": 3}]), "/list", json!([1, 2, 3])),
        (json!([{"op": "remove", "path": "/list/-1"}]), "/list", json!([1])),
        (json!([{"op": "replace", "path": "/data/new", "value": "x"}]), "/data/new", json!("x")),
        (json!([{"op": "test", "path": "/data/absent", "value": null}]), "/data/y", json!("2")),
        (json!([{"op": "test", "path": "/data/absent"}]), "/data/y", json!("2")),
        (json!([{"op": "add", "path": "/a~0b/c~1d"}]), "/a~0b", json!({"c/d": null})),
        (json!([]), "/data/y", json!("2")),
    ];
    for (patch, pointer, want) in table {
        assert_eq!(patched(PatchKind::Json, &live, &patch).pointer(pointer), Some(&want), "{patch}");
    }
}

#[test]
fn a_json_patch_that_does_not_fit_is_refused_without_a_word_why() {
    let live = json!({"data": {"y": "2"}, "list": [1], "null": null});
    let unfit = [
        r#"[{"op": "test", "path": "/data/y", "value": "nope"}]"#,
        r#"[{"op": "remove", "path": "/data/absent"}]"#,
        r#"[{"op": "add", "path": "/absent/x", "value": 1}]"#,
        r#"[{"op": "add", "path": "/data/y/z", "value": 1}]"#,
        r#"[{"op": "add", "path": "/null/z", "value": 1}]"#,
        r#"[{"op": "add", "path": "/list/3", "value": 1}]"#,
        r#"[{"op": "add", "path": "/list/x", "value": 1}]"#,
        r#"[{"op": "add", "path": "", "value": {}}]"#,
        r#"[{"op": "move", "from": "/data/absent", "path": "/data/x"}]"#,
        r#"[{"op": "bogus", "path": "/data"}]"#,
        r#"[{"op": "add"}]"#,
        "[null]",
    ];
    for patch in unfit {
        let message = "the server rejected our request due to an error in our request";
        assert_eq!(refused(PatchKind::Json, &live, patch), (422, message.to_owned()), "{patch}");
    }
    let error = apply(PatchKind::Json, &live, b"[null]", &pod()).expect_err("unfit");
    assert_eq!((error.reason.as_ref(), error.details), ("Invalid", json!({})));
}

#[test]
fn what_is_no_patch_at_all_is_a_bad_request() {
    let live = json!({});
    let table = [
        (PatchKind::Json, "{not json", "invalid JSON patch"),
        (
            PatchKind::Json,
            r#"{"op": "x"}"#,
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ),
        (
            PatchKind::Json,
            r#"[{"op": 5}]"#,
            "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string",
        ),
        (PatchKind::Merge, "{not json", "invalid JSON patch"),
        (PatchKind::Merge, "null", "Invalid JSON Patch"),
        (
            PatchKind::Merge,
            "[]",
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (PatchKind::Strategic, "[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
    ];
    for (kind, patch, message) in table {
        assert_eq!(refused(kind, &live, patch), (400, message.to_owned()), "{patch}");
    }
    let many = vec![json!({"op": "test", "path": "/x"}); 10_001];
    let (code, message) = refused(PatchKind::Json, &live, &json!(many).to_string());
    assert_eq!(code, 413);
    assert!(message.contains("The allowed maximum operations in a JSON patch is 10000, got 10001"), "{message}");
}

#[test]
fn strict_validation_sees_what_a_patch_says_twice_or_in_vain() {
    let table = [
        (PatchKind::Merge, r#"{"a": 1, "a": 2}"#, vec![r#"duplicate field "a""#]),
        (PatchKind::Merge, r#"{"a": 1}"#, vec![]),
        (
            PatchKind::Json,
            r#"[{"op": "test", "path": "/x"}, {"op": "remove", "path": "/x", "why": 1}]"#,
            vec![r#"json patch unknown field "[1].why""#],
        ),
    ];
    for (kind, patch, want) in table {
        assert_eq!(problems(kind, patch.as_bytes()), want, "{patch}");
    }
}

#[test]
fn merge_patch_merges_objects_and_replaces_the_rest() {
    let live = json!({"a": {"b": 1, "c": 2}, "list": [1], "s": "x"});
    let table = [
        (json!({"a": {"b": null, "d": 3}}), json!({"a": {"c": 2, "d": 3}, "list": [1], "s": "x"})),
        (json!({"a": "s"}), json!({"a": "s", "list": [1], "s": "x"})),
        (json!({"s": {"new": null, "old": 1}}), json!({"a": {"b": 1, "c": 2}, "list": [1], "s": {"old": 1}})),
        (json!({"list": [2, 3]}), json!({"a": {"b": 1, "c": 2}, "list": [2, 3], "s": "x"})),
        (
            json!({"n": {"x": null, "y": {"z": null}}}),
            json!({"a": {"b": 1, "c": 2}, "list": [1], "s": "x", "n": {"y": {}}}),
        ),
    ];
    for (patch, want) in table {
        assert_eq!(patched(PatchKind::Merge, &live, &patch), want, "{patch}");
    }
}

#[test]
fn strategic_merge_patch_follows_the_schema() {
    let live = json!({
        "metadata": {"finalizers": ["a"], "labels": {"x": "1", "y": "2"}},
        "spec": {
            "containers": [{"name": "app", "image": "one", "env": [{"name": "A", "value": "1"}]}, {"name": "side"}],
            "tolerations": [{"key": "t"}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
    });
    let table = [
        (json!({"metadata": {"finalizers": ["b"]}}), "/metadata/finalizers", json!(["b", "a"])),
        (json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}), "/metadata/finalizers", json!([])),
        (
            json!({"metadata": {"labels": {"$patch": "replace", "only": "this"}}}),
            "/metadata/labels",
            json!({"only": "this"}),
        ),
        (json!({"metadata": {"labels": {"$patch": "delete"}}}), "/metadata/labels", json!({})),
        (json!({"metadata": {"labels": {"x": null}}}), "/metadata/labels", json!({"y": "2"})),
        (
            json!({"metadata": {"annotations": {"$patch": "replace", "a": "b"}}}),
            "/metadata",
            json!({"finalizers": ["a"], "labels": {"x": "1", "y": "2"}}),
        ),
        (
            json!({"spec": {"containers": [{"name": "app", "image": "two"}]}}),
            "/spec/containers",
            json!([{"name": "app", "image": "two", "env": [{"name": "A", "value": "1"}]}, {"name": "side"}]),
        ),
        (
            json!({"spec": {"containers": [{"name": "new"}]}}),
            "/spec/containers",
            json!([{"name": "new"}, {"name": "app", "image": "one", "env": [{"name": "A", "value": "1"}]}, {"name": "side"}]),
        ),
        (
            json!({"spec": {"containers": [{"name": "app", "$patch": "delete"}]}}),
            "/spec/containers",
            json!([{"name": "side"}]),
        ),
        (
            json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "only"}]}}),
            "/spec/containers",
            json!([{"name": "only"}]),
        ),
        (
            json!({"spec": {"$setElementOrder/containers": [{"name": "side"}, {"name": "app"}], "containers": [{"name": "app", "image": "two"}]}}),
            "/spec/containers",
            json!([{"name": "side"}, {"name": "app", "image": "two", "env": [{"name": "A", "value": "1"}]}]),
        ),
        (
            json!({"spec": {"containers": [{"name": "app", "env": [{"name": "B", "value": "2"}, {"name": "A", "value": null}]}]}}),
            "/spec/containers/0/env",
            json!([{"name": "B", "value": "2"}, {"name": "A"}]),
        ),
        (json!({"spec": {"tolerations": [{"key": "u"}]}}), "/spec/tolerations", json!([{"key": "u"}])),
        (
            json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]}}),
            "/spec/volumes",
            json!([{"name": "v", "secret": {"secretName": "s"}}]),
        ),
    ];
    for (patch, pointer, want) in table {
        assert_eq!(patched(PatchKind::Strategic, &live, &patch).pointer(pointer), Some(&want), "{patch}");
    }
}

#[test]
fn a_strategic_merge_patch_that_cannot_be_done_says_why() {
    let live = json!({"spec": {"containers": [{"name": "app"}]}, "metadata": {"finalizers": ["a"]}});
    let table = [
        (
            r#"{"spec": {"containers": [{"image": "x"}]}}"#,
            500,
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            r#"{"spec": {"containers": [{"name": "x", "$patch": "merge"}]}}"#,
            500,
            "merging lists cannot yet be specified in the patch",
        ),
        (r#"{"spec": {"$patch": "bogus"}}"#, 500, "unknown patch type: bogus in map: map[$patch:bogus]"),
        (r#"{"spec": {"$retainKeys": "x"}}"#, 400, "invalid patch format of retainKeys"),
        (r#"{"spec": {"$retainKeys": ["a"], "b": 1}}"#, 400, "invalid patch format of retainKeys"),
        (r#"{"metadata": {"$deleteFromPrimitiveList": ["a"]}}"#, 400, "invalid patch format of primitive list"),
        (
            r#"{"spec": {"$setElementOrder/containers": [{"name": "app"}, {"name": "b"}], "containers": [{"name": "b"}, {"name": "app"}]}}"#,
            500,
            "The order in patch list:\n[map[name:b] map[name:app]]\n doesn't match $setElementOrder list:\n[map[name:app] map[name:b]]\n",
        ),
        (r#"{"spec": {"containers": ["x"]}}"#, 500, "list element types are not identical: [[map[name:app]] [x]]"),
    ];
    for (patch, code, message) in table {
        assert_eq!(refused(PatchKind::Strategic, &live, patch), (code, message.to_owned()), "{patch}");
    }
}

#[test]
fn ten_thousand_items_are_patched_in_a_moment() {
    let items = |from: usize, to: usize| {
        (from..to).map(|n| json!({"name": format!("v{n}"), "emptyDir": {}})).collect::<Vec<_>>()
    };
    let live = json!({"spec": {"volumes": items(0, 10_000)}});
    let object = patched(PatchKind::Strategic, &live, &json!({"spec": {"volumes": items(5_000, 15_000)}}));
    assert_eq!(object["spec"]["volumes"].as_array().map(Vec::len), Some(15_000));
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), (0..3).prop_map(|n| json!(n)), "[a-c]".prop_map(|s| json!(s))];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let name = prop_oneof![
            Just("metadata".to_owned()),
            Just("spec".to_owned()),
            Just("containers".to_owned()),
            Just("name".to_owned()),
            Just("finalizers".to_owned()),
            Just("$patch".to_owned()),
            Just("$retainKeys".to_owned()),
            Just("$setElementOrder/containers".to_owned()),
            Just("$deleteFromPrimitiveList/finalizers".to_owned()),
            "[a-c]".prop_map(|s| s),
        ];
        prop_oneof![
            prop::collection::btree_map(name, inner.clone(), 0..4).prop_map(|m| json!(m)),
            prop::collection::vec(inner, 0..4).prop_map(|v| json!(v)),
        ]
    })
}

/// What a list replaces depends on what was there before (see the test below), so a null in one is not stable.
fn without_nulls_in_lists(patch: Value) -> Value {
    match patch {
        Value::Object(fields) => fields.into_iter().map(|(name, v)| (name, without_nulls_in_lists(v))).collect(),
        Value::Array(_) => patched(PatchKind::Merge, &json!({}), &json!({"list": patch}))["list"].take(),
        other => other,
    }
}

#[test]
fn nulls_in_a_list_stay_where_it_replaces_an_object_and_go_elsewhere() {
    for (live, merged) in [
        (json!({"name": {}}), json!({"name": [null, {"a": null}]})),
        (json!({"name": "text"}), json!({"name": [{}]})),
        (json!({"name": [1]}), json!({"name": [{}]})),
        (json!({}), json!({"name": [{}]})),
    ] {
        let patch = json!({"name": [null, {"a": null}]});
        assert_eq!(patched(PatchKind::Merge, &live, &patch), merged, "{live}");
    }
}

proptest! {
    #[test]
    fn no_patch_makes_the_server_fall_over(live in document(), patch in document()) {
        for kind in [PatchKind::Json, PatchKind::Merge, PatchKind::Strategic] {
            let _ = apply(kind, &live, patch.to_string().as_bytes(), &pod());
        }
    }

    #[test]
    fn a_merge_patch_applied_twice_is_as_applied_once(live in document(), patch in document()) {
        let patch = without_nulls_in_lists(patch);
        if let Ok(once) = apply(PatchKind::Merge, &live, patch.to_string().as_bytes(), &pod()) {
            prop_assert_eq!(patched(PatchKind::Merge, &once, &patch), once);
        }
    }
}
