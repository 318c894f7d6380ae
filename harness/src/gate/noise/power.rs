//! How many runs would tell a change from the noise.
//!
//! The noise is what the runs at hand show. The estimate takes it to be normal: for noise with longer tails, which is the
//! usual kind, ranks need fewer runs, not more.

use super::POWER;
use super::rank::{critical, number};

/// More runs than this on each side are not asked for.
pub(super) const RUNS_MAX: usize = 100;

/// Up to this many runs on each side the test's own limit is counted out.
const COUNTED_MAX: usize = 14;

/// How surely the noise is no larger than it is taken for: few runs say little about it.
const NOISE_QUANTILE: f64 = 0.75;

/// The spread of one run, as far as it can be told: of logarithms where changes are ratios.
pub fn noise(before: &[f64], now: &[f64], of_ratios: bool) -> Option<f64> {
    let squares = |values: &[f64]| {
        let scaled: Vec<f64> = values.iter().map(|value| if of_ratios { value.ln() } else { *value }).collect();
        let mean = scaled.iter().sum::<f64>() / number(scaled.len());
        scaled.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
    };
    let freedom = (before.len() + now.len()).checked_sub(2).filter(|freedom| *freedom > 0)?;
    let freedom = number(freedom);
    let sum = [before, now].into_iter().filter(|side| side.len() > 1).map(squares).sum::<f64>();
    // Wilson and Hilferty: the quantile of a chi-squared distribution.
    let ninth = 2.0 / (9.0 * freedom);
    let small = freedom * (1.0 - ninth - quantile(NOISE_QUANTILE) * ninth.sqrt()).powi(3).max(0.02);
    Some((sum / small).sqrt())
}

/// How many runs on each side show a change by `distance` beyond what is tolerated, four times out of five, when a
/// probability of `limit` is what it takes; none where that is more than can be asked for. Without noise it is as few as
/// can show anything at all.
pub fn runs_needed(noise: Option<f64>, distance: f64, limit: f64) -> Option<usize> {
    let shift = match noise {
        None => f64::INFINITY,
        Some(noise) if noise <= 0.0 => f64::INFINITY,
        Some(noise) => distance / noise,
    };
    (2..=RUNS_MAX).find(|runs| power(*runs, shift, limit) >= POWER)
}

/// The chance that `runs` on each side show a shift by that many spreads.
fn power(runs: usize, shift: f64, limit: f64) -> f64 {
    let size = number(runs);
    let pairs = size * size;
    let needed = if runs <= COUNTED_MAX {
        match critical(runs, limit) {
            Some(pairs) => number(pairs),
            None => return 0.0,
        }
    } else {
        pairs / 2.0 + quantile(1.0 - limit) * (pairs * (2.0 * size + 1.0) / 12.0).sqrt() + 0.5
    };
    if shift.is_infinite() {
        return 1.0;
    }
    // The mean and the variance of the number of pairs in which the second is larger.
    let larger = normal(shift / std::f64::consts::SQRT_2);
    let both = larger_than_two(shift);
    let variance = pairs * (larger * (1.0 - larger) + 2.0 * (size - 1.0) * (both - larger * larger));
    if variance <= 0.0 {
        return if pairs * larger >= needed { 1.0 } else { 0.0 };
    }
    upper_tail((needed - 0.5 - pairs * larger) / variance.sqrt())
}

/// The chance that a value which is shifted is larger than two that are not.
fn larger_than_two(shift: f64) -> f64 {
    const STEPS: u32 = 400;
    const REACH: f64 = 8.0;
    let width = 2.0 * REACH / f64::from(STEPS);
    (0..STEPS)
        .map(|step| {
            let at = -REACH + (f64::from(step) + 0.5) * width;
            let density = (-at * at / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            density * normal(at + shift).powi(2) * width
        })
        .sum()
}

/// The share of a normal distribution below `z`.
fn normal(z: f64) -> f64 {
    1.0 - upper_tail(z)
}

/// The share of a normal distribution above `z`, to seven digits of itself (Numerical Recipes' rational `erfc`).
pub(super) fn upper_tail(z: f64) -> f64 {
    const TERMS: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    let sum = TERMS.iter().rev().fold(0.0, |sum, term| sum * t + term);
    let tail = t * (sum - x * x).exp() / 2.0;
    if z >= 0.0 { tail } else { 1.0 - tail }
}

/// Below which `z` a share of a normal distribution lies.
fn quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if upper_tail(middle) > 1.0 - share {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_distribution_is_that_of_the_tables() {
        for (z, expected) in [(0.0, 0.5), (1.644_854, 0.05), (2.326_348, 0.01), (3.090_232, 0.001), (-1.0, 0.841_345)] {
            assert!((upper_tail(z) - expected).abs() < 1e-6, "{z}: {}", upper_tail(z));
        }
        assert!((quantile(0.975) - 1.959_964).abs() < 1e-5);
    }

    #[test]
    fn more_noise_more_indicators_and_smaller_changes_need_more_runs() {
        let ten_over_three = (1.1_f64 / 1.03).ln();
        let runs = |noise, limit| runs_needed(Some(noise), ten_over_three, limit);
        assert_eq!(runs_needed(None, 1.0, 0.01), Some(5), "fewer show nothing, however large the change");
        assert_eq!(runs_needed(Some(0.0), 1.0, 0.01), Some(5));
        let few = runs(0.03, 0.01).unwrap();
        assert!((5..=8).contains(&few), "{few}");
        assert!(runs(0.03, 0.001).unwrap() > few);
        assert!(runs(0.06, 0.01).unwrap() > 2 * few);
        assert_eq!(runs(0.6, 0.01), None);
        assert_eq!(runs_needed(Some(0.03), 0.0, 0.01), None, "what is tolerated is never shown");
    }

    #[test]
    fn noise_is_told_from_several_runs_only() {
        assert_eq!(noise(&[1.0], &[1.0], true), None);
        let found = noise(&[100.0, 103.0, 97.0, 100.0], &[100.0; 1], true).unwrap();
        assert!((0.02..0.05).contains(&found), "{found}");
    }
}
