//! Clients of the embedded API server, each with its own user and name.

use http::Request;
use http::header::{HeaderValue, USER_AGENT};
use slipway_apiserver::service::{ApiServer, User};
use tower::ServiceExt;

/// A client for `user` that calls itself `agent`, which is what its writes are managed by.
pub(super) fn client(server: &ApiServer, user: User, agent: &'static str) -> kube::Client {
    let service = server.as_user(user).map_request(move |mut request: Request<kube::client::Body>| {
        request.headers_mut().entry(USER_AGENT).or_insert(HeaderValue::from_static(agent));
        request
    });
    kube::Client::new(service, "default")
}
