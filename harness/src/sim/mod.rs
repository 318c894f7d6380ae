//! Where a run takes time and chance from: [`clock`], [`seed`] and [`chance`].

pub mod chance;
pub mod clock;
pub mod seed;
