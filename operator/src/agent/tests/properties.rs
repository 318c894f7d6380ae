//! Properties over generated specs and hosts.
