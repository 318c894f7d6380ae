//! The Tiltfile, evaluated without Tilt: what it calls is written down and looked at.
//!
//! Tilt's language is Starlark, and Starlark's own interpreter (`go install go.starlark.net/cmd/starlark@latest`) is
//! what Tilt is made from. Where it is missing, Python does: our stubs, and a Tiltfile that keeps to what both languages
//! have, mean the same in both. A Rust interpreter would be a large dependency for one small file.

use std::collections::BTreeSet;
use std::path::Path;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use super::tools::run;
use super::{Outcome, find, objects, root, same, trial};

const STUBS: &str = include_str!("stubs.star");

/// The languages that can read it, the best first: program, arguments before the file, and what makes up for the other.
const READERS: [(&str, &[&str], &str); 2] = [
    ("starlark", &["-globalreassign"], "print(json.encode(CALLS))\n"),
    ("python3", &["-I"], "import json as _json\nprint(_json.dumps(CALLS))\n"),
];

pub(crate) fn trials() -> Vec<Trial> {
    let reader = READERS.into_iter().find(|(program, ..)| run(program, &["-c", ""], &root(".")).is_ok());
    let lacking = reader.is_none().then_some("neither starlark nor python3 is to be had");
    let name = "the Tiltfile puts every controller, its sample and its scenarios within reach";
    let mut trials = vec![trial(name, lacking, move || {
        evaluate(reader.ok_or("nobody can read it")?).and_then(|calls| check(&calls))
    })];
    // Where both are there, both must agree.
    let both = READERS.into_iter().all(|(program, ..)| run(program, &["-c", ""], &root(".")).is_ok());
    let lacking = (!both).then_some("starlark and python3 are not both to be had");
    trials.push(trial("the Tiltfile means the same in Starlark and in Python", lacking, || {
        let [starlark, python] = READERS.map(evaluate);
        same(&json!(starlark?), &json!(python?))
    }));
    trials
}

/// What the Tiltfile calls, in order.
fn evaluate((program, arguments, tail): (&str, &[&str], &str)) -> Result<Vec<Value>, Failed> {
    let tiltfile = std::fs::read_to_string(root("Tiltfile"))?;
    let text = format!("{STUBS}\n{}\n{tail}", tiltfile.replace("v1alpha1.", "v1alpha1_"));
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("Tiltfile.star"), text)?;
    let arguments: Vec<&str> = arguments.iter().copied().chain(["Tiltfile.star"]).collect();
    Ok(serde_json::from_str(&run(program, &arguments, directory.path())?)?)
}

fn check(calls: &[Value]) -> Outcome {
    let of = |function: &'static str| {
        calls.iter().filter(move |call| call["function"] == function).map(|call| &call["arguments"])
    };
    let first = |function| of(function).next().ok_or_else(|| format!("{function} is not called"));
    let contexts = &first("allow_k8s_contexts")?["contexts"];
    same(contexts, &json!(["kind-tilt-study"]))?;

    // The image goes into the node under a reference with a tag, and from there into the Deployment.
    let build = first("custom_build")?;
    let command = build["command"].as_str().unwrap_or_default();
    same(&json!(command.contains("\"$EXPECTED_REF\"") && command.ends_with("tilt-study")), &json!(true))?;
    same(&json!([&build["skips_local_docker"], &build["disable_push"]]), &json!([true, true]))?;
    let overlay = first("k8s_yaml")?["kustomize"].as_str().ok_or("no overlay is deployed")?;
    same(&json!(overlay), &json!("operator/deploy/overlays/kind"))?;
    let deployment = objects(&std::fs::read_to_string(root("operator/deploy/base/deployment.yaml"))?)?;
    let deployment = find(&deployment, "Deployment", "slipway-operator")?;
    let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
    same(&json!(image.split(':').next()), &build["ref"])?;

    check_resources(&of("k8s_resource").collect::<Vec<_>>())?;
    for controller in slipway::target::controllers() {
        let scenarios = of("local_resource").find(|it| it["name"] == format!("{controller}-scenarios"));
        let scenarios = scenarios.ok_or_else(|| format!("the scenarios of {controller} are not run"))?;
        let command = scenarios["cmd"].as_str().unwrap_or_default();
        same(&json!(command.ends_with(&format!("run scenarios/{controller}"))), &json!(true))?;
        for verb in ["apply", "delete"] {
            let name = format!("{controller}-{verb}-sample");
            let button = of("ui_button").find(|it| it["name"] == name).ok_or_else(|| format!("there is no {name}"))?;
            same(&button["location"]["component_id"], &json!(controller))?;
            let command = of("cmd").find(|it| it["name"] == name).ok_or_else(|| format!("{name} does nothing"))?;
            same(&command["start_on"]["ui_buttons"], &json!([name]))?;
            let arguments = command["args"].as_array().ok_or("a command has arguments")?;
            same(&json!(arguments.iter().any(|it| it == verb) && arguments.contains(&contexts[0])), &json!(true))?;
        }
    }
    every_path_is_there(calls)
}

fn check_resources(resources: &[&Value]) -> Outcome {
    let operator =
        resources.iter().find(|it| it["workload"] == "slipway-operator").ok_or("the operator is not there")?;
    let forwards = operator["port_forwards"].as_array().into_iter().flatten();
    let ports: Vec<_> = forwards.map(|forward| forward["local"].as_i64().unwrap_or_default()).collect();
    same(&json!(ports), &json!([8080, 8081, 8443, 9443]))?;
    let names: BTreeSet<_> = resources.iter().filter_map(|it| it["name"].as_str()).collect();
    let controllers = slipway::target::controllers();
    for controller in &controllers {
        same(&json!([controller, names.contains(controller.as_str())]), &json!([controller, true]))?;
    }
    let definitions = resources.iter().position(|it| it["name"] == "definitions").ok_or("there are no definitions")?;
    same(&json!(definitions), &json!(0))?;
    for other in &resources[1..] {
        same(&json!([&other["name"], &other["resource_deps"][0]]), &json!([&other["name"], "definitions"]))?;
    }
    // Tilt refuses a name that it does not find.
    let mut installed = Vec::new();
    for directory in ["crds", "rbac", "base"] {
        for entry in std::fs::read_dir(root("operator/deploy").join(directory))? {
            installed.extend(objects(&std::fs::read_to_string(entry?.path())?)?);
        }
    }
    let selectors = installed.iter().filter_map(|object| {
        let (kind, name) = (object["kind"].as_str()?, object["metadata"]["name"].as_str()?);
        Some(format!("{name}:{}", kind.to_lowercase()))
    });
    let selectors: BTreeSet<String> = selectors.collect();
    for object in resources.iter().flat_map(|it| it["objects"].as_array().into_iter().flatten()) {
        same(&json!([object, selectors.contains(object.as_str().unwrap_or_default())]), &json!([object, true]))?;
    }
    Ok(())
}

/// A path that is not there is never watched, and nobody would notice.
fn every_path_is_there(calls: &[Value]) -> Outcome {
    let watched = calls.iter().flat_map(|call| call["arguments"]["deps"].as_array().into_iter().flatten());
    let arguments = calls.iter().flat_map(|call| call["arguments"]["args"].as_array().into_iter().flatten());
    let files = arguments.filter(|argument| {
        argument.as_str().is_some_and(|argument| Path::new(argument).extension() == Some("yaml".as_ref()))
    });
    let commands = calls.iter().filter_map(|call| {
        let arguments = &call["arguments"];
        arguments["cmd"].as_str().or(arguments["command"].as_str())?.split(' ').next()
    });
    let programs = commands.filter(|program| program.contains('/'));
    let watched = watched.filter(|path| *path != "scenarios/drain");
    for path in watched.chain(files).filter_map(Value::as_str).chain(programs) {
        same(&json!([path, root(path).exists()]), &json!([path, true]))?;
    }
    Ok(())
}
