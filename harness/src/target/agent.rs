//! The images the built-in operator uses, as programs of the simulated nodes: the agent's own code runs against the
//! node's own files and link table.

use crate::cluster::embedded::node::program::Programs;

/// Every image there is.
pub(super) fn programs() -> Programs {
    Programs::new()
}
