//! The harness's only source of chance. A run has a seed, which it prints; every scenario's is derived from it and the
//! scenario's name, so that one scenario alone repeats what it did among others.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// The seed of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSeed(pub u64);

/// Seeds are shown and typed by people: below a million they are short enough for that.
const RANGE: u64 = 1_000_000;

impl RunSeed {
    /// A seed nobody can foresee.
    pub fn random() -> Self {
        // The hasher's keys come from the operating system.
        Self(RandomState::new().hash_one(0) % RANGE)
    }

    /// The seed of one scenario.
    pub fn of(self, name: &str) -> u64 {
        // FNV-1a: stable over releases and platforms, which the standard hashers do not promise.
        name.bytes()
            .fold(self.0 ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

/// Tells a run from every other one, also from those with the same seed: what it makes on clusters that others use is
/// labelled with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunId(pub String);

impl RunId {
    /// One that nobody else has.
    pub fn random() -> Self {
        Self(format!("{:010x}", RandomState::new().hash_one(0) >> 24))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_repeats_with_the_runs_seed_and_differs_from_its_neighbours() {
        assert_eq!(RunSeed(7).of("a"), RunSeed(7).of("a"));
        assert_ne!(RunSeed(7).of("a"), RunSeed(7).of("b"));
        assert_ne!(RunSeed(7).of("a"), RunSeed(8).of("a"));
    }
}
