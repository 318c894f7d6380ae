//! An embedded Kubernetes API server.
//!
//! [`ApiServer`](service::ApiServer) is a [`tower::Service`]: a client can be made from it without a socket, and
//! [`serve`] puts the same service behind a listener. Objects are JSON with a schema, as in a real server's storage.
//!
//! It knows neither the operator nor the harness. Time comes from [`clock`], names and uids from [`entropy`].

pub mod access;
pub mod admission;
pub mod apply;
pub mod body;
pub mod clock;
pub mod convert;
pub mod decode;
pub mod dial;
pub mod discovery;
pub mod entropy;
pub mod fault;
pub mod field;
pub mod gateway;
mod go;
mod handle;
mod hooks;
pub mod lifecycle;
pub mod negotiate;
pub mod observe;
pub mod openapi;
pub mod patch;
pub mod resource;
pub mod resources;
pub mod route;
pub mod schema;
pub mod selector;
pub mod serve;
pub mod service;
pub mod status;
pub mod store;
pub mod table;
mod upgrade;
mod warning;
pub mod watch;
