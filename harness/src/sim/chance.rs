//! Endless streams of numbers that look like chance and repeat from their seed, for what must draw and still come to the
//! same end every time: resampling.

/// A stream of xoshiro256++, which passes the usual tests of randomness and needs no crate for its ten lines.
#[derive(Clone, Debug)]
pub struct Stream([u64; 4]);

impl Stream {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        // SplitMix64: neighbouring seeds give streams that have nothing to do with each other.
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }))
    }
}

impl Iterator for Stream {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let [a, b, c, d] = self.0;
        let drawn = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.0 = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        Some(drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_from_its_seed_and_is_even() {
        let first: Vec<u64> = Stream::new(7).take(1000).collect();
        assert!(Stream::new(7).take(1000).eq(first.iter().copied()));
        assert!(!Stream::new(8).take(1000).eq(first.iter().copied()));
        let ones: u32 = first.iter().map(|number| number.count_ones()).sum();
        assert!((31_500..32_500).contains(&ones), "{ones} of 64000 bits are set");
    }
}
