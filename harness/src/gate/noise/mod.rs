//! Is it slower, or is it noise? A comparison of several runs with several others.
//!
//! Nothing is assumed about how the noise is distributed. [`rank`] asks how probable it is that what is seen comes about
//! although nothing is worse than what is tolerated; [`resample`] says between which bounds the change lies; [`power`]
//! says how many runs would tell. [`judge`] puts the three together, for all indicators of a policy at once: the more
//! there are, the stronger each one's evidence must be, so that the chance of a false alarm is that of the whole gate.

pub mod power;
pub mod rank;
pub mod resample;

use super::checks::Direction;

/// The chance of a false alarm that a gate is held to unless its policy says otherwise.
pub const ALPHA: f64 = 0.01;

/// The change that must not go unseen unless the policy says otherwise, in percent.
pub const DETECT_PERCENT: f64 = 10.0;

/// The chance that such a change is seen, which numbers of runs are planned for.
pub const POWER: f64 = 0.8;

/// A source of numbers that look like chance.
pub type Draws<'a> = dyn FnMut() -> u64 + 'a;

/// How much worse a value may be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tolerance {
    /// In percent of the baseline.
    pub percent: f64,
    /// In the indicator's own unit; what is within either is tolerated.
    pub absolute: f64,
}

impl Tolerance {
    /// How much worse than `value` is tolerated, in the indicator's own unit.
    pub fn at(self, value: f64) -> f64 {
        (self.percent / 100.0 * value.abs()).max(self.absolute)
    }
}

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The baseline's runs.
    pub before: &'a [f64],
    /// The runs of what is judged.
    pub now: &'a [f64],
    /// Which way the indicator gets better.
    pub better: Direction,
    /// What is tolerated.
    pub tolerance: Tolerance,
    /// The change that must not go unseen, in percent.
    pub detect_percent: f64,
}

/// What came of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is worse than is tolerated.
    Worse,
    /// It is not, and a change of the size that must be seen can be excluded.
    Fine,
    /// It is not shown to be worse, but the noise is too large to exclude it.
    Open,
    /// There are too few runs to show anything.
    TooFew,
}

/// A comparison with its figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What came of it.
    pub outcome: Outcome,
    /// The change, which is the median of all pairs of runs.
    pub change: Change,
    /// How probable this or more is where nothing is worse than tolerated.
    pub p: f64,
    /// What `p` must not exceed to be called worse, given how many indicators are compared.
    pub limit: f64,
    /// How many runs on each side would show the change that must not go unseen; none where that is more than can be
    /// asked for.
    pub runs_needed: Option<usize>,
}

/// How far the runs are from the baseline's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Whether it is in percent of the baseline, or in the indicator's own unit since there is no ratio to zero.
    pub in_percent: bool,
    /// The estimate.
    pub estimate: f64,
    /// Its lower bound.
    pub low: f64,
    /// Its upper bound.
    pub high: f64,
}

/// Judges all comparisons of a gate. `alpha` is the chance that any is called worse although none is; `draws` gives each
/// its own chance by its number, so that one more indicator changes nothing about the others.
pub fn judge<'d>(questions: &[Question<'_>], alpha: f64, draws: &dyn Fn(usize) -> Box<Draws<'d>>) -> Vec<Answer> {
    let probabilities: Vec<f64> = questions.iter().map(probability).collect();
    let limits = holm(&probabilities, alpha);
    #[expect(clippy::cast_precision_loss, reason = "nobody has that many indicators")]
    let share = alpha / questions.len().max(1) as f64;
    questions
        .iter()
        .enumerate()
        .map(|(index, question)| answer(question, probabilities[index], limits[index], share, &mut *draws(index)))
        .collect()
}

/// Holm's limits: the smallest probability is held against a share of `alpha`, the next against a larger one, until one
/// fails; the chance of any false alarm stays below `alpha` however the indicators hang together.
fn holm(probabilities: &[f64], alpha: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|one, other| probabilities[*one].total_cmp(&probabilities[*other]));
    let mut limits = vec![0.0; probabilities.len()];
    let mut stopped = None;
    for (done, index) in order.into_iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "nobody has that many indicators")]
        let limit = stopped.unwrap_or(alpha / (probabilities.len() - done) as f64);
        limits[index] = limit;
        if probabilities[index] > limit {
            stopped = Some(limit);
        }
    }
    limits
}

/// How probable it is to see this or more where nothing is worse than tolerated.
fn probability(question: &Question<'_>) -> f64 {
    let Question { before, now, better, tolerance, .. } = question;
    let up = || {
        let limit: Vec<f64> = before.iter().map(|value| value + tolerance.at(*value)).collect();
        rank::probability_greater(&limit, now)
    };
    let down = || {
        let limit: Vec<f64> = before.iter().map(|value| value - tolerance.at(*value)).collect();
        rank::probability_greater(now, &limit)
    };
    match better {
        Direction::Lower => up(),
        Direction::Higher => down(),
        Direction::Neither => (2.0 * up().min(down())).min(1.0),
    }
}

fn answer(question: &Question<'_>, p: f64, limit: f64, share: f64, draws: &mut Draws<'_>) -> Answer {
    let Question { before, now, better, tolerance, detect_percent } = *question;
    let change = resample::change(before, now, draws);
    let centre = resample::median(before);
    // Both limits on the scale of the change, as a worsening.
    let (tolerated, seen) = if change.in_percent {
        let tolerated = tolerance.percent.max(tolerance.absolute / centre.abs() * 100.0);
        (tolerated, detect_percent.max(tolerated))
    } else {
        let tolerated = tolerance.at(centre);
        (tolerated, (detect_percent / 100.0 * centre.abs()).max(tolerated))
    };
    let beyond = |limit: f64| match better {
        Direction::Lower => (change.estimate > limit && change.low > limit, change.high > limit),
        Direction::Higher => (change.estimate < -limit && change.high < -limit, change.low < -limit),
        Direction::Neither => (change.low > limit || change.high < -limit, change.high > limit || change.low < -limit),
    };
    let sides = if better == Direction::Neither { 2.0 } else { 1.0 };
    let outcome = if p <= limit && beyond(tolerated).0 {
        Outcome::Worse
    } else if rank::smallest(before.len(), now.len()) * sides > share {
        Outcome::TooFew
    } else if beyond(seen).1 {
        Outcome::Open
    } else {
        Outcome::Fine
    };
    let runs_needed = runs_needed(question, change.in_percent, (tolerated, seen), share / sides);
    Answer { outcome, change, p, limit, runs_needed }
}

/// How many runs on each side show a change that must be seen.
fn runs_needed(question: &Question<'_>, in_percent: bool, (tolerated, seen): (f64, f64), limit: f64) -> Option<usize> {
    let noise = power::noise(question.before, question.now, in_percent);
    let distance = if in_percent {
        // Ratios are added up as logarithms.
        let down = question.better == Direction::Higher;
        let log = |percent: f64| if down { -(-percent / 100.0).ln_1p() } else { (percent / 100.0).ln_1p() };
        log(seen) - log(tolerated)
    } else {
        seen - tolerated
    };
    power::runs_needed(noise, distance, limit)
}

#[cfg(test)]
mod tests;
