//! Numbers that may be percentages. Pure.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Which way a percentage that comes out uneven goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster::embedded) enum Round {
    /// To the next number above.
    Up,
    /// To the next number below.
    Down,
}

/// What `amount` is of `total`; a text that is no percentage is nothing, as the server lets none in.
pub(in crate::cluster::embedded) fn of(amount: &IntOrString, total: i32, round: Round) -> i32 {
    let percent = match amount {
        IntOrString::Int(number) => return *number,
        IntOrString::String(text) => text.trim_end_matches('%').parse::<i64>().unwrap_or(0),
    };
    let hundredfold = percent * i64::from(total);
    let rounded = if round == Round::Up { (hundredfold + 99).div_euclid(100) } else { hundredfold.div_euclid(100) };
    i32::try_from(rounded).unwrap_or(i32::MAX)
}

/// A length as Kubernetes counts: in 32 bits.
pub(in crate::cluster::embedded) fn count(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// A number where it is not zero, as statuses leave zeros out.
pub(in crate::cluster::embedded) fn unless_zero(number: i32) -> Option<i32> {
    (number != 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_rounded_the_way_that_is_asked_for() {
        let percent = |text: &str| IntOrString::String(text.to_owned());
        let cases = [
            (IntOrString::Int(3), 10, 3, 3),
            (percent("25%"), 10, 3, 2),
            (percent("25%"), 4, 1, 1),
            (percent("100%"), 7, 7, 7),
            (percent("0%"), 7, 0, 0),
        ];
        for (amount, total, up, down) in cases {
            assert_eq!((of(&amount, total, Round::Up), of(&amount, total, Round::Down)), (up, down), "{amount:?}");
        }
    }
}
