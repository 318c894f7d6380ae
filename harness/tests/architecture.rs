//! The directions of the house, and what keeps it readable, held against the sources themselves. Each test names what
//! would be lost; `docs/architecture.md` says why.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// The most lines a source file may have; tests and data are not counted.
const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A source file: its path from the root, and its code without comments and tests.
struct Source {
    path: String,
    code: String,
    lines: usize,
}

/// Every source file below a directory.
fn sources(directory: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root().join(directory), &mut found);
    assert!(!found.is_empty(), "there are no sources in {directory}: the test looks in the wrong place");
    found
}

fn collect(directory: &Path, found: &mut Vec<Source>) {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            // Cargo marks what it builds in; `target` is also the name of a room.
            let is_built = path.join("CACHEDIR.TAG").exists();
            if !is_built && !["tests", "data"].contains(&name.as_str()) {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            let code = code(&text);
            found.push(Source { path, lines: code.lines().count(), code });
        }
    }
}

/// A file's code: no comments, and nothing from the first test module on.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..end].lines().map(|line| match line.find("//") {
        // An address in a text is no comment.
        Some(at) if !line[..at].ends_with(':') => &line[..at],
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The places in `directory` where the code matches, but for files whose path begins with one of `except`.
fn uses(directory: &str, pattern: &str, except: &[&str]) -> Vec<String> {
    let pattern = Regex::new(pattern).unwrap();
    let mut found = Vec::new();
    for source in sources(directory) {
        if except.iter().any(|except| source.path.starts_with(except)) {
            continue;
        }
        for (number, line) in source.code.lines().enumerate() {
            if pattern.is_match(line) {
                found.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    found
}

#[track_caller]
fn nowhere(found: &[String]) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

fn manifests() -> Vec<(String, String)> {
    ["operator", "harness", "harness/apiserver", "benches"]
        .iter()
        .map(|member| {
            let path = format!("{member}/Cargo.toml");
            let text = fs::read_to_string(root().join(&path)).unwrap();
            (path, text)
        })
        .collect()
}

#[test]
fn the_operator_and_the_api_server_know_neither_the_harness_nor_each_other() {
    for (path, text) in manifests() {
        let own = |name: &str| {
            text.lines().any(|line| line.starts_with(name) && line[name.len()..].starts_with(['.', ' ', '=']))
        };
        match path.as_str() {
            "harness/Cargo.toml" => assert!(own("slipway-operator") && own("slipway-apiserver")),
            // Nobody depends on the benches.
            "benches/Cargo.toml" => {}
            _ => assert!(!own("slipway-operator") && !own("slipway-apiserver") && !own("slipway"), "{path}"),
        }
    }
    nowhere(&uses("harness/apiserver/src", r"\bslipway(_operator)?::", &[]));
    nowhere(&uses("operator/src", r"\bslipway(_apiserver)?::", &[]));
}

#[test]
fn the_operators_layers_point_downwards() {
    nowhere(&uses("operator/src/controllers", r"crate::(cli|runtime|agent)\b", &[]));
    nowhere(&uses("operator/src/kit", r"crate::(cli|runtime|controllers|agent)\b", &[]));
    nowhere(&uses("operator/src/api", r"crate::(cli|runtime|controllers|kit|agent)\b", &[]));
    nowhere(&uses("operator/src/runtime", r"crate::cli\b", &[]));
    nowhere(&uses("operator/src/agent", r"crate::(cli|runtime|controllers|kit)\b", &[]));
}

#[test]
fn a_controller_never_imports_another_one() {
    let directory = root().join("operator/src/controllers");
    let controllers: Vec<String> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert!(controllers.contains(&"multinic".to_owned()));
    for controller in &controllers {
        for other in controllers.iter().filter(|other| *other != controller) {
            nowhere(&uses(&format!("operator/src/controllers/{controller}"), &format!(r"controllers::{other}\b"), &[]));
        }
    }
}

#[test]
fn deciding_needs_no_client_no_clock_no_environment_no_chance_and_no_waiting() {
    let directory = root().join("operator/src/controllers");
    let mut checked = 0;
    let impure = Regex::new(
        r"\basync\b|\.await\b|\bClient\b|\bApi\b|Clock\b|::now\(|std::env|\brand|tokio::|SystemTime|Instant",
    )
    .unwrap();
    for controller in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let controller = controller.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        for source in sources(&controller) {
            let step = source.path.strip_prefix(&format!("{controller}/")).unwrap();
            let pure = ["validate", "plan", "status"]
                .iter()
                .any(|pure| step == format!("{pure}.rs") || step.starts_with(&format!("{pure}/")));
            if pure {
                checked += 1;
                let found: Vec<String> = source
                    .code
                    .lines()
                    .filter(|line| impure.is_match(line))
                    .map(|line| format!("{}: {}", source.path, line.trim()))
                    .collect();
                nowhere(&found);
            }
        }
    }
    assert!(checked >= 3, "validate, plan and status were not found");
}

#[test]
fn scenarios_are_data_and_import_no_kubernetes_client() {
    nowhere(&uses(
        "harness/src/scenario",
        r"\bkube::|k8s_openapi|tokio|slipway_|crate::(cluster|runner|target|cli)",
        &[],
    ));
}

#[test]
fn the_runner_sees_a_cluster_only_through_its_trait() {
    nowhere(&uses("harness/src/runner", r"cluster::embedded|slipway_", &[]));
    // `serve --bare` is the API server alone, and so has nothing to go through.
    nowhere(&uses(
        "harness/src",
        r"slipway_apiserver",
        &["harness/src/cluster/embedded", "harness/src/cli/commands/serve.rs"],
    ));
}

#[test]
fn only_k3s_knows_containers() {
    nowhere(&uses("harness/src", r"\b(testcontainers\w*|bollard)::", &["harness/src/cluster/k3s"]));
}

#[test]
fn only_the_target_imports_the_operator() {
    nowhere(&uses("harness/src", r"slipway_operator", &["harness/src/target"]));
}

#[test]
fn only_the_printer_prints() {
    // A listener's address, a kubeconfig and a bar are drawn through the printer too.
    let printing = r"\be?print(ln)?!|io::(stdout|stderr)\(|anstream::(stdout|stderr)\(";
    nowhere(&uses("harness/src", printing, &["harness/src/cli/printer.rs"]));
    nowhere(&uses("harness/apiserver/src", printing, &[]));
    nowhere(&uses("operator/src", printing, &["operator/src/cli", "operator/src/bin"]));
}

#[test]
fn only_the_command_line_reads_the_environment() {
    let reading = r"env::(var|vars|var_os|vars_os|args|args_os)\b";
    nowhere(&uses("harness/src", reading, &["harness/src/cli"]));
    nowhere(&uses("harness/apiserver/src", reading, &[]));
    nowhere(&uses("operator/src", reading, &["operator/src/cli", "operator/src/bin"]));
}

#[test]
fn indicators_know_nothing_of_what_is_measured() {
    let others = r"crate::(cli|cluster|runner|scenario|sim|target)\b|slipway_|std::(env|process)\b|kube::";
    nowhere(&uses("harness/src/sli", others, &[]));
    // One edge reads over the network what the rest computes with.
    nowhere(&uses("harness/src/sli", r"std::net\b|\basync\b", &["harness/src/sli/scrape"]));
}

#[test]
fn the_gate_is_a_function_of_what_it_is_given() {
    nowhere(&uses(
        "harness/src/gate",
        r"crate::(cli|cluster|runner|scenario|sim|target)\b|slipway_|std::(env|fs|net|process)\b|\basync\b|kube::",
        &[],
    ));
}

#[test]
fn the_reference_knows_nothing_of_clusters_and_reads_no_time_of_its_own() {
    nowhere(&uses("harness/src/remote", r"crate::(cli|cluster|runner|sim|target)\b|slipway_|kube::", &[]));
}

#[test]
fn only_clocks_read_time() {
    // tokio's Instant follows the virtual clock, so waiting for a deadline with it is not reading the time.
    let reading = r"SystemTime|std::time::(\{.*)?Instant|Timestamp::now|Zoned::now|thread::sleep|Utc::now|Local::now";
    nowhere(&uses("harness/src", reading, &["harness/src/sim/clock.rs"]));
    nowhere(&uses("harness/apiserver/src", reading, &["harness/apiserver/src/clock.rs"]));
    nowhere(&uses("operator/src", reading, &["operator/src/kit/clock.rs"]));
}

#[test]
fn only_the_seeded_generators_draw_chance() {
    let drawing = r"\brand(_chacha|_core)?::|getrandom|RandomState|fastrand|Uuid::new_v4";
    nowhere(&uses("harness/src", drawing, &["harness/src/sim/seed.rs"]));
    let entropy = ["harness/apiserver/src/entropy.rs", "harness/apiserver/src/serve"];
    nowhere(&uses("harness/apiserver/src", drawing, &entropy));
    nowhere(&uses("operator/src", drawing, &[]));
}

#[test]
fn every_member_obeys_the_workspaces_lints_and_takes_its_versions_from_it() {
    let version = Regex::new(r#"(?m)^[a-z0-9_-]+ *= *(\{.*version *=|")"#).unwrap();
    for (path, text) in manifests() {
        assert!(text.contains("[lints]\nworkspace = true"), "{path} has no workspace lints");
        let sections = text.split("\n[").filter(|section| {
            let head = section.lines().next().unwrap_or_default();
            head.contains("dependencies")
        });
        for section in sections {
            assert!(!version.is_match(section), "{path} has versions of its own:\n{section}");
        }
    }
    nowhere(&uses("harness", r"#!?\[allow\(", &[]));
    nowhere(&uses("operator", r"#!?\[allow\(", &[]));
}

#[test]
fn every_module_says_what_it_is_for_and_none_grows_out_of_sight() {
    let mut wrong = Vec::new();
    for source in
        sources("operator/src").into_iter().chain(sources("harness/src")).chain(sources("harness/apiserver/src"))
    {
        if source.lines > LINES_MAX {
            wrong.push(format!("{} has {} lines", source.path, source.lines));
        }
        let text = fs::read_to_string(root().join(&source.path)).unwrap();
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not begin with what it is for", source.path));
        }
    }
    nowhere(&wrong);
}

#[test]
fn every_scenario_file_is_run_and_every_manifest_is_used() {
    let directory = root().join("scenarios");
    let suite = slipway::scenario::load::load(std::slice::from_ref(&directory), &slipway::cli::commands::vocabulary());
    let suite = suite.unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(|problem| problem.render(false)).collect::<String>())
    });
    let mut files = Vec::new();
    yaml_files(&directory, &mut files);
    let (manifests, scenarios): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|path| path.components().any(|part| part.as_os_str() == "manifests"));
    assert_eq!(suite.files, scenarios.len(), "some files are not run");
    let texts: Vec<String> = scenarios.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for manifest in manifests {
        let name = manifest.file_name().unwrap().to_string_lossy().into_owned();
        assert!(texts.iter().any(|text| text.contains(&name)), "{} is used by no scenario", manifest.display());
    }
}

fn yaml_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            found.push(path);
        }
    }
}

#[test]
fn every_page_of_the_documentation_can_be_reached() {
    let mut pages = Vec::new();
    markdown_files(&root().join("docs"), &mut pages);
    let mut texts: Vec<(PathBuf, String)> =
        pages.iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect();
    if let Ok(readme) = fs::read_to_string(root().join("README.md")) {
        texts.push((root().join("README.md"), readme));
    }
    for page in &pages {
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        let linked = texts.iter().any(|(path, text)| path != page && text.contains(&format!("{name})")));
        assert!(linked, "no page links to {}", page.strip_prefix(root()).unwrap().display());
    }
    let link = Regex::new(r"\]\(([^)#:\s]+\.(md|yaml|json|rs))(#[^)]*)?\)").unwrap();
    for (path, text) in &texts {
        for target in link.captures_iter(text).map(|captures| captures[1].to_owned()) {
            let there = path.parent().unwrap().join(&target).exists();
            assert!(there, "{} links to {target}, which is not there", path.strip_prefix(root()).unwrap().display());
        }
    }
}

fn markdown_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            markdown_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}
