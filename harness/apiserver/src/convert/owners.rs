//! Who owns what, across versions that a webhook converts.

use serde_json::Value;

use super::to;
use crate::apply::versions;
use crate::resource::Resource;
use crate::service::ApiServer;
use crate::status::ApiError;

/// Takes from owners in other versions what a write takes from them.
///
/// # Errors
/// 409 where an apply that is not forced would take something, 500 when the webhook does not do its part.
pub(crate) async fn settle(
    server: &ApiServer,
    resource: &Resource,
    old: &Value,
    new: &mut Value,
    force: bool,
) -> Result<(), ApiError> {
    if resource.conversion.is_none() {
        return Ok(());
    }
    for version in versions::foreign(old, resource) {
        let short = version.rsplit('/').next().unwrap_or_default();
        let Some(other) = server.0.registry.find(&resource.group, short, &resource.plural) else {
            versions::yield_in(new, old, &version, None, force)?;
            continue;
        };
        let (before, after) = (to(server, &other, old).await?, to(server, &other, new).await?);
        versions::yield_in(new, old, &version, Some((&before, &after, &other)), force)?;
    }
    Ok(())
}
