//! Who asks, and what they may do: authentication, RBAC, impersonation, access reviews.
//!
//! [`user`] is an identity; every request has exactly one.

pub mod user;

pub use user::User;
