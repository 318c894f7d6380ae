//! Brings a group of interfaces to its target, or puts it back where it was.
//!
//! Guarantee: when [`apply`] fails, files and runtime state of every interface of the group are what they were, unless
//! the failure says that putting them back failed too.

use std::collections::BTreeSet;

use super::host::{Host, HostError, HostErrorKind, HostResult, Mac, Sysctl};
use super::observe::observe;
use super::plan::{Group, Member};
use super::spec::Failure;
use super::state::{State, Step, Way, steps};
use crate::api::agent::Reason;

/// How often the host is looked at before its state counts as unreachable. One look finds what a step took with it (a
/// link that had to go down, secondary addresses that left with their primary), one more what that took.
const ROUNDS: usize = 4;

/// What bringing a group to its target came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Which members are different from before.
    pub(super) changed: BTreeSet<usize>,
    /// What could not be done and does not matter enough to fail, with its member.
    pub(super) warnings: Vec<(usize, String)>,
}

/// Why a group was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Undone {
    /// The member that failed.
    pub(super) member: usize,
    /// Why.
    pub(super) failure: Failure,
}

/// Brings a group to its target.
pub(super) async fn apply<H: Host>(host: &H, macs: &BTreeSet<Mac>, group: &Group) -> Result<Done, Undone> {
    let scopes: Vec<&Member> = group.iter().collect();
    let stages = group.iter().map(|member| member.targets.len()).max().unwrap_or(0);
    let mut run =
        Run { host, macs, members: &scopes, done: Done::default(), failed: BTreeSet::new(), ignored: BTreeSet::new() };
    let mut now: Vec<State> = group.iter().map(|member| member.before.clone()).collect();
    for stage in 0..stages {
        // Members with fewer stages wait at their last target.
        let targets: Vec<&State> = (group.iter()).filter_map(|m| m.targets.get(stage).or(m.targets.last())).collect();
        match run.converge(now, &targets).await {
            Ok(reached) => now = reached,
            Err(undone) => return Err(run.put_back(undone).await),
        }
    }
    Ok(run.done)
}

/// The steps that a group still has to take; none when it is where it is to be.
pub(super) fn outstanding(group: &Group) -> Vec<(usize, Step)> {
    let ways: Vec<Way<'_>> = (group.iter())
        .filter_map(|member| Some(Way { scope: &member.scope, now: &member.before, target: member.targets.last()? }))
        .collect();
    steps(&ways)
}

struct Run<'a, H> {
    host: &'a H,
    macs: &'a BTreeSet<Mac>,
    members: &'a [&'a Member],
    done: Done,
    /// Sysctls that could not be set once.
    failed: BTreeSet<(usize, Sysctl)>,
    /// Sysctls that the host does not let us set.
    ignored: BTreeSet<(usize, Sysctl)>,
}

impl<H: Host> Run<'_, H> {
    /// Takes the steps to the targets and looks again, until there are none left.
    async fn converge(&mut self, mut now: Vec<State>, targets: &[&State]) -> Result<Vec<State>, Undone> {
        let mut left = self.steps(&now, targets);
        for _ in 0..ROUNDS {
            if left.is_empty() {
                return Ok(now);
            }
            for (member, step) in left {
                self.step(member, &step).await.map_err(|failure| Undone { member, failure })?;
            }
            now = self.look().await.map_err(|error| Undone { member: 0, failure: unavailable(&error) })?;
            left = self.steps(&now, targets);
        }
        match left.first() {
            None => Ok(now),
            Some((member, step)) => {
                let message = format!("every step worked, and still it is necessary to {step}");
                Err(Undone { member: *member, failure: Failure::new(Reason::NotEffective, message) })
            }
        }
    }

    fn steps(&self, now: &[State], targets: &[&State]) -> Vec<(usize, Step)> {
        let ways: Vec<Way<'_>> = (self.members.iter().zip(now).zip(targets))
            .map(|((member, now), target)| Way { scope: &member.scope, now, target })
            .collect();
        let mut steps = steps(&ways);
        steps.retain(|(member, step)| match step {
            Step::SetSysctl { key, .. } => !self.ignored.contains(&(*member, *key)),
            _ => true,
        });
        steps
    }

    async fn step(&mut self, member: usize, step: &Step) -> Result<(), Failure> {
        match take(self.host, step).await {
            Ok(()) => {
                tracing::info!(%step, "done");
                self.done.changed.insert(member);
                Ok(())
            }
            // What is to go is gone: some things take others with them.
            Err(error) if error.kind == HostErrorKind::NotFound && removes(step) => Ok(()),
            Err(error) => {
                tracing::warn!(%step, %error, "failed");
                let Step::SetSysctl { key, .. } = step else {
                    return Err(Failure::new(step.reason(), error.to_string()));
                };
                // What is not allowed never will be; anything else gets a second try.
                let again = error.kind != HostErrorKind::Denied && self.failed.insert((member, *key));
                if !again {
                    self.ignored.insert((member, *key));
                    self.done.warnings.push((member, error.to_string()));
                }
                Ok(())
            }
        }
    }

    async fn look(&self) -> HostResult<Vec<State>> {
        let observed = observe(self.host, self.macs).await?;
        Ok(self.members.iter().map(|member| member.scope.read(&observed)).collect())
    }

    /// Undoes everything. A step that fails does not keep the others from being taken.
    async fn put_back(&mut self, undone: Undone) -> Undone {
        let targets: Vec<&State> = self.members.iter().map(|member| &member.before).collect();
        let mut last = None;
        for _ in 0..ROUNDS {
            match self.look().await {
                Ok(now) => {
                    let left = self.steps(&now, &targets);
                    if left.is_empty() {
                        tracing::info!("put back");
                        return undone;
                    }
                    for (member, step) in left {
                        if let Err(failure) = self.step(member, &step).await {
                            last = Some(failure.message);
                        }
                    }
                }
                Err(error) => last = Some(error.to_string()),
            }
        }
        let back = match self.look().await {
            Ok(now) => self.steps(&now, &targets).first().map(|(_, step)| format!("it is still necessary to {step}")),
            Err(error) => Some(error.to_string()),
        };
        let Some(back) = back else { return undone };
        let last = last.map_or_else(String::new, |last| format!(" ({last})"));
        let message = format!("{}; putting it back failed: {back}{last}", undone.failure.message);
        Undone { member: undone.member, failure: Failure::new(Reason::RollbackFailed, message) }
    }
}

/// The failure of a host that cannot be read.
pub(super) fn unavailable(error: &HostError) -> Failure {
    Failure::new(Reason::HostUnavailable, error.to_string())
}

fn removes(step: &Step) -> bool {
    matches!(step, Step::DelRule(_) | Step::DelRoute(_) | Step::DelAddress(_) | Step::Remove(_))
}

async fn take<H: Host>(host: &H, step: &Step) -> HostResult<()> {
    match step {
        Step::Write(file, content) => host.write_file(file, content).await,
        Step::Rename { link, to, .. } => rename(host, *link, to).await,
        Step::SetMtu { link, to, .. } => host.set_mtu(*link, *to).await,
        Step::DelRule(rule) => host.del_rule(rule).await,
        Step::DelRoute(route) => host.del_route(route).await,
        Step::DelAddress(address) => host.del_address(address).await,
        Step::Up { link, .. } => host.set_up(*link, true).await,
        Step::AddAddress(address) => host.add_address(address).await,
        Step::AddRoute(route) => host.add_route(route).await,
        Step::AddRule(rule) => host.add_rule(rule).await,
        Step::SetSysctl { link, key, to, .. } => host.set_sysctl(link, *key, to).await,
        Step::Down { link, .. } => host.set_up(*link, false).await,
        Step::Remove(file) => host.remove_file(file).await,
    }
}

/// Older kernels rename a link only while it is down. What it loses by that, the next look finds.
async fn rename<H: Host>(host: &H, link: u32, name: &str) -> HostResult<()> {
    match host.set_name(link, name).await {
        Err(error) if error.kind == HostErrorKind::Busy => {
            host.set_up(link, false).await?;
            let renamed = host.set_name(link, name).await;
            host.set_up(link, true).await?;
            renamed
        }
        result => result,
    }
}
