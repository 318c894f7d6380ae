//! How large a change is, and between which bounds it lies.

use super::{Change, Draws};

/// How many times the runs are drawn again.
const RESAMPLES: usize = 1000;

/// No more than this many pairs are looked at in all, however many runs there are.
const PAIRS_MAX: usize = 4_000_000;

/// The share of the resamples that lies below the lower bound, and above the upper one.
const TAIL: f64 = 0.025;

/// The median; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    quantile(&mut values.to_vec(), 0.5)
}

/// The value that a share of the values lies below, between neighbours where it falls there; NaN of nothing.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place among the values"
    )]
    let (place, part) = {
        let place = share * last as f64;
        (place.floor() as usize, place.fract())
    };
    let (_, lower, above) = values.select_nth_unstable_by(place.min(last), f64::total_cmp);
    let next = above.iter().copied().fold(f64::INFINITY, f64::min);
    if part > 0.0 && next.is_finite() { *lower + (next - *lower) * part } else { *lower }
}

/// The change from `before` to `now`: the median over all pairs of runs, and the interval that resampling gives it.
pub fn change(before: &[f64], now: &[f64], draws: &mut Draws<'_>) -> Change {
    let in_percent = before.iter().chain(now).all(|value| *value > 0.0);
    let mut pairs = Vec::with_capacity(before.len() * now.len());
    let mut typical = |before: &[f64], now: &[f64]| {
        pairs.clear();
        for one in now {
            pairs.extend(before.iter().map(|other| if in_percent { one / other } else { one - other }));
        }
        let middle = quantile(&mut pairs, 0.5);
        if in_percent { (middle - 1.0) * 100.0 } else { middle }
    };
    let estimate = typical(before, now);
    let times = (PAIRS_MAX / (before.len() * now.len()).max(1)).clamp(200, RESAMPLES);
    let (mut before_again, mut now_again) = (before.to_vec(), now.to_vec());
    let mut seen: Vec<f64> = (0..times)
        .map(|_| {
            redraw(before, &mut before_again, draws);
            redraw(now, &mut now_again, draws);
            typical(&before_again, &now_again)
        })
        .collect();
    Change { in_percent, estimate, low: quantile(&mut seen, TAIL), high: quantile(&mut seen, 1.0 - TAIL) }
}

/// As many values as there are, each drawn from all of them.
fn redraw(values: &[f64], into: &mut [f64], draws: &mut Draws<'_>) {
    let count = values.len() as u128;
    for slot in into {
        // The high half of the product is even over the values.
        let index = usize::try_from((u128::from(draws()) * count) >> 64).unwrap_or_default();
        *slot = values.get(index).copied().unwrap_or(f64::NAN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::chance::Stream;

    #[test]
    fn medians_and_quantiles_lie_between_their_neighbours() {
        for (values, share, expected) in [
            (vec![3.0], 0.5, 3.0),
            (vec![4.0, 1.0], 0.5, 2.5),
            (vec![5.0, 1.0, 3.0], 0.5, 3.0),
            (vec![0.0, 10.0, 20.0, 30.0], 0.25, 7.5),
            (vec![0.0, 10.0, 20.0, 30.0], 1.0, 30.0),
        ] {
            let found = quantile(&mut values.clone(), share);
            assert!((found - expected).abs() < 1e-12, "{share} of {values:?} is {found}");
        }
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_bounds_hold_the_change_and_repeat_from_the_seed() {
        let before = [100.0, 102.0, 98.0, 101.0, 99.0];
        let now = before.map(|value| value * 1.1);
        let of = |seed| {
            let mut stream = Stream::new(seed);
            change(&before, &now, &mut || stream.next().unwrap())
        };
        let found = of(1);
        assert_eq!(found, of(1));
        assert!(found.in_percent && (found.estimate - 10.0).abs() < 0.01, "{found:?}");
        assert!(found.low > 6.0 && found.low < 10.0 && found.high > 10.0 && found.high < 14.0, "{found:?}");
    }

    #[test]
    fn there_is_no_ratio_to_zero() {
        let mut stream = Stream::new(1);
        let found = change(&[0.0, 0.0], &[2.0, 2.0], &mut || stream.next().unwrap());
        assert_eq!(found, Change { in_percent: false, estimate: 2.0, low: 2.0, high: 2.0 });
    }
}
