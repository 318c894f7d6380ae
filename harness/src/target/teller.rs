//! Reads what the built-in operator tells of itself, through its own door.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Request;
use http_body_util::{BodyExt, Limited};
use slipway_operator::runtime::Door;

use super::Teller;

/// As much as is read of one answer; an operator's metrics are a hundredth of it.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// An operator in this process.
pub(super) struct Behind(pub(super) Door);

impl Teller for Behind {
    fn metrics(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
        async {
            let request = Request::get("/metrics").body(Bytes::new()).ok()?;
            let response = self.0.call(request.map(Into::into)).await.ok()?;
            if !response.status().is_success() {
                return Some(Err(format!("the operator answered {} to /metrics", response.status())));
            }
            let body = Limited::new(response.into_body(), BYTES_MAX).collect().await;
            Some(match body.map(|body| String::from_utf8(body.to_bytes().into())) {
                Ok(Ok(text)) => Ok(text),
                Ok(Err(_)) => Err("the operator's metrics are no text".to_owned()),
                Err(error) => Err(format!("the operator's metrics broke off: {error}")),
            })
        }
        .boxed()
    }
}
