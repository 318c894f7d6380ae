//! The server's only source of chance: uids and generated names, repeatable from a seed.

use std::sync::{Mutex, PoisonError};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The characters of generated names: no vowels, so that no words appear (apimachinery, `util/rand`).
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A seeded generator, shared by all requests of a server.
#[derive(Debug)]
pub struct Entropy(Mutex<ChaCha8Rng>);

impl Entropy {
    /// A generator that repeats itself for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(ChaCha8Rng::seed_from_u64(seed)))
    }

    /// Bytes for a key. They come from a stream of their own, so that names and uids stay what they are.
    pub fn key(seed: u64) -> [u8; 32] {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(1);
        let mut bytes = [0; 32];
        generator.fill_bytes(&mut bytes);
        bytes
    }

    /// A new version 4 uid.
    pub fn uid(&self) -> String {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// The five characters that `generateName` appends.
    pub fn suffix(&self) -> String {
        let mut bytes = [0; 5];
        self.fill(&mut bytes);
        bytes.iter().map(|b| ALPHABET[usize::from(*b) % ALPHABET.len()] as char).collect()
    }

    /// A number from 0 up to but without `bound`.
    pub fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes) % bound.max(1)
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}
