//! Programs that are not ours.

use std::path::Path;
use std::process::Command;

use libtest_mimic::Failed;
use serde_json::Value;

/// The minor version that the embedded API server has.
const KUBECTL_MINOR: &str = "36";

/// Why `kubectl` cannot be used, if it cannot.
pub(crate) fn lacking_kubectl() -> Option<String> {
    let Ok(text) = run("kubectl", &["version", "--client", "--output=json"], Path::new(".")) else {
        return Some("kubectl is not to be had".to_owned());
    };
    let version: Value = serde_json::from_str(&text).unwrap_or_default();
    let version = &version["clientVersion"];
    let minor = version["minor"].as_str().unwrap_or_default();
    (minor != KUBECTL_MINOR).then(|| format!("kubectl is {}, and 1.{KUBECTL_MINOR} is needed", version["gitVersion"]))
}

/// What a program writes; to its errors where it writes nothing else, as Starlark prints.
pub(crate) fn run(program: &str, arguments: &[&str], directory: &Path) -> Result<String, Failed> {
    let done = Command::new(program).args(arguments).current_dir(directory).output();
    let done = done.map_err(|error| format!("{program} cannot be run: {error}"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(format!("{program} {}: {said}", arguments.join(" ")).into());
    }
    let written = if done.stdout.is_empty() { done.stderr } else { done.stdout };
    Ok(String::from_utf8(written)?)
}
