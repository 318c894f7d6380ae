//! Assertions on objects: they look at every state a watch shows, and wait for nothing but the next one.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use kube::Api;
use kube::api::DynamicObject;
use serde_json::Value;

use super::trouble::{Trouble, within};
use super::watching::{Selection, selections};
use crate::scenario::duration::Span;
use crate::scenario::expression::Bindings;
use crate::scenario::forms::Count;
use crate::scenario::plan::{Condition, Target};

/// What an assertion is about.
pub(super) struct Subject<'a> {
    /// Where the objects are.
    pub(super) api: Api<DynamicObject>,
    /// Which they are.
    pub(super) target: &'a Target,
    /// How they are to be, or not to be.
    pub(super) condition: &'a Condition,
    /// What expressions know.
    pub(super) bindings: &'a Bindings,
}

impl Subject<'_> {
    fn met<'s>(&self, selection: &'s Selection) -> Vec<&'s Value> {
        let all = selection.objects();
        let met = |object: &&Value| self.condition.examine(object, &all, self.bindings).is_met();
        all.iter().copied().filter(met).collect()
    }
}

/// Waits until so many objects are as described; returns the first of them, where there is one.
pub(super) async fn expect(subject: &Subject<'_>, count: Count, limit: Duration) -> Result<Option<Value>, Trouble> {
    let mut last = Last::default();
    let waiting = async {
        let mut stream = pin!(selections(subject.api.clone(), subject.target));
        while let Some(next) = stream.next().await {
            let Some(selection) = last.take(next) else { continue };
            let met = subject.met(selection);
            if count.accepts(met.len()) {
                return met.first().map(|object| (*object).clone());
            }
        }
        // The stream of a watch has no end.
        std::future::pending().await
    };
    if let Ok(found) = tokio::time::timeout(limit, waiting).await {
        return Ok(found);
    }
    let selection = &last.selection;
    let met = subject.met(selection).len();
    let message = match (met, selection.objects().len(), count == Count::SOME) {
        (_, 0, true) => format!("{} did not appear {}", subject.target, within(limit)),
        (0, _, true) => format!("{} was not as expected {}", subject.target, within(limit)),
        (met, all, _) => {
            format!("{met} of {all} {} were as expected {}, not {count}", subject.target, within(limit))
        }
    };
    let trouble = last.explain(Trouble::new(message));
    Err(trouble.with_closest(subject.target, subject.condition, selection, subject.bindings).with_names(selection))
}

/// Waits until there is no such object.
pub(super) async fn expect_gone(api: Api<DynamicObject>, target: &Target, limit: Duration) -> Result<(), Trouble> {
    let mut last = Last::default();
    let waiting = async {
        let mut stream = pin!(selections(api, target));
        while let Some(next) = stream.next().await {
            if last.take(next).is_some_and(|selection| selection.objects().is_empty()) {
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    if let Ok(()) = tokio::time::timeout(limit, waiting).await {
        return Ok(());
    }
    let mut trouble = last.explain(Trouble::new(format!("{target} was still there after {}", Span(limit))));
    for object in last.selection.objects().into_iter().take(1) {
        trouble = trouble.with(format!("{} as it is", super::trouble::name(object)), super::trouble::shown(object));
    }
    Err(trouble.with_names(&last.selection))
}

/// Ends when so many objects are as described, which must never be. Ends with `Ok` only where there is a limit.
pub(super) async fn never(subject: &Subject<'_>, count: Count, limit: Option<Duration>) -> Result<(), Trouble> {
    let watching = async {
        let mut stream = pin!(selections(subject.api.clone(), subject.target));
        while let Some(next) = stream.next().await {
            // A watch that is broken off resumes where it was: nothing is missed.
            let Ok(selection) = next else { continue };
            let met = subject.met(&selection);
            if count.accepts(met.len()) {
                let names: Vec<_> = met.iter().map(|object| super::trouble::name(object)).collect();
                let what = if count == Count::SOME { String::new() } else { format!(" ({count})") };
                let message = format!("{} was as it must never be{what}: {}", subject.target, names.join(", "));
                let mut trouble = Trouble::new(message);
                for object in met {
                    let title = format!("{} as it is", super::trouble::name(object));
                    trouble = trouble.with(title, super::trouble::shown(object));
                }
                return trouble;
            }
        }
        std::future::pending().await
    };
    match limit {
        Some(limit) => match tokio::time::timeout(limit, watching).await {
            Ok(trouble) => Err(trouble),
            Err(_) => Ok(()),
        },
        None => Err(watching.await),
    }
}

/// Objects must be as described from the first look on, until the time is over.
pub(super) async fn consistently(subject: &Subject<'_>, count: Option<Count>, limit: Duration) -> Result<(), Trouble> {
    let watching = async {
        let mut stream = pin!(selections(subject.api.clone(), subject.target));
        while let Some(next) = stream.next().await {
            let Ok(selection) = next else { continue };
            let (met, all) = (subject.met(&selection).len(), selection.objects().len());
            let holds = count.map_or(all > 0 && met == all, |count| count.accepts(met));
            if !holds {
                let target = subject.target;
                let message = match (count, all) {
                    (Some(count), _) => format!("{met} of {all} {target} were as expected, not {count}"),
                    (None, 0) => format!("{target} was not there all the time"),
                    (None, 1) => format!("{target} did not stay as expected"),
                    (None, _) => format!("{} of {all} {target} did not stay as expected", all - met),
                };
                return Trouble::new(message)
                    .with_closest(subject.target, subject.condition, &selection, subject.bindings)
                    .with_names(&selection);
            }
        }
        std::future::pending().await
    };
    match tokio::time::timeout(limit, watching).await {
        Ok(trouble) => Err(trouble),
        Err(_) => Ok(()),
    }
}

/// The last that was seen, for the report.
#[derive(Default)]
struct Last {
    selection: Selection,
    error: Option<String>,
}

impl Last {
    fn take(&mut self, next: Result<Selection, kube::runtime::watcher::Error>) -> Option<&Selection> {
        match next {
            Ok(selection) => {
                self.selection = selection;
                self.error = None;
                Some(&self.selection)
            }
            Err(error) => {
                self.error = Some(super::chain(&error));
                None
            }
        }
    }

    fn explain(&self, trouble: Trouble) -> Trouble {
        trouble.with("the watch", self.error.iter().cloned().collect())
    }
}
