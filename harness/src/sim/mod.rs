//! Where a run takes time and chance from: [`clock`] and [`seed`].

pub mod clock;
pub mod seed;
