//! What a host looks like, in one value that decisions are made from. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{Files, number_of_file, records};
use super::host::{Address, Dir, FileRef, Host, HostErrorKind, HostResult, Link, Mac, Route, Rule, Sysctl};
use super::record::Record;

/// A host at one moment, as far as the agent cares.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    pub(super) links: Vec<Link>,
    pub(super) addresses: Vec<Address>,
    pub(super) routes: Vec<Route>,
    pub(super) rules: Vec<Rule>,
    /// The sysctls that could be read, of the links that matter.
    pub(super) sysctls: BTreeMap<u32, BTreeMap<Sysctl, String>>,
    /// Our files, in whatever format.
    pub(super) files: Files,
    /// What they say, by the number in their names.
    pub(super) records: BTreeMap<u8, Record>,
}

/// Kinds of virtual links that sit on other links and may share their MAC. They are never what a MAC stands for.
const UPPER_KINDS: [&str; 14] = [
    "bond",
    "bridge",
    "geneve",
    "hsr",
    "ipvlan",
    "ipvtap",
    "macsec",
    "macvlan",
    "macvtap",
    "team",
    "vlan",
    "vrf",
    "vxlan",
    "wireguard",
];

impl Observed {
    /// The links a MAC may stand for: not the loopback, not what sits on other links.
    pub(super) fn with_mac(&self, mac: Mac) -> Vec<&Link> {
        let upper = |link: &Link| link.kind.as_deref().is_some_and(|kind| UPPER_KINDS.contains(&kind));
        self.links.iter().filter(|link| link.mac == Some(mac) && !link.loopback && !upper(link)).collect()
    }

    /// The link with an index.
    pub(super) fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// The link that has a name, as its own or as an alternative one.
    pub(super) fn holder(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name || link.alt_names.iter().any(|alt| alt == name))
    }
}

/// Reads the host. Sysctls are read of links with the given MACs, and of those our files name.
pub(super) async fn observe<H: Host>(host: &H, macs: &BTreeSet<Mac>) -> HostResult<Observed> {
    let files = own_files(host).await?;
    let records = records(&files);
    let links = host.links().await?;
    let mut sysctls: BTreeMap<u32, BTreeMap<Sysctl, String>> = BTreeMap::new();
    for link in &links {
        let Some(mac) = link.mac else { continue };
        if !macs.contains(&mac) && !records.values().any(|record| record.mac == Some(mac)) {
            continue;
        }
        for key in Sysctl::ALL {
            match host.sysctl(&link.name, key).await {
                Ok(value) => {
                    sysctls.entry(link.index).or_default().insert(key, value);
                }
                // Not there, or not for us: then it stays as it is.
                Err(error) if matches!(error.kind, HostErrorKind::NotFound | HostErrorKind::Denied) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let addresses = host.addresses().await?;
    let routes = host.routes().await?;
    let rules = host.rules().await?;
    Ok(Observed { links, addresses, routes, rules, sysctls, files, records })
}

async fn own_files<H: Host>(host: &H) -> HostResult<Files> {
    let mut files = Files::new();
    for dir in Dir::ALL {
        let names = match host.list_files(dir).await {
            Ok(names) => names,
            // Only the directories of the node's own format are mounted.
            Err(error) if error.kind == HostErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for name in names.into_iter().filter(|name| number_of_file(dir, name).is_some()) {
            let Some(file) = FileRef::new(dir, name) else { continue };
            match host.read_file(&file).await {
                Ok(content) => {
                    files.insert(file, content);
                }
                Err(error) if error.kind == HostErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(files)
}
