//! `slipway-operator drain-release`: lets every Pod go that the drain controller holds.
//!
//! | exit code | meaning |
//! | --- | --- |
//! | 0 | nothing is held any more |
//! | 1 | some Pods are still held; each is named, with the reason |
//! | 2 | bad arguments |
//! | 3 | no cluster, or its Pods cannot be listed |

use std::io::Write;

use crate::controllers::drain::{Released, release_all};
use crate::kit::clock::Clock;
use crate::kit::error::chain;

#[derive(Debug, clap::Args)]
pub(super) struct ReleaseArgs {
    /// Everything that is held. Stop the operator first, or it holds Pods anew
    #[arg(long, required = true)]
    all: bool,
    /// In this namespace only
    #[arg(long)]
    namespace: Option<String>,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("failed to find a cluster")]
    Cluster(#[source] Box<kube::Error>),
    #[error("failed to list Pods")]
    List(#[source] Box<kube::Error>),
    #[error("{0} Pods are still held")]
    Held(usize),
}

impl Error {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Held(_) => 1,
            Self::Cluster(_) | Self::List(_) => 3,
        }
    }
}

pub(super) async fn run(args: ReleaseArgs) -> Result<(), Error> {
    let client = kube::Client::try_default().await.map_err(|error| Error::Cluster(Box::new(error)))?;
    let (mut pods, mut held) = (0usize, 0usize);
    let told = |released: Released| {
        pods += 1;
        held += usize::from(released.failed.is_some());
        // Nobody listens: that is no reason to stop.
        let _ = writeln!(std::io::stdout(), "{}", line(&released));
    };
    let namespace = args.namespace.as_deref();
    let released = Box::pin(release_all(&client, namespace, Clock::system().now(), told)).await;
    released.map_err(|error| Error::List(Box::new(error)))?;
    let _ = writeln!(std::io::stdout(), "{} of {pods} held Pods released", pods - held);
    if held == 0 { Ok(()) } else { Err(Error::Held(held)) }
}

fn line(released: &Released) -> String {
    let Released { namespace, name, what, failed } = released;
    let what = if what.is_empty() { "gone".to_owned() } else { what.join(", ") };
    match failed {
        Some(error) => format!("pod {namespace}/{name}: still held: {}", chain(error)),
        None => format!("pod {namespace}/{name}: {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pod_is_told_of_in_a_line() {
        let mut released = Released {
            namespace: "shop".to_owned(),
            name: "web-1".to_owned(),
            what: vec!["put back into service", "finalizer removed"],
            failed: None,
        };
        assert_eq!(line(&released), "pod shop/web-1: put back into service, finalizer removed");
        released.failed = Some(kube::Error::LinesCodecMaxLineLengthExceeded);
        assert!(line(&released).starts_with("pod shop/web-1: still held: "));
    }

    #[test]
    fn whoever_means_everything_says_so() {
        use clap::Parser;
        let parse = |line: &[&str]| super::super::Args::try_parse_from(line);
        assert!(parse(&["slipway-operator", "drain-release"]).is_err());
        assert!(parse(&["slipway-operator", "drain-release", "--all"]).is_ok());
        assert!(parse(&["slipway-operator", "drain-release", "--all", "--namespace", "shop"]).is_ok());
    }
}
