//! What the built-in operator's manifests install, before a scenario begins.
//!
//! On a cluster that others use, everything that is made carries the run's label, and what was there before is left as
//! it is.

use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::WebhookClientConfig;
use k8s_openapi::api::core::v1::{Namespace, Service, ServicePort, ServiceSpec};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::core::{NamespaceResourceScope, ObjectMeta};
use kube::runtime::wait::await_condition;
use kube::runtime::wait::conditions::is_crd_established;
use kube::{Api, Client, Resource, ResourceExt};
use slipway_operator::controllers::drain::gate::webhooks;
use slipway_operator::runtime::rbac::{self, Install, Manifest, NAME, NAMESPACE};
use slipway_operator::runtime::{Controller, Settings};

use super::RaiseError;
use crate::cluster::access::RUN_LABEL;
use crate::sim::seed::RunId;

/// The field manager of whatever is installed before a scenario begins.
const INSTALLER: &str = "slipway-installer";

/// The Service before the operator's webhooks, and its port.
pub(super) const WEBHOOKS: &str = "slipway-operator-webhooks";
pub(super) const WEBHOOKS_PORT: u16 = 443;

/// How long a definition may take until it is served; a real API server needs about a second.
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(30);

/// Whom the API server asks about evictions and new Pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A Service, behind which this process answers.
    Service,
    /// This process, at a URL.
    Url {
        /// What the paths are below.
        base: String,
        /// Who vouches for it, in PEM.
        authority: String,
    },
    /// Nobody: the API server cannot reach this process.
    Nobody,
}

/// Installs on one cluster.
pub(super) struct Installer<'a> {
    /// With an administrator's rights.
    pub(super) client: &'a Client,
    /// Whose label everything gets, where the cluster is not ours alone.
    pub(super) run: Option<&'a RunId>,
}

impl Installer<'_> {
    /// What the operator's manifests install.
    pub(super) async fn install(
        &self,
        settings: &Settings,
        agent_namespace: &str,
        asked: &Asked,
    ) -> Result<(), RaiseError> {
        self.namespace(NAMESPACE).await?;
        for controller in &settings.controllers {
            for crd in controller.crds() {
                self.define(&crd).await?;
            }
        }
        let install = Install {
            controllers: settings.controllers.clone(),
            watched: settings.namespace.clone(),
            namespace: NAMESPACE.to_owned(),
            agent_namespace: agent_namespace.to_owned(),
            config_map: (settings.drain.config_map_namespace.clone(), settings.drain.config_map_name.clone()),
        };
        for manifest in rbac::parts(&install).into_iter().flat_map(|part| part.manifests) {
            match manifest {
                Manifest::ServiceAccount(account) => self.apply_in(&account).await,
                Manifest::Role(role) => self.apply_in(&role).await,
                Manifest::RoleBinding(binding) => self.apply_in(&binding).await,
                Manifest::ClusterRole(role) => self.apply_everywhere(&role).await,
                Manifest::ClusterRoleBinding(binding) => self.apply_everywhere(&binding).await,
            }?;
        }
        if settings.controllers.contains(&Controller::Drain) {
            self.install_webhooks(settings, asked).await?;
        }
        Ok(())
    }

    /// A namespace.
    pub(super) async fn namespace(&self, name: &str) -> Result<(), RaiseError> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        self.apply_everywhere(&Namespace { metadata, ..Namespace::default() }).await
    }

    /// A definition, which is served when this returns.
    async fn define(&self, crd: &CustomResourceDefinition) -> Result<(), RaiseError> {
        let name = crd.name_any();
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        self.apply(&definitions, crd).await?;
        let established = await_condition(definitions, &name, is_crd_established());
        tokio::time::timeout(ESTABLISHED_WITHIN, established)
            .await
            .map_err(RaiseError::because(format!("wait for {name} to be served")))?
            .map_err(RaiseError::because(format!("watch {name}")))?;
        Ok(())
    }

    /// What makes the API server ask the operator about evictions and new Pods.
    async fn install_webhooks(&self, settings: &Settings, asked: &Asked) -> Result<(), RaiseError> {
        let at = webhooks::Installation {
            namespace: NAMESPACE.to_owned(),
            service: WEBHOOKS.to_owned(),
            port: WEBHOOKS_PORT,
            user: format!("system:serviceaccount:{NAMESPACE}:{NAME}"),
            watched: settings.namespace.clone(),
        };
        let (mut evictions, mut pods) = (webhooks::evictions(&at), webhooks::pods(&at));
        match asked {
            Asked::Nobody => return Ok(()),
            Asked::Service => {
                let port = ServicePort { port: i32::from(WEBHOOKS_PORT), ..ServicePort::default() };
                let service = Service {
                    metadata: ObjectMeta {
                        name: Some(WEBHOOKS.to_owned()),
                        namespace: Some(NAMESPACE.to_owned()),
                        ..ObjectMeta::default()
                    },
                    // No selector: what answers is no Pod, but this process.
                    spec: Some(ServiceSpec { ports: Some(vec![port]), ..ServiceSpec::default() }),
                    ..Service::default()
                };
                self.apply_in(&service).await?;
            }
            Asked::Url { base, authority } => {
                for webhook in evictions.webhooks.iter_mut().flatten() {
                    webhook.client_config = by_url(&webhook.client_config, base, authority);
                }
                for webhook in pods.webhooks.iter_mut().flatten() {
                    webhook.client_config = by_url(&webhook.client_config, base, authority);
                }
            }
        }
        self.apply_everywhere(&evictions).await?;
        self.apply_everywhere(&pods).await
    }

    async fn apply_in<K>(&self, object: &K) -> Result<(), RaiseError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Object,
    {
        let namespace = object.namespace().unwrap_or_default();
        self.apply(&Api::namespaced(self.client.clone(), &namespace), object).await
    }

    async fn apply_everywhere<K: Object>(&self, object: &K) -> Result<(), RaiseError> {
        self.apply(&Api::all(self.client.clone()), object).await
    }

    async fn apply<K: Object>(&self, api: &Api<K>, object: &K) -> Result<(), RaiseError> {
        let name = object.name_any();
        let what = || format!("install {} {name}", K::kind(&()));
        let mut value = serde_json::to_value(object).map_err(RaiseError::because(format!("write {name}")))?;
        value["apiVersion"] = K::api_version(&()).into();
        value["kind"] = K::kind(&()).into();
        if let Some(run) = self.run {
            let there = api.get_opt(&name).await.map_err(RaiseError::because(what()))?;
            if there.is_some_and(|there| there.labels().get(RUN_LABEL) != Some(&run.0)) {
                return Ok(());
            }
            value["metadata"]["labels"][RUN_LABEL] = run.0.as_str().into();
        }
        let params = PatchParams::apply(INSTALLER).force();
        api.patch(&name, &params, &Patch::Apply(&value)).await.map(drop).map_err(RaiseError::because(what()))
    }
}

/// What can be installed.
trait Object:
    Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned
{
}

impl<K> Object for K where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned
{
}

/// The same path, at a URL.
fn by_url(config: &WebhookClientConfig, base: &str, authority: &str) -> WebhookClientConfig {
    let path = config.service.as_ref().and_then(|service| service.path.as_deref()).unwrap_or_default();
    let ca_bundle = Some(ByteString(authority.as_bytes().to_vec()));
    WebhookClientConfig { url: Some(format!("{base}{path}")), ca_bundle, service: None }
}
