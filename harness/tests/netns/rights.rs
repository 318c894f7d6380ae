//! Who may not make network namespaces is told so; who is no root makes them in a user namespace.

use std::process::Command;

use super::surroundings::{Case, Outcome, SLIPWAY, command, configured, everything, file, run_arguments};

/// Runs a command where no network namespace can be made.
const WITHOUT: [&str; 6] =
    ["--user", "--map-root-user", "sh", "-euc", "echo 0 > /proc/sys/user/max_net_namespaces; exec \"$@\"", "sh"];

/// Runs a command as nobody.
const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

pub(crate) fn trials() -> Vec<Case> {
    let without = lacking("unshare", &[&WITHOUT[..], &["true"]].concat());
    let nobody = lacking("setpriv", &[&NOBODY[..], &["unshare", "--user", "--net", "test", "-x", SLIPWAY]].concat());
    vec![
        Case::new("a_scenario_that_cannot_have_namespaces_is_skipped_and_says_why", skipped).lacking(without.clone()),
        Case::new("namespaces_that_the_command_asks_for_and_cannot_have_are_an_error", refused).lacking(without),
        Case::new("who_is_no_root_has_real_links_in_a_user_namespace", nobodys).lacking(nobody),
    ]
}

/// What keeps a program from working here.
fn lacking(program: &str, arguments: &[&str]) -> Option<String> {
    let said = |what: String| Some(format!("{program} does not do what the case needs: {what}"));
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => said(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => said(error.to_string()),
    }
}

fn without(isolation: Option<&str>, scenario: &str) -> Result<(Option<i32>, String), libtest_mimic::Failed> {
    let (_directory, path) = file(scenario)?;
    let arguments = [&WITHOUT[..], &[SLIPWAY], &run_arguments(&path, isolation)].concat();
    let output = command("unshare", &arguments).output()?;
    Ok((output.status.code(), everything(&output)))
}

fn skipped() -> Outcome {
    let (code, text) = without(None, &configured("netns", "virtual", ""))?;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 skipped") && text.contains("max_net_namespaces"), "{text}");
    Ok(())
}

fn refused() -> Outcome {
    let (code, text) = without(Some("netns"), &configured("simulated", "virtual", ""))?;
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("--node-isolation") && text.contains("CAP_SYS_ADMIN"), "{text}");
    let (code, text) = without(Some("simulated"), &configured("netns", "virtual", ""))?;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 passed"), "{text}");
    Ok(())
}

fn nobodys() -> Outcome {
    let (directory, path) = file(&configured("simulated", "virtual", ""))?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), readable)?;
    let arguments = [&NOBODY[..], &[SLIPWAY], &run_arguments(&path, Some("netns"))].concat();
    let output = command("setpriv", &arguments).output()?;
    let text = everything(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("1 passed"), "{text}");
    Ok(())
}
