//! One network namespace: a thread that is in it, and answers what it is asked there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver as Events;
use futures::future::{FutureExt, LocalBoxFuture};
use nix::sched::{CloneFlags, unshare};
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::SocketAddr;
use rtnetlink::{Handle, LinkUnspec, MulticastGroup, new_multicast_connection};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::super::files::Changes;
use super::super::host::{LOOPBACK, Link, Network};
use super::names::{DIRECTORY, Name};
use super::{NamespaceError, read};

/// Where a thread sees the sysctls of its namespace's links, IPv4 and IPv6.
pub(super) const IPV4_SETTINGS: &str = "/proc/sys/net/ipv4/conf";
const IPV6_SETTINGS: &str = "/proc/sys/net/ipv6/conf";

/// What tells of every change that scenarios can see.
const GROUPS: [MulticastGroup; 8] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
    MulticastGroup::Ipv4Netconf,
];

/// What is at hand on a namespace's thread.
#[derive(Debug)]
pub struct Inside {
    /// The kernel, as it is in there.
    pub(super) netlink: Handle,
    /// Where the cables end.
    pub(super) far: Far,
}

/// Another namespace, which holds the far ends of the links: a real machine's would be in a switch.
#[derive(Debug)]
pub(super) struct Far {
    pub(super) netlink: Handle,
    pub(super) namespace: File,
}

/// Something to do on the thread.
type Job = Box<dyn FnOnce(Rc<Inside>) -> LocalBoxFuture<'static, ()> + Send>;

/// A network namespace. It goes, with everything in it, when this is dropped or the process ends.
#[derive(Debug)]
pub struct Namespace {
    jobs: Option<UnboundedSender<Job>>,
    thread: Option<JoinHandle<()>>,
    name: Option<Name>,
}

impl Namespace {
    /// Makes a namespace with nothing but a loopback link, which counts its changes.
    ///
    /// Where `/run/netns` can be written it has a name there, so that `ip netns exec` leads into it.
    ///
    /// # Errors
    /// See [`NamespaceError`].
    pub fn new(node: &str, changes: Changes) -> Result<Self, NamespaceError> {
        let (jobs, to_do) = unbounded_channel();
        let (sender, made) = mpsc::sync_channel(1);
        let builder = thread::Builder::new().name(format!("netns {node}"));
        let thread = builder
            .spawn(move || live(&sender, to_do, &changes))
            .map_err(|source| NamespaceError::Thread { what: "start a thread", source })?;
        let path = made.recv().unwrap_or_else(|_| Err(NamespaceError::Refused(gone())))?;
        let name = Name::give(Path::new(DIRECTORY), node, &path).inspect_err(|error| {
            tracing::debug!(%error, node, "the network namespace has no name under {DIRECTORY}");
        });
        Ok(Self { jobs: Some(jobs), thread: Some(thread), name: name.ok() })
    }

    /// Does something in there, and waits for it: the kernel answers at once. In virtual time nothing else happens
    /// meanwhile, so the clock stands still.
    ///
    /// # Errors
    /// When the thread is no more.
    pub fn ask<T, F>(&self, work: impl FnOnce(Rc<Inside>) -> F + Send + 'static) -> io::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (sender, answer) = mpsc::sync_channel(1);
        let job = |inside| {
            // Whoever has asked waits for the answer.
            async move { drop(sender.send(work(inside).await)) }.boxed_local()
        };
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(Box::new(job)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())
    }

    /// What is in it now.
    pub fn look(&self) -> Network {
        let found = self.ask(|inside| async move { read::network(&inside.netlink).await });
        found.flatten().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read the links of a network namespace");
            Network::new(true)
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.name = None;
        self.jobs = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the thread of a network namespace has panicked");
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread of the network namespace has ended")
}

/// The thread's life: it makes the namespace, says so, and does what it is told until nobody can tell it any more.
fn live(made: &SyncSender<Result<PathBuf, NamespaceError>>, mut jobs: UnboundedReceiver<Job>, changes: &Changes) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime.map_err(failed("make a runtime")) {
        Ok(runtime) => runtime,
        Err(error) => return drop(made.send(Err(error))),
    };
    runtime.block_on(async {
        let (inside, mut events, thread) = match enter().await {
            Ok(entered) => entered,
            Err(error) => return drop(made.send(Err(error))),
        };
        drop(made.send(Ok(thread)));
        loop {
            tokio::select! {
                biased;
                job = jobs.recv() => match job {
                    Some(job) => job(Rc::clone(&inside)).await,
                    None => return,
                },
                Some(_) = events.next() => changes.mark(),
            }
        }
    });
}

type Messages = Events<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> NamespaceError {
    move |source| NamespaceError::Thread { what, source }
}

/// Goes into a fresh namespace, and leaves another one behind for the far ends of links. Returns its changes and where
/// `/proc` has this thread.
async fn enter() -> Result<(Rc<Inside>, Messages, PathBuf), NamespaceError> {
    let fresh = || unshare(CloneFlags::CLONE_NEWNET).map_err(|error| NamespaceError::Refused(error.into()));
    // A socket stays in the namespace in which it was opened.
    let connect = |groups: &[MulticastGroup]| {
        let connected = new_multicast_connection(groups).map_err(failed("open a netlink socket"));
        connected.map(|(connection, netlink, messages)| {
            tokio::spawn(connection);
            (netlink, messages)
        })
    };
    fresh()?;
    let namespace = File::open("/proc/thread-self/ns/net").map_err(failed("find its other namespace"))?;
    let far = Far { netlink: connect(&[])?.0, namespace };
    fresh()?;
    let thread = fs::read_link("/proc/thread-self").map_err(failed("find its thread"))?;
    let (netlink, events) = connect(&GROUPS)?;
    boot(&netlink).await?;
    Ok((Rc::new(Inside { netlink, far }), events, thread))
}

/// Makes the namespace one of a machine that has just booted.
async fn boot(netlink: &Handle) -> Result<(), NamespaceError> {
    // Links that are made from now on have what systemd gives them.
    for (key, value) in Link::booted_settings() {
        set(&format!("{IPV4_SETTINGS}/default/{key}"), value)?;
    }
    // Nobody else is on the cable, and addresses that become usable in their own time would not repeat from a seed.
    let detection = format!("{IPV6_SETTINGS}/default/accept_dad");
    if Path::new(&detection).exists() {
        set(&detection, "0")?;
    }
    let up = netlink.link().change(LinkUnspec::new_with_index(LOOPBACK).up().build()).execute().await;
    up.map_err(|error| failed("bring the loopback link up")(read::refused(error)))
}

fn set(path: &str, value: &str) -> Result<(), NamespaceError> {
    fs::write(path, value).map_err(|source| NamespaceError::Sysctl { path: path.to_owned(), source })
}
