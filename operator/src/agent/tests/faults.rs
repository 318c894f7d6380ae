//! Every operation of a run fails once, each in a run of its own.

use super::*;

#[tokio::test]
async fn a_failing_step_puts_the_interface_back_and_the_others_go_on() {
    // Find the operations of an undisturbed run, then let each of them fail in a run of its own.
    let host = node();
    host.fail_at(None);
    apply(&host, &sample(OsKind::NetworkManager)).await;
    let operations = host.operations();
    let mut reasons = std::collections::BTreeSet::new();
    for operation in 0..operations {
        let host = node();
        let found = host.state();
        host.fail_at(Some(operation));
        let outcome = apply(&host, &sample(OsKind::NetworkManager)).await;
        host.fail_at(None);
        if outcome.exit == AgentExit::Host {
            assert_eq!(host.state(), found);
            continue;
        }
        assert_eq!(outcome.summary.interfaces.len(), 3);
        for (result, index) in outcome.summary.interfaces.iter().zip(3..) {
            if result.status == InterfaceOutcome::Failed {
                assert_eq!(link_line(&host.state(), index), link_line(&found, index), "operation {operation}");
                assert!(!file_names(&host.state()).iter().any(|file| file.contains(&result.name)));
                reasons.insert(result.reason.to_string());
            }
        }
        let failed = outcome.summary.interfaces.iter().filter(|result| result.status == InterfaceOutcome::Failed);
        assert!(failed.count() <= 1, "operation {operation}: {}", outcome.message);
        // And the next run makes it good.
        assert_eq!(apply(&host, &sample(OsKind::NetworkManager)).await.exit, AgentExit::Done);
        go(&host, AgentAction::Cleanup, &sample(OsKind::NetworkManager)).await;
        assert_eq!(host.state(), found);
    }
    let reasons: Vec<_> = reasons.into_iter().collect();
    assert_eq!(
        reasons,
        [
            "AddressFailed",
            "HostUnavailable",
            "LinkStateFailed",
            "MtuFailed",
            "PersistFailed",
            "RenameFailed",
            "RouteFailed",
            "RuleFailed"
        ]
    );
}

#[tokio::test]
async fn a_failing_exchange_of_names_puts_both_interfaces_back() {
    let mut swapped = sample(OsKind::Netplan);
    swapped.interfaces[0].mac = MAC_2.into();
    swapped.interfaces[1].mac = MAC_1.into();
    let ready = || async {
        let host = node();
        host.old_kernel();
        apply(&host, &sample(OsKind::Netplan)).await;
        host
    };
    let host = ready().await;
    host.fail_at(None);
    apply(&host, &swapped).await;
    let operations = host.operations();
    let mut dependents = 0;
    for operation in 0..operations {
        let host = ready().await;
        let before = host.state();
        host.fail_at(Some(operation));
        let outcome = apply(&host, &swapped).await;
        host.fail_at(None);
        let failed =
            outcome.summary.interfaces.iter().filter(|result| result.status == InterfaceOutcome::Failed).count();
        if failed > 0 {
            assert_eq!(host.state(), before, "operation {operation}: {}", outcome.message);
        }
        if failed == 2 {
            assert!(outcome.summary.interfaces.iter().any(|result| result.reason == Reason::DependencyFailed));
            dependents += 1;
        }
    }
    assert!(dependents > 10);
}

#[tokio::test]
async fn a_failing_cleanup_says_so_and_can_be_repeated() {
    let host = node();
    let found = host.state();
    apply(&host, &sample(OsKind::Ifcfg)).await;
    let ready = host.state();
    host.fail_at(None);
    go(&host, AgentAction::Cleanup, &sample(OsKind::Ifcfg)).await;
    for operation in 0..host.operations() {
        host.edit(|state| *state = ready.clone());
        host.fail_at(Some(operation));
        let outcome = go(&host, AgentAction::Cleanup, &sample(OsKind::Ifcfg)).await;
        host.fail_at(None);
        if outcome.exit == AgentExit::Done {
            assert_eq!(host.state(), found, "operation {operation}: {}", outcome.message);
        } else {
            assert!(
                outcome.summary.error.is_some()
                    || outcome.summary.removed.iter().any(|result| result.status == InterfaceOutcome::Failed)
            );
            go(&host, AgentAction::Cleanup, &sample(OsKind::Ifcfg)).await;
            assert_eq!(host.state(), found, "operation {operation}");
        }
    }
}

#[tokio::test]
async fn an_agent_that_is_killed_anywhere_leaves_what_the_next_one_can_finish_or_undo() {
    let changed = |os| {
        let mut spec = sample(os);
        spec.interfaces[0].address = "10.20.0.5".parse().ok();
        spec.interfaces[0].cidr = "10.20.0.0/16".parse().ok();
        spec.interfaces[2].name = "multinic7".into();
        spec.interfaces.remove(1);
        spec
    };
    let os = OsKind::NetworkManager;
    for (first, second) in [
        (None, sample(OsKind::Netplan)),
        (None, sample(OsKind::Ifcfg)),
        (None, sample(os)),
        (Some(sample(os)), changed(os)),
        (Some(changed(os)), sample(os)),
    ] {
        let ready = || async {
            let host = node();
            if let Some(first) = &first {
                apply(&host, first).await;
            }
            host
        };
        let host = ready().await;
        host.dead_from(None);
        apply(&host, &second).await;
        for operation in 0..host.operations() {
            for finished in [false, true] {
                let host = ready().await;
                host.dead_from(Some(operation));
                apply(&host, &second).await;
                host.dead_from(None);
                if finished {
                    let outcome = apply(&host, &second).await;
                    assert_eq!(outcome.exit, AgentExit::Done, "operation {operation}: {}", outcome.message);
                }
                let outcome = go(&host, AgentAction::Cleanup, &second).await;
                assert_eq!(outcome.exit, AgentExit::Done, "operation {operation}: {}", outcome.message);
                assert_eq!(host.state(), node().state(), "{:?} operation {operation} {finished}", second.os);
            }
        }
    }
}

#[tokio::test]
async fn a_cleanup_that_is_killed_anywhere_can_be_finished() {
    for os in OsKind::ALL {
        let host = node();
        apply(&host, &sample(os)).await;
        let ready = host.state();
        host.dead_from(None);
        go(&host, AgentAction::Cleanup, &sample(os)).await;
        for operation in 0..host.operations() {
            host.edit(|state| *state = ready.clone());
            host.dead_from(Some(operation));
            go(&host, AgentAction::Cleanup, &sample(os)).await;
            host.dead_from(None);
            let outcome = go(&host, AgentAction::Cleanup, &sample(os)).await;
            assert_eq!(outcome.exit, AgentExit::Done, "operation {operation}: {}", outcome.message);
            assert_eq!(host.state(), node().state(), "{os:?} operation {operation}");
        }
    }
}
