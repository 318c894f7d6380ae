//! What we wish kube-runtime had: small, and without knowledge of any controller.

pub mod backoff;
pub mod clock;
pub mod duration;
