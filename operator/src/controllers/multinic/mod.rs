//! `MultiNIC`: per-node network configuration by agent Jobs.
