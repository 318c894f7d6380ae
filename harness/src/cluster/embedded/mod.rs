//! The embedded cluster: the API server with the controllers and nodes that make it a cluster.

pub mod node;
