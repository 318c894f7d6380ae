//! The operator's servers: health, metrics and webhooks, without sockets.
//!
//! An operator opens a [`Door`] for each server when it starts, and every door closes when the operator stops, ends or
//! its future is dropped. Whoever holds the doors decides who comes in: [`serve`](super::serve()) puts them on sockets, a test or
//! the scenario runner knocks in the same process.

pub(super) mod health;
pub(super) mod metrics;
pub(super) mod webhooks;

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use tower::ServiceExt;

/// The doors of one operator, for whoever wants to reach its servers. Clones are the same doors.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    /// `/healthz` and `/readyz`.
    pub health: Door,
    /// `/metrics`.
    pub metrics: Door,
    /// Admission reviews, each under its reviewer's path.
    pub webhooks: Door,
}

/// Nobody is there: the operator is not running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operator is not running")]
pub struct Closed;

/// The way to one server. Clones are the same door.
#[derive(Clone, Debug, Default)]
pub struct Door {
    behind: Arc<RwLock<Option<Router>>>,
}

impl Door {
    /// Asks the server behind the door.
    ///
    /// # Errors
    /// [`Closed`] while the operator is not running, and when it stops before it has answered.
    pub async fn call(&self, request: Request<Body>) -> Result<Response<Body>, Closed> {
        let router = self.behind.read().unwrap_or_else(PoisonError::into_inner).clone();
        match router {
            Some(router) => router.oneshot(request).await.map_err(|never| match never {}),
            None => Err(Closed),
        }
    }

    /// Whether somebody is there.
    pub fn is_open(&self) -> bool {
        self.behind.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Puts a server behind the door, until what is returned is dropped.
    pub(super) fn open(&self, router: Router) -> Open {
        *self.behind.write().unwrap_or_else(PoisonError::into_inner) = Some(router);
        Open(self.clone())
    }
}

/// A door that closes when this is dropped.
#[must_use]
pub(super) struct Open(Door);

impl Drop for Open {
    fn drop(&mut self) {
        *self.0.behind.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;

    #[tokio::test]
    async fn a_door_leads_to_its_server_until_the_operator_is_gone() {
        let door = Door::default();
        let knock = || door.call(Request::get("/").body(Body::empty()).unwrap());
        assert_eq!(knock().await.unwrap_err(), Closed);
        let open = door.open(Router::new().route("/", get(async || "here")));
        assert!(door.is_open() && knock().await.unwrap().status().is_success());
        drop(open);
        assert_eq!(knock().await.unwrap_err(), Closed);
    }
}
