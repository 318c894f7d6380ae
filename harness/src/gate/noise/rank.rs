//! The rank-sum test of Mann, Whitney and Wilcoxon: are the values of one sample larger than those of another?
//!
//! It counts, among all ways of dealing the values out to two samples of these sizes, those in which the second would hold
//! ranks at least as high. Where every way is as probable as the others, which is what "no difference" means, that share is
//! the probability, whatever the distribution; ties included.

use super::power::upper_tail;

/// Up to this many values the ways are counted; beyond, the normal distribution is as good.
const COUNTED_MAX: usize = 60;

/// Values that differ by less than this share are the same: the rest is arithmetic.
const SAME: f64 = 1e-12;

/// The probability of `now` ranking this high above `before`, or higher, where they do not differ.
pub fn probability_greater(before: &[f64], now: &[f64]) -> f64 {
    if before.is_empty() || now.is_empty() {
        return 1.0;
    }
    let (ranks, sum) = ranks(before, now);
    if ranks.len() > COUNTED_MAX {
        return approximate(&ranks, now.len(), sum);
    }
    // Counting takes as long as the sums are large: from the lowest rank on, and whole ones where there are no ties.
    let step = if ranks.iter().all(|rank| rank.is_multiple_of(2)) { 2 } else { 1 };
    let lowest = ranks[0];
    let low: Vec<usize> = ranks.iter().map(|rank| (rank - lowest) / step).collect();
    let ways = ways(&low, now.len());
    let all: f64 = ways.iter().sum();
    let as_high: f64 = ways.iter().skip((sum - lowest * now.len()) / step).sum();
    (as_high / all).min(1.0)
}

/// The smallest probability that samples of these sizes can show: every value of one above every value of the other.
pub fn smallest(before: usize, now: usize) -> f64 {
    // 1 in "before + now choose now".
    (1..=now).fold(1.0, |share, k| share * number(k) / number(before + k))
}

/// The least rank sum of `size` values against as many others that is no more probable than `limit`, as the number of
/// pairs in which they are larger; none where there is none.
pub fn critical(size: usize, limit: f64) -> Option<usize> {
    let ranks: Vec<usize> = (0..2 * size).collect();
    let ways = ways(&ranks, size);
    let all: f64 = ways.iter().sum();
    let mut tail = 0.0;
    let mut least = None;
    for (sum, count) in ways.iter().enumerate().rev() {
        tail += count;
        if tail / all > limit {
            break;
        }
        if *count > 0.0 {
            least = Some(sum - size * (size - 1) / 2);
        }
    }
    least
}

/// Twice the rank of every value, so that those of ties are whole numbers, and the sum of those of `now`.
fn ranks(before: &[f64], now: &[f64]) -> (Vec<usize>, usize) {
    let mut values: Vec<(f64, bool)> =
        before.iter().map(|value| (*value, false)).chain(now.iter().map(|value| (*value, true))).collect();
    values.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut ranks = Vec::with_capacity(values.len());
    let mut sum = 0;
    let mut start = 0;
    while start < values.len() {
        let first = values[start].0;
        let tied = values[start..].iter().take_while(|(value, _)| value - first <= SAME * first.abs()).count();
        // The mean of the ranks from start + 1 to start + tied, doubled.
        let rank = 2 * start + tied + 1;
        for (_, is_now) in &values[start..start + tied] {
            ranks.push(rank);
            sum += if *is_now { rank } else { 0 };
        }
        start += tied;
    }
    (ranks, sum)
}

/// By sum: in how many ways `size` of the ranks, which rise, come to it.
fn ways(ranks: &[usize], size: usize) -> Vec<f64> {
    let top: usize = ranks.iter().rev().take(size).sum();
    let mut counts = vec![vec![0.0; top + 1]; size + 1];
    counts[0][0] = 1.0;
    for (used, rank) in ranks.iter().enumerate() {
        // With this few left, fewer than this many taken come to nothing.
        let least = size.saturating_sub(ranks.len() - used);
        for taken in (least..size.min(used + 1)).rev() {
            let (less, more) = counts.split_at_mut(taken + 1);
            for (count, more) in less[taken][..=top - rank].iter().zip(&mut more[0][*rank..]) {
                *more += count;
            }
        }
    }
    counts.pop().unwrap_or_default()
}

/// By the normal distribution with the variance that these ranks have, and half a step for continuity.
fn approximate(ranks: &[usize], size: usize, sum: usize) -> f64 {
    let (all, now) = (number(ranks.len()), number(size));
    let mean = ranks.iter().map(|rank| number(*rank)).sum::<f64>() / all;
    let spread = ranks.iter().map(|rank| (number(*rank) - mean).powi(2)).sum::<f64>() / (all - 1.0);
    let variance = now * (all - now) / all * spread;
    if variance == 0.0 {
        return 1.0;
    }
    upper_tail((number(sum) - now * mean - 1.0) / variance.sqrt())
}

#[expect(clippy::cast_precision_loss, reason = "numbers of runs and their ranks")]
pub(super) fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition: every way of dealing out, one by one.
    fn by_definition(before: &[f64], now: &[f64]) -> f64 {
        let all: Vec<f64> = before.iter().chain(now).copied().collect();
        let sum = |chosen: u32| -> usize {
            let rank = |value: f64| {
                2 * all.iter().filter(|other| **other < value).count()
                    + all.iter().filter(|other| (**other - value).abs() < 1e-9).count()
                    + 1
            };
            (0..all.len()).filter(|index| chosen >> index & 1 == 1).map(|index| rank(all[index])).sum()
        };
        let ways = (0_u32..1 << all.len()).filter(|way| way.count_ones() as usize == now.len());
        let seen = sum(((1 << now.len()) - 1) << before.len());
        let (mut as_high, mut count) = (0.0, 0.0);
        for way in ways {
            count += 1.0;
            as_high += if sum(way) >= seen { 1.0 } else { 0.0 };
        }
        as_high / count
    }

    proptest! {
        #[test]
        fn the_count_is_that_of_the_definition_with_ties_and_without(
            before in prop::collection::vec(0_u8..12, 1..6),
            now in prop::collection::vec(0_u8..12, 1..6),
        ) {
            let floats = |values: &[u8]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
            let (before, now) = (floats(&before), floats(&now));
            let found = probability_greater(&before, &now);
            prop_assert!((found - by_definition(&before, &now)).abs() < 1e-12);
        }

        #[test]
        fn the_approximation_is_close_where_counting_ends(shift in 0_usize..12) {
            let before: Vec<f64> = (0..30).map(|index| number(index * 7 % 30)).collect();
            let now: Vec<f64> = before.iter().map(|value| value + number(shift) + 0.5).collect();
            let (ranks, sum) = ranks(&before, &now);
            let exact = probability_greater(&before, &now);
            prop_assert!((approximate(&ranks, 30, sum) - exact).abs() < 0.003);
        }
    }

    #[test]
    fn known_values_come_out() {
        // Every value above every other: one way in "n + m choose m".
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        close(probability_greater(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 0.05);
        close(probability_greater(&[4.0, 5.0, 6.0], &[1.0, 2.0, 3.0]), 1.0);
        close(probability_greater(&[5.0; 4], &[5.0; 4]), 1.0);
        close(smallest(3, 3), 0.05);
        close(smallest(5, 5), 1.0 / 252.0);
        close(smallest(20, 3), 1.0 / 1771.0);
        close(probability_greater(&[], &[1.0]), 1.0);
        // From the tables: of 5 against 5, 21 pairs are significant at 5 % on one side, and 24 at 1 %.
        assert_eq!(critical(5, 0.05), Some(21));
        assert_eq!(critical(5, 0.01), Some(24));
        assert_eq!(critical(3, 0.01), None);
    }

    #[test]
    fn arithmetic_at_the_limit_is_no_difference() {
        let limit: Vec<f64> = [0.1, 0.2, 0.3].iter().map(|value| value * 1.1).collect();
        let now = [0.1 + 0.01, 0.2 + 0.02, 0.3 + 0.03];
        let (one, other) = (probability_greater(&limit, &now), probability_greater(&now, &limit));
        assert!((one - other).abs() < 1e-12);
    }
}
