//! Everything is let go that is held, whatever gets in between.

use crate::api::drain::{FINALIZER_BEFORE, ISOLATED_AT, LABELS};
use crate::controllers::drain::mock::{Exchange, against, ok, refuses};
use crate::controllers::drain::{Reach, release_all};
use crate::kit::error::chain;

use super::*;

const PODS: &str = "GET /api/v1/pods?";
const POD: &str = "/api/v1/namespaces/shop/pods/web-1";

fn get() -> String {
    format!("GET {POD}")
}

fn patch() -> String {
    format!("PATCH {POD}?")
}

fn page(pods: &[&Pod], next: &str) -> Value {
    json!({ "metadata": { "continue": next }, "items": pods })
}

fn held_in_every_way() -> Pod {
    let out = annotated(&json!({ ISOLATED_AT: now().to_string(), LABELS: "{\"tier\":\"front\"}" }));
    let guards = json!({ "metadata": { "finalizers": [FINALIZER, "example.com/other", FINALIZER_BEFORE] } });
    pod(&all(&[held(), out, guards]))
}

/// It is nobody's business here.
fn free() -> Pod {
    pod(&json!({ "metadata": { "finalizers": ["example.com/other"] } }))
}

/// Lets everything go against exactly these exchanges. Gives a line for each Pod, and the bodies that were sent.
async fn released(reach: Reach, exchanges: Vec<Exchange>) -> (Result<Vec<String>, String>, Vec<Value>) {
    against(exchanges, async |client| {
        let mut lines = Vec::new();
        let done = release_all(&client, &reach, now(), |released| {
            let failed = released.failed.map(|why| format!("; still held: {}", chain(&why))).unwrap_or_default();
            lines.push(format!("{}/{}: {}{failed}", released.namespace, released.name, released.what.join(", ")));
        })
        .await;
        done.map(|()| lines).map_err(|error| chain(&error).to_string())
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_put_back_first_and_loses_only_our_finalizers() {
    let held = held_in_every_way();
    let guarded = pod(&json!({ "metadata": { "resourceVersion": "8", "finalizers": held.metadata.finalizers } }));
    let exchanges = vec![
        ok(PODS, &page(&[&free(), &held], "")),
        ok(patch(), &json!(guarded)),
        ok(get(), &json!(guarded)),
        ok(patch(), &json!(free())),
        ok(get(), &json!(free())),
    ];
    let (lines, bodies) = released(Reach::default(), exchanges).await;
    assert_eq!(lines.unwrap(), ["shop/web-1: put back into service, finalizer removed"]);
    assert_eq!(bodies[1]["metadata"]["labels"], json!({ "tier": "front" }));
    assert_eq!(bodies[1]["metadata"]["annotations"][LABELS], Value::Null);
    assert_eq!(bodies[3]["metadata"], json!({ "resourceVersion": "8", "finalizers": ["example.com/other"] }));
}

#[tokio::test(start_paused = true)]
async fn every_page_is_read_and_only_the_namespace_that_was_meant() {
    let exchanges = vec![
        ok("GET /api/v1/namespaces/shop/pods?&limit=500", &page(&[&free()], "more")),
        ok("GET /api/v1/namespaces/shop/pods?&limit=500&continue=more", &page(&[&free()], "")),
    ];
    let reach = Reach { namespace: Some("shop".to_owned()), dry_run: false };
    assert_eq!(released(reach, exchanges).await.0.unwrap(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_only_reads() {
    let reach = Reach { dry_run: true, ..Reach::default() };
    let (lines, _) = released(reach, vec![ok(PODS, &page(&[&held_in_every_way(), &free()], ""))]).await;
    assert_eq!(lines.unwrap(), ["shop/web-1: put back into service, finalizer removed"]);
}

#[tokio::test(start_paused = true)]
async fn what_happens_in_between_is_looked_at_again() {
    let guarded = pod(&json!({}));
    let another = pod(&json!({ "metadata": { "uid": "two" } }));
    let conflict = || refuses(patch(), 409, "Conflict");
    let list = || ok(PODS, &page(&[&guarded], ""));
    let still = || ok(get(), &json!(guarded));
    let written = || ok(patch(), &json!(free()));
    let mut endless = vec![list()];
    (0..5).for_each(|_| endless.extend([conflict(), still()]));
    let mut anew = vec![list()];
    (0..5).for_each(|_| anew.extend([written(), still()]));
    for (what, exchanges, expected) in [
        (
            "it has changed",
            vec![list(), conflict(), still(), written(), ok(get(), &json!(free()))],
            "shop/web-1: finalizer removed",
        ),
        ("somebody else has let it go", vec![list(), conflict(), ok(get(), &json!(free()))], "shop/web-1: "),
        (
            "it is gone",
            vec![list(), refuses(patch(), 404, "NotFound"), refuses(get(), 404, "NotFound")],
            "shop/web-1: ",
        ),
        (
            "it is gone once it is let go",
            vec![list(), written(), refuses(get(), 404, "NotFound")],
            "shop/web-1: finalizer removed",
        ),
        (
            "another one has its name",
            vec![list(), written(), ok(get(), &json!(another))],
            "shop/web-1: finalizer removed",
        ),
        ("it changes all the time", endless, "shop/web-1: ; still held: failed to let it go: it is Conflict"),
        (
            "the operator still runs",
            anew,
            "shop/web-1: finalizer removed; still held: somebody holds it again: is the operator still running?",
        ),
    ] {
        assert_eq!(released(Reach::default(), exchanges).await.0.unwrap(), [expected], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_pod_that_cannot_be_let_go_does_not_keep_the_others() {
    let other = pod(&json!({ "metadata": { "name": "web-2", "uid": "two" } }));
    let path = "/api/v1/namespaces/shop/pods/web-2";
    for (code, reason) in [(403, "Forbidden"), (422, "Invalid"), (500, "InternalError"), (504, "Timeout")] {
        let by_write = vec![
            ok(PODS, &page(&[&pod(&json!({})), &other], "")),
            refuses(patch(), code, reason),
            ok(format!("PATCH {path}?"), &json!(free())),
            refuses(format!("GET {path}"), 404, "NotFound"),
        ];
        let by_read = vec![
            ok(PODS, &page(&[&pod(&json!({}))], "")),
            refuses(patch(), 409, "Conflict"),
            refuses(get(), code, reason),
        ];
        let still = format!("shop/web-1: ; still held: failed to let it go: it is {reason}");
        let (lines, _) = released(Reach::default(), by_write).await;
        assert_eq!(lines.unwrap(), [still.clone(), "shop/web-2: finalizer removed".to_owned()]);
        assert_eq!(released(Reach::default(), by_read).await.0.unwrap(), [still]);
        let unlisted = released(Reach::default(), vec![refuses(PODS, code, reason)]).await.0;
        assert!(unlisted.unwrap_err().ends_with(&format!("it is {reason}")));
    }
}
