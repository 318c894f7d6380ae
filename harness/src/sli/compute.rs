//! Makes one number of what was told and seen. Pure.

use std::collections::BTreeMap;

use super::exposition::{Scrape, Series, parse_value};
use super::histogram::Histogram;
use super::observed::Observations;
use super::selector::{Selector, total};
use super::spec::{Compute, Input, Level, Source, Spec};

/// The metric that says when a process began; another value means another process.
pub(super) const PROCESS_START: &str = "process_start_time_seconds";

/// How an indicator fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Pass,
    /// Somebody should look.
    Warn,
    /// Not as it should be.
    Fail,
    /// It could not be measured.
    Skip,
    /// There was nothing to measure: nothing of the kind happened, and the server, which sees everything, saw nothing.
    Absent,
}

/// What came of an indicator.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Its number; none where it could not be measured.
    pub value: Option<f64>,
    /// Other numbers of the same thing: percentiles, count, mean, max of a latency.
    pub fields: BTreeMap<&'static str, f64>,
    /// How it fared.
    pub status: Status,
    /// Why.
    pub reason: String,
    /// Inputs that were not there.
    pub missing: Vec<String>,
}

/// What the operator told, oldest first.
pub type Told = [Scrape];

/// Measures one indicator.
pub fn measure(spec: &Spec, told: &Told, seen: &Observations) -> Measured {
    let found = match spec.source {
        Source::Metrics => of_metrics(spec, told),
        Source::Observed => of_observations(spec, seen),
    };
    match found {
        Err(missing) => {
            let (status, reason) = match (spec.source, told.is_empty()) {
                (Source::Metrics, true) => (Status::Skip, "the operator's metrics were not read"),
                (Source::Metrics, false) => (Status::Skip, "missing input metrics"),
                (Source::Observed, _) => (Status::Absent, "nothing of the kind happened"),
            };
            let missing = if status == Status::Absent { Vec::new() } else { missing };
            Measured { value: None, fields: BTreeMap::new(), status, reason: reason.to_owned(), missing }
        }
        Ok((value, _)) if !value.is_finite() => Measured {
            value: None,
            fields: BTreeMap::new(),
            status: Status::Skip,
            reason: format!("the value is {value}, which is no number that can be compared"),
            missing: Vec::new(),
        },
        Ok((value, fields)) => {
            let (status, reason) = judge(spec, value);
            let fields = fields.into_iter().filter(|(_, value)| value.is_finite()).collect();
            Measured { value: Some(value), fields, status, reason, missing: Vec::new() }
        }
    }
}

fn judge(spec: &Spec, value: f64) -> (Status, String) {
    let fired = |level| {
        let rules = spec.judge.iter().flat_map(|judge| &judge.rules);
        rules.filter(move |rule| rule.level == level && rule.op.holds(value, rule.target))
    };
    let text =
        |word: &str, rule: &super::spec::Rule| format!("rule {word}: value {} {}", rule.op.as_str(), rule.target);
    if let Some(rule) = fired(Level::Fail).next() {
        (Status::Fail, text("fail", rule))
    } else if let Some(rule) = fired(Level::Warn).next_back() {
        (Status::Warn, text("warn", rule))
    } else {
        (Status::Pass, String::new())
    }
}

/// A value with its companions.
type Numbers = (f64, BTreeMap<&'static str, f64>);

/// A value with its companions, or the inputs that are missing.
type Found = Result<Numbers, Vec<String>>;

fn alone(value: f64) -> Numbers {
    (value, BTreeMap::new())
}

fn of_metrics(spec: &Spec, told: &Told) -> Found {
    let all = || spec.inputs.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (Some(first), Some(last)) = (told.first(), told.last()) else { return Err(all()) };
    let at = |scrape: &Scrape| {
        let sums: Vec<Option<f64>> = spec.inputs.iter().map(|Input(selector)| selector.sum(scrape)).collect();
        let absent = spec.inputs.iter().zip(&sums).filter(|(_, sum)| sum.is_none());
        let missing: Vec<String> = absent.map(|(input, _)| input.to_string()).collect();
        if missing.is_empty() { Ok(sums.into_iter().flatten().sum::<f64>()) } else { Err(missing) }
    };
    let growth = |input: &Input| increase(&input.0, told).ok_or_else(|| vec![input.to_string()]);
    match spec.compute {
        Compute::Start => Ok(alone(at(first)?)),
        Compute::End => Ok(alone(at(last)?)),
        Compute::Max => {
            at(last)?;
            Ok(alone(told.iter().filter_map(|scrape| at(scrape).ok()).reduce(f64::max).unwrap_or(f64::NAN)))
        }
        Compute::Delta => Ok(alone(spec.inputs.iter().map(growth).sum::<Result<f64, _>>()?)),
        Compute::Count => {
            let parts = spec.inputs.iter().map(|input| growth(&Input(input.0.part("_count"))));
            Ok(alone(parts.sum::<Result<f64, _>>()?))
        }
        Compute::Ratio => {
            let (above, below) = (growth(&spec.inputs[0])?, growth(&spec.inputs[1])?);
            if below == 0.0 { Err(vec![spec.inputs[1].to_string()]) } else { Ok(alone(above / below)) }
        }
        Compute::Restarts => Ok(alone(restarts(told).ok_or_else(|| vec![PROCESS_START.to_owned()])?)),
        Compute::Mean | Compute::P50 | Compute::P95 | Compute::P99 => of_buckets(spec, told),
    }
}

/// Numbers of a histogram that the operator keeps: of what came in between beginning and end.
fn of_buckets(spec: &Spec, told: &Told) -> Found {
    let all = || spec.inputs.iter().map(ToString::to_string).collect::<Vec<_>>();
    let total = |suffix: &str| -> Option<f64> {
        spec.inputs.iter().map(|Input(selector)| increase(&selector.part(suffix), told)).sum()
    };
    let (sum, count) = total("_sum").zip(total("_count")).ok_or_else(all)?;
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for Input(selector) in &spec.inputs {
        for (bound, grown) in bucket_growth(&selector.part("_bucket"), told) {
            match buckets.iter_mut().find(|(known, _)| known.total_cmp(&bound).is_eq()) {
                Some((_, count)) => *count += grown,
                None => buckets.push((bound, grown)),
            }
        }
    }
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    if count == 0.0 {
        return Err(all());
    }
    let mut fields = BTreeMap::from([("mean", sum / count), ("count", count)]);
    for (name, q) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
        if let Some(value) = bucket_quantile(q, &buckets) {
            fields.insert(name, value);
        }
    }
    let value = match spec.compute.quantile() {
        Some(q) => bucket_quantile(q, &buckets).ok_or_else(all)?,
        None => sum / count,
    };
    Ok((value, fields))
}

/// How much the series of a selector grew over all scrapes; none where the metric is never there. A series that was not
/// there before began at 0, and so did every series of a process that started again.
fn increase(selector: &Selector, told: &Told) -> Option<f64> {
    selector.sum(told.last()?).or_else(|| told.iter().rev().find_map(|scrape| selector.sum(scrape)))?;
    Some(total(grown(selector, told).into_iter().map(|(_, value)| value)))
}

fn bucket_growth(selector: &Selector, told: &Told) -> Vec<(f64, f64)> {
    let grown = grown(selector, told);
    grown.into_iter().filter_map(|(labels, value)| Some((parse_value(labels.get("le")?)?, value))).collect()
}

/// By how much each series grew.
fn grown(selector: &Selector, told: &Told) -> Vec<(BTreeMap<String, String>, f64)> {
    let mut grown: Vec<(BTreeMap<String, String>, f64)> = Vec::new();
    for pair in told.windows(2) {
        let [before, after] = pair else { continue };
        let restarted = started(before).zip(started(after)).is_some_and(|(before, after)| before < after);
        let known: BTreeMap<_, _> = selector.of(before).map(|series| (&series.labels, series.value)).collect();
        for Series { labels, value, .. } in selector.of(after) {
            let since = known.get(labels).copied().filter(|_| !restarted).filter(|since| since <= value).unwrap_or(0.0);
            match grown.iter_mut().find(|(other, _)| other == labels) {
                Some((_, sum)) => *sum += value - since,
                None => grown.push((labels.clone(), value - since)),
            }
        }
    }
    grown
}

fn started(scrape: &Scrape) -> Option<f64> {
    scrape.named(PROCESS_START).map(|series| series.value).next()
}

/// How often another process answered.
fn restarts(told: &Told) -> Option<f64> {
    let starts: Vec<f64> = told.iter().filter_map(started).collect();
    starts.first()?;
    let count = starts.windows(2).filter(|pair| pair[0] < pair[1]).count();
    Some(f64::from(u32::try_from(count).unwrap_or(u32::MAX)))
}

/// The value below which a share `q` lies, by the buckets' upper bounds and cumulative counts: linear within a bucket, as
/// Prometheus' `histogram_quantile` has it. Beyond the last finite bound it is that bound.
fn bucket_quantile(q: f64, buckets: &[(f64, f64)]) -> Option<f64> {
    let (_, all) = buckets.last().filter(|(bound, _)| bound.is_infinite())?;
    if *all <= 0.0 {
        return None;
    }
    let rank = q * all;
    let index = buckets.iter().position(|(_, count)| *count >= rank)?;
    let (bound, count) = buckets[index];
    let (lower, below) = if index == 0 { (0.0, 0.0) } else { buckets[index - 1] };
    if bound.is_infinite() {
        return (index > 0).then_some(lower);
    }
    if count <= below {
        return Some(bound);
    }
    Some(lower + (bound - lower) * ((rank - below) / (count - below)))
}

fn of_observations(spec: &Spec, seen: &Observations) -> Found {
    let all = || spec.inputs.iter().map(ToString::to_string).collect::<Vec<_>>();
    let count = |input: &Input| total(seen.counts.iter().filter(|one| input.0.is_of(one)).map(|one| one.value));
    match spec.compute {
        Compute::Count => Ok(alone(total(spec.inputs.iter().map(count)))),
        Compute::Ratio => {
            let (above, below) = (count(&spec.inputs[0]), count(&spec.inputs[1]));
            if below == 0.0 { Err(vec![spec.inputs[1].to_string()]) } else { Ok(alone(above / below)) }
        }
        Compute::Max if spec.inputs.iter().any(|input| seen.peaks.iter().any(|peak| input.0.is_of(peak))) => {
            let peaks = seen.peaks.iter().filter(|peak| spec.inputs.iter().any(|input| input.0.is_of(peak)));
            Ok(alone(peaks.map(|peak| peak.value).fold(0.0, f64::max)))
        }
        compute => {
            let mut histogram = Histogram::default();
            let meant = |series: &Series| spec.inputs.iter().any(|input| input.0.is_of(series));
            seen.latencies.iter().filter(|(series, _)| meant(series)).for_each(|(_, one)| histogram.merge(one));
            let value = match compute.quantile() {
                Some(q) => histogram.quantile(q),
                None if compute == Compute::Max => histogram.max(),
                None => histogram.mean(),
            };
            Ok((value.ok_or_else(all)?, companions(&histogram)))
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "nothing happens 2⁵³ times")]
fn companions(histogram: &Histogram) -> BTreeMap<&'static str, f64> {
    let numbers = [
        ("count", Some(histogram.count() as f64)),
        ("mean", histogram.mean()),
        ("p50", histogram.quantile(0.5)),
        ("p95", histogram.quantile(0.95)),
        ("p99", histogram.quantile(0.99)),
        ("max", histogram.max()),
    ];
    numbers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(inputs: &[&str], compute: Compute) -> Spec {
        Spec {
            id: "id".to_owned(),
            title: String::new(),
            unit: String::new(),
            kind: String::new(),
            description: String::new(),
            source: Source::Metrics,
            inputs: inputs.iter().map(|text| Input(text.parse().unwrap())).collect(),
            compute,
            judge: None,
        }
    }

    fn value(inputs: &[&str], compute: Compute, told: &[&str]) -> Option<f64> {
        let told: Vec<Scrape> = told.iter().map(|text| Scrape::parse(text).unwrap()).collect();
        measure(&spec(inputs, compute), &told, &Observations::default()).value
    }

    #[test]
    fn a_counter_grows_through_restarts_and_late_beginnings() {
        let start = "process_start_time_seconds";
        for (told, expected) in [
            (vec!["c 5\n", "c 8\n"], Some(3.0)),
            (vec!["up 1\n", "c 8\n"], Some(8.0)),
            (vec!["c{a=\"1\"} 5\n", "c{a=\"1\"} 5\nc{a=\"2\"} 2\n"], Some(2.0)),
            (vec!["c 5\n", "c 2\n"], Some(2.0)),
            (vec!["c 5\nprocess_start_time_seconds 1\n", "c 7\nprocess_start_time_seconds 9\n"], Some(7.0)),
            (vec!["c 5\n", "c 9\n", "c 1\n", "c 4\n"], Some(8.0)),
            (vec!["up 1\n", "up 1\n"], None),
            (vec!["c 1\n"], Some(0.0)),
        ] {
            assert_eq!(value(&["c"], Compute::Delta, &told), expected, "{told:?}");
        }
        let told = [format!("{start} 1\n"), format!("{start} 1\n"), format!("{start} 5\n")];
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        assert_eq!(value(&[], Compute::Restarts, &told), Some(1.0));
    }

    #[test]
    fn percentiles_come_from_what_fell_into_the_buckets_meanwhile() {
        let before =
            "h_bucket{le=\"0.1\"} 100\nh_bucket{le=\"1\"} 100\nh_bucket{le=\"+Inf\"} 100\nh_sum 1\nh_count 100\n";
        let after =
            "h_bucket{le=\"0.1\"} 150\nh_bucket{le=\"1\"} 190\nh_bucket{le=\"+Inf\"} 200\nh_sum 41\nh_count 200\n";
        let of = |compute| value(&["h"], compute, &[before, after]);
        assert_eq!(of(Compute::P50), Some(0.1));
        assert_eq!(of(Compute::P95), Some(1.0), "beyond the last bound nothing is known");
        assert_eq!(of(Compute::Mean), Some(0.4));
        assert_eq!(of(Compute::Count), Some(100.0));
        assert_eq!(value(&["h"], Compute::P95, &[before, before]), None, "nothing came in");
    }

    #[test]
    fn what_is_no_number_is_left_out_and_never_a_pass() {
        let told = vec![Scrape::parse("g NaN\n").unwrap()];
        let measured = measure(&spec(&["g"], Compute::End), &told, &Observations::default());
        assert_eq!((measured.value, measured.status), (None, Status::Skip));
        assert!(measured.reason.contains("NaN"), "{}", measured.reason);
    }

    #[test]
    fn a_rule_states_the_bad_side_and_fail_goes_before_warn() {
        use crate::sli::spec::{Judge, Operator, Rule};
        let rule = |op, target, level| Rule { op, target, level };
        let mut spec = spec(&["g"], Compute::End);
        spec.judge = Some(Judge {
            rules: vec![
                rule(Operator::Above, 1.0, Level::Warn),
                rule(Operator::Above, 2.0, Level::Warn),
                rule(Operator::Above, 5.0, Level::Fail),
            ],
        });
        for (value, status, reason) in [
            (1.0, Status::Pass, ""),
            (3.0, Status::Warn, "rule warn: value > 2"),
            (6.0, Status::Fail, "rule fail: value > 5"),
        ] {
            let told = vec![Scrape::parse(&format!("g {value}\n")).unwrap()];
            let measured = measure(&spec, &told, &Observations::default());
            assert_eq!((measured.status, measured.reason.as_str()), (status, reason));
        }
    }
}
