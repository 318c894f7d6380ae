//! The part of a host that belongs to one interface, and the steps from one such state to another. Pure.
//!
//! Applying, putting back and cleaning up are the same thing with different targets: find out the present state, take
//! the steps to the target, look again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;

use super::files::{Files, of_number};
use super::host::{Address, FileContent, FileRef, Route, Rule, Sysctl};
use super::observe::Observed;
use crate::api::agent::Reason;

/// What of a host belongs to an interface. The scopes of two interfaces never overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// The link with its addresses, routes and sysctls.
    pub(super) link: Option<u32>,
    /// The files, by the number in their names.
    pub(super) numbers: BTreeSet<u8>,
    /// The rules, by source and table.
    pub(super) rules: BTreeSet<(IpNet, u32)>,
}

/// An interface's part of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) link: Option<LinkState>,
    pub(super) rules: BTreeSet<Rule>,
    pub(super) files: Files,
}

/// A link, without what the kernel makes by itself and what has a lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LinkState {
    pub(super) name: String,
    pub(super) mtu: u32,
    pub(super) up: bool,
    pub(super) addresses: BTreeSet<Address>,
    pub(super) routes: BTreeSet<Route>,
    /// In a target only those that matter.
    pub(super) sysctls: BTreeMap<Sysctl, String>,
}

impl Scope {
    /// The scope's state.
    pub(super) fn read(&self, observed: &Observed) -> State {
        let link = self.link.and_then(|index| observed.link(index)).map(|link| LinkState {
            name: link.name.clone(),
            mtu: link.mtu,
            up: link.up,
            addresses: (observed.addresses.iter())
                .filter(|address| address.link == link.index && address.global && address.permanent)
                .cloned()
                .collect(),
            routes: (observed.routes.iter())
                .filter(|route| route.link == link.index && !route.kernel)
                .cloned()
                .collect(),
            sysctls: observed.sysctls.get(&link.index).cloned().unwrap_or_default(),
        });
        let rules =
            observed.rules.iter().filter(|rule| self.rules.contains(&(rule.from, rule.table))).cloned().collect();
        let files = (self.numbers.iter())
            .flat_map(|number| of_number(&observed.files, *number))
            .map(|(file, content)| (file.clone(), content.clone()))
            .collect();
        State { link, rules, files }
    }
}

/// One change of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Write(FileRef, FileContent),
    Rename { link: u32, from: String, to: String },
    SetMtu { link: u32, name: String, from: u32, to: u32 },
    DelRule(Rule),
    DelRoute(Route),
    DelAddress(Address),
    Up { link: u32, name: String },
    AddAddress(Address),
    AddRoute(Route),
    AddRule(Rule),
    SetSysctl { link: String, key: Sysctl, from: String, to: String },
    Down { link: u32, name: String },
    Remove(FileRef),
}

impl Step {
    /// The reason for a failure of this step.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Write(..) | Self::Remove(_) => Reason::PersistFailed,
            Self::Rename { .. } => Reason::RenameFailed,
            Self::SetMtu { .. } => Reason::MtuFailed,
            Self::Up { .. } | Self::Down { .. } => Reason::LinkStateFailed,
            Self::AddAddress(_) | Self::DelAddress(_) => Reason::AddressFailed,
            Self::AddRoute(_) | Self::DelRoute(_) => Reason::RouteFailed,
            Self::AddRule(_) | Self::DelRule(_) => Reason::RuleFailed,
            Self::SetSysctl { .. } => Reason::NotEffective,
        }
    }

    /// Steps are taken in the order of their phases, each phase for all members of a group: what one member gives up
    /// another may be about to take.
    ///
    /// Files come first, so that a killed agent leaves a record of what it was about to do, and go last for the same
    /// reason. The MTU is set while there are no IPv6 addresses that a small one would remove. Routes go before the
    /// addresses they prefer, and come when the link is up.
    fn phase(&self) -> u8 {
        match self {
            Self::Write(..) => 0,
            Self::Rename { .. } => 1,
            Self::DelRule(_) => 2,
            Self::DelRoute(_) => 3,
            Self::DelAddress(_) => 4,
            Self::SetMtu { .. } => 5,
            Self::Up { .. } => 6,
            Self::AddAddress(_) => 7,
            Self::AddRoute(_) => 8,
            Self::AddRule(_) => 9,
            Self::SetSysctl { .. } => 10,
            Self::Down { .. } => 11,
            Self::Remove(_) => 12,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(file, _) => write!(f, "write {file}"),
            Self::Rename { from, to, .. } => write!(f, "rename {from} to {to}"),
            Self::SetMtu { name, from, to, .. } => write!(f, "set the MTU of {name} from {from} to {to}"),
            Self::DelRule(rule) => write!(f, "remove the rule from {} to table {}", rule.from, rule.table),
            Self::DelRoute(route) => write!(f, "remove the route to {} from table {}", route.to, route.table),
            Self::DelAddress(address) => write!(f, "remove address {}", address.net),
            Self::Up { name, .. } => write!(f, "bring {name} up"),
            Self::AddAddress(address) => write!(f, "add address {}", address.net),
            Self::AddRoute(route) => write!(f, "add the route to {} to table {}", route.to, route.table),
            Self::AddRule(rule) => write!(f, "add the rule from {} to table {}", rule.from, rule.table),
            Self::SetSysctl { link, key, from, to } => {
                write!(f, "set {} of {link} from {from} to {to}", key.key())
            }
            Self::Down { name, .. } => write!(f, "bring {name} down"),
            Self::Remove(file) => write!(f, "remove {file}"),
        }
    }
}

/// The way of one member of a group: where it is, and where it is to be.
pub(super) struct Way<'a> {
    pub(super) scope: &'a Scope,
    pub(super) now: &'a State,
    pub(super) target: &'a State,
}

/// The steps of a group in their order, each with the member it is for.
pub(super) fn steps(group: &[Way<'_>]) -> Vec<(usize, Step)> {
    let mut steps = renames(group);
    for (member, way) in group.iter().enumerate() {
        steps.extend(changes(way).into_iter().map(|step| (member, step)));
    }
    steps.sort_by_key(|(_, step)| step.phase());
    steps
}

fn changes(way: &Way<'_>) -> Vec<Step> {
    let Way { scope, now, target } = way;
    let mut steps = Vec::new();
    for (file, content) in &target.files {
        if now.files.get(file) != Some(content) {
            steps.push(Step::Write(file.clone(), content.clone()));
        }
    }
    let extra = now.files.keys().rev().filter(|file| !target.files.contains_key(*file));
    steps.extend(extra.cloned().map(Step::Remove));
    steps.extend(now.rules.difference(&target.rules).cloned().map(Step::DelRule));
    steps.extend(target.rules.difference(&now.rules).cloned().map(Step::AddRule));
    let (Some(link), Some(now), Some(target)) = (scope.link, &now.link, &target.link) else { return steps };
    let name = target.name.clone();
    if now.mtu != target.mtu {
        steps.push(Step::SetMtu { link, name: name.clone(), from: now.mtu, to: target.mtu });
    }
    steps.extend(now.routes.difference(&target.routes).cloned().map(Step::DelRoute));
    steps.extend(target.routes.difference(&now.routes).cloned().map(Step::AddRoute));
    steps.extend(now.addresses.difference(&target.addresses).cloned().map(Step::DelAddress));
    steps.extend(target.addresses.difference(&now.addresses).cloned().map(Step::AddAddress));
    match (now.up, target.up) {
        (false, true) => steps.push(Step::Up { link, name: name.clone() }),
        (true, false) => steps.push(Step::Down { link, name: name.clone() }),
        _ => {}
    }
    for (key, to) in &target.sysctls {
        if let Some(from) = now.sysctls.get(key).filter(|from| *from != to) {
            steps.push(Step::SetSysctl { link: name.clone(), key: *key, from: from.clone(), to: to.clone() });
        }
    }
    steps
}

/// Renames in an order the kernel accepts. Links that exchange names go through a name that nobody else uses.
fn renames(group: &[Way<'_>]) -> Vec<(usize, Step)> {
    let mut names: Vec<Option<(u32, String, String)>> = group
        .iter()
        .map(|way| {
            let (now, target) = (way.now.link.as_ref()?, way.target.link.as_ref()?);
            Some((way.scope.link?, now.name.clone(), target.name.clone()))
        })
        .collect();
    let mut steps = Vec::new();
    loop {
        let pending: Vec<usize> = (0..names.len()).filter(|member| is_pending(names[*member].as_ref())).collect();
        let Some(first) = pending.first().copied() else { return steps };
        let free = pending.iter().copied().find(|member| {
            let Some((_, _, to)) = &names[*member] else { return false };
            let holder = names.iter().position(|other| other.as_ref().is_some_and(|(_, now, _)| now == to));
            // A holder that stays would never make room: let the kernel say so.
            holder.is_none_or(|holder| !is_pending(names[holder].as_ref()))
        });
        let member = free.unwrap_or(first);
        let Some((link, now, target)) = names[member].as_mut() else { return steps };
        let to = if free.is_some() { target.clone() } else { parking_name(*link) };
        steps.push((member, Step::Rename { link: *link, from: now.clone(), to: to.clone() }));
        *now = to;
    }
}

fn is_pending(names: Option<&(u32, String, String)>) -> bool {
    names.is_some_and(|(_, now, target)| now != target)
}

/// A name for a link between two others; at most 15 bytes, as the kernel wants.
pub(super) fn parking_name(link: u32) -> String {
    format!("mnic-{link}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> State {
        let link = LinkState {
            name: name.into(),
            mtu: 1500,
            up: true,
            addresses: BTreeSet::new(),
            routes: BTreeSet::new(),
            sysctls: BTreeMap::new(),
        };
        State { link: Some(link), ..State::default() }
    }

    fn rename_order(pairs: &[(&str, &str)]) -> Vec<String> {
        let states: Vec<_> = pairs.iter().map(|(now, target)| (named(now), named(target))).collect();
        let scopes: Vec<_> = (0..).zip(pairs).map(|(i, _)| Scope { link: Some(i), ..Scope::default() }).collect();
        let group: Vec<_> =
            states.iter().zip(&scopes).map(|((now, target), scope)| Way { scope, now, target }).collect();
        steps(&group).iter().map(|(member, step)| format!("{member}: {step}")).collect()
    }

    #[test]
    fn links_that_exchange_names_go_through_a_parking_name() {
        assert_eq!(rename_order(&[("a", "a")]), [""; 0]);
        assert_eq!(rename_order(&[("a", "b")]), ["0: rename a to b"]);
        assert_eq!(rename_order(&[("a", "b"), ("b", "c")]), ["1: rename b to c", "0: rename a to b"]);
        assert_eq!(
            rename_order(&[("a", "b"), ("b", "a")]),
            ["0: rename a to mnic-0", "1: rename b to a", "0: rename mnic-0 to b"]
        );
        assert_eq!(
            rename_order(&[("a", "b"), ("b", "c"), ("c", "a")]),
            ["0: rename a to mnic-0", "2: rename c to a", "1: rename b to c", "0: rename mnic-0 to b"]
        );
        assert_eq!(rename_order(&[("a", "b"), ("b", "b")]), ["0: rename a to b"]);
    }

    #[test]
    fn the_parking_name_of_any_link_is_short_enough_for_the_kernel() {
        assert_eq!(parking_name(u32::MAX).len(), 15);
    }

    #[test]
    fn a_state_that_is_reached_needs_no_steps() {
        assert_eq!(rename_order(&[("a", "a"), ("b", "b")]), [""; 0]);
    }

    #[test]
    fn everything_that_differs_is_one_step_in_an_order_that_the_kernel_accepts() {
        let scope = Scope { link: Some(4), ..Scope::default() };
        let address = |net: &str| Address {
            link: 4,
            net: net.parse().unwrap(),
            no_prefix_route: true,
            global: true,
            permanent: true,
        };
        let route = |to: &str| Route {
            link: 4,
            to: to.parse().unwrap(),
            via: None,
            table: 101,
            metric: 101,
            src: None,
            kernel: false,
        };
        let rule = |from: &str| Rule { from: from.parse().unwrap(), table: 101, priority: 10_101 };
        let file = |name: &str| FileRef::new(super::super::host::Dir::Netplan, name).unwrap();
        let content = || FileContent { bytes: vec![], mode: 0o600 };
        let state = |name: &str, mtu, up, net: &str, to: &str, from: &str, file: FileRef, arp: &str| State {
            link: Some(LinkState {
                name: name.into(),
                mtu,
                up,
                addresses: [address(net)].into(),
                routes: [route(to)].into(),
                sysctls: [(Sysctl::ArpIgnore, arp.to_owned())].into(),
            }),
            rules: [rule(from)].into(),
            files: [(file, content())].into(),
        };
        let old =
            state("ens4", 1500, false, "10.0.0.1/24", "10.0.0.0/24", "10.0.0.1/32", file("91-multinic1.yaml"), "0");
        let new =
            state("multinic2", 1450, true, "10.0.1.1/24", "10.0.1.0/24", "10.0.1.1/32", file("92-multinic2.yaml"), "1");
        let said = |now: &State, target: &State| -> Vec<String> {
            steps(&[Way { scope: &scope, now, target }]).iter().map(|(_, step)| step.to_string()).collect()
        };
        assert_eq!(
            said(&old, &new),
            [
                "write /etc/netplan/92-multinic2.yaml",
                "rename ens4 to multinic2",
                "remove the rule from 10.0.0.1/32 to table 101",
                "remove the route to 10.0.0.0/24 from table 101",
                "remove address 10.0.0.1/24",
                "set the MTU of multinic2 from 1500 to 1450",
                "bring multinic2 up",
                "add address 10.0.1.1/24",
                "add the route to 10.0.1.0/24 to table 101",
                "add the rule from 10.0.1.1/32 to table 101",
                "set arp_ignore of multinic2 from 0 to 1",
                "remove /etc/netplan/91-multinic1.yaml",
            ]
        );
        assert_eq!(said(&new, &old)[10..], ["bring ens4 down", "remove /etc/netplan/92-multinic2.yaml"]);
        assert_eq!(said(&new, &new), [""; 0]);
    }
}
