//! From what a host looks like and what is wanted of it to where each interface has to go. Pure.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::files::{Files, render};
use super::host::{Address, Link, Mac, Route, Rule, Sysctl};
use super::observe::Observed;
use super::record::{Applied, Found, Record};
use super::spec::{Failure, Wanted, host_net, name_of, number_of};
use super::state::{LinkState, Scope, State, parking_name};
use crate::api::agent::{AgentSettings, OsKind, Reason};

/// An interface and where it has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Its place in the spec.
    pub(super) index: usize,
    /// What of the host is its.
    pub(super) scope: Scope,
    /// Where it is.
    pub(super) before: State,
    /// Where it goes through, the last being where it stays.
    pub(super) targets: Vec<State>,
}

/// Interfaces that take names, files or tables from each other. They succeed or are put back together.
pub(super) type Group = Vec<Member>;

/// What is to be done for a spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Interfaces that are not even tried, by their place in the spec.
    pub(super) refused: BTreeMap<usize, Failure>,
    /// The others, in the order of the spec.
    pub(super) groups: Vec<Group>,
}

/// An interface of the spec with its link and what is known of its past.
struct Candidate<'a> {
    index: usize,
    wanted: &'a Wanted,
    link: &'a Link,
    record: Record,
    /// The numbers of the files that are about this link.
    numbers: BTreeSet<u8>,
}

impl Candidate<'_> {
    /// What it was given by earlier runs.
    fn past(&self) -> impl Iterator<Item = Applied> {
        self.record.applied.into_iter().chain(self.record.leaving)
    }

    fn past_rules(&self) -> impl Iterator<Item = (IpNet, u32)> {
        self.past().filter_map(|applied| rule_key(&applied))
    }

    /// Whether `other` can only go where it has to when this one has gone.
    fn is_in_the_way_of(&self, other: &Self) -> bool {
        let table = |applied: Applied| applied.table.is_some() && applied.table == other.table();
        self.link.name == other.wanted.name()
            || self.numbers.contains(&other.wanted.number)
            || self.past().any(table)
            || self.past_rules().any(|rule| other.rule() == Some(rule))
    }

    fn table(&self) -> Option<u32> {
        self.wanted.routing.map(|routing| routing.table)
    }

    fn rule(&self) -> Option<(IpNet, u32)> {
        rule_key(&self.wanted.applied()?)
    }
}

/// What names a rule of ours: its source and its table.
pub(super) fn rule_key(applied: &Applied) -> Option<(IpNet, u32)> {
    Some((host_net(applied.address.addr()), applied.table?))
}

/// Decides for every interface of a spec.
pub(super) fn plan(
    observed: &Observed,
    os: OsKind,
    settings: &AgentSettings,
    interfaces: &[Result<Wanted, Failure>],
) -> Plan {
    let mut refused = BTreeMap::new();
    let mut candidates = Vec::new();
    for (index, interface) in interfaces.iter().enumerate() {
        match interface
            .clone()
            .and_then(|_| candidate(observed, settings, index, interface.as_ref().map_err(Clone::clone)?))
        {
            Ok(candidate) => candidates.push(candidate),
            Err(failure) => {
                refused.insert(index, failure);
            }
        }
    }
    refuse_taken(observed, &mut candidates, &mut refused);
    let groups = grouped(&candidates)
        .into_iter()
        .map(|group| group.into_iter().map(|at| member(observed, os, settings, &candidates, at)).collect())
        .collect();
    Plan { refused, groups }
}

/// The MACs that matter to a spec.
pub(super) fn macs(interfaces: &[Result<Wanted, Failure>]) -> BTreeSet<Mac> {
    interfaces.iter().flatten().map(|wanted| wanted.mac).collect()
}

fn candidate<'a>(
    observed: &'a Observed,
    settings: &AgentSettings,
    index: usize,
    wanted: &'a Wanted,
) -> Result<Candidate<'a>, Failure> {
    let mac = wanted.mac;
    let link = match observed.with_mac(mac).as_slice() {
        [] => return Err(Failure::new(Reason::LinkNotFound, format!("no link has the MAC address {mac}"))),
        [link] => *link,
        several => {
            let names: Vec<_> = several.iter().map(|link| link.name.as_str()).collect();
            let message = format!("several links have the MAC address {mac}: {}", names.join(", "));
            return Err(Failure::new(Reason::LinkAmbiguous, message));
        }
    };
    let mut own: Vec<_> = observed.records.iter().filter(|(_, record)| record.mac == Some(mac)).collect();
    // The file of the wanted name knows best, if there are several.
    own.sort_by_key(|(number, _)| **number != wanted.number);
    let numbers = own.iter().map(|(number, _)| **number).collect();
    let record = own.iter().fold(Record::default(), |sum, (_, record)| sum.or((*record).clone()));
    let ours = !own.is_empty() || number_of(&link.name).is_some() || link.name == parking_name(link.index);
    if let Some(use_) = in_use(observed, link).filter(|_| !ours && !settings.allow_busy) {
        let message = format!("{} is in use: it {use_}", link.name);
        return Err(Failure::new(Reason::InterfaceBusy, message));
    }
    Ok(Candidate { index, wanted, link, record, numbers })
}

/// What else a link is used for, if it is.
fn in_use(observed: &Observed, link: &Link) -> Option<String> {
    if let Some(master) = link.master {
        let name = observed.link(master).map_or("another link", |master| master.name.as_str());
        return Some(format!("belongs to {name}"));
    }
    if !link.up {
        return None;
    }
    if let Some(address) = observed.addresses.iter().find(|address| address.link == link.index && address.global) {
        return Some(format!("is up with address {}", address.net));
    }
    let route = observed.routes.iter().find(|route| route.link == link.index && !route.kernel)?;
    Some(match route.to.prefix_len() {
        0 => "is up with a default route".to_owned(),
        _ => format!("is up with a route to {}", route.to),
    })
}

/// Refuses those who need what a link has that will not give it up, and then those that wait for these.
fn refuse_taken(observed: &Observed, candidates: &mut Vec<Candidate<'_>>, refused: &mut BTreeMap<usize, Failure>) {
    loop {
        let taken = candidates.iter().enumerate().find_map(|(at, candidate)| {
            let failure = name_taken(observed, candidates, candidate);
            Some((at, failure.or_else(|| routing_taken(observed, candidates, candidate))?))
        });
        let Some((at, failure)) = taken else { return };
        refused.insert(candidates.remove(at).index, failure);
    }
}

/// Whether another link has the name, and does not leave it.
fn name_taken(observed: &Observed, candidates: &[Candidate<'_>], candidate: &Candidate<'_>) -> Option<Failure> {
    let name = candidate.wanted.name();
    let holder = observed.holder(&name).filter(|holder| holder.index != candidate.link.index)?;
    if holder.name == name && candidates.iter().any(|other| other.link.index == holder.index) {
        return None;
    }
    let mac = holder.mac.map_or_else(String::new, |mac| format!(" with MAC address {mac}"));
    let message = if holder.name == name {
        format!("another link{mac} is named {name}")
    } else {
        format!("{name} is an alternative name of {}{mac}", holder.name)
    };
    Some(Failure::new(Reason::NameInUse, message))
}

/// Whether an interface that keeps what it has, since nothing can be done about it, has the address or the table.
/// Packets of the two would take each other's routes.
fn routing_taken(observed: &Observed, candidates: &[Candidate<'_>], candidate: &Candidate<'_>) -> Option<Failure> {
    let wanted = candidate.wanted.applied()?;
    let (number, what) = observed.records.iter().find_map(|(number, record)| {
        let mac = record.mac.filter(|mac| candidates.iter().all(|other| other.wanted.mac != *mac))?;
        if observed.with_mac(mac).is_empty() {
            return None;
        }
        let mut past = record.applied.into_iter().chain(record.leaving);
        past.find_map(|applied| {
            if applied.address.addr() == wanted.address.addr() {
                Some((*number, format!("address {}", wanted.address.addr())))
            } else {
                let table = applied.table.filter(|table| wanted.table == Some(*table))?;
                Some((*number, format!("table {table}")))
            }
        })
    })?;
    let message = format!("{what} still belongs to {}, which stays as it is", name_of(number));
    Some(Failure::new(Reason::DependencyFailed, message))
}

/// The candidates that depend on each other, by their places in the list.
fn grouped(candidates: &[Candidate<'_>]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, candidate) in candidates.iter().enumerate() {
        let related = |other: &usize| {
            candidate.is_in_the_way_of(&candidates[*other]) || candidates[*other].is_in_the_way_of(candidate)
        };
        let (mut joined, rest): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.iter().any(related));
        groups = rest;
        let mut group: Vec<usize> = joined.drain(..).flatten().chain([at]).collect();
        group.sort_unstable();
        groups.push(group);
    }
    groups.sort();
    groups
}

fn member(
    observed: &Observed,
    os: OsKind,
    settings: &AgentSettings,
    candidates: &[Candidate<'_>],
    at: usize,
) -> Member {
    let candidate = &candidates[at];
    let Candidate { index, wanted, link, record, numbers } = candidate;
    let others = || candidates.iter().enumerate().filter(move |(other, _)| *other != at).map(|(_, other)| other);
    // A number or rule that another interface is about to get is that interface's.
    let mut scope = Scope {
        link: Some(link.index),
        numbers: numbers.iter().copied().filter(|n| others().all(|other| other.wanted.number != *n)).collect(),
        rules: candidate.past_rules().filter(|rule| others().all(|other| other.rule() != Some(*rule))).collect(),
    };
    scope.numbers.insert(wanted.number);
    scope.rules.extend(candidate.rule());
    // The file may still be about a link that is gone; its rule goes with it.
    let displaced = observed.records.get(&wanted.number).filter(|displaced| {
        displaced.mac != Some(wanted.mac) && others().all(|other| displaced.mac != Some(other.wanted.mac))
    });
    let displaced = displaced.into_iter().flat_map(|record| record.applied.into_iter().chain(record.leaving));
    scope.rules.extend(
        displaced.filter_map(|applied| rule_key(&applied)).filter(|rule| others().all(|o| o.rule() != Some(*rule))),
    );
    let before = scope.read(observed);
    let now = before.link.clone().unwrap_or_else(|| bare(link));

    let found = record.found.clone().or_else(|| {
        // Without a file of ours nobody took the link over yet, whatever its name is.
        numbers.is_empty().then(|| Found {
            name: Some(link.name.clone()),
            up: link.up,
            mtu: link.mtu,
            sysctls: now.sysctls.clone(),
        })
    });
    let past: Vec<Applied> = candidate.past().collect();
    let target_link = target_link(candidate, settings, found.as_ref(), &past, &now);
    let rules = wanted.address.zip(wanted.routing).map(|(address, routing)| Rule {
        from: host_net(address.addr()),
        table: routing.table,
        priority: routing.priority,
    });
    let target = |leaving: Option<Applied>, rest: Files| {
        let record = Record { mac: Some(wanted.mac), found: found.clone(), applied: wanted.applied(), leaving };
        let files = rest.into_iter().chain(render(os, wanted, &record)).collect();
        State { link: Some(target_link.clone()), rules: rules.iter().cloned().collect(), files }
    };
    // While something old is being replaced the record names both, and old files stay.
    let leaving = past.iter().copied().find(|applied| Some(*applied) != wanted.applied());
    let mut targets = Vec::new();
    if leaving.is_some() {
        targets.push(target(leaving, before.files.clone()));
    }
    targets.push(target(None, Files::new()));
    Member { index: *index, scope, before, targets }
}

/// Where the link itself goes: what others gave it stays, what an earlier run gave it goes.
fn target_link(
    candidate: &Candidate<'_>,
    settings: &AgentSettings,
    found: Option<&Found>,
    past: &[Applied],
    now: &LinkState,
) -> LinkState {
    let Candidate { wanted, link, .. } = candidate;
    let mut target = without(now, past);
    target.name = wanted.name();
    target.mtu = wanted.mtu.or(found.map(|found| found.mtu)).unwrap_or(now.mtu);
    target.up = true;
    target.sysctls = found.map(|found| found.sysctls.clone()).unwrap_or_default();
    let Some(address) = wanted.address else { return target };
    target.addresses.retain(|other| other.net.addr() != address.addr());
    target.addresses.insert(Address {
        link: link.index,
        net: address,
        no_prefix_route: settings.noprefixroute && wanted.routing.is_some(),
        global: true,
        permanent: true,
    });
    if let Some(routing) = wanted.routing {
        target.routes.retain(|other| !is_connected(other, address, routing.table));
        target.routes.insert(Route {
            link: link.index,
            to: address.trunc(),
            via: None,
            table: routing.table,
            metric: routing.metric,
            // The rule has matched the source already. An IPv6 address cannot be preferred before duplicate address
            // detection is through with it.
            src: Some(address.addr()).filter(std::net::IpAddr::is_ipv4),
            kernel: false,
        });
    }
    if matches!(address, IpNet::V4(_)) {
        if settings.rp_filter_loose {
            target.sysctls.insert(Sysctl::RpFilter, "2".to_owned());
        }
        if settings.arp_sysctls {
            target.sysctls.insert(Sysctl::ArpIgnore, "1".to_owned());
            target.sysctls.insert(Sysctl::ArpAnnounce, "2".to_owned());
        }
    }
    target
}

/// A link without what earlier runs gave it.
fn without(now: &LinkState, past: &[Applied]) -> LinkState {
    let mut link = now.clone();
    for Applied { address, table } in past {
        link.addresses.retain(|other| other.net != *address);
        if let Some(table) = table {
            link.routes.retain(|other| !is_connected(other, *address, *table));
        }
    }
    link
}

/// Whether a route is the one that an address's network has in a table.
fn is_connected(route: &Route, address: IpNet, table: u32) -> bool {
    route.table == table && route.to == address.trunc() && route.via.is_none()
}

fn bare(link: &Link) -> LinkState {
    LinkState {
        name: link.name.clone(),
        mtu: link.mtu,
        up: link.up,
        addresses: BTreeSet::new(),
        routes: BTreeSet::new(),
        sysctls: BTreeMap::new(),
    }
}

/// The numbers of interfaces that an earlier run made and that the spec does not have.
///
/// An interface of the spec that cannot be carried out still counts: its files stay as they are.
pub(super) fn stale(observed: &Observed, spec: &[(String, String)]) -> Vec<u8> {
    let macs: BTreeSet<Mac> = spec.iter().filter_map(|(_, mac)| Mac::parse(mac)).collect();
    let unclear: BTreeSet<&str> =
        spec.iter().filter(|(_, mac)| Mac::parse(mac).is_none()).map(|(name, _)| name.as_str()).collect();
    let names: BTreeSet<&str> = spec.iter().map(|(name, _)| name.as_str()).collect();
    let is_stale = |number: u8, record: &Record| {
        let name = name_of(number);
        match record.mac {
            Some(mac) => !macs.contains(&mac) && !unclear.contains(name.as_str()),
            None => !names.contains(name.as_str()),
        }
    };
    observed.records.iter().filter(|(number, record)| is_stale(**number, record)).map(|(number, _)| *number).collect()
}

/// How to undo what earlier runs made of an interface.
pub(super) fn removal(observed: &Observed, settings: &AgentSettings, number: u8) -> Member {
    let record = observed.records.get(&number).cloned().unwrap_or_default();
    let link = match record.mac {
        Some(mac) => match observed.with_mac(mac).as_slice() {
            [link] => Some(*link),
            _ => None,
        },
        None => observed.links.iter().find(|link| link.name == name_of(number)),
    };
    let table = settings.routing_table_base + u32::from(number);
    let past: Vec<Applied> = (record.applied.into_iter().chain(record.leaving))
        // Files without a record do not all name the table: it is the one that belongs to the number.
        .map(|applied| Applied { table: applied.table.or_else(|| record.found.is_none().then_some(table)), ..applied })
        .collect();
    let scope = Scope {
        link: link.map(|link| link.index),
        numbers: [number].into(),
        rules: past.iter().filter_map(rule_key).collect(),
    };
    let before = scope.read(observed);
    let target_link = before.link.as_ref().zip(link).map(|(now, link)| {
        let found = record.found.as_ref();
        let mut target = without(now, &past);
        target.name = original_name(observed, link, found);
        target.mtu = found.map_or(now.mtu, |found| found.mtu);
        target.up = found.is_some_and(|found| found.up);
        target.sysctls = found.map(|found| found.sysctls.clone()).unwrap_or_default();
        target
    });
    let target = State { link: target_link, rules: BTreeSet::new(), files: Files::new() };
    Member { index: usize::from(number), scope, before, targets: vec![target] }
}

/// The name a link had before: the recorded one, else an alternative one, else the one it has.
fn original_name(observed: &Observed, link: &Link, found: Option<&Found>) -> String {
    let free = |name: &str| observed.holder(name).is_none_or(|holder| holder.index == link.index);
    let recorded = found.and_then(|found| found.name.clone()).filter(|name| free(name));
    let alternative = || link.alt_names.iter().find(|name| number_of(name).is_none() && free(name));
    match recorded {
        Some(name) => name,
        None if number_of(&link.name).is_some() => alternative().unwrap_or(&link.name).clone(),
        None => link.name.clone(),
    }
}
