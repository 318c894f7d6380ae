//! The `multinic-agent` command.

fn main() {}
