//! The arguments of `slipway gate`, as slint-gate 1.7.1 takes them: one dash or two, `-flag value` or `-flag=value`, and an
//! end at the first argument that is no flag. Whoever replaces that tool need not change a workflow.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueEnum;

use super::reference::{ReferenceSettings, RemoteMode, cache_home};
use crate::remote::origin::{self, BaseUrlError};

/// Arguments of `slipway gate`.
#[derive(Clone, Debug, clap::Args)]
pub struct GateArgs {
    /// Flags, as slint-gate takes them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    pub flags: Vec<OsString>,
}

impl GateArgs {
    /// What they mean.
    ///
    /// # Errors
    /// See [`GateUsageError`].
    pub fn settings(&self) -> Result<GateSettings, GateUsageError> {
        GateSettings::parse(&self.flags, std::env::var_os("GITHUB_STEP_SUMMARY"), cache_home())
    }
}

/// What `slipway gate --help` says.
pub const HELP: &str = "\
Judge a measurement by a policy and, where there is one, a baseline; write the verdict as JSON.

Policies of schema slint.policy.v1 are judged as slint-gate 1.7.1 does. What goes beyond it is asked for in policies of
schema slipway.policy.v1: severities, tolerances, freshness, comparisons of several runs (`slipway policy init --extended`).

Usage: slipway gate [FLAGS]

Flags:
  --summary FILE           The measurement [default: artifacts/sli-summary.json]
  --policy FILE            What is asked of it [default: .slint/policy.yaml]
  --baseline FILE          What it is compared with, where the policy asks for that
  --output FILE            Where the verdict goes [default: slint-gate-summary.json]
  --exit-on LEVEL          Which verdicts end with exit code 1: NEVER (the default), FAIL, FAIL_OR_WARN,
                           FAIL_OR_NOGRADE, FAIL_WARN_OR_NOGRADE
  --remote WHOM            Lay the policy over the base policy of the kube-slint reference, and ask for that: the
                           cache alone (cached), the network first (fetch), the network or nobody (required)
  --reference FILE         The file that pins the reference [default: slint/remote.yaml]
  --cache DIR              Where its files are kept [default: $XDG_CACHE_HOME/slipway, else .slipway/cache]
  --base-url URL           Where they are asked for [default: https://raw.githubusercontent.com]
  --runs PATH              More runs of what is judged: a file, or a directory of them; may be given more than once
  --baseline-runs PATH     More runs of the baseline, likewise
  --run-id ID              The run that the measurement must be of
  --sarif FILE             Write what is wrong as SARIF 2.1.0, for code scanning
  --markdown FILE          Write the verdict as a page for people
  --github-step-summary    Append the verdict as Markdown to the file that $GITHUB_STEP_SUMMARY names
  --measurement-summary    Deprecated: --summary
  --fail-on                Deprecated: --exit-on

Exit codes: 0 judged; 1 the verdict is one of --exit-on, or a file of the reference is not what was pinned; 2 bad flags,
or a verdict that cannot be written; 3 the reference is required, and the network does not have it.
";

/// Which verdicts end with exit code 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitOn {
    /// FAIL.
    pub fail: bool,
    /// WARN.
    pub warn: bool,
    /// `NO_GRADE`.
    pub no_grade: bool,
}

impl ExitOn {
    fn parse(text: &str) -> Option<Self> {
        let (fail, warn, no_grade) = match text.trim().to_uppercase().as_str() {
            "" | "NEVER" => (false, false, false),
            "FAIL" => (true, false, false),
            "FAIL_OR_WARN" => (true, true, false),
            "FAIL_OR_NOGRADE" => (true, false, true),
            "FAIL_WARN_OR_NOGRADE" => (true, true, true),
            _ => return None,
        };
        Some(Self { fail, warn, no_grade })
    }
}

/// Settings of `slipway gate`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateSettings {
    /// The measurement.
    pub summary: String,
    /// The policy.
    pub policy: String,
    /// The baseline; empty for none.
    pub baseline: String,
    /// More runs of what is judged.
    pub runs: Vec<PathBuf>,
    /// Whether the measurement was named, or is where it is unless told otherwise.
    pub summary_is_named: bool,
    /// More runs of the baseline.
    pub baseline_runs: Vec<PathBuf>,
    /// The run that the measurement must be of.
    pub run_id: Option<String>,
    /// Where SARIF goes.
    pub sarif: Option<PathBuf>,
    /// Where the page goes.
    pub markdown: Option<PathBuf>,
    /// Where the verdict goes.
    pub output: PathBuf,
    /// Which verdicts end with exit code 1.
    pub exit_on: ExitOn,
    /// `--exit-on` as it was written, to be said again.
    pub exit_on_text: String,
    /// Where the Markdown goes, where it is wanted and the environment says where.
    pub step_summary: Option<PathBuf>,
    /// What is to be said about the arguments.
    pub remarks: Vec<String>,
    /// The reference whose base the policy is laid over, where that is wanted.
    pub reference: Option<ReferenceSettings>,
}

/// What is wrong with the arguments.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateUsageError {
    /// Help was asked for.
    #[error("help was asked for")]
    Help,
    /// There is no such flag.
    #[error("there is no flag {flag}{}", nearest.as_ref().map(|word| format!("; did you mean --{word}?")).unwrap_or_default())]
    Unknown {
        /// As written.
        flag: String,
        /// The flag that was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// A flag stands alone.
    #[error("{0} needs a value")]
    NoValue(String),
    /// A switch has a value that is neither true nor false.
    #[error("{flag} is a switch: {value:?} is neither true nor false")]
    NoSwitch {
        /// The flag.
        flag: String,
        /// Its value.
        value: String,
    },
    /// Nobody that could be asked.
    #[error("--remote is {0:?}; cached, fetch and required are known")]
    Remote(String),
    /// Of the reference, and there is none.
    #[error("--{0} is about the reference, which only --remote asks for")]
    NoRemote(&'static str),
    /// Nothing is asked for there.
    #[error(transparent)]
    BaseUrl(#[from] BaseUrlError),
    /// A level that there is not.
    #[error("--exit-on is {0:?}; NEVER, FAIL, FAIL_OR_WARN, FAIL_OR_NOGRADE and FAIL_WARN_OR_NOGRADE are known")]
    ExitOn(String),
}

const TEXTS: [&str; 16] = [
    "summary",
    "measurement-summary",
    "policy",
    "baseline",
    "output",
    "exit-on",
    "fail-on",
    "remote",
    "reference",
    "cache",
    "base-url",
    "runs",
    "baseline-runs",
    "run-id",
    "sarif",
    "markdown",
];
const SWITCH: &str = "github-step-summary";

impl GateSettings {
    /// Understands the arguments; `step_summary` is where the environment wants Markdown, `cache_home` where it wants
    /// caches.
    ///
    /// # Errors
    /// See [`GateUsageError`].
    pub fn parse(
        args: &[OsString],
        step_summary: Option<OsString>,
        cache_home: Option<OsString>,
    ) -> Result<Self, GateUsageError> {
        let mut given: Vec<(&'static str, String)> = Vec::new();
        let mut markdown = false;
        let mut args = args.iter().map(|arg| arg.to_string_lossy().into_owned());
        let mut rest = Vec::new();
        while let Some(arg) = args.next() {
            let name = match arg.strip_prefix('-') {
                None | Some("") => {
                    rest.push(arg);
                    break;
                }
                Some("-") => break,
                Some(name) => name.strip_prefix('-').unwrap_or(name),
            };
            let (name, value) =
                name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value.to_owned())));
            if let Some(known) = TEXTS.into_iter().find(|known| *known == name) {
                let value = value.or_else(|| args.next()).ok_or_else(|| GateUsageError::NoValue(arg.clone()))?;
                given.push((known, value));
            } else if name == SWITCH {
                markdown = match value.as_deref() {
                    None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
                    Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
                    Some(value) => return Err(GateUsageError::NoSwitch { flag: arg.clone(), value: value.to_owned() }),
                };
            } else if matches!(name, "h" | "help") {
                return Err(GateUsageError::Help);
            } else {
                let nearest = TEXTS
                    .into_iter()
                    .chain([SWITCH])
                    .max_by(|one, other| strsim::jaro_winkler(one, name).total_cmp(&strsim::jaro_winkler(other, name)));
                let nearest = nearest.filter(|word| strsim::jaro_winkler(word, name) > 0.8);
                return Err(GateUsageError::Unknown { flag: arg.clone(), nearest });
            }
        }
        rest.extend(args);
        let all = |flag: &str| {
            given
                .iter()
                .filter(|(name, value)| *name == flag && !value.is_empty())
                .map(|(_, value)| value.into())
                .collect()
        };
        let last = |flag: &str| given.iter().rev().find(|(name, _)| *name == flag).map(|(_, value)| value.clone());
        let mut remarks = Vec::new();
        let mut renamed = |new: &str, old: &str| {
            last(new).or_else(|| {
                let value = last(old)?;
                remarks.push(format!("--{old} is deprecated; it is called --{new} now"));
                Some(value)
            })
        };
        let exit_on_text = renamed("exit-on", "fail-on").unwrap_or_else(|| "NEVER".to_owned());
        let exit_on = ExitOn::parse(&exit_on_text).ok_or_else(|| GateUsageError::ExitOn(exit_on_text.clone()))?;
        let summary = renamed("summary", "measurement-summary");
        let reference = reference(&last, cache_home)?;
        if !rest.is_empty() {
            remarks.push(format!("ignored, as they are no flags or come after what is none: {}", rest.join(" ")));
        }
        let file = |flag: &str| last(flag).filter(|path| !path.is_empty()).map(PathBuf::from);
        Ok(Self {
            runs: all("runs"),
            summary_is_named: summary.is_some(),
            summary: summary.unwrap_or_else(|| "artifacts/sli-summary.json".to_owned()),
            baseline_runs: all("baseline-runs"),
            run_id: last("run-id").filter(|id| !id.is_empty()),
            sarif: file("sarif"),
            markdown: file("markdown"),
            policy: last("policy").unwrap_or_else(|| ".slint/policy.yaml".to_owned()),
            baseline: last("baseline").unwrap_or_default().trim().to_owned(),
            output: last("output").unwrap_or_else(|| "slint-gate-summary.json".to_owned()).into(),
            exit_on,
            exit_on_text,
            step_summary: step_summary.filter(|path| markdown && !path.is_empty()).map(PathBuf::from),
            remarks,
            reference,
        })
    }
}

/// The reference, where it is asked for.
fn reference(
    last: &impl Fn(&str) -> Option<String>,
    cache_home: Option<OsString>,
) -> Result<Option<ReferenceSettings>, GateUsageError> {
    let Some(mode) = last("remote") else {
        let stray = ["reference", "cache", "base-url"].into_iter().find(|flag| last(flag).is_some());
        return stray.map_or(Ok(None), |flag| Err(GateUsageError::NoRemote(flag)));
    };
    let mode = RemoteMode::from_str(&mode, true).map_err(|_| GateUsageError::Remote(mode))?;
    let base_url = last("base-url").unwrap_or_else(|| origin::RAW.to_owned());
    let (file, cache) = (last("reference").map(PathBuf::from), last("cache").map(PathBuf::from));
    let settings = ReferenceSettings::new(file, cache, &base_url, mode, cache_home)?;
    // Who asks for a reference means one.
    Ok(Some(ReferenceSettings { is_wanted: true, ..settings }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<GateSettings, GateUsageError> {
        let args: Vec<OsString> = line.iter().map(OsString::from).collect();
        GateSettings::parse(&args, Some("steps.md".into()), Some("/home/me/.cache".into()))
    }

    #[test]
    fn flags_have_one_dash_or_two_and_end_at_the_first_word() {
        let settings =
            parse(&["-summary", "a.json", "--policy=p.yaml", "-github-step-summary=true", "x", "--output", "o"]);
        let settings = settings.unwrap();
        assert_eq!((settings.summary.as_str(), settings.policy.as_str()), ("a.json", "p.yaml"));
        assert_eq!(settings.output, PathBuf::from("slint-gate-summary.json"));
        assert_eq!(settings.step_summary, Some(PathBuf::from("steps.md")));
        assert_eq!(settings.remarks.len(), 1, "what is ignored is said: {:?}", settings.remarks);
    }

    #[test]
    fn old_names_are_honoured_and_lose_against_the_new_ones() {
        let settings = parse(&["--measurement-summary", "old", "--fail-on", "FAIL"]).unwrap();
        assert_eq!((settings.summary.as_str(), settings.exit_on.fail), ("old", true));
        assert_eq!(settings.remarks.len(), 2);
        let settings = parse(&["--fail-on", "FAIL", "--exit-on", " never "]).unwrap();
        assert!(!settings.exit_on.fail && settings.remarks.is_empty());
    }

    #[test]
    fn the_reference_is_asked_for_by_name_and_by_nobody_else() {
        assert_eq!(parse(&["--policy", "p.yaml"]).unwrap().reference, None);
        let settings = parse(&["--remote", "required"]).unwrap().reference.unwrap();
        assert_eq!((settings.mode, settings.is_wanted), (RemoteMode::Required, true));
        assert_eq!(settings.cache, PathBuf::from("/home/me/.cache/slipway"));
        assert_eq!(parse(&["--remote", "never"]).unwrap_err(), GateUsageError::Remote("never".to_owned()));
        assert_eq!(parse(&["--cache", "x"]).unwrap_err(), GateUsageError::NoRemote("cache"));
        assert!(parse(&["--remote", "fetch", "--base-url", "http://example.com"]).is_err());
    }

    #[test]
    fn a_misspelt_flag_is_refused_with_the_right_one() {
        let error = parse(&["--polcy", "p.yaml"]).unwrap_err();
        assert_eq!(error.to_string(), "there is no flag --polcy; did you mean --policy?");
        assert!(parse(&["--exit-on", "SOMETIMES"]).is_err());
        assert!(parse(&["--summary"]).is_err());
    }
}
