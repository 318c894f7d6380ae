//! What `slipway slint` does with the reference: the arguments, and what they mean.

use std::path::PathBuf;

use clap::Subcommand;

use super::reference::{ReferenceArgs, ReferenceSettings, RemoteMode};
use super::usage::UsageError;
use crate::remote::origin::{self, BaseUrl};
use crate::remote::pin::Revision;

/// Arguments of `slipway slint`.
#[derive(Clone, Debug, clap::Args)]
pub struct SlintArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: SlintCommand,
}

/// What can be done with the reference.
#[derive(Clone, Debug, Subcommand)]
pub enum SlintCommand {
    /// Fetch its files, verify them and keep them by their hash.
    Fetch(FetchArgs),
    /// Check that every file is kept, has its hash, and is what it is used for; asks nobody.
    Verify(ReferenceArgs),
    /// Print the policy that holds in the end, each rule with where it was written.
    Show(ShowArgs),
    /// Move the reference to another release: look up its commit, hash its files, rewrite the file, print what changes.
    Update(UpdateArgs),
}

/// Arguments of `slipway slint fetch`.
#[derive(Clone, Debug, clap::Args)]
pub struct FetchArgs {
    /// The reference.
    #[command(flatten)]
    pub reference: ReferenceArgs,
    /// `required`: what is cached does not do.
    #[arg(long, env = "SLIPWAY_REMOTE", default_value = "fetch", value_name = "WHOM")]
    pub remote: RemoteMode,
}

/// Arguments of `slipway slint show`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    /// The reference.
    #[command(flatten)]
    pub reference: ReferenceArgs,
    /// Whom to ask for its files.
    #[arg(long, env = "SLIPWAY_REMOTE", default_value = "cached", value_name = "WHOM")]
    pub remote: RemoteMode,
    /// Our policy, which is laid over the base [default: slint/policy.yaml].
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

/// Arguments of `slipway slint update`.
#[derive(Clone, Debug, clap::Args)]
pub struct UpdateArgs {
    /// The reference.
    #[command(flatten)]
    pub reference: ReferenceArgs,
    /// The release to move to: a tag, or a full commit.
    #[arg(long, value_name = "REF")]
    pub to: String,
    /// Who is asked which commit a tag is. Plain http is for this machine only.
    #[arg(long, env = "SLIPWAY_SLINT_API_URL", default_value = origin::API, value_name = "URL")]
    pub api_url: String,
    /// Print what would change, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Settings of `slipway slint`.
#[derive(Clone, Debug)]
pub enum SlintSettings {
    /// Fetch its files.
    Fetch(ReferenceSettings),
    /// Check them.
    Verify(ReferenceSettings),
    /// Print the policy that holds.
    Show(ShowSettings),
    /// Move the reference.
    Update(UpdateSettings),
}

/// Settings of `slipway slint show`.
#[derive(Clone, Debug)]
pub struct ShowSettings {
    /// The reference.
    pub reference: ReferenceSettings,
    /// Our policy.
    pub policy: PathBuf,
    /// Whether it was named, and so must be there.
    pub is_named: bool,
}

/// Settings of `slipway slint update`.
#[derive(Clone, Debug)]
pub struct UpdateSettings {
    /// The reference.
    pub reference: ReferenceSettings,
    /// The release to move to.
    pub to: Revision,
    /// Who knows its commit.
    pub api: BaseUrl,
    /// Change nothing.
    pub dry_run: bool,
}

impl TryFrom<SlintArgs> for SlintSettings {
    type Error = UsageError;

    fn try_from(args: SlintArgs) -> Result<Self, UsageError> {
        Ok(match args.command {
            SlintCommand::Fetch(args) => Self::Fetch(args.reference.settings(args.remote)?),
            SlintCommand::Verify(args) => Self::Verify(args.settings(RemoteMode::Cached)?),
            SlintCommand::Show(args) => Self::Show(ShowSettings {
                reference: args.reference.settings(args.remote)?,
                is_named: args.policy.is_some(),
                policy: args.policy.unwrap_or_else(|| PathBuf::from("slint/policy.yaml")),
            }),
            SlintCommand::Update(args) => Self::Update(UpdateSettings {
                reference: args.reference.settings(RemoteMode::Fetch)?,
                to: args.to.parse()?,
                api: BaseUrl::parse(&args.api_url)?,
                dry_run: args.dry_run,
            }),
        })
    }
}
