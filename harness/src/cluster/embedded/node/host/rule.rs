//! Policy rules: which table is looked up for which source.

use ipnet::IpNet;

use super::{Errno, MAIN_TABLE, Network};

/// The `local` table.
pub const LOCAL_TABLE: u32 = 255;

/// The `default` table.
const DEFAULT_TABLE: u32 = 253;

/// The priority of the rule that looks up the main table.
const MAIN_PRIORITY: u32 = 32_766;

/// A policy rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Lower is asked first.
    pub priority: u32,
    /// The sources it is for; none is all of both families.
    pub from: Option<IpNet>,
    /// The table it looks up.
    pub table: u32,
}

pub(super) fn defaults() -> Vec<Rule> {
    let rule = |priority, table| Rule { priority, from: None, table };
    vec![rule(0, LOCAL_TABLE), rule(MAIN_PRIORITY, MAIN_TABLE), rule(MAIN_PRIORITY + 1, DEFAULT_TABLE)]
}

impl Network {
    /// Adds a rule. Without a priority the kernel puts it before the first rule that is not the `local` one; it then
    /// does not refuse an equal one.
    ///
    /// # Errors
    /// [`Errno::Exists`] for a rule that is equal in every part.
    pub fn add_rule(&mut self, from: IpNet, table: u32, priority: Option<u32>) -> Result<(), Errno> {
        let priority = match priority {
            Some(priority) => priority,
            None => self.free_priority(from),
        };
        let rule = Rule { priority, from: Some(from), table };
        if self.rules.contains(&rule) {
            return Err(Errno::Exists);
        }
        let at = self.rules.partition_point(|other| other.priority <= priority);
        self.rules.insert(at, rule);
        Ok(())
    }

    /// Removes the first rule with this source and table, and this priority where given.
    ///
    /// # Errors
    /// [`Errno::NoEntry`] where there is none.
    pub fn remove_rule(&mut self, from: IpNet, table: u32, priority: Option<u32>) -> Result<(), Errno> {
        let same = |rule: &Rule| {
            rule.from == Some(from) && rule.table == table && priority.is_none_or(|priority| priority == rule.priority)
        };
        let at = self.rules.iter().position(same).ok_or(Errno::NoEntry)?;
        self.rules.remove(at);
        Ok(())
    }

    /// One less than the second rule of the family.
    fn free_priority(&self, source: IpNet) -> u32 {
        let ipv4 = |net: IpNet| matches!(net, IpNet::V4(_));
        let of_family = |rule: &&Rule| rule.from.is_none_or(|from| ipv4(from) == ipv4(source));
        let second = self.rules.iter().filter(of_family).nth(1);
        second.map_or(MAIN_PRIORITY, |rule| rule.priority).saturating_sub(1)
    }
}
