//! Network namespaces on systems that have none: nothing here can be made.

use super::super::files::Changes;
use super::super::host::Network;
use super::NamespaceError;

/// A network namespace, of which there are none.
#[derive(Debug)]
pub enum Namespace {}

impl Namespace {
    /// Never makes one.
    ///
    /// # Errors
    /// [`NamespaceError::NotLinux`].
    pub fn new(_: &str, _: Changes) -> Result<Self, NamespaceError> {
        Err(NamespaceError::NotLinux)
    }

    /// What is in it.
    pub fn look(&self) -> Network {
        match *self {}
    }
}

/// Says that there are none.
///
/// # Errors
/// [`NamespaceError::NotLinux`].
pub fn prepare() -> Result<(), &'static NamespaceError> {
    check()
}

/// Says that there are none.
///
/// # Errors
/// [`NamespaceError::NotLinux`].
pub fn check() -> Result<(), &'static NamespaceError> {
    Err(&NamespaceError::NotLinux)
}
