//! Puts an operator on a cluster. The only file that imports `slipway_operator`.
