//! Measures while a scenario runs. It takes no part in it: what cannot be measured is noted, and fails nothing.

use std::sync::{Arc, Mutex, PoisonError};

use crate::sli::observed::Recorder;
use crate::sli::scrape::Endpoint;
use crate::sli::session::Session;
use crate::sli::spec::Spec;
use crate::target::{Raised, Teller, elsewhere};

/// A session of one scenario.
pub(super) struct Measuring {
    recorder: Arc<Mutex<Recorder>>,
    teller: Option<Arc<dyn Teller>>,
    session: Session,
    specs: Arc<[Spec]>,
}

impl Measuring {
    /// Begins to look on. The endpoint is that of an operator elsewhere, for scenarios that bring none.
    pub(super) async fn begin(raised: &Raised, specs: Arc<[Spec]>, endpoint: Option<&Arc<Endpoint>>) -> Self {
        let recorder = Arc::<Mutex<Recorder>>::default();
        let operator = raised.operator.as_ref();
        let user = operator.map(|operator| operator.user()).unwrap_or_default();
        raised.cluster.observe(Arc::clone(&recorder), &user);
        let own = operator.and_then(|operator| operator.teller());
        let is_own = own.is_some();
        let (teller, session) = match (own, endpoint) {
            (Some(teller), _) => (Some(teller), Session::new(true)),
            (None, Some(endpoint)) => (Some(elsewhere(endpoint, raised.cluster.client())), Session::joined()),
            (None, None) => (None, Session::new(false)),
        };
        let mut measuring = Self { recorder, teller, session, specs };
        if !is_own {
            // What it has counted until here is not this scenario's.
            measuring.ask().await;
        }
        measuring
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
