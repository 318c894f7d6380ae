//! What the comparison promises, by simulation: seeded, so that a figure here is the same figure everywhere.

use super::*;
use crate::sim::chance::Stream;

/// A shape of noise; each has a mean of 0 and a spread of 1.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Normal,
    Uniform,
    /// Laplace's: sharp in the middle, with long tails.
    Sharp,
    /// Mostly quiet, and one run in ten that waited for its neighbour.
    Neighbour,
}

const SHAPES: [Shape; 4] = [Shape::Normal, Shape::Uniform, Shape::Sharp, Shape::Neighbour];

struct Noise(Stream);

impl Noise {
    fn share(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what a float holds")]
        let share = (self.0.next().unwrap() >> 11) as f64 / (1_u64 << 53) as f64;
        share
    }

    fn normal(&mut self) -> f64 {
        let (one, other) = (1.0 - self.share(), self.share());
        (-2.0 * one.ln()).sqrt() * (2.0 * std::f64::consts::PI * other).cos()
    }

    fn draw(&mut self, shape: Shape) -> f64 {
        match shape {
            Shape::Normal => self.normal(),
            Shape::Uniform => (self.share() - 0.5) * 12_f64.sqrt(),
            Shape::Sharp => {
                let share = self.share() - 0.5;
                -share.signum() * (1.0 - 2.0 * share.abs()).ln() / 2_f64.sqrt()
            }
            Shape::Neighbour => {
                // A mixture of 0.9 N(0, 0.5) and 0.1 N(2, 1.5), put to mean 0 and spread 1.
                let late = self.share() < 0.1;
                let drawn = if late { 2.0 + 1.5 * self.normal() } else { 0.5 * self.normal() };
                (drawn - 0.2) / (0.9 * 0.25_f64 + 0.1 * 2.25 + 0.9 * 0.04 + 0.1 * 3.24).sqrt()
            }
        }
    }

    /// Runs of something that takes `level`, with noise of this relative spread.
    fn runs(&mut self, count: usize, level: f64, spread: f64, shape: Shape) -> Vec<f64> {
        (0..count).map(|_| level * (spread * self.draw(shape)).exp()).collect()
    }
}

fn question<'a>(before: &'a [f64], now: &'a [f64], percent: f64) -> Question<'a> {
    Question {
        before,
        now,
        better: Direction::Lower,
        tolerance: Tolerance { percent, absolute: 0.0 },
        detect_percent: DETECT_PERCENT,
    }
}

fn draws<'d>(index: usize) -> Box<Draws<'d>> {
    let mut stream = Stream::new(index as u64);
    Box::new(move || stream.next().unwrap_or_default())
}

fn share(count: usize, of: usize) -> f64 {
    rank::number(count) / rank::number(of)
}

/// The most that a share may exceed its expectation by chance, three spreads.
fn margin(expected: f64, trials: usize) -> f64 {
    3.0 * (expected * (1.0 - expected) / rank::number(trials)).sqrt()
}

#[test]
fn a_false_alarm_is_no_more_probable_than_stated_even_where_all_that_is_tolerated_is_used_up() {
    const TRIALS: usize = 1500;
    for shape in SHAPES {
        for (count, spread, alpha) in [(5, 0.03, 0.01), (5, 0.2, 0.05), (8, 0.03, 0.05), (12, 0.1, 0.01)] {
            let mut noise = Noise(Stream::new(1));
            let alarms = (0..TRIALS)
                .filter(|_| {
                    let before = noise.runs(count, 100.0, spread, shape);
                    let now = noise.runs(count, 103.0, spread, shape);
                    probability(&question(&before, &now, 3.0)) <= alpha
                })
                .count();
            let rate = share(alarms, TRIALS);
            show(format_args!("{shape:?} noise of {spread}, {count} runs, alpha {alpha}: {rate:.4} false alarms"));
            assert!(rate <= alpha + margin(alpha, TRIALS), "{shape:?}, {count} runs at {spread}: {rate} > {alpha}");
        }
    }
}

#[test]
fn a_gate_of_many_indicators_gives_no_more_false_alarms_than_one() {
    const TRIALS: usize = 500;
    const ALPHA: f64 = 0.05;
    let mut noise = Noise(Stream::new(2));
    let mut alarms = 0;
    for _ in 0..TRIALS {
        let probabilities: Vec<f64> = (0..12)
            .map(|_| {
                let before = noise.runs(8, 100.0, 0.05, Shape::Normal);
                let now = noise.runs(8, 103.0, 0.05, Shape::Normal);
                probability(&question(&before, &now, 3.0))
            })
            .collect();
        let limits = holm(&probabilities, ALPHA);
        alarms += usize::from(probabilities.iter().zip(&limits).any(|(p, limit)| p <= limit));
    }
    let rate = share(alarms, TRIALS);
    assert!(rate <= ALPHA + margin(ALPHA, TRIALS), "{rate}");
}

#[test]
fn the_number_of_runs_that_is_said_shows_ten_percent_four_times_out_of_five() {
    const TRIALS: usize = 150;
    for shape in SHAPES {
        for spread in [0.02, 0.03, 0.05] {
            let mut noise = Noise(Stream::new(3));
            let (mut seen, mut runs) = (0, 0);
            for trial in 0..TRIALS {
                // What is at hand: five runs on each side, with nothing changed.
                let before = noise.runs(5, 100.0, spread, shape);
                let now = noise.runs(5, 100.0, spread, shape);
                let said = runs_needed(&question(&before, &now, 3.0), true, (3.0, 10.0), ALPHA);
                let count = said.unwrap_or(power::RUNS_MAX);
                runs += count;
                let before = noise.runs(count, 100.0, spread, shape);
                let now = noise.runs(count, 110.0, spread, shape);
                let question = question(&before, &now, 3.0);
                let shown = probability(&question) <= ALPHA;
                seen += usize::from(shown);
                if shown && trial < 10 {
                    assert_eq!(judge(&[question], ALPHA, &draws)[0].outcome, Outcome::Worse, "the interval agrees");
                }
            }
            let (power, mean) = (share(seen, TRIALS), share(runs, TRIALS));
            show(format_args!("{shape:?} noise of {spread}: {mean:.1} runs, power {power:.2}"));
            assert!(power >= POWER, "{shape:?} at {spread}: {power} with {mean} runs on average");
        }
    }
}

/// The figures that the guide quotes, shown by `cargo test -- --nocapture`.
fn show(figure: impl std::fmt::Display) {
    println!("{figure}");
}

/// Whether any is called worse. What chance alone explains is not, and need not be resampled.
fn any_worse(questions: &[Question<'_>]) -> bool {
    let probabilities: Vec<f64> = questions.iter().map(probability).collect();
    let limits = holm(&probabilities, ALPHA);
    probabilities.iter().zip(&limits).any(|(p, limit)| p <= limit)
        && judge(questions, ALPHA, &draws).iter().any(|answer| answer.outcome == Outcome::Worse)
}

#[test]
fn the_same_thing_measured_twice_is_never_called_a_regression() {
    for (count, spread) in [(6, 0.03), (8, 0.1), (10, 0.3)] {
        for shape in SHAPES {
            let mut noise = Noise(Stream::new(4));
            for time in 0..20 {
                let sides: Vec<(Vec<f64>, Vec<f64>)> = (0..10)
                    .map(|_| (noise.runs(count, 0.2, spread, shape), noise.runs(count, 0.2, spread, shape)))
                    .collect();
                let questions: Vec<Question<'_>> =
                    sides.iter().map(|(before, now)| question(before, now, 3.0)).collect();
                assert!(!any_worse(&questions), "{shape:?} at {spread}, time {time}");
            }
        }
    }
}

#[test]
fn three_percent_of_wobble_is_no_failure_and_a_real_ten_is() {
    let mut noise = Noise(Stream::new(5));
    let (mut wobble, mut real) = (0, 0);
    for _ in 0..100 {
        let before = noise.runs(8, 100.0, 0.03, Shape::Normal);
        let drifted = noise.runs(8, 103.0, 0.03, Shape::Normal);
        let slower = noise.runs(8, 110.0, 0.03, Shape::Normal);
        let worse = |now: &[f64]| usize::from(any_worse(&[question(&before, now, 3.0)]));
        wobble += worse(&drifted);
        real += worse(&slower);
    }
    assert!(wobble <= 3, "{wobble} of 100");
    assert!(real >= 90, "{real} of 100");
}

#[test]
fn a_comparison_ends_in_one_of_four_ways() {
    let steady = [100.0, 101.0, 99.0, 100.5, 99.5, 100.2];
    let times = |factor: f64| steady.map(|value| value * factor);
    let wild = [60.0, 150.0, 90.0, 110.0, 75.0, 140.0];
    for (before, now, better, outcome) in [
        (steady, times(1.2), Direction::Lower, Outcome::Worse),
        (steady, times(0.8), Direction::Lower, Outcome::Fine),
        (steady, times(0.8), Direction::Higher, Outcome::Worse),
        (steady, times(1.2), Direction::Higher, Outcome::Fine),
        (steady, times(0.8), Direction::Neither, Outcome::Worse),
        (steady, times(1.2), Direction::Neither, Outcome::Worse),
        (steady, times(1.01), Direction::Lower, Outcome::Fine),
        (wild, wild, Direction::Lower, Outcome::Open),
        ([0.0; 6], [0.0; 6], Direction::Lower, Outcome::Fine),
        ([0.0; 6], [2.0; 6], Direction::Lower, Outcome::Worse),
    ] {
        let question = Question { better, ..question(&before, &now, 3.0) };
        let answer = &judge(&[question], ALPHA, &draws)[0];
        assert_eq!(answer.outcome, outcome, "{before:?} {now:?} {better:?}: {answer:?}");
    }
    let answer = &judge(&[question(&[100.0], &[300.0], 3.0)], ALPHA, &draws)[0];
    assert_eq!((answer.outcome, answer.runs_needed), (Outcome::TooFew, Some(5)));
    let absolute = Question {
        tolerance: Tolerance { percent: 0.0, absolute: 50.0 },
        ..question(&steady, &[140.0, 141.0, 139.0, 140.0, 140.0, 140.0], 0.0)
    };
    assert_eq!(judge(&[absolute], ALPHA, &draws)[0].outcome, Outcome::Fine, "what is within either is tolerated");
}

#[test]
fn one_more_indicator_changes_nothing_about_the_chance_of_the_others() {
    let (before, now) = ([1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.0]);
    let one = question(&before, &now, 3.0);
    let alone = judge(std::slice::from_ref(&one), ALPHA, &draws);
    let among = judge(&[one.clone(), one], ALPHA, &draws);
    assert_eq!(alone[0].change, among[0].change);
}
