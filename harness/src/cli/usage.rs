//! What can be wrong with arguments that are well-formed.

use std::path::PathBuf;

use crate::remote::origin::BaseUrlError;
use crate::remote::pin::RevisionError;
use crate::scenario::duration::NotADuration;
use crate::sli::scrape::EndpointError;

/// What is wrong with the arguments.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// A regular expression between slashes cannot be read.
    #[error("the filter {pattern} is not a regular expression")]
    Filter {
        /// The expression as typed.
        pattern: String,
        /// Why not.
        #[source]
        source: regex::Error,
    },
    /// A report is neither `junit=FILE` nor `json=FILE`.
    #[error("the report {0:?} is neither junit=FILE nor json=FILE")]
    Report(String),
    /// Nothing is asked for there.
    #[error(transparent)]
    BaseUrl(#[from] BaseUrlError),
    /// The reference cannot be moved to that.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// Of `slipway gate`.
    #[error(transparent)]
    Gate(#[from] super::gate::GateUsageError),
    /// The operator's metrics cannot be asked for.
    #[error(transparent)]
    Metrics(#[from] EndpointError),
    /// A service account without its namespace.
    #[error("the service account {0:?} is not NAMESPACE/NAME")]
    ServiceAccount(String),
    /// A cluster is compared with another one.
    #[error("say what to compare the embedded cluster with: --against kubeconfig, local or k3s")]
    AgainstItself,
    /// The cluster lives by the machine's clock.
    #[error("--time virtual goes with --cluster embedded: --cluster {0} lives by the machine's clock")]
    NoVirtualTime(&'static str),
    /// Nothing can run with no job.
    #[error("--jobs must be at least 1")]
    NoJobs,
    /// A scale run needs something to look after.
    #[error("--{0} must be at least 1")]
    Nothing(&'static str),
    /// A duration cannot be read.
    #[error(transparent)]
    Duration(#[from] NotADuration),
    /// The operator's program is not there.
    #[error("there is no operator at {}", .0.display())]
    NoOperator(PathBuf),
}
