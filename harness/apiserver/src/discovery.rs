//! The documents kubectl and clients use to find resources.

use http::{HeaderMap, Response};

use crate::body::Body;
use crate::service::ApiServer;

/// The document at a path below `/api`, `/apis` or `/openapi`; none where there is none.
pub(crate) fn answer(server: &ApiServer, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    let _ = (server, path, headers);
    None
}
