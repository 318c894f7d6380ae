//! The termination message: every interface, in less than the kubelet's limit. Pure.

use crate::api::agent::{AgentSummary, InterfaceResult, TERMINATION_MESSAGE_LIMIT};

/// The most characters of a node name or uid. A valid one is not longer.
const NODE_MAX: usize = 253;
/// The most characters of a uid.
const UID_MAX: usize = 64;
/// The most characters of an interface's name: what the kernel allows and a little more, to recognise a wrong one by.
const NAME_MAX: usize = 20;

/// The summary as compact JSON. Long messages are cut to a common length; nothing else is ever left out.
pub(super) fn encode(summary: &AgentSummary) -> String {
    let mut summary = AgentSummary {
        node: plain(&summary.node, NODE_MAX),
        config_uid: plain(&summary.config_uid, UID_MAX),
        ..summary.clone()
    };
    for result in summary.interfaces.iter_mut().chain(&mut summary.removed) {
        result.name = plain(&result.name, NAME_MAX);
    }
    let longest = messages(&mut summary).map(|message| message.chars().count()).max().unwrap_or(0);
    let (mut fits, mut too_long) = (0, longest + 1);
    while too_long - fits > 1 {
        let middle = usize::midpoint(fits, too_long);
        if json(&cut(&summary, middle)).len() < TERMINATION_MESSAGE_LIMIT {
            fits = middle;
        } else {
            too_long = middle;
        }
    }
    json(&cut(&summary, fits))
}

fn json(summary: &AgentSummary) -> String {
    // Strings, numbers and lists only: there is nothing in it that JSON cannot say.
    serde_json::to_string(summary).unwrap_or_default()
}

fn messages(summary: &mut AgentSummary) -> impl Iterator<Item = &mut String> {
    let AgentSummary { interfaces, removed, error, .. } = summary;
    let results = interfaces.iter_mut().chain(removed).map(|InterfaceResult { message, .. }| message);
    results.chain(error.iter_mut().map(|error| &mut error.message))
}

fn cut(summary: &AgentSummary, length: usize) -> AgentSummary {
    let mut summary = summary.clone();
    for message in messages(&mut summary) {
        if message.chars().count() > length {
            let kept: String = message.chars().take(length.saturating_sub(1)).collect();
            *message = if length == 0 { kept } else { kept + "…" };
        }
    }
    summary
}

/// A name without anything that JSON would have to spell out, and not longer than it can be.
fn plain(text: &str, length: usize) -> String {
    let harmless = |c: char| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') { c } else { '?' };
    text.chars().take(length).map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::agent::{AgentAction, AgentError, InterfaceOutcome, Reason};

    fn result(id: u8, message: &str) -> InterfaceResult {
        InterfaceResult {
            id,
            name: format!("multinic{id}"),
            status: InterfaceOutcome::Configured,
            changed: false,
            reason: Reason::DependencyFailed,
            message: message.to_owned(),
        }
    }

    fn summary(message: impl Fn(u8) -> String) -> AgentSummary {
        AgentSummary {
            action: AgentAction::Apply,
            node: "n".repeat(400),
            config_uid: "u".repeat(400),
            generation: i64::MIN,
            interfaces: (0..10).map(|id| result(id, &message(id))).collect(),
            removed: (0..10).map(|id| result(id, &message(id))).collect(),
            error: Some(AgentError { reason: Reason::DependencyFailed, message: message(0) }),
        }
    }

    #[test]
    fn the_message_fits_and_names_every_interface_whatever_their_errors_say() {
        for length in [0, 1, 10, 50, 100, 1_000, 100_000] {
            for letter in ["a", "\"", "\u{1}", "☃", "\u{10ffff}"] {
                let text = encode(&summary(|_| letter.repeat(length)));
                assert!(text.len() < TERMINATION_MESSAGE_LIMIT, "{} bytes for {length} × {letter:?}", text.len());
                let read: AgentSummary = serde_json::from_str(&text).unwrap();
                assert_eq!((read.interfaces.len(), read.removed.len()), (10, 10));
                assert!(read.interfaces.iter().zip(0..).all(|(result, id)| result.id == id));
            }
        }
    }

    #[test]
    fn a_short_message_stays_whole_when_another_is_too_long() {
        let text = encode(&summary(|id| if id == 3 { "x".repeat(9_000) } else { format!("link {id} is busy") }));
        let read: AgentSummary = serde_json::from_str(&text).unwrap();
        assert_eq!(read.interfaces[4].message, "link 4 is busy");
        assert!(read.interfaces[3].message.ends_with("x…"));
        assert!(text.len() > TERMINATION_MESSAGE_LIMIT - 20, "only {} bytes are used", text.len());
    }

    #[test]
    fn names_that_are_none_cannot_crowd_out_anything() {
        let mut long = summary(|_| String::new());
        for result in long.interfaces.iter_mut().chain(&mut long.removed) {
            result.name = "\u{1}".repeat(5_000);
        }
        let text = encode(&long);
        assert!(text.len() < TERMINATION_MESSAGE_LIMIT, "{} bytes", text.len());
        assert!(text.contains(&format!("\"name\":\"{}\"", "?".repeat(20))));
    }
}
