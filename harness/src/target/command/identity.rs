//! Whom the API server takes a program for, and the kubeconfig that makes it so.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{SelfSubjectReview, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use super::super::RaiseError;
use crate::chain::chain;
use crate::cluster::Cluster;
use crate::temporary::Directory;

/// How long a token counts: longer than any scenario lasts.
const TOKEN_LIFE: Duration = Duration::from_hours(24);

/// What its kubeconfig is called.
const KUBECONFIG: &str = "kubeconfig";

/// The name of everything in the kubeconfig.
const NAME: &str = "slipway";

/// Who a program is on a cluster.
pub struct Identity {
    /// The kubeconfig, which only its owner can read. Removed with this.
    directory: Directory,
    /// The user's name.
    pub(super) user: String,
}

impl Identity {
    /// The kubeconfig's path.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join(KUBECONFIG)
    }

    /// An identity on a cluster: a service account's, by namespace and name, or else the administrator's. The
    /// kubeconfig's own namespace is this one.
    ///
    /// # Errors
    /// When there is no kubeconfig, or no token of that service account.
    pub async fn new(
        cluster: &dyn Cluster,
        namespace: &str,
        account: Option<(&str, &str)>,
    ) -> Result<Self, RaiseError> {
        let path = cluster.kubeconfig().await.map_err(RaiseError::because("open the cluster for the operator"))?;
        let admin = Kubeconfig::read_from(&path).map_err(RaiseError::because("read the cluster's kubeconfig"))?;
        let (user, token) = match account {
            Some((namespace, name)) => {
                let token = token(cluster.client(), namespace, name).await?;
                (format!("system:serviceaccount:{namespace}:{name}"), Some(token))
            }
            None => (who_is(&admin).await, None),
        };
        let written = "write the operator's kubeconfig";
        let config = serde_json::to_value(&admin).map_err(RaiseError::because(written))?;
        let text = narrowed(&config, namespace, token.as_deref()).to_string();
        let directory = write(&text).map_err(RaiseError::because(written))?;
        Ok(Self { directory, user })
    }
}

/// A kubeconfig with its current context alone, in JSON, which is YAML too: those who have no library for the one can
/// read the other. With a token, that is all the user has.
fn narrowed(config: &Value, namespace: &str, token: Option<&str>) -> Value {
    let entry = |list: &str, name: &Value| -> Value {
        let entries = config[list].as_array().into_iter().flatten();
        entries.clone().find(|entry| entry["name"] == *name).cloned().unwrap_or_default()
    };
    let context = entry("contexts", &config["current-context"])["context"].clone();
    let user = match token {
        Some(token) => json!({ "token": token }),
        None => entry("users", &context["user"])["user"].clone(),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": NAME,
        "clusters": [{ "name": NAME, "cluster": entry("clusters", &context["cluster"])["cluster"] }],
        "contexts": [{ "name": NAME, "context": { "cluster": NAME, "user": NAME, "namespace": namespace } }],
        "users": [{ "name": NAME, "user": user }],
    })
}

fn write(text: &str) -> std::io::Result<Directory> {
    let directory = Directory::new("operator")?;
    directory.keep(KUBECONFIG, text)?;
    Ok(directory)
}

/// A token as a Pod of the service account would have it.
async fn token(client: Client, namespace: &str, name: &str) -> Result<String, RaiseError> {
    let what = || format!("have a token for the service account {namespace}/{name}");
    let spec = TokenRequestSpec {
        expiration_seconds: i64::try_from(TOKEN_LIFE.as_secs()).ok(),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let accounts: Api<ServiceAccount> = Api::namespaced(client, namespace);
    let given = accounts.create_token_request(name, &PostParams::default(), &request).await;
    let given = given.map_err(|error| {
        let hint = if matches!(&error, kube::Error::Api(status) if status.is_not_found()) {
            "; does `install` make it?"
        } else {
            ""
        };
        RaiseError::because(what())(format!("{}{hint}", chain(&error)))
    })?;
    let token = given.status.and_then(|status| status.token).filter(|token| !token.is_empty());
    token.ok_or("the API server gave none").map_err(RaiseError::because(what()))
}

/// Whom the API server takes the holder of a kubeconfig for; nobody knows where it does not say, and what is measured of
/// the operator's requests is nothing then.
async fn who_is(kubeconfig: &Kubeconfig) -> String {
    let asked = async {
        let config = Config::from_custom_kubeconfig(kubeconfig.clone(), &KubeConfigOptions::default()).await.ok()?;
        let reviews: Api<SelfSubjectReview> = Api::all(Client::try_from(config).ok()?);
        let review = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await.ok()?;
        review.status?.user_info?.username
    };
    asked.await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_command_is_given_one_context_its_own_token_and_nothing_of_the_administrators() {
        let admin = json!({
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}, {"name": "other", "cluster": {}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "admin"}}],
            "users": [{"name": "admin", "user": {"token": "secret", "client-key-data": "key"}}],
        });
        let theirs = narrowed(&admin, "shop", Some("theirs"));
        assert_eq!(theirs["users"], json!([{"name": "slipway", "user": {"token": "theirs"}}]));
        assert_eq!(theirs["clusters"][0]["cluster"]["server"], "https://127.0.0.1:1");
        assert_eq!(theirs["contexts"][0]["context"]["namespace"], "shop");
        assert!(!theirs.to_string().contains("secret") && !theirs.to_string().contains("other"));
        assert_eq!(narrowed(&admin, "shop", None)["users"][0]["user"]["token"], "secret");
        let directory = write(&theirs.to_string()).unwrap();
        let mode = directory.path().join("kubeconfig").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
