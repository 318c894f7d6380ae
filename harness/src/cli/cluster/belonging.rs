//! Flags of one cluster beside another one are refused: whoever forgets `--cluster kubeconfig` beside `--context` would
//! believe in a run on that context, and have none. Only what is typed counts, since the environment is there for all runs.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, Error, FromArgMatches, ValueEnum};

use super::{ClusterArg, ClusterArgs, K3sModeArg};

/// The clusters that live by the machine's clock.
const REAL: &[ClusterArg] = &[ClusterArg::Kubeconfig, ClusterArg::Local, ClusterArg::K3s];

/// Flags by their ids, and the clusters that they say something about.
const BELONGING: [(&str, &[ClusterArg]); 13] = [
    ("context", &[ClusterArg::Kubeconfig]),
    ("kubeconfig", &[ClusterArg::Kubeconfig]),
    ("allow_context", &[ClusterArg::Kubeconfig]),
    ("callback", &[ClusterArg::Kubeconfig]),
    ("patience", REAL),
    ("operator", REAL),
    ("k3s_image", &[ClusterArg::K3s]),
    ("k3s_mode", &[ClusterArg::K3s]),
    ("k3s_port", &[ClusterArg::K3s]),
    ("k3s_timeout", &[ClusterArg::K3s]),
    ("image_archive", &[ClusterArg::K3s]),
    ("image_build", &[ClusterArg::K3s]),
    ("isolate", &[ClusterArg::K3s]),
];

/// [`ClusterArgs`] whose flags all belong to the cluster that they name.
#[derive(Clone, Debug)]
pub struct Fitting(pub ClusterArgs);

impl FromArgMatches for Fitting {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let args = ClusterArgs::from_arg_matches(matches)?;
        let typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        match BELONGING.iter().find(|(id, clusters)| typed(id) && !clusters.contains(&args.cluster)) {
            None if args.image_build && args.k3s_mode != K3sModeArg::Full => {
                let why = "--image-build takes --k3s-mode full: nothing else has containers for images";
                Err(Error::raw(ErrorKind::ArgumentConflict, why))
            }
            Some((id, clusters)) => Err(Error::raw(ErrorKind::ArgumentConflict, refusal(id, clusters, args.cluster))),
            None => Ok(Self(args)),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Fitting {
    fn augment_args(command: Command) -> Command {
        ClusterArgs::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        ClusterArgs::augment_args_for_update(command)
    }
}

fn refusal(id: &str, clusters: &[ClusterArg], cluster: ClusterArg) -> String {
    let called =
        |cluster: &ClusterArg| cluster.to_possible_value().map_or_else(String::new, |it| it.get_name().to_owned());
    let names: Vec<String> = clusters.iter().map(called).collect();
    let (flag, names, name) = (id.replace('_', "-"), names.join("|"), called(&cluster));
    format!("--{flag} goes with --cluster {names}, and says nothing about --cluster {name}")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Run {
        #[command(flatten)]
        cluster: Fitting,
    }

    fn parse(text: &str) -> Result<ClusterArg, String> {
        let run = Run::try_parse_from(text.split_whitespace()).map_err(|error| error.to_string())?;
        Ok(run.cluster.0.cluster)
    }

    #[test]
    fn a_flag_of_another_cluster_is_refused_and_named_with_the_cluster_that_it_goes_with() {
        for (typed, flag, belongs) in [
            ("run --context kind-dev", "--context", "kubeconfig"),
            ("run --cluster local --k3s-image a/b:1", "--k3s-image", "k3s"),
            ("run --callback 127.0.0.1", "--callback", "kubeconfig"),
            ("run --cluster k3s --allow-context kind-*", "--allow-context", "kubeconfig"),
            ("run --isolate run", "--isolate", "k3s"),
            ("run --operator deployed", "--operator", "kubeconfig|local|k3s"),
        ] {
            let said = parse(typed).unwrap_err();
            assert!(said.contains(&format!("{flag} goes with --cluster {belongs}")), "{typed}: {said}");
        }
    }

    #[test]
    fn flags_of_the_cluster_itself_are_taken() {
        assert_eq!(parse("run"), Ok(ClusterArg::Embedded));
        assert_eq!(
            parse("run --cluster kubeconfig --context a --callback ::1 --patience 2"),
            Ok(ClusterArg::Kubeconfig)
        );
        assert_eq!(parse("run --against k3s --k3s-image a/b:1 --isolate cluster"), Ok(ClusterArg::K3s));
        assert_eq!(parse("run --cluster local --patience 2"), Ok(ClusterArg::Local));
    }

    #[test]
    fn every_flag_that_is_refused_exists() {
        use clap::CommandFactory;
        let command = Run::command();
        for (id, _) in BELONGING {
            assert!(command.get_arguments().any(|one| one.get_id() == id), "{id}");
        }
        // What is new must belong somewhere.
        assert_eq!(command.get_arguments().count(), BELONGING.len() + 1);
    }
}
