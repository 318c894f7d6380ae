//! Measures while a scenario runs. It takes no part in it: what cannot be measured is noted, and fails nothing.

use std::sync::{Arc, Mutex, PoisonError};

use crate::sli::observed::Recorder;
use crate::sli::session::Session;
use crate::sli::spec::Spec;
use crate::target::{Raised, Teller};

/// A session of one scenario.
pub(super) struct Measuring {
    recorder: Arc<Mutex<Recorder>>,
    teller: Option<Arc<dyn Teller>>,
    session: Session,
    specs: Arc<[Spec]>,
}

impl Measuring {
    /// Begins to look on.
    pub(super) fn begin(raised: &Raised, specs: Arc<[Spec]>) -> Self {
        let recorder = Arc::<Mutex<Recorder>>::default();
        let operator = raised.operator.as_ref();
        let user = operator.map(|operator| operator.user()).unwrap_or_default();
        raised.cluster.observe(Arc::clone(&recorder), &user);
        let teller = operator.map(|operator| operator.teller());
        Self { recorder, session: Session::new(teller.is_some()), teller, specs }
    }

    /// Asks the operator, where it runs.
    pub(super) async fn ask(&mut self) {
        if let Some(teller) = &self.teller
            && let Some(answer) = teller.metrics().await
        {
            self.session.told(answer, &self.specs);
        }
    }

    /// What was collected.
    pub(super) fn finish(mut self) -> Session {
        self.session.seen = self.recorder.lock().unwrap_or_else(PoisonError::into_inner).observations();
        self.session
    }
}
