//! `MultiNIC`: per-node network configuration by agent Jobs.

mod settings;

pub use settings::Settings;

use std::future::Future;

use crate::kit::clock::Clock;

/// Runs the controller until `shutdown` resolves.
pub async fn run(
    _client: kube::Client,
    _namespace: Option<String>,
    _settings: Settings,
    _clock: Clock,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    shutdown.await;
}
