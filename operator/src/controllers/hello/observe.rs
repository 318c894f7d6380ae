//! What there is: the object itself. Client required; reads only.
//!
//! It is read from the API server and not from the watch's cache, so that the steps after this one decide on what is
//! there now. A write that comes too late all the same is refused by the API server as a conflict.

use kube::Api;

use crate::api::hello::Hello;

use super::Ctx;

/// What could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the object")]
pub(crate) struct Error(#[source] kube::Error);

/// Reads the object; `None` when it is gone.
pub(super) async fn observe(ctx: &Ctx, namespace: &str, name: &str) -> Result<Option<Hello>, Error> {
    Api::<Hello>::namespaced(ctx.client.clone(), namespace).get_opt(name).await.map_err(Error)
}
