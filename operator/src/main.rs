//! The `slipway-operator` command.

fn main() {}
