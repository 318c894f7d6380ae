//! The scenarios of the node agent, on the simulated link table and on real links.

use std::fs;

use serde_json::Value;

use super::surroundings::{Case, Outcome, SLIPWAY, command, everything, run_arguments};

pub(crate) fn trials() -> Vec<Case> {
    vec![Case::new("every_scenario_fares_on_real_links_as_it_does_on_simulated_ones", scenarios)]
}

fn scenarios() -> Outcome {
    let simulated = outcomes("simulated")?;
    let real = outcomes("netns")?;
    println!("{:<90} {:<10} netns", "scenario", "simulated");
    for (one, other) in simulated.iter().zip(&real) {
        println!("{:<90} {:<10} {}", one.0, one.1, other.1);
    }
    if simulated == real && simulated.len() >= 23 && simulated.iter().all(|(_, outcome, _)| outcome == "passed") {
        return Ok(());
    }
    let different = simulated.iter().zip(&real).find(|(one, other)| one != other);
    Err(format!("{} scenarios; the first that is different: {different:#?}", simulated.len()).into())
}

/// A scenario's title, its outcome, and which of its steps passed.
type Fared = (String, String, Vec<(String, bool)>);

fn outcomes(isolation: &str) -> Result<Vec<Fared>, libtest_mimic::Failed> {
    let directory = tempfile::tempdir()?;
    let report = directory.path().join("report.json").to_string_lossy().into_owned();
    let report = format!("json={report}");
    let mut arguments = run_arguments("../scenarios/multinic", Some(isolation));
    arguments.extend(["--report", &report]);
    let output = command(SLIPWAY, &arguments).output()?;
    let text = fs::read_to_string(report.trim_start_matches("json="));
    let report: Value = serde_json::from_str(&text.map_err(|error| format!("{error}: {}", everything(&output)))?)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let scenarios = report["scenarios"].as_array().into_iter().flatten().map(|scenario| {
        let steps = scenario["steps"].as_array().into_iter().flatten();
        let steps = steps.map(|step| (text(&step["title"]), step["passed"] == true)).collect();
        (text(&scenario["title"]), text(&scenario["outcome"]), steps)
    });
    Ok(scenarios.collect())
}
