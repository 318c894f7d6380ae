//! Settings with which an operator would run and do nothing, or far too much, are refused before it starts. Pure.

use std::time::Duration;

use super::{RunError, Settings};
use crate::kit::source::Source;

/// Whoever asks more often than this does nothing else, and the API server for him.
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Of a label, as namespaces are named; other names are labels with dots between them.
const LABEL_MAX: usize = 63;
const NAME_MAX: usize = 253;

/// Whether an operator can run like this.
///
/// # Errors
/// What is wrong.
pub(super) fn check(settings: &Settings) -> Result<(), RunError> {
    if settings.controllers.is_empty() {
        return Err(RunError::NoController);
    }
    match settings.source {
        Source::Poll { interval } if interval < POLL_INTERVAL_MIN => {
            return Err(RunError::PollInterval(interval, POLL_INTERVAL_MIN));
        }
        Source::Poll { .. } | Source::Watch => {}
    }
    let (election, certificate) = (&settings.leader_election, &settings.servers.certificate);
    let namespaces = [
        ("namespace", settings.namespace.as_ref()),
        ("leaderElection.namespace", election.namespace.as_ref()),
        ("servers.certificate.namespace", certificate.namespace.as_ref()),
        ("drain.configMapNamespace", Some(&settings.drain.config_map_namespace)),
    ];
    let names = [
        ("drain.configMapName", &settings.drain.config_map_name),
        ("multinic.agentServiceAccount", &settings.multinic.agent_service_account),
    ];
    let namespaces = namespaces.into_iter().filter_map(|(setting, name)| Some((setting, name?, is_label(name?))));
    let names = names.into_iter().map(|(setting, name)| (setting, name, is_name(name)));
    match namespaces.chain(names).find(|(_, _, is_good)| !is_good) {
        Some((setting, name, _)) => Err(RunError::Name(setting, name.clone())),
        None => election.check().map_err(RunError::LeaderElection),
    }
}

fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().last()];
    text.len() <= LABEL_MAX
        && ends.into_iter().all(|end| end.is_some_and(plain))
        && text.bytes().all(|byte| plain(byte) || byte == b'-')
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME_MAX && text.split('.').all(|part| !part.is_empty() && is_label(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = Settings::default();
        change(&mut settings);
        check(&settings).unwrap_err().to_string()
    }

    #[test]
    fn an_operator_does_not_start_where_it_would_look_at_nothing() {
        assert!(check(&Settings::default()).is_ok());
        assert_eq!(refusal(|settings| settings.controllers.clear()), "no controller is chosen");
        for bad in ["", "Not_A_Name", "-shop", "shop-", "a.b", &"x".repeat(64)] {
            let said = refusal(|settings| settings.namespace = Some(bad.to_owned()));
            assert!(said.starts_with(&format!("{bad:?} cannot be the name that `namespace` asks for")), "{said}");
        }
        let said = refusal(|settings| settings.drain.config_map_name = "Bad Name".to_owned());
        assert!(said.contains("drain.configMapName"), "{said}");
        let mut settings = Settings::default();
        settings.drain.config_map_name = "drain.example.com".to_owned();
        assert!(check(&settings).is_ok(), "other names may have dots");
    }

    #[test]
    fn an_operator_that_polls_leaves_the_api_server_time_for_others() {
        let every = |interval| refusal(|settings| settings.source = Source::Poll { interval });
        assert_eq!(every(Duration::ZERO), "a poll interval of 0ns is too short: it takes 100ms at least");
        let settings = Settings { source: Source::Poll { interval: POLL_INTERVAL_MIN }, ..Settings::default() };
        assert!(check(&settings).is_ok());
    }
}
