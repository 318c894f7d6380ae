//! Who looks on: every request as it is answered, every write as it is stored, in their order.
//!
//! Nothing is copied and nothing is queued, so looking on costs next to nothing and misses nothing. An observer must be
//! quick: writes wait while it looks.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::service::Record;
use crate::store::{Event, GroupResource};

/// Looks on.
pub trait Observer: fmt::Debug + Send + Sync {
    /// A request was answered; a watch, when its stream begins.
    fn answered(&self, record: &Record);

    /// A write was stored.
    fn stored(&self, resource: &GroupResource, event: &Event);
}

/// The place of an observer; there is one at most.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed(Arc<OnceLock<Arc<dyn Observer>>>);

impl Observed {
    /// Lets somebody look on; whether nobody did before.
    pub(crate) fn set(&self, observer: Arc<dyn Observer>) -> bool {
        self.0.set(observer).is_ok()
    }

    pub(crate) fn get(&self) -> Option<&dyn Observer> {
        self.0.get().map(|observer| &**observer)
    }
}
