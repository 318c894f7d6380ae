//! What we wish kube-runtime had.
