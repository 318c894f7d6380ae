//! A run as JUnit XML, as CI systems read it: a suite for each file, a case for each scenario.

use indexmap::IndexMap;
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Record, Summary};
use crate::event::{Failure, Outcome};
use crate::runner::report::terminal::explain;

/// The report as XML.
///
/// # Errors
/// Those of the XML writer.
pub fn render(summary: &Summary) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("slipway");
    report.set_time(summary.took);
    let mut files: IndexMap<&str, Vec<&Record>> = IndexMap::new();
    for record in &summary.records {
        files.entry(record.plan.file.name()).or_default().push(record);
    }
    for (file, records) in files {
        let mut suite = TestSuite::new(file);
        suite.add_property(Property::new("seed", summary.seed.0.to_string()));
        suite.set_time(records.iter().map(|record| record.wall).sum());
        suite.add_test_cases(records.into_iter().map(case));
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn case(record: &Record) -> TestCase {
    let status = match &record.outcome {
        Some(Outcome::Passed) => TestCaseStatus::success(),
        Some(Outcome::Failed(failure)) => failed(failure),
        Some(Outcome::Skipped(why)) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(why.as_str());
            status
        }
        Some(outcome @ (Outcome::Interrupted | Outcome::NotRun)) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(outcome.word());
            status
        }
        None => TestCaseStatus::skipped(),
    };
    let mut case = TestCase::new(record.plan.name.clone(), status);
    case.set_classname(record.plan.title.rsplit_once('/').map_or("", |(file, _)| file).replace('/', "."));
    case.set_time(record.wall);
    case.add_property(Property::new("seed", record.seed.to_string()));
    case.add_property(Property::new("virtual-seconds", record.took.as_secs_f64().to_string()));
    case
}

fn failed(failure: &Failure) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(match &failure.place {
        Some(place) => format!("{place}: {}", failure.message),
        None => failure.message.clone(),
    });
    status.set_description(explain(failure, false).join("\n"));
    status
}
