//! Whether this process may make network namespaces, asked once by making one.

use std::fs;
use std::io;
use std::sync::{Arc, OnceLock};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use super::super::files::Changes;
use super::super::wiring::Wiring;
use super::{Namespace, NamespaceError};

/// What it takes, by number and name.
const CAPABILITIES: [(u32, &str); 2] = [(21, "CAP_SYS_ADMIN"), (12, "CAP_NET_ADMIN")];

/// A MAC address of nobody's.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

static ANSWER: OnceLock<Result<(), NamespaceError>> = OnceLock::new();

/// Makes this process able to make network namespaces: where it lacks capabilities, it goes into a user namespace in which
/// it has them. To be called before there is a second thread, or that is not possible.
///
/// # Errors
/// What [`check`] says from now on.
pub fn prepare() -> Result<(), &'static NamespaceError> {
    let answer = ANSWER.get_or_init(|| {
        let missing = missing(&fs::read_to_string("/proc/self/status").unwrap_or_default());
        if !missing.is_empty() {
            become_root().map_err(|source| NamespaceError::Rights { missing: missing.join(" and "), source })?;
        }
        probe()
    });
    answer.as_ref().copied()
}

/// Whether this process can make network namespaces with links in them.
///
/// # Errors
/// What it lacks, and what to do.
pub fn check() -> Result<(), &'static NamespaceError> {
    ANSWER.get_or_init(probe).as_ref().copied()
}

fn probe() -> Result<(), NamespaceError> {
    let namespace = Arc::new(Namespace::new("probe", Changes::new())?);
    (&*namespace).add_link("probe", MAC, 1500).map(drop).map_err(NamespaceError::Veth)
}

/// The names of the capabilities that `/proc/self/status` does not show as effective.
fn missing(status: &str) -> Vec<&'static str> {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or_default();
    CAPABILITIES.iter().filter(|(number, _)| effective & (1 << number) == 0).map(|(_, name)| *name).collect()
}

/// Enters a user namespace in which this user is root, over what is made in there and nothing else.
fn become_root() -> io::Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let cases: [(&str, &[&str]); 4] = [
            ("Name:\tslipway\nCapEff:\t000001ffffffffff\n", &[]),
            ("CapEff:\t0000000000001000\n", &["CAP_SYS_ADMIN"]),
            ("CapEff:\t0000000000000000\n", &["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]),
            ("", &["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]),
        ];
        for (status, expected) in cases {
            assert_eq!(missing(status), expected, "{status}");
        }
    }
}
