//! The running kernel, through netlink.
