//! Connections from the kernel's tables of sockets: what the rows say ([`table`]), and which of them count ([`count`]).
//! Pure.

pub(super) mod count;
pub(super) mod table;

/// What is printed inside the Pod. Kernels without IPv6 have no `tcp6`; the rest is printed all the same.
pub(super) const COMMAND: [&str; 5] = ["cat", "/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6"];
