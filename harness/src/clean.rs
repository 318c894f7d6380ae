//! What killed runs have left behind, wherever that is: each place is a [`Source`], and `slipway clean` asks them all.

use std::error::Error;

use futures::future::BoxFuture;

/// Something that a run has made and not removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is: a kind, `container`, `network namespace`.
    pub kind: String,
    /// What it is called there.
    pub name: String,
    /// The run that made it; empty where that is not known.
    pub run: String,
}

/// A place where runs make things.
pub trait Source: Send {
    /// What people call the place.
    fn place(&self) -> String;

    /// Looks for what is left there, in the order in which it will be removed. It is remembered for [`Source::remove`].
    fn find(&mut self) -> BoxFuture<'_, Result<Vec<Found>, Box<dyn Error + Send + Sync>>>;

    /// Removes what was found; returns what stays, with what holds it.
    fn remove(&mut self) -> BoxFuture<'_, Vec<String>>;
}
