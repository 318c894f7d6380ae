//! What a release consists of, packed by the script that packs it.

use std::path::Path;

use libtest_mimic::{Failed, Trial};
use serde_json::json;

use super::tools::{lacking_kubectl, run};
use super::{Outcome, root, same, trial};

/// What it is packed from.
const PROGRAMS: [&str; 3] = ["slipway", "slipway-operator", "multinic-agent"];

pub(crate) fn trials() -> Vec<Trial> {
    let helm = run("helm", &["version", "--short"], &root(".")).err().map(|_| "helm is not to be had".to_owned());
    let lacking = lacking_kubectl().or(helm);
    vec![trial("a release is complete, and its checksums are right", lacking.as_deref(), release)]
}

fn release() -> Outcome {
    let directory = tempfile::tempdir()?;
    let programs = directory.path().join("programs");
    std::fs::create_dir(&programs)?;
    for program in PROGRAMS {
        std::fs::write(programs.join(program), program)?;
    }
    let out = directory.path().join("out");
    let sums = pack(&programs, &out)?;
    run("sha256sum", &["--check", "SHA256SUMS"], &out)?;
    let files = ["production.yaml", "kind.yaml", "vm.yaml", "1.2.3.tgz"].map(|end| format!("slipway-operator-{end}"));
    for name in files.iter().map(String::as_str).chain(["slipway-1.2.3-"]) {
        same(&json!([name, sums.contains(name)]), &json!([name, true]))?;
    }
    let archive = sums.split_whitespace().find(|name| name.ends_with(".tar.gz")).ok_or("there is no archive")?;
    let listed = run("tar", &["--list", "--gzip", "--file", archive], &out)?;
    for name in PROGRAMS.into_iter().chain(["LICENSE", "README.md", "CHANGELOG.md"]) {
        same(&json!([name, listed.contains(&format!("/{name}\n"))]), &json!([name, true]))?;
    }
    // The same programs give the same archive.
    let again = pack(&programs, &directory.path().join("again"))?;
    let of_the_archive = |sums: &str| sums.lines().find(|line| line.ends_with(archive)).map(str::to_owned);
    same(&json!(of_the_archive(&again)), &json!(of_the_archive(&sums)))
}

fn pack(programs: &Path, out: &Path) -> Result<String, Failed> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    run("bash", &[".github/scripts/release-files", "1.2.3", &text(programs), &text(out)], &root("."))?;
    Ok(std::fs::read_to_string(out.join("SHA256SUMS"))?)
}
