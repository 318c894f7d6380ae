//! The Docker engine: what is asked of it, and nothing that decides.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use futures::StreamExt;
use testcontainers_modules::k3s::K3s as K3sImage;
use testcontainers_modules::testcontainers::bollard::Docker;
use testcontainers_modules::testcontainers::bollard::container::LogOutput;
use testcontainers_modules::testcontainers::bollard::errors::Error as EngineError;
use testcontainers_modules::testcontainers::bollard::exec::{CreateExecOptions, StartExecResults};
use testcontainers_modules::testcontainers::bollard::models::{
    ContainerInspectResponse, ContainerSummary, EndpointSettings, HostConfig, PortBinding,
};
use testcontainers_modules::testcontainers::bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
};
use testcontainers_modules::testcontainers::core::client::docker_client_instance;
use testcontainers_modules::testcontainers::core::{IntoContainerPort, Mount};
use testcontainers_modules::testcontainers::runners::AsyncRunner;
use testcontainers_modules::testcontainers::{ContainerAsync, ContainerRequest, ImageExt};

use super::command::{self, Reach};
use super::image::ImageName;
use super::leftovers::{self, KEEPER_LABEL, NODE_LABEL};
use super::node::Joining;
use super::{K3sError, Mode, Settings};
use crate::chain::chain;
use crate::cluster::access::RUN_LABEL;
use crate::sim::seed::RunId;

/// The oldest API that has what we ask for: that of Docker 20.10.
pub(super) const API_MIN: &str = "1.41";
/// As many of a container's last lines as an error shows.
const LINES: &str = "15";
/// Where k3s writes its kubeconfig.
const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";

/// A Docker engine that answers.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    docker: Docker,
}

impl Engine {
    /// Finds it, and makes sure that it can be used.
    pub(super) async fn connect() -> Result<Self, K3sError> {
        let docker = docker_client_instance().await.map_err(K3sError::of_client)?;
        let version = docker.version().await.map_err(K3sError::of_engine)?;
        let (engine, api) = (version.version.unwrap_or_default(), version.api_version.unwrap_or_default());
        if number(&api) < number(API_MIN) {
            return Err(K3sError::TooOld { engine, api });
        }
        Ok(Self { docker })
    }

    /// Makes sure that the image is there; asks for it where it is not.
    pub(super) async fn provide(&self, image: &ImageName, tell: &(dyn Fn(&str) + Sync)) -> Result<(), K3sError> {
        match self.docker.inspect_image(&image.to_string()).await {
            Ok(_) => return Ok(()),
            Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(source) => return Err(refused("look for the image")(source)),
        }
        tell(&format!("k3s: pulling {image}"));
        let pulled = request(image).pull_image().await;
        pulled.map(drop).map_err(|source| K3sError::NoImage { image: image.clone(), source: source.into() })
    }

    /// Makes a server's container and starts it.
    pub(super) async fn launch(
        &self,
        settings: &Settings,
        mode: Mode,
        reach: &Reach,
        run: &RunId,
        token: &str,
    ) -> Result<Container, K3sError> {
        let binding =
            PortBinding { host_ip: Some(reach.published_on().to_owned()), host_port: Some(settings.port.to_string()) };
        let bindings = HashMap::from([(format!("{}/tcp", command::PORT), Some(vec![binding]))]);
        let mut request = ours(settings, run, Some(bindings))
            .with_cmd(command::arguments(mode, reach))
            .with_env_var(command::TOKEN, token);
        if mode == Mode::Full {
            request = privileged(request, settings);
        }
        let started = request.start().await;
        let inner = started.map_err(|source| K3sError::of_start(&source, &settings.image, mode, settings.port))?;
        Ok(Container { inner, engine: self.clone() })
    }

    /// Makes a node's container and starts it.
    pub(super) async fn launch_node(
        &self,
        settings: &Settings,
        run: &RunId,
        node: &Joining<'_>,
    ) -> Result<Container, K3sError> {
        let mut request = privileged(ours(settings, run, None), settings)
            .with_cmd(command::agent_arguments(&node.server, node.spec))
            .with_env_var(command::TOKEN, node.token)
            .with_label(NODE_LABEL, &node.spec.name);
        for (path, content) in command::agent_files(node.token, node.release) {
            request = request.with_copy_to(path, content.into_bytes());
        }
        let started = request.start().await;
        let inner = started.map_err(|source| K3sError::of_start(&source, &settings.image, Mode::Full, 0))?;
        Ok(Container { inner, engine: self.clone() })
    }

    /// The containers of a run, or of all.
    pub(super) async fn containers(&self, run: Option<&RunId>) -> Result<Vec<ContainerSummary>, K3sError> {
        let label = run.map_or_else(|| RUN_LABEL.to_owned(), |run| format!("{RUN_LABEL}={run}"));
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        self.docker.list_containers(Some(options)).await.map_err(refused("list containers"))
    }

    /// Removes a container with what it keeps; it may be gone already.
    pub(super) async fn remove(&self, id: &str) -> Result<(), K3sError> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match self.docker.remove_container(id, Some(options)).await {
            // 409: it is being removed already.
            Ok(()) | Err(EngineError::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
            Err(source) => Err(refused("remove the container")(source)),
        }
    }

    /// Removes what a start that failed has left behind: all of a run, or what is a node of this name.
    pub(super) async fn sweep(&self, run: &RunId, node: Option<&str>) -> Result<(), K3sError> {
        for container in self.containers(Some(run)).await? {
            let of = container.labels.as_ref().and_then(|labels| labels.get(NODE_LABEL)).map(String::as_str);
            if node.is_none() || node == of {
                self.remove(container.id.as_deref().unwrap_or_default()).await?;
            }
        }
        Ok(())
    }
}

/// A container of k3s, which is removed when this is dropped.
pub(super) struct Container {
    inner: ContainerAsync<K3sImage>,
    engine: Engine,
}

impl Container {
    /// The port that its API server's is published on.
    pub(super) async fn port(&self) -> Result<u16, K3sError> {
        self.inner.get_host_port_ipv4(command::PORT.tcp()).await.map_err(refused("publish the port"))
    }

    /// The kubeconfig that k3s has written, or why there is none.
    pub(super) async fn kubeconfig(&self) -> Result<String, String> {
        let copied = self.inner.copy_file_from(KUBECONFIG, Vec::new()).await;
        let bytes: Vec<u8> = copied.map_err(|error| chain(&error))?;
        String::from_utf8(bytes).map_err(|error| error.to_string())
    }

    /// What can be asked of it by whoever does not keep it.
    pub(super) fn inside(&self) -> Inside {
        Inside { docker: self.engine.docker.clone(), id: self.inner.id().to_owned() }
    }

    /// Removes it, and waits until it is gone.
    pub(super) async fn remove(self) -> Result<(), K3sError> {
        let (id, engine) = (self.inner.id().to_owned(), self.engine.clone());
        match self.inner.rm().await {
            Ok(()) => Ok(()),
            // Somebody else may have done it.
            Err(_) => engine.remove(&id).await,
        }
    }
}

/// A container that somebody else keeps.
#[derive(Clone, Debug)]
pub(super) struct Inside {
    docker: Docker,
    id: String,
}

/// What a command has come to.
pub(super) struct Done {
    /// Its exit code.
    pub(super) code: i64,
    /// What it wrote to standard output.
    pub(super) output: Vec<u8>,
    /// What it complained about.
    pub(super) complaint: String,
}

impl Inside {
    /// Its exit code, once it has ended.
    pub(super) async fn ended(&self) -> Result<Option<i64>, K3sError> {
        let state = self.inspect().await?.state.unwrap_or_default();
        Ok(if state.running == Some(true) { None } else { state.exit_code })
    }

    /// What it said last; nothing where that cannot be had.
    pub(super) async fn tail(&self) -> Vec<String> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(LINES).build();
        let frames = self.docker.logs(&self.id, Some(options)).filter_map(|frame| async { frame.ok() });
        let text: String = frames.map(|frame| frame.to_string()).collect().await;
        text.lines().map(str::trim_end).map(str::to_owned).collect()
    }

    /// The address at which it finds this machine: its network's gateway.
    pub(super) async fn gateway(&self) -> Result<Option<IpAddr>, K3sError> {
        self.network(|network| network.gateway).await
    }

    /// Its own address, at which its network's other containers find it.
    pub(super) async fn address(&self) -> Result<Option<IpAddr>, K3sError> {
        self.network(|network| network.ip_address).await
    }

    async fn network(&self, part: impl Fn(EndpointSettings) -> Option<String>) -> Result<Option<IpAddr>, K3sError> {
        let networks = self.inspect().await?.network_settings.and_then(|settings| settings.networks);
        let mut parts = networks.into_iter().flatten().filter_map(|(_, network)| part(network));
        Ok(parts.find_map(|address| address.parse().ok()))
    }

    /// Runs a command in it.
    pub(super) async fn run(&self, command: &[String]) -> Result<Done, K3sError> {
        let refused = || refused("run a command in the container");
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.to_vec()),
            ..CreateExecOptions::default()
        };
        let exec = self.docker.create_exec(&self.id, options).await.map_err(refused())?;
        let (mut output, mut complaint) = (Vec::new(), Vec::new());
        if let StartExecResults::Attached { output: mut frames, .. } =
            self.docker.start_exec(&exec.id, None).await.map_err(refused())?
        {
            while let Some(frame) = frames.next().await {
                match frame.map_err(refused())? {
                    LogOutput::StdErr { message } => complaint.extend_from_slice(&message),
                    other => output.extend_from_slice(&other.into_bytes()),
                }
            }
        }
        let ended = self.docker.inspect_exec(&exec.id).await.map_err(refused())?;
        let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
        // A command whose output has ended without an exit code was cut short.
        Ok(Done { code: ended.exit_code.unwrap_or(-1), output, complaint })
    }

    /// Gives the images of an archive to k3s's containers.
    pub(super) async fn import(&self, number: usize, path: &Path) -> Result<(), K3sError> {
        let done = self.run(&command::import(number)).await?;
        if done.code == 0 {
            return Ok(());
        }
        Err(K3sError::Import { path: path.to_owned(), said: done.complaint })
    }

    async fn inspect(&self) -> Result<ContainerInspectResponse, K3sError> {
        let asked = self.docker.inspect_container(&self.id, None::<InspectContainerOptions>).await;
        asked.map_err(refused("say how the container is"))
    }
}

fn request(image: &ImageName) -> ContainerRequest<K3sImage> {
    K3sImage::default().with_name(&image.name).with_tag(&image.tag)
}

/// What every container of a run has in common.
fn ours(
    settings: &Settings,
    run: &RunId,
    bindings: Option<HashMap<String, Option<Vec<PortBinding>>>>,
) -> ContainerRequest<K3sImage> {
    let publish = move |host: &mut HostConfig| {
        // k3s's image exposes more than its API, and none of that is for others.
        host.publish_all_ports = Some(false);
        host.port_bindings.clone_from(&bindings);
    };
    request(&settings.image)
        .with_label(RUN_LABEL, run.to_string())
        .with_label(KEEPER_LABEL, leftovers::keeper())
        // What it waits for by itself comes from the kubelet of a server.
        .with_ready_conditions(Vec::new())
        .with_startup_timeout(settings.patience)
        .with_host_config_modifier(publish)
}

/// The same with what a kubelet needs, and with the images that are brought for its containers.
fn privileged(request: ContainerRequest<K3sImage>, settings: &Settings) -> ContainerRequest<K3sImage> {
    let request = request
        .with_privileged(true)
        .with_userns_mode("host")
        .with_mount(Mount::tmpfs_mount("/run"))
        .with_mount(Mount::tmpfs_mount("/var/run"));
    settings
        .archives
        .iter()
        .enumerate()
        .fold(request, |request, (number, path)| request.with_copy_to(command::archive_path(number), path.as_path()))
}

fn refused<E: std::error::Error + Send + Sync + 'static>(what: &'static str) -> impl FnOnce(E) -> K3sError {
    move |source| K3sError::Engine { what, source: source.into() }
}

/// A version's numbers, to be compared.
fn number(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(number("1.9") < number(API_MIN) && number("1.100") > number(API_MIN) && number("") < number("1"));
    }
}
