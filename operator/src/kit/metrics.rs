//! What the operator counts and measures, under controller-runtime's names; our own carry the prefix `slipway_`.
//!
//! There is no global registry: several operators can run in one process.

use prometheus::{Registry, TextEncoder};

/// The series of one operator. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self { registry: Registry::new() }
    }

    /// Where controllers register series of their own.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Everything as Prometheus reads it.
    ///
    /// # Errors
    /// When a series that was registered has no name or no values.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
