//! The command line of `slipway-operator`.
