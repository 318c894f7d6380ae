//! What we wish kube-runtime had: small, and without knowledge of any controller.

pub mod apply;
pub mod backoff;
pub mod clock;
pub mod duration;
pub mod error;
pub mod finalize;
pub mod report;
