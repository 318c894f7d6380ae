//! Network namespaces with veth pairs for the cases to work on.

use std::fs;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, new_connection};
use slipway_operator::agent::Host;
use slipway_operator::agent::host::linux::LinuxHost;
use slipway_operator::agent::host::{Address, Dir, FileContent, FileRef, Link, Mac, Route, Rule, Sysctl};
use tempfile::TempDir;

/// A case: it panics when something is not as it should be.
pub(crate) type Case = fn(Node) -> Pin<Box<dyn Future<Output = ()>>>;

/// A node of its own: a fresh network namespace and an empty root directory.
pub(crate) struct Node {
    pub(crate) host: LinuxHost,
    pub(crate) netlink: Handle,
    pub(crate) root: TempDir,
}

/// Makes this process able to make network namespaces. Must run before there is a second thread.
pub(crate) fn prepare() -> Result<(), String> {
    if !geteuid().is_root() {
        let (uid, gid) = (geteuid(), getegid());
        unshare(CloneFlags::CLONE_NEWUSER).map_err(|error| format!("no user namespace: {error}"))?;
        let write = |path: &str, text: String| fs::write(path, text).map_err(|error| format!("{path}: {error}"));
        write("/proc/self/setgroups", "deny".to_owned())?;
        write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    }
    // A namespace belongs to a thread, and goes with it.
    let probe = thread::spawn(|| {
        enter()?;
        runtime()?.block_on(async {
            let node = Node::new().await?;
            let bridge = LinkBridge::new("probe-br").build();
            node.netlink.link().add(bridge).execute().await.map_err(|error| format!("no bridge: {error}"))?;
            node.veth("probe", "02:00:00:00:00:fe").await
        })
    });
    probe.join().map_err(|_| "the probe of the kernel failed".to_owned())?
}

fn enter() -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("no network namespace: {error}"))
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())
}

/// Runs a case in a namespace of its own.
pub(crate) fn run(case: Case) -> Result<(), String> {
    let thread = thread::spawn(move || {
        enter()?;
        let runtime = runtime()?;
        let run = || {
            runtime.block_on(async {
                case(Node::new().await?).await;
                Ok(())
            })
        };
        catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
        })?
    });
    thread.join().map_err(|_| "the case's thread panicked".to_owned())?
}

impl Node {
    async fn new() -> Result<Self, String> {
        let root = tempfile::tempdir().map_err(|error| error.to_string())?;
        for dir in Dir::ALL {
            let path = root.path().join(dir.path().trim_start_matches('/'));
            fs::create_dir_all(path).map_err(|error| error.to_string())?;
        }
        let (connection, netlink, _) = new_connection().map_err(|error| format!("no netlink socket: {error}"))?;
        tokio::spawn(connection);
        let sysctls = Path::new("/proc/sys/net/ipv4/conf");
        let host = LinuxHost::connect(root.path(), sysctls).map_err(|error| format!("no netlink socket: {error}"))?;
        let node = Self { host, netlink, root };
        node.up("lo").await?;
        Ok(node)
    }

    /// Makes a veth pair; the first has the MAC, the second is named after it and is up, so that the first has a carrier.
    pub(crate) async fn veth(&self, name: &str, mac: &str) -> Result<(), String> {
        let mac = Mac::parse(mac).ok_or("not a MAC address")?.0.to_vec();
        let peer = format!("{name}-peer");
        let message = LinkVeth::new(name, &peer).address(mac).build();
        self.netlink.link().add(message).execute().await.map_err(|error| format!("no veth pair: {error}"))?;
        self.up(&peer).await
    }

    pub(crate) async fn up(&self, name: &str) -> Result<(), String> {
        let message = LinkUnspec::new_with_name(name).up().build();
        self.netlink.link().change(message).execute().await.map_err(|error| format!("{name}: {error}"))
    }

    /// The link with a MAC.
    pub(crate) async fn link(&self, mac: &str) -> Link {
        let links = self.host.links().await.unwrap();
        links.into_iter().find(|link| link.mac == Mac::parse(mac)).unwrap()
    }

    /// Everything there is that the agent could have changed.
    pub(crate) async fn snapshot(&self) -> Snapshot {
        let mut links = self.host.links().await.unwrap();
        links.sort_by_key(|link| link.index);
        let mut addresses = self.host.addresses().await.unwrap();
        addresses.retain(|address| address.global);
        addresses.sort();
        let mut routes = self.host.routes().await.unwrap();
        // The kernel's IPv6 routes come and go with duplicate address detection, in their own time.
        routes.retain(|route| !route.kernel || route.table != 254 || route.to.addr().is_ipv4());
        routes.sort();
        let mut rules = self.host.rules().await.unwrap();
        rules.sort();
        let mut sysctls = Vec::new();
        for link in &links {
            for key in Sysctl::ALL {
                sysctls.push((link.name.clone(), key, self.host.sysctl(&link.name, key).await.unwrap()));
            }
        }
        let mut files = Vec::new();
        for dir in Dir::ALL {
            for name in self.host.list_files(dir).await.unwrap() {
                let file = FileRef::new(dir, name).unwrap();
                files.push((file.clone(), self.host.read_file(&file).await.unwrap()));
            }
        }
        Snapshot { links, addresses, routes, rules, sysctls, files }
    }
}

/// Everything there is that the agent could have changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) links: Vec<Link>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) routes: Vec<Route>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) sysctls: Vec<(String, Sysctl, String)>,
    pub(crate) files: Vec<(FileRef, FileContent)>,
}
