//! The API server's way to what runs in Pods.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use slipway_apiserver::gateway::{Connection, ContainerRef, Exec, LogOptions, PodGateway, Running, Unreachable};

use super::containers::Containers;
use super::log::Logs;
use super::tcp::Tcp;
use crate::cluster::embedded::controllers::informer::Key;

/// Where the API server's own connections come from: the control plane.
pub(in crate::cluster::embedded) const API_SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 18, 0, 2));

/// What the kubelets of a cluster open to the API server.
#[derive(Clone, Debug)]
pub(in crate::cluster::embedded) struct Gateway {
    pub(in crate::cluster::embedded) logs: Logs,
    pub(in crate::cluster::embedded) containers: Containers,
    pub(in crate::cluster::embedded) tcp: Tcp,
}

impl PodGateway for Gateway {
    fn log(&self, from: &ContainerRef, options: &LogOptions) -> Result<BoxStream<'static, Bytes>, Unreachable> {
        let key = Key { namespace: from.namespace.clone(), name: from.pod.clone() };
        self.logs.stream(&key, &from.container, options).ok_or_else(|| Unreachable::NoLog {
            container: from.container.clone(),
            pod: from.pod.clone(),
            previous: options.previous,
        })
    }

    fn exec(&self, within: &ContainerRef, exec: Exec) -> Result<Running, Unreachable> {
        self.containers.exec(&within.uid, &within.container, exec)
    }

    fn dial(&self, address: IpAddr, port: u16) -> BoxFuture<'static, Result<Box<dyn Connection>, Unreachable>> {
        let tcp = self.tcp.clone();
        async move {
            match tcp.connect(API_SERVER, SocketAddr::new(address, port)).await {
                Ok(stream) => Ok(Box::new(stream) as Box<dyn Connection>),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    Err(Unreachable::Refused(address, port))
                }
                Err(error) => Err(Unreachable::Failed(format!("dial tcp {address}:{port}: {error}"))),
            }
        }
        .boxed()
    }
}
