//! What is decided, as tables.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::SignedDuration;

use crate::api::conditions;
use crate::controllers::hello::plan::{Plan, plan};
use crate::controllers::hello::status::render;
use crate::controllers::hello::validate::{Greeting, Refusal, validate};

use super::*;

#[test]
fn what_is_asked_for_is_said_and_nothing_else() {
    for (foo, said) in [
        (None, Ok("Hello, world!")),
        (Some("hello from kind+ko"), Ok("hello from kind+ko")),
        (Some("  안녕 👋 "), Ok("  안녕 👋 ")),
        (Some(""), Err(Refusal::Blank)),
        (Some(" \u{a0} "), Err(Refusal::Blank)),
        (Some("one\ntwo"), Err(Refusal::NotOneLine)),
        (Some("\u{1b}[31mred"), Err(Refusal::NotOneLine)),
    ] {
        let verdict = validate(&hello(foo));
        assert_eq!(verdict.as_ref().map(Greeting::as_str), said.as_ref().map(|said| *said), "{foo:?}");
    }
}

#[test]
fn an_object_is_held_before_anything_is_said_and_let_go_once() {
    let said = |hello: &Hello| Some(validate(hello));
    let fresh = hello(None);
    for (what, hello, expected) in [
        ("new", fresh.clone(), Plan { hold: true, say: said(&fresh), release: false }),
        ("held", held(fresh.clone()), Plan { hold: false, say: said(&fresh), release: false }),
        ("deleted", deleted(held(fresh.clone())), Plan { hold: false, say: None, release: true }),
        ("deleted and held by others", deleted(fresh.clone()), Plan { hold: false, say: None, release: false }),
    ] {
        assert_eq!(plan(&hello, validate(&hello)), expected, "{what}");
    }
}

fn condition<'a>(conditions: &'a [Condition], type_: &str) -> (&'a str, &'a str, i64) {
    let condition = conditions::find(conditions, type_).unwrap();
    (&condition.status, &condition.reason, condition.last_transition_time.0.as_second())
}

#[test]
fn the_status_tells_of_the_generation_it_is_about() {
    let hello = hello(Some("hi"));
    let status = render(&hello, &validate(&hello), now()).unwrap();
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(status.greeting.as_deref(), Some("hi"));
    assert_eq!(condition(&status.conditions, conditions::ACCEPTED).1, "Accepted");
    assert_eq!(condition(&status.conditions, conditions::READY), ("True", "Greeted", now().as_second()));
}

#[test]
fn a_status_that_says_nothing_new_is_not_written_however_late_it_is() {
    let mut hello = hello(Some("hi"));
    hello.status = render(&hello, &validate(&hello), now());
    let later = now().saturating_add(SignedDuration::from_hours(1)).unwrap();
    assert_eq!(render(&hello, &validate(&hello), later), None);
    // A status that somebody else has changed is put right.
    hello.status.as_mut().unwrap().greeting = Some("something else".to_owned());
    assert_eq!(render(&hello, &validate(&hello), later).unwrap().greeting.as_deref(), Some("hi"));
}

#[test]
fn a_greeting_that_can_no_longer_be_said_is_taken_back_with_the_reason() {
    let mut hello = hello(Some("hi"));
    hello.status = render(&hello, &validate(&hello), now());
    hello.spec.foo = Some(" ".to_owned());
    hello.metadata.generation = Some(2);
    let later = now().saturating_add(SignedDuration::from_hours(1)).unwrap();
    let status = render(&hello, &validate(&hello), later).unwrap();
    assert_eq!((status.observed_generation, status.greeting), (Some(2), None));
    assert_eq!(condition(&status.conditions, conditions::ACCEPTED), ("False", "Blank", later.as_second()));
    assert_eq!(condition(&status.conditions, conditions::READY), ("False", "Blank", later.as_second()));
    hello
        .status
        .as_mut()
        .unwrap()
        .conditions
        .push(Condition { type_: "Foreign".to_owned(), ..status.conditions[0].clone() });
    let status = render(&hello, &validate(&hello), later).unwrap();
    assert!(conditions::find(&status.conditions, "Foreign").is_some(), "conditions of others stay");
}
