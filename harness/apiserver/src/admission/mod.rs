//! What may still refuse or change a valid request: the life of namespaces, service accounts, webhooks, policies.
//!
//! A write passes `mutate` before its kind's rules and `validate` after them; a deletion passes `delete`, and what
//! is reached through an object `connect`. Who is asked stands in a `table` that is compiled when a configuration
//! is written, so that a server without any pays nothing.

pub(crate) mod account;
mod attributes;
mod authorizer;
mod expression;
mod matching;
mod namespace;
mod policy;
mod table;
mod webhook;

use serde_json::Value;

pub(crate) use attributes::Operation;
pub(crate) use namespace::{admit_create, admit_delete, admit_update};
pub(crate) use table::Admission;
use table::Table;

use crate::handle::Call;
use crate::lifecycle::DeleteOptions;
use crate::status::ApiError;
use attributes::Attributes;

/// The group of the configurations.
pub(crate) const GROUP: &str = "admissionregistration.k8s.io";

/// Lets others change an object that is to be created or updated; whether one did.
///
/// # Errors
/// What they refuse, or 500 where one that matters cannot be asked.
pub(crate) async fn mutate(
    call: &mut Call,
    operation: Operation,
    object: &mut Value,
    old: Option<&Value>,
) -> Result<bool, ApiError> {
    let Some(table) = call.server.0.admission.table() else { return Ok(false) };
    if table.mutating.is_empty() || Attributes::is_exempt(call) {
        return Ok(false);
    }
    let mut about = Attributes::of(call, operation, Some(object.clone()), old.cloned());
    webhook::mutate(call, &table.mutating, &mut about).await?;
    let changed = about.object.filter(|changed| changed != object);
    let any = changed.is_some();
    if let Some(changed) = changed {
        *object = changed;
    }
    Ok(any)
}

/// Lets others refuse an object that is about to be written.
///
/// # Errors
/// As [`mutate`].
pub(crate) async fn validate(
    call: &mut Call,
    operation: Operation,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let Some(table) = call.server.0.admission.table() else { return Ok(()) };
    if Attributes::is_exempt(call) {
        return Ok(());
    }
    let about = Attributes::of(call, operation, Some(object.clone()), old.cloned());
    judge(call, &table, &about).await
}

/// Lets others refuse the deletion of an object; `collection` says whether it goes with all of its collection.
///
/// # Errors
/// As [`mutate`].
pub(crate) async fn delete(
    call: &mut Call,
    options: &DeleteOptions,
    old: &Value,
    collection: bool,
) -> Result<(), ApiError> {
    let Some(table) = call.server.0.admission.table() else { return Ok(()) };
    if Attributes::is_exempt(call) {
        return Ok(());
    }
    let mut about = Attributes::of_deletion(call, options, old.clone(), collection);
    webhook::mutate(call, &table.mutating, &mut about).await?;
    judge(call, &table, &about).await
}

/// Lets others refuse what is reached through an object, like a shell in a container. `options` is the object that says
/// how, like a `PodExecOptions`.
///
/// # Errors
/// As [`mutate`].
pub(crate) async fn connect(call: &mut Call, options: Value) -> Result<(), ApiError> {
    let Some(table) = call.server.0.admission.table() else { return Ok(()) };
    let mut about = Attributes::of(call, Operation::Connect, Some(options), None);
    webhook::mutate(call, &table.mutating, &mut about).await?;
    judge(call, &table, &about).await
}

/// Policies come before webhooks: what they refuse is nobody else's concern.
async fn judge(call: &mut Call, table: &Table, about: &Attributes) -> Result<(), ApiError> {
    policy::validate(call, &table.policies, about).await?;
    webhook::validate(call, &table.validating, about).await
}
