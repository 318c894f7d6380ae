//! What each kind adds to its schema: defaulting, validation, immutability, status split and printer columns.
//!
//! [`registry`] lists what is served; one file per kind (or family of kinds) holds its [`Rules`]. All of it is pure:
//! time, names and the store belong to the callers.
//!
//! [`Rules`]: crate::resource::Rules

pub mod customresourcedefinition;
pub mod metadata;
pub mod names;
mod pod;
pub(crate) mod print;
pub mod quantity;
pub mod registry;
pub mod shape;
mod value;

pub use registry::Registry;
pub use shape::normalise;

use crate::resource::{NoRules, Rules};

/// The rules of a built-in kind.
fn rules(group: &str, kind: &str) -> &'static dyn Rules {
    match (group, kind) {
        ("", "Pod") => &pod::Pod,
        (customresourcedefinition::GROUP, "CustomResourceDefinition") => &customresourcedefinition::Definitions,
        _ => &NoRules,
    }
}
