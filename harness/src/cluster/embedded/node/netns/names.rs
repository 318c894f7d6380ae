//! The names of namespaces: symbolic links under `/run/netns`, where `ip netns` looks, to the thread that is in each.
//!
//! A name keeps nothing alive. What a killed process leaves is a link that leads nowhere, which [`leftovers`] finds; what
//! others have named is never touched.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where names stand.
pub const DIRECTORY: &str = "/run/netns";

/// What all of ours begin with.
const PREFIX: &str = "slipway-";

/// Where the kernel shows threads and their namespaces.
const THREADS: &str = "/proc/";

/// As many bytes of a node's name as fit into a file name beside the rest.
const NODE_BYTES: usize = 200;

/// How many have been given in this process, so that nodes of the same name have different ones.
static GIVEN: AtomicU32 = AtomicU32::new(0);

/// A name, which goes when this is dropped.
#[derive(Debug)]
pub(super) struct Name(PathBuf);

impl Name {
    /// Names the namespace of this thread after a node.
    pub(super) fn give(directory: &Path, node: &str, thread: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let number = GIVEN.fetch_add(1, Ordering::Relaxed);
        // A node's name is ASCII, but whoever gives another one must not make us panic.
        let node: String =
            node.chars().filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).take(NODE_BYTES).collect();
        let path = directory.join(format!("{PREFIX}{}-{number}-{node}", process::id()));
        symlink(Path::new(THREADS).join(thread).join("ns/net"), &path)?;
        Ok(Self(path))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(%error, name = %self.0.display(), "the name of a network namespace stays behind");
        }
    }
}

/// The name of a namespace whose process is gone, and the namespace with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The name.
    pub name: String,
    path: PathBuf,
}

impl Leftover {
    /// Removes it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// What killed runs have left in a directory of names, usually [`DIRECTORY`]; sorted by name.
///
/// # Errors
/// Those of the file system; a directory that is not there holds nothing.
pub fn leftovers(directory: &Path) -> io::Result<Vec<Leftover>> {
    let mut found = ours(directory)?;
    // Of a namespace that lives, the link leads somewhere.
    found.retain(|leftover| fs::metadata(&leftover.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound));
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Removes every name that this process has given: for an end at which nothing is dropped.
pub fn forget_own() {
    let own = format!("{PREFIX}{}-", process::id());
    let given = if GIVEN.load(Ordering::Relaxed) == 0 { Ok(Vec::new()) } else { ours(Path::new(DIRECTORY)) };
    for name in given.into_iter().flatten().filter(|name| name.name.starts_with(&own)) {
        if let Err(error) = name.remove() {
            tracing::debug!(%error, name = name.name, "the name of a network namespace stays behind");
        }
    }
}

/// The names that are ours: called so, and links to a thread's namespace.
fn ours(directory: &Path) -> io::Result<Vec<Leftover>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let leads_to_a_thread = fs::read_link(&path).is_ok_and(|to| to.starts_with(THREADS) && to.ends_with("ns/net"));
        if name.starts_with(PREFIX) && leads_to_a_thread {
            found.push(Leftover { name, path });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_namespaces_that_are_gone_are_left_over_and_others_are_never_touched() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let link = |to: &str, name: &str| symlink(to, at(name)).expect("a link");
        link("/proc/4194305/task/4194305/ns/net", "slipway-4194305-0-worker-1");
        link("/proc/4194305/task/4194305/ns/net", "somebody-else");
        link("/nowhere", "slipway-1-0-link-to-something-else");
        fs::write(at("slipway-1-0-file"), "").expect("a file");
        if cfg!(target_os = "linux") {
            link("/proc/self/ns/net", "slipway-1-0-alive");
        }
        let found = leftovers(directory.path()).expect("found");
        assert_eq!(
            found.iter().map(|leftover| leftover.name.as_str()).collect::<Vec<_>>(),
            ["slipway-4194305-0-worker-1"]
        );
        for leftover in found {
            leftover.remove().expect("removed");
        }
        assert_eq!(leftovers(directory.path()).expect("found"), []);
        assert!(fs::symlink_metadata(at("somebody-else")).is_ok());
        assert_eq!(leftovers(&at("no-such-directory")).expect("nothing"), []);
    }

    #[test]
    fn two_nodes_of_one_name_have_different_names_that_go_with_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let give = |node: &str| Name::give(directory.path(), node, Path::new("1/task/1")).expect("a name");
        let names = (give("worker-1"), give("worker-1"), give(&"../ä".repeat(300)));
        assert_eq!(ours(directory.path()).expect("names").len(), 3);
        drop(names);
        assert_eq!(ours(directory.path()).expect("names"), []);
    }
}
