//! Definitions from their creation to their end.

use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-01T00:00:00Z";

fn definition(plural: &str, kind: &str) -> Value {
    let mut object = json!({
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "deprecated": false,
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}},
                "schema": {"openAPIV3Schema": {"type": "object", "nullable": false, "required": []}},
            }],
        },
    });
    Definitions.default(&mut object);
    Definitions.prepare_create(&mut object);
    object
}

fn settle(mut object: Value, others: &[&Value]) -> Value {
    while let Some(next) = names::next(&object, others, NOW) {
        object = next;
    }
    object
}

#[test]
fn a_new_definition_is_completed_and_tidied() {
    let object = definition("widgets", "Widget");
    assert_eq!(
        object["spec"]["names"],
        json!({"plural": "widgets", "kind": "Widget", "singular": "widget", "listKind": "WidgetList"})
    );
    assert_eq!(object["spec"]["conversion"], json!({"strategy": "None"}));
    assert_eq!(object["spec"]["versions"][0]["schema"], json!({"openAPIV3Schema": {"type": "object"}}));
    assert_eq!(object["spec"]["versions"][0].get("deprecated"), None);
    assert_eq!(
        object["status"],
        json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": ["v1"]})
    );
    assert_eq!(Definitions.validate(&object), vec![]);
    let mut again = object.clone();
    Definitions.default(&mut again);
    assert_eq!(again, object);
}

#[test]
fn names_are_accepted_first_and_served_then() {
    let object = definition("widgets", "Widget");
    let named = names::next(&object, &[], NOW).expect("names");
    assert!(is_true(&named, "NamesAccepted") && !is_true(&named, "Established"));
    assert!(serve::resources(&named).is_empty());
    let established = settle(object, &[]);
    let resources = serve::resources(&established);
    let resource = resources.first().expect("one version");
    assert_eq!((&*resource.plural, &*resource.list_kind, resource.has_status), ("widgets", "WidgetList", true));
    assert_eq!(resource.subresources.iter().map(|s| &*s.name).collect::<Vec<_>>(), ["status", "scale"]);
    assert_eq!(resource.columns.iter().map(|c| &*c.name).collect::<Vec<_>>(), ["Name", "Age"]);
    let reasons: Vec<&Value> =
        established["status"]["conditions"].as_array().into_iter().flatten().map(|c| &c["reason"]).collect();
    assert_eq!(reasons, ["NoConflicts", "InitialNamesAccepted"]);
}

#[test]
fn a_name_that_is_taken_keeps_a_definition_from_being_served() {
    let first = settle(definition("widgets", "Widget"), &[]);
    let second = settle(definition("gadgets", "Widget"), &[&first]);
    let accepted = find(&second, "NamesAccepted").expect("condition");
    assert_eq!(accepted["reason"], "ListKindConflict");
    assert_eq!(accepted["message"], "\"WidgetList\" is already in use");
    assert_eq!(find(&second, "Established").expect("condition")["reason"], "NotAccepted");
    assert!(serve::resources(&second).is_empty());
    let freed = settle(second, &[]);
    assert!(is_true(&freed, "Established"));
}

#[test]
fn a_deleted_definition_waits_for_its_objects() {
    let live = settle(definition("widgets", "Widget"), &[]);
    let marked = finalizer::mark(&live, NOW).expect("first deletion");
    assert!(finalizer::is_pending(&marked) && finalizer::mark(&marked, NOW).is_none());
    assert_eq!(find(&marked, "Terminating").expect("condition")["reason"], "InstanceDeletionPending");
    let resource = &serve::resources(&marked)[0];
    assert!(!resource.verbs.iter().any(|v| v == "create"));
    let done = finalizer::done(&finalizer::started(&marked, NOW), NOW);
    assert!(!finalizer::is_pending(&done));
    assert_eq!(find(&done, "Terminating").expect("condition")["reason"], "InstanceDeletionCompleted");
}

#[test]
fn what_is_wrong_is_told_at_the_place_kubernetes_names() {
    let said = |change: &dyn Fn(&mut Value)| {
        let mut object = definition("widgets", "Widget");
        change(&mut object);
        Definitions.prepare_create(&mut object);
        Definitions.validate(&object).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        said(&|o| o["metadata"]["name"] = "wrong.example.com".into()),
        ["metadata.name: Invalid value: \"wrong.example.com\": must be spec.names.plural+\".\"+spec.group"]
    );
    assert_eq!(
        said(&|o| o["spec"]["scope"] = "Sideways".into()),
        ["spec.scope: Unsupported value: \"Sideways\": supported values: \"Cluster\", \"Namespaced\""]
    );
    assert_eq!(
        said(&|o| {
            o["spec"]["versions"] = json!([{"name": "v1", "served": true, "storage": false, "schema": {"openAPIV3Schema": {"type": "object"}}}]);
        }),
        [
            "spec.versions: Invalid value: [{\"Name\":\"v1\",\"Served\":true,\"Storage\":false,\"Deprecated\":false,\
             \"DeprecationWarning\":null,\"Schema\":null,\"Subresources\":null,\"AdditionalPrinterColumns\":null,\
             \"SelectableFields\":null}]: must have exactly one version marked as storage version",
            "status.storedVersions: Invalid value: null: must have at least one stored version",
        ]
    );
    assert_eq!(
        said(&|o| o["spec"]["versions"][0]["schema"] = json!({})),
        ["spec.versions[0].schema.openAPIV3Schema: Required value"]
    );
    assert_eq!(
        said(&|o| {
            o["spec"]["group"] = "bad.k8s.io".into();
            o["metadata"]["name"] = "widgets.bad.k8s.io".into();
        }),
        [
            "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation \
          \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111"
        ]
    );
}

#[test]
fn what_names_the_stored_objects_cannot_change() {
    let old = settle(definition("widgets", "Widget"), &[]);
    let mut new = old.clone();
    new["spec"]["names"]["kind"] = "Gadget".into();
    new["spec"]["scope"] = "Cluster".into();
    Definitions.prepare_update(&mut new, &old);
    let fields: Vec<String> = Definitions.validate_update(&new, &old).into_iter().map(|e| e.field).collect();
    assert_eq!(fields, ["spec.scope", "spec.names.kind"]);
}
