//! The docs, held against what they talk about.

use std::path::Path;

use regex::Regex;

use super::{files, root};

/// Every page, with its text.
fn pages() -> Vec<(String, String)> {
    let roots = ["README.md", "CHANGELOG.md"]
        .map(|name| (name.to_owned(), std::fs::read_to_string(root().join(name)).unwrap()));
    roots.into_iter().chain(files("docs", ".md")).collect()
}

#[test]
fn what_is_quoted_is_what_is_there() {
    let quote = Regex::new(r"(?s)```(?:rust|yaml|starlark) (\S+)\n(.*?)```").unwrap();
    let mut quoted = 0;
    for (page, text) in pages() {
        for found in quote.captures_iter(&text) {
            let path = &found[1];
            let source =
                std::fs::read_to_string(root().join(path)).unwrap_or_else(|_| panic!("{page}: there is no {path}"));
            assert!(source.contains(&found[2]), "{page}: {path} does not say\n{}", &found[2]);
            quoted += 1;
        }
    }
    assert!(quoted >= 10);
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    for (page, text) in pages() {
        let here = root().join(&page);
        let here = here.parent().unwrap();
        for found in link.captures_iter(&text) {
            let target = &found[1];
            if target.contains("://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { root().join(&page) } else { here.join(path) };
            assert!(file.exists(), "{page}: there is no {target}");
            assert!(anchor.is_empty() || anchors(&file).contains(&anchor.to_owned()), "{page}: there is no {target}");
        }
    }
}

/// What can be linked to: headings in lower case, with dashes between their words.
fn anchors(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
        kept.map(|char| if char == ' ' { '-' } else { char }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn the_readme_leads_to_every_page() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for (page, _) in files("docs", ".md") {
        assert!(readme.contains(&format!("({page})")), "the README does not mention {page}");
    }
}

/// Flags that are documented and gone, and such that are there and not documented.
#[test]
fn the_operators_flags_are_documented_each() {
    use clap::CommandFactory;

    let page = std::fs::read_to_string(root().join("docs/guide/operator.md")).unwrap();
    let row = Regex::new(r"(?m)^\| `--([a-z-]+)` \| (?:`([A-Z_]+)`)? ?\|").unwrap();
    let mut documented: Vec<_> = row
        .captures_iter(&page)
        .map(|found| (found[1].to_owned(), found.get(2).map_or(String::new(), |name| name.as_str().to_owned())))
        .collect();
    let command = slipway_operator::cli::Args::command();
    let run = command.find_subcommand("run").unwrap();
    let mut there: Vec<_> = run
        .get_arguments()
        .filter_map(|argument| {
            let environment = argument.get_env().map(|name| name.to_string_lossy().into_owned());
            Some((argument.get_long()?.to_owned(), environment.unwrap_or_default()))
        })
        .filter(|(name, _)| name != "help")
        .collect();
    documented.sort();
    there.sort();
    assert_eq!(documented, there);
}
