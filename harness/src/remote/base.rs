//! The base policy: the reference's own where it can be had, and else the one that this program brings.

use super::acquire::{AcquireError, Network, acquire};
use super::cache::Cache;
use super::provenance::Provenance;
use super::reference::Reference;

/// What the reference's base policy asks, restated.
pub const BUILT_IN: &str = include_str!("../../../slint/base.yaml");
/// How that is called where a rule of it is named.
pub const BUILT_IN_NAME: &str = "built-in";

/// The policy that ours is laid over.
#[derive(Clone, Debug)]
pub struct Base {
    /// How it is called where a rule of it is named.
    pub name: String,
    /// What stands in it.
    pub text: String,
    /// Where it came from.
    pub provenance: Provenance,
}

/// Why there is no base policy.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// It was not got, and not for want of a network.
    #[error(transparent)]
    Acquire(#[from] AcquireError),
    /// It is no text, although it is what was pinned.
    #[error("the base policy of {0} is not UTF-8")]
    NotText(String),
}

/// Gets the base policy; asks `network` where there is one.
///
/// # Errors
/// See [`BaseError`]. A network that cannot be reached is none.
pub async fn base(reference: &Reference, cache: &Cache, network: Option<&Network>) -> Result<Base, BaseError> {
    let got = acquire(&reference.of_base_policy(), cache, network).await?;
    let provenance = Provenance::of(reference, &got);
    let found = got.into_iter().find_map(|got| Some((got.file.path, got.bytes?)));
    let Some((path, bytes)) = found else {
        return Ok(Base { name: BUILT_IN_NAME.to_owned(), text: BUILT_IN.to_owned(), provenance });
    };
    let text = String::from_utf8(bytes).map_err(|_| BaseError::NotText(reference.label()))?;
    Ok(Base { name: format!("{} {path}", reference.label()), text, provenance })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::policy::{Policy, Violation};

    #[test]
    fn the_built_in_base_asks_what_the_reference_asks() {
        let (policy, warnings) = Policy::parse(BUILT_IN.as_bytes());
        let policy = policy.unwrap();
        assert!(warnings.is_empty());
        let rules: Vec<String> = policy
            .thresholds
            .iter()
            .map(|rule| format!("{}: {} {} {}", rule.name, rule.metric, rule.operator, rule.value))
            .collect();
        assert_eq!(
            rules,
            [
                "reconcile_total_delta_min: reconcile_total_delta >= 1",
                "workqueue_depth_end_max: workqueue_depth_end <= 5"
            ]
        );
        assert!(policy.regression.enabled && !policy.reliability.required && !policy.coverage.required);
        assert_eq!(policy.fatal, [Violation::ThresholdMiss, Violation::RegressionDetected].into());
    }
}
