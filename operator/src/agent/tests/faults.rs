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
