//! The way of every write into the store: admission, the kind's rules, validation, revisions.

use std::sync::Arc;

use serde_json::Value;

use super::create::fill_in;
use super::{Call, scale, update};
use crate::access::escalation;
use crate::admission::{self, Operation::Create, Operation::Update};
use crate::apply::managed;
use crate::convert;
use crate::decode;
use crate::field::FieldError;
use crate::lifecycle::{self, meta, metadata};

use crate::resources;
use crate::schema;
use crate::status::ApiError;
use crate::store::{Refused, Stored};

/// How often a generated name may turn out to be taken.
const NAME_ATTEMPTS: usize = 8;
/// How often a write is tried again because somebody else was faster. Each attempt means that another write went
/// through, so this bounds unfairness, not progress.
const UPDATE_ATTEMPTS: usize = 256;

/// What came of a write.
pub(crate) enum Written {
    /// It is stored.
    Stored(Arc<Stored>),
    /// It would have been stored, or was the last state of an object that is gone with it.
    Only(Value),
}

/// Stores a new object that is decoded, defaulted and has its managed fields.
///
/// # Errors
/// What admission or validation refuse, 409 when the name is taken.
pub(crate) async fn insert(call: &mut Call, mut object: Value) -> Result<Written, ApiError> {
    let resource = Arc::clone(&call.resource);
    if call.target.name.is_empty() {
        meta(&object, "name").clone_into(&mut call.target.name);
    }
    admission::admit_create(call, &mut object)?;
    admission::account::admit(call, &mut object).await?;
    admission::mutate(call, Create, &mut object, None).await?;
    call.warnings.extend(lifecycle::dedup_owners(&mut object));
    escalation::check(call, &object, None)?;
    let generated = meta(&object, "name").is_empty() && !meta(&object, "generateName").is_empty();
    let fields = metadata(&mut object);
    fields.insert("uid".to_owned(), call.server.0.entropy.uid().into());
    fields.insert("creationTimestamp".to_owned(), call.now_text().into());
    let asked = object;
    for _ in 0..NAME_ATTEMPTS {
        // The kind's rules may write the name into other fields, so each name starts from what was asked for.
        let mut object = asked.clone();
        if generated {
            let name = format!("{}{}", prefix(meta(&object, "generateName")), call.server.0.entropy.suffix());
            metadata(&mut object).insert("name".to_owned(), name.into());
        }
        lifecycle::prepare_create(&mut object, &resource);
        allocate(call, &mut object);
        let errors = validate_create(call, &object);
        if !errors.is_empty() {
            return Err(ApiError::invalid(&resource.group, &resource.kind, meta(&object, "name"), &errors));
        }
        fill_in(call, &mut object);
        call.warnings.extend(resources::metadata::warnings(&resource, &object));
        if !meta(&object, "resourceVersion").is_empty() {
            return Err(ApiError::unclassified("resourceVersion should not be set on objects to be created"));
        }
        admission::validate(call, Create, &object, None).await?;
        let object = convert::to_storage(&call.server, &resource, object).await?;
        let name = meta(&object, "name").to_owned();
        let (collection, key) = (call.collection(), call.key_of(&name));
        let stored = if call.dry_run() {
            if call.store().get(&collection, &key).is_none() {
                return Ok(Written::Only(object));
            }
            Err(Refused::Exists)
        } else {
            call.store().create(&collection, key.clone(), object.clone())
        };
        match stored {
            Ok(stored) => {
                crate::hooks::after_write(&call.server, &resource, &name);
                call.target.name = name;
                return Ok(Written::Stored(stored));
            }
            Err(_) if generated => {}
            Err(_) => {
                let mut error = ApiError::already_exists(&resource.group, &resource.plural, &name);
                if call.store().get(&collection, &key).is_some_and(|o| lifecycle::is_deleting(&o.value)) {
                    error.message = format!("object is being deleted: {}", error.message);
                }
                return Err(error);
            }
        }
    }
    Err(ApiError::name_not_generated(&resource.group, &resource.plural, meta(&asked, "generateName")))
}

/// The longest prefix that leaves room for the suffix in a name of 63 characters.
fn prefix(generate_name: &str) -> &str {
    let end = generate_name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= 58).last();
    &generate_name[..end.unwrap_or_default()]
}

/// Replaces the request's object by what `compute` makes of its live state, which is computed anew when somebody else
/// was faster.
///
/// # Errors
/// 404 when there is none, 409 when the object came with another revision or uid, and what `compute`, admission or
/// validation refuse.
pub(crate) async fn replace(
    call: &mut Call,
    mut compute: impl FnMut(&mut Call, &Value) -> Result<Value, ApiError> + Send,
) -> Result<Written, ApiError> {
    let (collection, key) = (call.collection(), call.key());
    let warnings = call.warnings.len();
    for _ in 0..UPDATE_ATTEMPTS {
        let live = call.store().get(&collection, &key).ok_or_else(|| call.not_found())?;
        // Only the last attempt's warnings are told.
        call.warnings.truncate(warnings);
        let resource = Arc::clone(&call.resource);
        let old = convert::read(&call.server, &resource, &live.value).await?;
        let mut new = compute(call, &old)?;
        let force = !is_apply(call) || call.query.flag("force");
        convert::owners::settle(&call.server, &resource, &old, &mut new, force).await?;
        admit(call, &mut new, &old).await?;
        let new = prepare(call, new, &old, &live)?;
        validate(call, &new, &old).await?;
        let new = convert::to_storage(&call.server, &resource, new).await?;
        if lifecycle::ends_deletion(&new, &live.value) && !holds_namespace(call, &new) {
            if !call.dry_run() {
                if call.store().delete(&collection, key.clone(), live.revision).is_err() {
                    continue;
                }
                crate::hooks::after_write(&call.server, &call.resource, &key.name);
            }
            return Ok(Written::Only(new));
        }
        if new == live.value {
            return Ok(Written::Stored(live));
        }
        if call.dry_run() {
            return Ok(Written::Only(new));
        }
        if let Ok(stored) = call.store().update(&collection, key.clone(), live.revision, new) {
            crate::hooks::after_write(&call.server, &call.resource, &key.name);
            return Ok(Written::Stored(stored));
        }
    }
    Err(changed(call))
}

/// Whether the request is a server-side apply.
fn is_apply(call: &Call) -> bool {
    decode::content_type(&call.headers) == "application/apply-patch+yaml"
}

/// Lets others change what is to be written: the object, or its scale.
async fn admit(call: &mut Call, new: &mut Value, old: &Value) -> Result<(), ApiError> {
    if let (Some(mut asked), Some(before)) = (scale::seen(call, new), scale::seen(call, old)) {
        let replicas = asked["spec"]["replicas"].clone();
        admission::mutate(call, Update, &mut asked, Some(&before)).await?;
        if asked["spec"]["replicas"] != replicas {
            scale::take_up(call, new, &asked);
        }
        return Ok(());
    }
    if admission::mutate(call, Update, new, Some(old)).await? {
        *new = update::narrowed(call, new.take(), old);
        call.warnings.extend(lifecycle::dedup_owners(new));
    }
    Ok(())
}

/// Lets others refuse what is about to be written.
async fn validate(call: &mut Call, new: &Value, old: &Value) -> Result<(), ApiError> {
    match (scale::seen(call, new), scale::seen(call, old)) {
        (Some(new), Some(old)) => admission::validate(call, Update, &new, Some(&old)).await,
        _ => admission::validate(call, Update, new, Some(old)).await,
    }
}

fn changed(call: &Call) -> ApiError {
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    ApiError::conflict(&call.resource.group, &call.resource.plural, &call.target.name, why)
}

/// Whether the request is for a namespace.
pub(crate) fn is_namespace(call: &Call) -> bool {
    call.resource.group.is_empty() && call.resource.plural == "namespaces"
}

/// A namespace stays until its own finalizers are gone, too.
fn holds_namespace(call: &Call, object: &Value) -> bool {
    is_namespace(call) && object["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty())
}

/// Everything between what a client wants an object to be and what is stored.
fn prepare(call: &mut Call, mut new: Value, old: &Value, live: &Stored) -> Result<Value, ApiError> {
    let resource = Arc::clone(&call.resource);
    check_revision(call, &new, live)?;
    metadata(&mut new).insert("resourceVersion".to_owned(), old["metadata"]["resourceVersion"].clone());
    admission::admit_update(call, &mut new, old)?;
    escalation::check(call, &new, Some(old))?;
    let status = call.target.subresource == "status";
    if !status && call.target.subresource != "finalize" {
        lifecycle::prepare_update(&mut new, old, &resource);
        allocate(call, &mut new);
    }
    resources::normalise(&resource, &mut new);
    let errors = validate_update(call, &new, old);
    if !errors.is_empty() {
        return Err(ApiError::invalid(&resource.group, &resource.kind, &call.target.name, &errors));
    }
    // A real server defaults once more whatever it reads back from its storage.
    fill_in(call, &mut new);
    call.warnings.extend(resources::metadata::warnings(&resource, &new));
    managed::keep_times(&mut new, old);
    Ok(new)
}

/// Gives an object what no other of its kind may have.
fn allocate(call: &Call, object: &mut Value) {
    let rules = call.resource.rules;
    if rules.needs_peers() {
        let uid = meta(object, "uid").to_owned();
        let peers = call.store().list(&call.collection(), None, None).map(|now| now.objects).unwrap_or_default();
        let peers: Vec<&Value> = peers.iter().filter(|p| p.uid() != uid).map(|p| &p.value).collect();
        rules.allocate(object, &peers);
    }
}

fn check_revision(call: &Call, new: &Value, live: &Stored) -> Result<(), ApiError> {
    let resource = &call.resource;
    let uid = meta(new, "uid");
    if !uid.is_empty() && uid != live.uid() {
        let scope = if resource.definition.is_some() { format!("{}/", resource.group) } else { String::new() };
        let key = [call.key().namespace, call.key().name].into_iter().filter(|s| !s.is_empty());
        let key = key.collect::<Vec<_>>().join("/");
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{scope}{}/{key}, ResourceVersion: 0, \
             AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            resource.plural,
            live.uid()
        );
        return Err(ApiError::conflict(&resource.group, &resource.plural, &call.target.name, &why));
    }
    let given = meta(new, "resourceVersion");
    match given {
        "" | "0" if allows_unconditional_update(call) => Ok(()),
        "" | "0" => {
            let error = FieldError::invalid("metadata.resourceVersion", 0, "must be specified for an update");
            Err(ApiError::invalid(&resource.group, &resource.plural, &call.target.name, &[error]))
        }
        given => match given.parse::<u64>() {
            Ok(revision) if revision == live.revision => Ok(()),
            Ok(_) => Err(changed(call)),
            Err(_) => {
                let quoted = crate::field::quote(given);
                Err(ApiError::unclassified(format!("strconv.ParseUint: parsing {quoted}: invalid syntax")))
            }
        },
    }
}

/// Whether an update may leave out the revision it is based on.
fn allows_unconditional_update(call: &Call) -> bool {
    const STRICT: [&str; 4] = ["leases", "customresourcedefinitions", "apiservices", "poddisruptionbudgets"];
    call.resource.definition.is_none() && !STRICT.contains(&call.resource.plural.as_str())
}

fn validate_create(call: &Call, object: &Value) -> Vec<FieldError> {
    let resource = &call.resource;
    let mut errors = resources::metadata::validate(resource, object);
    if resource.definition.is_some() {
        errors.extend(schema::validate::resource(object, None, resource));
    }
    errors.extend(resource.rules.validate(object));
    errors
}

fn validate_update(call: &Call, new: &Value, old: &Value) -> Vec<FieldError> {
    let resource = &call.resource;
    let mut errors = resources::metadata::validate_update(resource, new, old);
    if resource.definition.is_some() {
        errors.extend(match call.target.subresource.as_str() {
            "status" => schema::validate::status(new, old, resource),
            _ => schema::validate::resource(new, Some(old), resource),
        });
    }
    errors.extend(match call.target.subresource.as_str() {
        "status" => resource.rules.validate_status_update(new, old),
        _ => resource.rules.validate_update(new, old),
    });
    errors
}
