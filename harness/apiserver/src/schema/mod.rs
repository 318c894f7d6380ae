//! Structural schemas: built-in types and custom resource definitions in one form, and what is done by them.
//!
//! [`node`] is the form; the other rooms walk an object beside it.
//!
//! A write goes through [`strict`] (built-in types: right JSON types, canonical quantities and times), [`prune`],
//! [`default`] and, once admitted, [`validate`].

pub mod builtin;
pub mod cel;
pub mod compile;
pub mod default;
pub mod definition;
pub mod formats;
pub mod go;
pub mod node;
mod pattern;
pub mod prune;
pub mod strict;
mod structural;
pub mod validate;

#[cfg(test)]
mod properties;
