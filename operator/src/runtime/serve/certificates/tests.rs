use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn names() -> Vec<String> {
    vec!["slipway-operator-webhooks.slipway-system.svc".to_owned()]
}

fn made(old: Option<Material>, now: &str) -> Material {
    Material::make(old, names(), at(now)).unwrap()
}

#[test]
fn a_certificate_is_kept_until_a_month_before_its_end_and_made_anew_then() {
    let first = made(None, "2026-01-01T00:00:00Z");
    assert_eq!(first.expires, at("2026-04-01T00:00:00Z"));
    let kept = |now: &str| matches!(next(Some(first.clone()), &names(), at(now)), Next::Keep(_));
    for (now, keep) in [("2026-01-01T00:00:00Z", true), ("2026-03-01T00:00:00Z", true), ("2026-03-03T00:00:00Z", false)]
    {
        assert_eq!(kept(now), keep, "{now}");
    }
    let second = made(Some(first.clone()), "2026-03-03T00:00:00Z");
    assert!(second.authority == first.authority, "whoever trusts the first trusts the second");
    assert!(second.certificate != first.certificate && second.expires > first.expires);
}

#[test]
fn what_cannot_be_used_is_made_anew() {
    let good = made(None, "2026-01-01T00:00:00Z");
    let now = at("2026-01-02T00:00:00Z");
    let anew = |material: Option<Material>, names: &[String]| matches!(next(material, names, now), Next::Make(_));
    assert!(!anew(Some(good.clone()), &names()));
    assert!(anew(None, &names()));
    assert!(anew(Some(good.clone()), &["another.name".to_owned()]));
    let other = made(None, "2026-01-01T00:00:00Z");
    assert!(anew(Some(Material { key: other.key, ..good.clone() }), &names()), "the key of another certificate");
    assert!(anew(Some(Material { certificate: b"rubbish".to_vec(), ..good.clone() }), &names()));
    let mended = Material::make(Some(Material { authority_key: b"rubbish".to_vec(), ..good }), names(), now).unwrap();
    assert!(!anew(Some(mended), &names()));
}

#[test]
fn an_authority_that_ends_is_followed_by_one_that_stands_beside_it() {
    let old = made(None, "2026-01-01T00:00:00Z");
    let new = made(Some(old.clone()), "2030-12-20T00:00:00Z");
    assert!(new.authority.ends_with(&old.authority) && new.authority.len() > old.authority.len());
    let newer = made(Some(new.clone()), "2035-12-20T00:00:00Z");
    assert_eq!(String::from_utf8(newer.authority).unwrap().matches("BEGIN").count(), 2, "it does not grow forever");
}

#[test]
fn what_is_written_is_what_is_read_and_other_peoples_annotations_stay() {
    let material = made(None, "2026-01-01T00:00:00Z");
    let mut theirs = Secret::default();
    theirs.metadata.annotations = Some([("theirs".to_owned(), "stays".to_owned())].into());
    let secret = material.write(theirs, "shared");
    assert!(Material::read(&secret).unwrap() == material);
    assert_eq!(secret.metadata.annotations.as_ref().unwrap()["theirs"], "stays");
    assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/tls"));
    assert!(Material::read(&Secret::default()).is_none());
}

#[test]
fn a_webhook_configuration_is_written_only_when_it_does_not_know_yet() {
    let mut bundle = None;
    assert!(vouch(&mut bundle, b"one") && !vouch(&mut bundle, b"one") && vouch(&mut bundle, b"two"));
}
