//! Properties over specs generated from the resource's own bounds, and hosts as the field has them.

mod generate;
mod parse;

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use self::generate::{Nic, accepted, as_sent, host_of, nics, nonsense, raw};
use super::*;
use crate::agent::spec::{check, interfaces};
use crate::api::agent::{AgentSummary, TERMINATION_MESSAGE_LIMIT};
use crate::api::multinic::validate;

/// Whatever is asked of it, the agent answers for every interface, in a message that fits.
fn complete(outcome: &Outcome, spec: &AgentSpec) {
    assert!(outcome.message.len() < TERMINATION_MESSAGE_LIMIT, "{} bytes", outcome.message.len());
    let read: AgentSummary = serde_json::from_str(&outcome.message).unwrap();
    assert_eq!(read.interfaces.len(), spec.interfaces.len().min(10));
    for (result, interface) in read.interfaces.iter().zip(&spec.interfaces) {
        assert_eq!(result.id, interface.id);
        assert!(matches!(result.status, InterfaceOutcome::Configured | InterfaceOutcome::Failed));
    }
    for result in outcome.summary.interfaces.iter().chain(&outcome.summary.removed) {
        assert!(result.status != InterfaceOutcome::Failed || !result.message.is_empty(), "{result:?}");
    }
    let failed = |result: &InterfaceResult| result.status == InterfaceOutcome::Failed;
    let all_well = read.error.is_none() && !read.interfaces.iter().chain(&read.removed).any(failed);
    assert_eq!(outcome.exit == AgentExit::Done, all_well);
}

/// Runs a case on a runtime of its own.
fn run_case(case: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(case);
}

fn line_of(host: &MemoryHost, mac: &str) -> Option<String> {
    let state = host.state();
    let mac = crate::agent::host::Mac::parse(mac)?;
    let index = state.links.values().find(|link| link.mac == Some(mac))?.index;
    Some(link_line(&state, index))
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn an_accepted_spec_is_carried_out_read_back_kept_and_undone(
        (nics, spec) in nics().prop_flat_map(|nics| { let spec = accepted(&nics); (Just(nics), spec) }),
        old_kernel: bool,
    ) {
        run_case(async {
            let host = host_of(&nics, old_kernel);
            let found = host.state();
            let outcome = apply(&host, &spec).await;
            complete(&outcome, &spec);
            assert_eq!(outcome.exit, AgentExit::Done, "{}", outcome.message);
            parse::assert_files_say(&host.state(), &spec);
            let (applied, _) = (host.state(), host.take_log());
            let outcome = apply(&host, &AgentSpec { generation: spec.generation + 1, ..spec.clone() }).await;
            assert!(outcome.summary.interfaces.iter().all(|result| !result.changed && result.reason == Reason::UpToDate));
            assert_eq!(host.take_log(), [""; 0]);
            assert_eq!(host.state(), applied);
            assert_eq!(go(&host, AgentAction::Verify, &spec).await.exit, AgentExit::Done);
            let outcome = go(&host, AgentAction::Cleanup, &spec).await;
            assert_eq!(outcome.exit, AgentExit::Done, "{}", outcome.message);
            assert_eq!(host.state(), found);
        });
    }

    #[test]
    fn what_the_resource_accepts_is_exactly_what_the_agent_can_carry_out(raw in raw()) {
        let accepted = validate(&raw.node_name, &raw).is_ok();
        let carried_out = as_sent(&raw).is_some_and(|spec| {
            check(&spec, Some(&raw.node_name)).is_ok() && interfaces(&spec).iter().all(Result::is_ok)
        });
        prop_assert_eq!(accepted, carried_out, "{:?}", validate(&raw.node_name, &raw));
    }

    #[test]
    fn one_spec_after_another_ends_like_the_last_one_alone_and_can_still_be_undone(
        (nics, specs) in nics().prop_flat_map(|nics| {
            let specs = prop::collection::vec(accepted(&nics), 2..4);
            (Just(nics), specs)
        }),
        old_kernel: bool,
    ) {
        run_case(async {
            let host = host_of(&nics, old_kernel);
            let found = host.state();
            for spec in &specs {
                let outcome = apply(&host, spec).await;
                complete(&outcome, spec);
                assert_eq!(outcome.exit, AgentExit::Done, "{}", outcome.message);
            }
            let last = specs.last().unwrap();
            let alone = host_of(&nics, old_kernel);
            apply(&alone, last).await;
            assert_eq!(host.state(), alone.state());
            go(&host, AgentAction::Cleanup, last).await;
            assert_eq!(host.state(), found);
        });
    }

    #[test]
    fn a_failure_anywhere_leaves_the_interface_as_it_was_and_the_next_run_makes_it_good(
        (nics, first, second) in nics().prop_flat_map(|nics| {
            let (first, second) = (accepted(&nics), accepted(&nics));
            (Just(nics), first, second)
        }),
        operation in 0..400_usize,
        old_kernel: bool,
    ) {
        run_case(async {
            let host = host_of(&nics, old_kernel);
            let found = host.state();
            apply(&host, &first).await;
            let before: Vec<_> = second.interfaces.iter().map(|interface| line_of(&host, &interface.mac)).collect();
            host.fail_at(Some(operation));
            let outcome = apply(&host, &second).await;
            host.fail_at(None);
            complete(&outcome, &second);
            for ((result, interface), before) in outcome.summary.interfaces.iter().zip(&second.interfaces).zip(before) {
                assert_ne!(result.reason, Reason::RollbackFailed, "{}", outcome.message);
                if result.status == InterfaceOutcome::Failed {
                    assert_eq!(line_of(&host, &interface.mac), before, "{}", outcome.message);
                }
            }
            assert_eq!(apply(&host, &second).await.exit, AgentExit::Done);
            go(&host, AgentAction::Cleanup, &second).await;
            assert_eq!(host.state(), found);
        });
    }

    #[test]
    fn nonsense_is_answered_interface_by_interface_and_what_it_made_can_be_undone(
        (nics, spec) in nics().prop_flat_map(|nics| { let spec = nonsense(&nics); (Just(nics), spec) }),
        action in prop::sample::select(vec![AgentAction::Apply, AgentAction::Cleanup]),
    ) {
        run_case(async {
            let host = host_of(&nics, false);
            let found = host.state();
            let outcome = go(&host, action, &spec).await;
            if action == AgentAction::Apply {
                complete(&outcome, &spec);
            }
            go(&host, AgentAction::Cleanup, &AgentSpec { interfaces: vec![], settings: AgentSettings::default(), ..spec }).await;
            assert_eq!(host.state(), found);
        });
    }
}

#[test]
fn the_generated_specs_are_worth_it() {
    // What the properties above would not notice: a generator that has stopped making interesting things.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = nics().prop_flat_map(|nics: Vec<Nic>| accepted(&nics));
    let (mut ipv6, mut bare, mut named, mut small) = (0, 0, 0, 0);
    for _ in 0..200 {
        let spec = strategy.new_tree(&mut runner).unwrap().current();
        for interface in &spec.interfaces {
            ipv6 += usize::from(interface.address.is_some_and(|address| address.is_ipv6()));
            bare += usize::from(interface.address.is_none());
            named += usize::from(interface.name != format!("multinic{}", interface.id));
            small += usize::from(interface.mtu.is_some_and(|mtu| mtu < 1280));
        }
    }
    let raw = raw();
    let good = (0..400).filter(|_| {
        let raw = raw.new_tree(&mut runner).unwrap().current();
        validate(&raw.node_name, &raw).is_ok()
    });
    let good = good.count();
    assert!((40..360).contains(&good), "{good} of 400 unchecked specs are accepted");
    assert!([ipv6, bare, named, small].iter().all(|count| *count > 50), "{ipv6} {bare} {named} {small}");
}
