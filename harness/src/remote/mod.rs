//! The kube-slint reference: files of another repository, each pinned by commit and hash, and what becomes of them.
//!
//! [`mod@reference`] is the file that says which, made of [`pin`]s; [`fetch`] asks for one over HTTPS ([`origin`] says where),
//! [`cache`] keeps what was right, [`acquire`] decides between the two, [`merge`] lays our policy over the fetched one, and
//! [`update`] moves the reference to another commit. [`provenance`] is what a measurement says of all this.
//!
//! Guarantees: nothing is used whose hash is not the pinned one, nothing is read beyond its bounds, nothing is written
//! outside the cache directory, and no other host is asked than the one that was named.

pub mod acquire;
pub mod base;
pub mod cache;
pub mod fetch;
pub mod merge;
pub mod origin;
pub mod pin;
pub mod provenance;
pub mod reference;
pub mod update;
