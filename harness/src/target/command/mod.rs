//! Any operator that is a program of this machine: what it needs is installed, it has a kubeconfig with its own rights
//! and nothing of our environment but what the scenario asks for, and everything it starts ends with it.

mod identity;
mod output;
mod ready;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::task::JoinHandle;

pub use self::identity::Identity;
use self::output::Output;
use self::ready::Witnesses;
pub(super) use self::ready::renews;
use super::manifests::{self, Installed};
use super::teller::Elsewhere;
use super::{Operator, RaiseError, Teller, Terms};
use crate::cluster::Cluster;
use crate::process::{Group, how};
use crate::scenario::duration::Span;
use crate::scenario::expression::Bindings;
use crate::scenario::operator::{Program, Ready, Sign};
use crate::scenario::plan::Plan;
use crate::scenario::template::fill_value;
use crate::sli::scrape::{Credentials, Endpoint, Scraper};

/// Installs what a program needs on a cluster, and makes it ready to be started there.
pub(super) async fn put(
    program: &Program,
    plan: &Plan,
    namespace: &str,
    cluster: &Arc<dyn Cluster>,
    terms: &Terms,
) -> Result<Box<dyn Operator>, RaiseError> {
    let installed = manifests::install(&**cluster, namespace, &program.install).await?;
    let account = program.account.as_ref().map(|account| (account.namespace(namespace), account.name.as_str()));
    let identity = Identity::new(&**cluster, namespace, account).await?;
    let ports = free_ports(&program.ports).map_err(RaiseError::because("find free ports for the operator"))?;
    let text = |text: &String| filled(text, &ports);
    let ready = program.ready.clone().map(|ready| match ready.by {
        Sign::Url(url) => Ready { by: Sign::Url(text(&url)), ..ready },
        Sign::Log(_) | Sign::Lease(_) => ready,
    });
    let sign = ready.as_ref().and_then(|ready| match &ready.by {
        Sign::Log(text) => Some(text.clone()),
        Sign::Url(_) | Sign::Lease(_) => None,
    });
    let file = terms.outside.logs.as_ref().map(|logs| logs.join(format!("{}.log", plan.title)));
    let kept = file.as_deref().map_or_else(String::new, |file| format!(" in {}", file.display()));
    let output = Output::new(terms.clock, sign, file.as_deref())
        .map_err(RaiseError::because(format!("keep the output{kept}")))?;
    let running = Arc::<AtomicBool>::default();
    let teller = match &program.metrics {
        Some(url) => {
            let scraper = Scraper::new(&text(url), &[], None);
            let scraper = scraper.map_err(RaiseError::because("ask the operator for its metrics"))?;
            let endpoint = Arc::new(Endpoint { scraper, credentials: Credentials::None });
            let elsewhere = Elsewhere::new(endpoint, cluster.client());
            Some(Arc::new(WhileRunning { elsewhere, running: Arc::clone(&running) }) as Arc<dyn Teller>)
        }
        None => None,
    };
    let mut environment = surroundings(program, &terms.outside.environment);
    for (name, value) in [
        ("KUBECONFIG", identity.kubeconfig().into_os_string()),
        ("NAMESPACE", namespace.into()),
        ("SLIPWAY_NAMESPACE", namespace.into()),
        ("SLIPWAY_SCENARIO", plan.name.clone().into()),
        ("SLIPWAY_SEED", terms.seed.to_string().into()),
    ] {
        environment.insert(name.into(), value);
    }
    environment.extend(program.env.iter().map(|(name, value)| (name.into(), text(value).into())));
    Ok(Box::new(Command {
        words: program.command.iter().map(text).collect(),
        working_dir: program.working_dir.clone(),
        environment,
        ready,
        witness: cluster.client(),
        namespace: namespace.to_owned(),
        grace_period: program.grace_period,
        installed,
        identity,
        output,
        teller,
        running,
        life: Life::None,
    }))
}

/// What a program has of our own environment: where programs are, and what the scenario names.
fn surroundings(program: &Program, ours: &BTreeMap<OsString, OsString>) -> BTreeMap<OsString, OsString> {
    let names = program.inherit_env.iter().map(String::as_str).chain(["PATH"]);
    names.filter_map(|name| ours.get_key_value(&OsString::from(name))).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Ports that nobody listens at, by name. They are taken all at once, so that no two are the same.
fn free_ports(names: &[String]) -> io::Result<Bindings> {
    let taken = names.iter().map(|name| Ok((name, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)));
    let taken: Vec<_> = taken.collect::<io::Result<_>>()?;
    taken.iter().map(|(name, listener)| Ok(((*name).clone(), listener.local_addr()?.port().into()))).collect()
}

/// A text with the ports filled in.
fn filled(text: &str, ports: &Bindings) -> String {
    match fill_value(&Value::String(text.to_owned()), ports) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A program of this machine.
struct Command {
    words: Vec<String>,
    working_dir: PathBuf,
    environment: BTreeMap<OsString, OsString>,
    ready: Option<Ready>,
    /// Knows of Leases.
    witness: kube::Client,
    namespace: String,
    grace_period: Duration,
    installed: Vec<Installed>,
    identity: Identity,
    output: Output,
    teller: Option<Arc<dyn Teller>>,
    /// Whether it was started and not stopped again, for those who want to hear it.
    running: Arc<AtomicBool>,
    life: Life,
}

/// Where a program is in its life.
enum Life {
    /// It does not run, and should not.
    None,
    /// It runs, and somebody reads what it writes.
    Running(Box<Group>, JoinHandle<()>),
    /// It should run and does not, for this reason.
    Failed(String),
}

impl Command {
    /// The program as a person knows it.
    fn name(&self) -> &str {
        self.words.first().map(String::as_str).unwrap_or_default()
    }

    fn spawn(&self) -> io::Result<Life> {
        let (program, arguments) = self.words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        // A path is meant from where the program runs, a name is looked for.
        let program =
            if program.contains('/') { self.working_dir.join(program) } else { Path::new(program).to_owned() };
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).current_dir(&self.working_dir).env_clear().envs(&self.environment);
        let (group, pipe) = Group::spawn(command)?;
        Ok(Life::Running(Box::new(group), tokio::spawn(self.output.clone().read(pipe))))
    }

    /// Its life, which is over when this returns.
    fn take(&mut self) -> Life {
        self.running.store(false, Ordering::Relaxed);
        std::mem::replace(&mut self.life, Life::None)
    }
}

impl Operator for Command {
    fn start(&mut self) {
        if matches!(self.life, Life::Running(..)) {
            return;
        }
        self.output.begin();
        self.life = match self.spawn() {
            Ok(life) => {
                self.output.note(&format!("slipway started {}", self.words.join(" ")));
                life
            }
            Err(error) => {
                let place = self.working_dir.display();
                Life::Failed(format!("the operator cannot be started: {} (in {place}): {error}", self.name()))
            }
        };
        self.running.store(true, Ordering::Relaxed);
    }

    fn ready(&self) -> BoxFuture<'static, Result<(), String>> {
        let Some(ready) = &self.ready else { return async { Ok(()) }.boxed() };
        let (client, namespace, output) = (self.witness.clone(), self.namespace.clone(), self.output.clone());
        ready::wait(ready, Witnesses { client, namespace, output })
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        async {
            let Life::Running(mut group, reading) = self.take() else { return };
            group.signal(Signal::SIGTERM);
            let said = match tokio::time::timeout(self.grace_period, group.wait()).await {
                Ok(Ok(status)) => format!("it ended {} when slipway told it to stop", how(status)),
                Ok(Err(error)) => format!("slipway told it to stop and cannot tell how it ended: {error}"),
                Err(_) => format!("slipway killed it: it did not stop within {}", Span(self.grace_period)),
            };
            group.end().await;
            drop(reading.await);
            self.output.note(&said);
        }
        .boxed()
    }

    fn crash(&mut self) -> BoxFuture<'_, ()> {
        async {
            let Life::Running(group, reading) = self.take() else { return };
            group.end().await;
            drop(reading.await);
            self.output.note("slipway killed it");
        }
        .boxed()
    }

    fn uninstall(&mut self) -> BoxFuture<'_, Result<(), String>> {
        async {
            self.stop().await;
            manifests::remove(&self.installed).await
        }
        .boxed()
    }

    fn user(&self) -> String {
        self.identity.user.clone()
    }

    fn teller(&self) -> Option<Arc<dyn Teller>> {
        self.teller.clone()
    }

    fn ended(&mut self) -> BoxFuture<'_, String> {
        async {
            let why = match &mut self.life {
                Life::None => std::future::pending().await,
                Life::Failed(why) => return why.clone(),
                Life::Running(group, reading) => {
                    let why = match group.wait().await {
                        Ok(status) => format!("ended {}", how(status)),
                        Err(error) => format!("ended, and cannot be asked how: {error}"),
                    };
                    // Its last words come before whatever is said of it.
                    drop(reading.await);
                    why
                }
            };
            self.output.note(&format!("it {why}, and nobody had told it to"));
            let why = format!("the operator ({}) {why}", self.name());
            self.life = Life::Failed(why.clone());
            why
        }
        .boxed()
    }

    fn output(&self, lines: usize) -> Vec<String> {
        self.output.tail(lines)
    }
}

/// Asks a program only while it runs.
struct WhileRunning {
    elsewhere: Elsewhere,
    running: Arc<AtomicBool>,
}

impl Teller for WhileRunning {
    fn metrics(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
        if self.running.load(Ordering::Relaxed) { self.elsewhere.metrics() } else { async { None }.boxed() }
    }
}
