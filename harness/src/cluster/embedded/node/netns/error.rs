//! Why a node cannot have a network namespace of its own.

use std::io;

use thiserror::Error;

/// Why a node cannot have a network namespace of its own.
#[derive(Debug, Error)]
pub enum NamespaceError {
    /// The system has none.
    #[error("network namespaces are Linux's, and this machine runs something else")]
    NotLinux,
    /// Whoever runs this may neither make one nor become somebody who may.
    #[error(
        "this process may not make network namespaces: it lacks {missing} and may not have a user namespace either; run it \
         as root, give a container both (`--cap-add SYS_ADMIN --cap-add NET_ADMIN`), or allow user namespaces (sysctl \
         user.max_user_namespaces)"
    )]
    Rights {
        /// The capabilities that are missing.
        missing: String,
        /// Why there is no user namespace.
        #[source]
        source: io::Error,
    },
    /// The kernel makes none.
    #[error(
        "cannot make a network namespace; it takes CAP_SYS_ADMIN, a kernel with CONFIG_NET_NS, and room below the sysctl \
         user.max_net_namespaces"
    )]
    Refused(#[source] io::Error),
    /// The namespace is there, but its thread cannot work.
    #[error("cannot {what} in a network namespace")]
    Thread {
        /// What did not work.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The sysctls of the namespace cannot be set.
    #[error("cannot write {path}; in a container, /proc/sys must not be read-only (privileged ones have it so)")]
    Sysctl {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The kernel makes no links.
    #[error("cannot make a pair of virtual Ethernet links; it takes CAP_NET_ADMIN and the kernel module veth")]
    Veth(#[source] io::Error),
}
