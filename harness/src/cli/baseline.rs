//! The arguments of `slipway baseline`, which need no further meaning.

use std::path::PathBuf;

use clap::Subcommand;

use super::reference::{ReferenceArgs, RemoteMode};

/// Arguments of `slipway baseline`.
#[derive(Clone, Debug, clap::Args)]
pub struct BaselineArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: BaselineCommand,
}

/// What can be done with baselines.
#[derive(Clone, Debug, Subcommand)]
pub enum BaselineCommand {
    /// Keep the measurement of a good run, or of several, to compare later ones with.
    ///
    /// It is judged by the policy first, without a comparison. Exit codes: 0 approved; 1 the verdict says no; 2 bad input; 3
    /// the environment.
    Approve(ApproveArgs),
    /// Show a measurement beside a baseline. Judges nothing.
    Diff(DiffArgs),
    /// Put several summaries together into one: medians, and beside them what each run measured. Likewise histograms
    /// (`sli-histograms.json`), of which nothing is lost.
    Merge(MergeArgs),
}

/// Arguments of `slipway baseline approve`.
#[derive(Clone, Debug, clap::Args)]
pub struct ApproveArgs {
    /// What the baseline is called; its file is DIR/NAME.json.
    pub name: String,
    /// The measurement: a file or a directory of them; may be given more than once, for a baseline that knows its noise.
    #[arg(long, default_value = "artifacts/sli-summary.json", value_name = "PATH")]
    pub summary: Vec<PathBuf>,
    /// The policy; slint/policy.yaml or .slint/policy.yaml unless told otherwise. It is laid over the reference's base
    /// policy, as `slipway run --gate` does.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The kube-slint reference, where there is one.
    #[command(flatten)]
    pub reference: ReferenceArgs,
    /// Whom to ask for the reference's files.
    #[arg(long, env = "SLIPWAY_REMOTE", default_value = "cached", value_name = "WHOM")]
    pub remote: RemoteMode,
    /// Where baselines are kept.
    #[arg(long, default_value = "slint/baselines", value_name = "DIR")]
    pub directory: PathBuf,
    /// Approve a WARN too.
    #[arg(long)]
    pub allow_warn: bool,
    /// Who approves; taken from the environment of a workflow or of git where it says so.
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
    /// The commit that was measured; taken from the environment of a workflow where it says so.
    #[arg(long, value_name = "SHA")]
    pub commit: Option<String>,
}

impl ApproveArgs {
    /// Who approves.
    pub fn by(&self) -> Option<String> {
        let known = ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"];
        self.by.clone().or_else(|| environment(&known))
    }

    /// The commit that was measured.
    pub fn commit(&self) -> Option<String> {
        self.commit.clone().or_else(|| environment(&["GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT"]))
    }
}

/// The first of these variables that says something.
fn environment(names: &[&str]) -> Option<String> {
    names.iter().filter_map(|name| std::env::var(name).ok()).find(|value| !value.trim().is_empty())
}

/// Arguments of `slipway baseline diff`.
#[derive(Clone, Debug, clap::Args)]
pub struct DiffArgs {
    /// The baseline: a file or a directory of runs; may be given more than once.
    #[arg(long, required = true, value_name = "PATH")]
    pub baseline: Vec<PathBuf>,
    /// The measurement, likewise.
    #[arg(long, default_value = "artifacts/sli-summary.json", value_name = "PATH")]
    pub summary: Vec<PathBuf>,
}

/// Arguments of `slipway baseline merge`.
#[derive(Clone, Debug, clap::Args)]
pub struct MergeArgs {
    /// Summaries, and directories of them; or files of histograms.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Where the one goes.
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
}
