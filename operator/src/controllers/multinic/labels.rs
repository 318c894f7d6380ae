//! Labels, annotations and names that tie a configuration, its Jobs and their Pods together. Pure.

use sha2::{Digest, Sha256};

use crate::api::agent::AgentAction;

/// Of everything this controller writes.
pub(super) const FIELD_MANAGER: &str = "slipway-operator/multinic";
/// Holds a configuration until its node is cleaned up.
pub const FINALIZER: &str = "multinic.io/cleanup";
/// Releases a deleted configuration without a cleanup, when it says `true`.
pub(super) const SKIP_CLEANUP: &str = "multinic.io/skip-cleanup";

/// What an agent is, for the recommended labels.
pub(super) const AGENT: &str = "multinic-agent";
/// Who made it, for the recommended labels.
pub(super) const MANAGED_BY: &str = "slipway-operator";
/// The recommended label for [`AGENT`].
pub(super) const LABEL_NAME: &str = "app.kubernetes.io/name";
/// The recommended label for [`MANAGED_BY`].
pub(super) const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label: the node, as [`node_label`] writes it.
pub(super) const NODE: &str = "multinic.io/node";
/// Label: the uid of the configuration.
pub(super) const CONFIG_UID: &str = "multinic.io/config-uid";
/// Label: the generation of the configuration.
pub(super) const GENERATION: &str = "multinic.io/generation";
/// Label: which try of that generation, from 1.
pub(super) const ATTEMPT: &str = "multinic.io/attempt";
/// Label: `apply` or `cleanup`.
pub(super) const ACTION: &str = "multinic.io/action";
/// Annotation: the system UUID of the machine.
pub(super) const SYSTEM_UUID: &str = "multinic.io/system-uuid";

/// The longest value of a label, and name of a Job whose Pods can carry it in theirs.
const LABEL_BYTES_MAX: usize = 63;
/// Hexadecimal digits of a digest: enough that two names of one node never meet.
const DIGEST_DIGITS: usize = 10;

/// Selects every agent of every node.
pub(super) fn selector() -> String {
    format!("{LABEL_NAME}={AGENT},{LABEL_MANAGED_BY}={MANAGED_BY}")
}

/// Selects every agent of one node.
pub(super) fn selector_of_node(node: &str) -> String {
    format!("{},{NODE}={}", selector(), node_label(node))
}

/// A node's name as a label's value: itself where it fits, else its beginning and a digest of all of it.
pub(super) fn node_label(node: &str) -> String {
    if node.len() <= LABEL_BYTES_MAX {
        return node.to_owned();
    }
    shortened(node, &digest(&[node]), LABEL_BYTES_MAX)
}

/// The name of a Job: the same for the same try, different for every other.
pub(super) fn job_name(
    action: AgentAction,
    node: &str,
    system_uuid: &str,
    config_uid: &str,
    generation: i64,
    attempt: i32,
) -> String {
    let action = action.as_str();
    let digest = digest(&[action, node, system_uuid, config_uid, &generation.to_string(), &attempt.to_string()]);
    // Dots would make a Pod's name useless as its host name.
    shortened(&format!("multinic-{action}-{}", node.replace('.', "-")), &digest, LABEL_BYTES_MAX)
}

fn shortened(text: &str, digest: &str, bytes_max: usize) -> String {
    let room = bytes_max - digest.len() - 1;
    let head: String = text.chars().filter(char::is_ascii).take(room).collect();
    format!("{}-{digest}", head.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()))
}

fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    let nibbles = hasher.finalize().into_iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    nibbles.take(DIGEST_DIGITS).filter_map(|nibble| char::from_digit(nibble.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_node_name_still_makes_a_valid_label_and_job() {
        for node in ["n", "worker-1.example.com", &"a".repeat(63), &"a".repeat(253), &format!("{}.b", "a".repeat(51))] {
            for text in [node_label(node), job_name(AgentAction::Cleanup, node, "u", "uid", 1, 1)] {
                assert!(text.len() <= 63, "{text}");
                assert!(text.starts_with(|c: char| c.is_ascii_alphanumeric()), "{text}");
                assert!(text.ends_with(|c: char| c.is_ascii_alphanumeric()), "{text}");
            }
        }
        let (one, other) = (format!("{}1", "a".repeat(252)), format!("{}2", "a".repeat(252)));
        assert_ne!(node_label(&one), node_label(&other));
    }

    #[test]
    fn every_try_has_a_job_name_of_its_own() {
        let name =
            |action, machine, uid, generation, attempt| job_name(action, "node", machine, uid, generation, attempt);
        let first = name(AgentAction::Apply, "m", "uid", 1, 1);
        assert_eq!(first, name(AgentAction::Apply, "m", "uid", 1, 1));
        for other in [
            name(AgentAction::Cleanup, "m", "uid", 1, 1),
            name(AgentAction::Apply, "other", "uid", 1, 1),
            name(AgentAction::Apply, "m", "other", 1, 1),
            name(AgentAction::Apply, "m", "uid", 2, 1),
            name(AgentAction::Apply, "m", "uid", 1, 2),
            name(AgentAction::Apply, "m", "uid", 11, 1),
        ] {
            assert_ne!(first, other);
        }
    }
}
