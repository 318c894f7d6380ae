//! What the server itself does because of a write, such as serving what a definition defines.

use serde_json::Value;

use crate::resource::Resource;
use crate::service::ApiServer;

/// Called after each committed write with the object as it is now; none when it is gone.
pub(crate) fn after_write(server: &ApiServer, resource: &Resource, object: Option<&Value>) {
    let _ = (server, resource, object);
}
