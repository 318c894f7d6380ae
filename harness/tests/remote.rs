//! The kube-slint reference against a server: what is fetched, what is refused, what stands in, and what the command says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod mirror;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use mirror::{Mirror, Reply};
use serde_json::Value;
use slipway::remote::acquire::{AcquireError, Got, Network, Way, acquire, source};
use slipway::remote::cache::{Cache, Kept};
use slipway::remote::fetch::{FetchError, Fetcher, Limits};
use slipway::remote::origin::BaseUrl;
use slipway::remote::pin::Digest;
use slipway::remote::provenance::Source;
use slipway::remote::reference::Reference;
use slipway::scenario::diagnostic::SourceFile;

const COMMIT: &str = "0897b4b4b92df1e9d2bc6ab6b8d99031d5221b7c";
const NEXT: &str = "631fe440da2e71d2c229919e5b429ea2ec03dfda";
const POLICY: &str = "schema_version: slint.policy.v1\nthresholds:\n- {name: base, metric: reconcile_total_delta, operator: '>=', value: 1}\n";
const OTHER_POLICY: &str = "schema_version: slint.policy.v1\nthresholds:\n- {name: base, metric: reconcile_total_delta, operator: '>=', value: 2}\n";
const BYTES_MAX: usize = 64 * 1024;

/// A reference to one file, or to an example beside it.
fn text(commit: &str, policy: &str, example: Option<&str>) -> String {
    let example = example.map_or_else(String::new, |example| {
        format!("  - {{path: docs/example.yaml, use: example-policy, sha256: {}}}\n", Digest::of(example.as_bytes()))
    });
    format!(
        "# Ours.\napiVersion: slipway.dev/v1alpha1\nkind: SlintReference\nrepository: o/r\ncommit: {commit} # v1\nfiles:\n  \
         # The base.\n  - path: .slint/policy.yaml\n    use: base-policy\n    sha256: {}\n{example}",
        Digest::of(policy.as_bytes())
    )
}

fn reference() -> Reference {
    Reference::parse(SourceFile::new("r.yaml", text(COMMIT, POLICY, None))).unwrap()
}

fn network(base: &str, limits: Limits) -> Network {
    let base = BaseUrl::parse(base).unwrap();
    Network { fetcher: Fetcher::new(&base, limits).unwrap(), base }
}

fn quick() -> Limits {
    Limits { bytes: BYTES_MAX, pause: Duration::from_millis(1), ..Limits::default() }
}

struct Place {
    directory: tempfile::TempDir,
    cache: Cache,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path().join("cache"), BYTES_MAX);
        Self { directory, cache }
    }

    /// With the base policy in its cache.
    fn filled() -> Self {
        let place = Self::new();
        place.cache.put(POLICY.as_bytes()).unwrap();
        place
    }

    async fn get(&self, mirror: &Mirror) -> Result<Vec<Got>, AcquireError> {
        acquire(&reference(), &self.cache, Some(&network(&mirror.url(), quick()))).await
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The command, in this directory, with this cache and that server.
    fn command(&self, mirror: &Mirror, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env("NO_COLOR", "1")
            .env("SLIPWAY_CACHE", self.path().join("cache"))
            .env("SLIPWAY_SLINT_BASE_URL", mirror.url())
            .env("SLIPWAY_SLINT_API_URL", mirror.url())
            .env_remove("SLIPWAY_REMOTE")
            .stdin(Stdio::null());
        command
    }

    fn slipway(&self, mirror: &Mirror, arguments: &[&str]) -> Output {
        self.command(mirror, arguments).output().unwrap()
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn ends(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}\n{}", out(output), err(output));
}

#[tokio::test]
async fn a_file_is_fetched_once_and_confirmed_by_its_version_after_that() {
    let mirror = Mirror::new(|asked, _| match asked.etag.as_deref() {
        Some("\"v1\"") => Reply::status(304),
        _ => Reply::Answer(200, vec![("ETag", "\"v1\"".to_owned())], POLICY.into()),
    });
    let place = Place::new();
    let first = place.get(&mirror).await.unwrap();
    assert!(matches!(first[0].way, Way::Fetched));
    assert_eq!(first[0].bytes.as_deref(), Some(POLICY.as_bytes()));
    let second = place.get(&mirror).await.unwrap();
    assert!(matches!(second[0].way, Way::Confirmed));
    assert_eq!(second[0].bytes, first[0].bytes);
    assert_eq!(source(&second), Source::Network);
    let asked = mirror.asked();
    assert_eq!(asked[0].path, format!("/o/r/{COMMIT}/.slint/policy.yaml"));
    assert_eq!((asked[0].etag.as_deref(), asked[1].etag.as_deref()), (None, Some("\"v1\"")));
    // What the cache lost is asked for without a word about versions.
    fs::write(place.cache.directory().join("sha256").join(Digest::of(POLICY.as_bytes()).as_str()), "rotten").unwrap();
    assert!(matches!(place.get(&mirror).await.unwrap()[0].way, Way::Fetched));
    assert_eq!(mirror.asked()[2].etag, None);
}

#[tokio::test]
async fn a_wrong_file_is_an_error_that_names_both_hashes_and_leaves_the_cache_alone() {
    let mirror = Mirror::new(|_, _| Reply::file(OTHER_POLICY));
    let place = Place::filled();
    let error = place.get(&mirror).await.unwrap_err();
    let (expected, actual) = (Digest::of(POLICY.as_bytes()), Digest::of(OTHER_POLICY.as_bytes()));
    let told = error.to_string();
    assert!(told.contains(expected.as_str()) && told.contains(actual.as_str()), "{told}");
    assert_eq!(place.cache.get(&expected).unwrap(), Kept::Whole(POLICY.into()));
    assert_eq!(place.cache.get(&actual).unwrap(), Kept::Nothing);
}

#[tokio::test]
async fn a_server_that_stumbles_is_asked_again_and_one_that_says_no_is_not() {
    let mirror = Mirror::new(|_, before| match before {
        0 => Reply::status(500),
        1 => Reply::HangUp,
        _ => Reply::file(POLICY),
    });
    assert!(matches!(Place::new().get(&mirror).await.unwrap()[0].way, Way::Fetched));
    assert_eq!(mirror.asked().len(), 3);

    let mirror = Mirror::new(|_, _| Reply::status(404));
    let error = Place::filled().get(&mirror).await.unwrap_err();
    assert!(matches!(error, AcquireError::Fetch(FetchError::Refused { .. })), "{error:?}");
    assert_eq!(mirror.asked().len(), 1);
}

#[tokio::test]
async fn without_a_network_the_cache_serves_and_without_that_nothing_does() {
    for reply in [Reply::status(503), Reply::HangUp] {
        let mirror = Mirror::new(move |_, _| reply.clone());
        let got = Place::filled().get(&mirror).await.unwrap();
        assert_eq!(got[0].bytes.as_deref(), Some(POLICY.as_bytes()));
        assert_eq!(source(&got), Source::Cache);
        assert!(matches!(&got[0].way, Way::Unreachable(error) if error.to_string().contains("asked 3 times")));
        let got = Place::new().get(&mirror).await.unwrap();
        assert_eq!((&got[0].bytes, source(&got)), (&None, Source::BuiltIn));
        assert_eq!(mirror.asked().len(), 6);
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_does_not_hold_us() {
    let mirror = Mirror::new(|_, _| Reply::Silence);
    let limits = Limits { attempt: Duration::from_millis(20), attempts: 2, ..quick() };
    let place = Place::filled();
    let got = acquire(&reference(), &place.cache, Some(&network(&mirror.url(), limits))).await.unwrap();
    assert_eq!(source(&got), Source::Cache);
    assert!(matches!(&got[0].way, Way::Unreachable(error) if error.to_string().contains("no answer within 20ms")));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read_to_its_end_whatever_its_header_says() {
    for reply in [Reply::file("x".repeat(BYTES_MAX + 1)), Reply::Endless] {
        let mirror = Mirror::new(move |_, _| reply.clone());
        let place = Place::filled();
        let error = place.get(&mirror).await.unwrap_err();
        assert!(matches!(error, AcquireError::Fetch(FetchError::TooLarge { bytes: BYTES_MAX, .. })), "{error:?}");
        assert_eq!(mirror.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_redirect_is_followed_at_the_same_host_and_nowhere_else() {
    let mirror = Mirror::new(|asked, _| match asked.path.as_str() {
        "/elsewhere" => Reply::file(POLICY),
        _ => Reply::to("/elsewhere"),
    });
    assert!(matches!(Place::new().get(&mirror).await.unwrap()[0].way, Way::Fetched));

    let stranger = Mirror::new(|_, _| Reply::file(POLICY));
    let target = format!("{}/x?token=secret", stranger.other_url());
    let mirror = Mirror::new(move |_, _| Reply::to(target.clone()));
    let error = Place::filled().get(&mirror).await.unwrap_err();
    let AcquireError::Fetch(error @ FetchError::Redirected { .. }) = error else { panic!("{error:?}") };
    assert!(error.to_string().contains(&stranger.other_url()) && !error.to_string().contains("secret"), "{error}");
    assert!(stranger.asked().is_empty(), "nobody else is asked");

    let circle = Mirror::new(|_, _| Reply::to("/round"));
    let error = Place::new().get(&circle).await.unwrap_err();
    assert!(matches!(error, AcquireError::Fetch(FetchError::Circles { redirects: 3, .. })), "{error:?}");
}

#[test]
fn fetch_keeps_what_verify_finds_and_says_how_it_ended() {
    let place = Place::new();
    place.write("slint/remote.yaml", &text(COMMIT, POLICY, Some("schema_version: slint.policy.v1\n")));
    let mirror = Mirror::new(|asked, _| {
        let is_example = asked.path.ends_with("example.yaml");
        Reply::file(if is_example { "schema_version: slint.policy.v1\n" } else { POLICY })
    });
    let missing = place.slipway(&mirror, &["slint", "verify"]);
    ends(&missing, 1);
    assert!(err(&missing).contains(".slint/policy.yaml: it is not in the cache"), "{}", err(&missing));
    assert!(mirror.asked().is_empty(), "verify asks nobody");
    let fetched = place.slipway(&mirror, &["slint", "fetch"]);
    ends(&fetched, 0);
    assert_eq!(out(&fetched).matches("fetched ").count(), 2, "{}", out(&fetched));
    ends(&place.slipway(&mirror, &["slint", "verify"]), 0);
    let kept = place.path().join("cache/sha256").join(Digest::of(POLICY.as_bytes()).as_str());
    fs::write(&kept, OTHER_POLICY).unwrap();
    let damaged = place.slipway(&mirror, &["slint", "verify"]);
    ends(&damaged, 1);
    for digest in [POLICY, OTHER_POLICY].map(|text| Digest::of(text.as_bytes())) {
        assert!(err(&damaged).contains(digest.as_str()), "{}", err(&damaged));
    }
    ends(&place.slipway(&mirror, &["slint", "fetch"]), 0);
    ends(&place.slipway(&mirror, &["slint", "verify"]), 0);
}

#[test]
fn what_is_pinned_and_is_not_what_it_is_used_for_is_refused() {
    let place = Place::new();
    let no_policy = "schema_version: something.else\n";
    place.write("slint/remote.yaml", &text(COMMIT, no_policy, None));
    let mirror = Mirror::new(move |_, _| Reply::file(no_policy));
    let fetched = place.slipway(&mirror, &["slint", "fetch"]);
    ends(&fetched, 1);
    assert!(err(&fetched).contains(".slint/policy.yaml: it is no policy: unsupported schema_version"), "{fetched:?}");
}

#[test]
fn without_a_network_fetch_says_what_serves_and_required_says_no() {
    let place = Place::filled();
    place.write("slint/remote.yaml", &text(COMMIT, POLICY, None));
    let mirror = Mirror::new(|_, _| Reply::HangUp);
    let cached = place.slipway(&mirror, &["slint", "fetch"]);
    ends(&cached, 0);
    assert!(err(&cached).contains("o/r@0897b4b4b92d comes from the cache: http://"), "{}", err(&cached));
    ends(&place.slipway(&mirror, &["slint", "fetch", "--remote", "required"]), 3);
    fs::remove_dir_all(place.path().join("cache")).unwrap();
    ends(&place.slipway(&mirror, &["slint", "fetch"]), 3);
}

#[test]
fn what_can_move_what_is_wrong_and_what_leads_elsewhere_each_have_their_exit_code() {
    let place = Place::new();
    let good = Mirror::new(|_, _| Reply::file(POLICY));
    for pin in ["main", "0897b4b"] {
        place.write("slint/remote.yaml", &text(pin, POLICY, None));
        let refused = place.slipway(&good, &["slint", "fetch"]);
        ends(&refused, 2);
        assert!(err(&refused).contains(&format!("`slipway slint update --to {pin}`")), "{}", err(&refused));
        assert!(err(&refused).contains("slint/remote.yaml:5:9"), "{}", err(&refused));
    }
    assert!(good.asked().is_empty());
    place.write("slint/remote.yaml", &text(COMMIT, POLICY, None));
    let wrong = Mirror::new(|_, _| Reply::file(OTHER_POLICY));
    let refused = place.slipway(&wrong, &["slint", "fetch"]);
    ends(&refused, 1);
    assert!(err(&refused).contains(Digest::of(OTHER_POLICY.as_bytes()).as_str()), "{}", err(&refused));
    let elsewhere = Mirror::new(|_, _| Reply::to("https://example.com/x"));
    ends(&place.slipway(&elsewhere, &["slint", "fetch"]), 1);
    ends(&place.slipway(&Mirror::new(|_, _| Reply::status(404)), &["slint", "fetch"]), 1);
    ends(&place.slipway(&good, &["slint", "fetch", "--base-url", "http://example.com"]), 2);
    ends(&place.slipway(&good, &["slint", "fetch", "--reference", "nowhere.yaml"]), 2);
}

#[test]
fn show_says_of_every_rule_where_it_was_written() {
    let place = Place::filled();
    place.write("slint/remote.yaml", &text(COMMIT, POLICY, None));
    place.write(
        "slint/policy.yaml",
        "schema_version: slint.policy.v1\nthresholds:\n- {name: base, value: 7}\n- {name: mine, metric: m, operator: '<', value: 3}\n",
    );
    let mirror = Mirror::new(|_, _| Reply::HangUp);
    let shown = place.slipway(&mirror, &["slint", "show"]);
    ends(&shown, 0);
    let lines: Vec<Vec<String>> = out(&shown)
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect())
        .collect();
    let base = "o/r@0897b4b4b92d .slint/policy.yaml";
    let rule = |name: &str| {
        lines.iter().find(|line| line.first().is_some_and(|first| first == name)).unwrap()[1..].join(" | ")
    };
    assert_eq!(rule("base"), format!("reconcile_total_delta >= 7 | slint/policy.yaml:3, over {base}:3"));
    assert_eq!(rule("mine"), "m < 3 | slint/policy.yaml:4");
    assert!(out(&shown).contains("base policy: cache"));
    assert!(mirror.asked().is_empty(), "nobody is asked unless that is wanted");
    fs::remove_dir_all(place.path().join("cache")).unwrap();
    let shown = place.slipway(&mirror, &["slint", "show"]);
    ends(&shown, 0);
    assert!(out(&shown).contains("built-in:") && err(&shown).contains("neither cached nor fetched"), "{}", err(&shown));
    place.write("slint/policy.yaml", "schema_version: slint.policy.v1\nthresholds: [{value: '5'}]\n");
    let refused = place.slipway(&mirror, &["slint", "show"]);
    ends(&refused, 2);
    assert!(err(&refused).contains("slint/policy.yaml:2:22: value should be a number"), "{}", err(&refused));
}

#[test]
fn update_moves_the_pin_keeps_what_people_wrote_and_shows_what_changes() {
    let place = Place::filled();
    let before = text(COMMIT, POLICY, None);
    place.write("slint/remote.yaml", &before);
    let mirror = Mirror::new(|asked, _| match asked.path.as_str() {
        "/repos/o/r/commits/v2" => Reply::file(NEXT),
        path if path == format!("/o/r/{NEXT}/.slint/policy.yaml") => Reply::file(OTHER_POLICY),
        _ => Reply::status(404),
    });
    let dry = place.slipway(&mirror, &["slint", "update", "--to", "v2", "--dry-run"]);
    ends(&dry, 0);
    assert_eq!(place.read("slint/remote.yaml"), before);
    let moved = place.slipway(&mirror, &["slint", "update", "--to", "v2"]);
    ends(&moved, 0);
    let shown = out(&moved);
    for line in [
        format!("-commit: {COMMIT} # v1"),
        format!("+commit: {NEXT} # v2"),
        "-- {name: base, metric: reconcile_total_delta, operator: '>=', value: 1}".to_owned(),
        "+- {name: base, metric: reconcile_total_delta, operator: '>=', value: 2}".to_owned(),
    ] {
        assert!(shown.contains(&line), "{line}\n{shown}");
    }
    let after = before
        .replace(&format!("{COMMIT} # v1"), &format!("{NEXT} # v2"))
        .replace(Digest::of(POLICY.as_bytes()).as_str(), Digest::of(OTHER_POLICY.as_bytes()).as_str());
    assert_eq!(place.read("slint/remote.yaml"), after, "comments and all");
    ends(&place.slipway(&mirror, &["slint", "verify"]), 0);
    let again = place.slipway(&mirror, &["slint", "update", "--to", "v2"]);
    ends(&again, 0);
    assert!(out(&again).contains("says so already"));
}

#[test]
fn update_pins_what_was_written_without_a_pin() {
    let place = Place::new();
    let pinned = text(NEXT, OTHER_POLICY, None).replace("# v1", "# v2");
    place.write(
        "slint/remote.yaml",
        &pinned.replace(NEXT, "main").replace(Digest::of(OTHER_POLICY.as_bytes()).as_str(), "new"),
    );
    let mirror = Mirror::new(|asked, _| match asked.path.as_str() {
        "/repos/o/r/commits/v2" => Reply::file(NEXT),
        _ => Reply::file(OTHER_POLICY),
    });
    ends(&place.slipway(&mirror, &["slint", "fetch"]), 2);
    ends(&place.slipway(&mirror, &["slint", "update", "--to", "v2"]), 0);
    assert_eq!(place.read("slint/remote.yaml"), pinned);
}

#[test]
fn the_proxy_of_the_environment_is_asked_but_not_for_this_machine() {
    let place = Place::new();
    place.write("slint/remote.yaml", &text(COMMIT, POLICY, None));
    let (mirror, proxy) = (Mirror::new(|_, _| Reply::file(POLICY)), Mirror::new(|_, _| Reply::HangUp));
    let fetch = |base: &str| {
        let mut command = place.command(&mirror, &["slint", "fetch", "--base-url", base]);
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
            command.env(name, proxy.url());
        }
        command.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap()
    };
    ends(&fetch(&mirror.url()), 0);
    assert!(proxy.asked().is_empty());
    ends(&fetch("https://raw.invalid"), 0);
    assert_eq!(proxy.asked().iter().map(|asked| asked.path.as_str()).collect::<Vec<_>>(), ["raw.invalid:443"; 3]);
}

#[test]
fn an_update_that_cannot_be_made_whole_changes_nothing() {
    let place = Place::new();
    let before = text(COMMIT, POLICY, None);
    place.write("slint/remote.yaml", &before);
    let mirror = Mirror::new(|asked, _| match asked.path.as_str() {
        "/repos/o/r/commits/v2" => Reply::file(format!("{{\"sha\": \"{NEXT}\"}}")),
        "/repos/o/r/commits/liar" => Reply::file("main"),
        "/repos/o/r/commits/busy" => Reply::status(503),
        _ => Reply::status(404),
    });
    for (to, code, told) in [
        ("v2", 1, format!("{NEXT} has no .slint/policy.yaml")),
        ("v3", 2, "o/r has no `v3`".to_owned()),
        ("liar", 1, "does not say which commit `liar` is".to_owned()),
        ("busy", 3, "503".to_owned()),
        ("--help-me/..", 2, String::new()),
        ("a..b", 2, "`a..b` is neither a tag nor a commit".to_owned()),
    ] {
        let refused = place.slipway(&mirror, &["slint", "update", "--to", to]);
        ends(&refused, code);
        assert!(err(&refused).contains(&told), "{told}\n{}", err(&refused));
        assert_eq!(place.read("slint/remote.yaml"), before, "{to}");
    }
}

/// The summary that a run left behind.
fn summary(place: &Place) -> Value {
    serde_json::from_str(&place.read("artifacts/sli-summary.json")).unwrap()
}

#[test]
fn a_run_says_in_its_summary_where_the_reference_came_from() {
    let place = Place::filled();
    place.write("slint/remote.yaml", &text(COMMIT, POLICY, None));
    place.write(
        "s.yaml",
        "apiVersion: slipway.dev/v1alpha1\nkind: Scenario\nmetadata: {name: s}\nsteps: [{advance: 1s}]\n",
    );
    let (mirror, gone) = (Mirror::new(|_, _| Reply::file(POLICY)), Mirror::new(|_, _| Reply::HangUp));
    let source =
        |place: &Place| summary(place)["config"]["tags"]["slint_reference_source"].as_str().unwrap().to_owned();

    ends(&place.slipway(&gone, &["run", "s.yaml"]), 0);
    assert_eq!(source(&place), "cache");
    assert!(gone.asked().is_empty(), "a run asks nobody unless told to");
    assert_eq!(summary(&place)["config"]["tags"]["slint_reference"], format!("o/r@{COMMIT}"));
    ends(&place.slipway(&mirror, &["run", "s.yaml", "--remote", "required"]), 0);
    assert_eq!(source(&place), "network");

    let cached = place.slipway(&gone, &["run", "s.yaml", "--remote", "fetch"]);
    ends(&cached, 0);
    assert_eq!(source(&place), "cache");
    assert!(err(&cached).contains("comes from the cache"), "{}", err(&cached));
    fs::remove_dir_all(place.path().join("cache")).unwrap();
    let built_in = place.slipway(&gone, &["run", "s.yaml", "--remote", "fetch"]);
    ends(&built_in, 0);
    assert_eq!(source(&place), "built-in");
    let warnings = summary(&place)["warnings"].to_string();
    assert!(warnings.contains("the built-in base policy stands in"), "{warnings}");

    fs::remove_dir_all(place.path().join("artifacts")).unwrap();
    for cached in [false, true] {
        if cached {
            place.cache.put(POLICY.as_bytes()).unwrap();
        }
        ends(&place.slipway(&gone, &["run", "s.yaml", "--remote", "required"]), 3);
        assert!(!place.path().join("artifacts").exists(), "nothing was run");
    }
    place.write("slint/remote.yaml", &text("main", POLICY, None));
    ends(&place.slipway(&mirror, &["run", "s.yaml"]), 2);
}

#[test]
fn the_gate_judges_by_ours_over_the_reference_where_that_is_wanted() {
    let place = Place::filled();
    place.write("slint/remote.yaml", &text(COMMIT, POLICY, None));
    place.write("policy.yaml", "schema_version: slint.policy.v1\n");
    place.write(
        "summary.json",
        r#"{"schemaVersion": "slo.v3", "generatedAt": "2026-01-01T00:00:00Z", "config": {"startedAt": "2026-01-01T00:00:00Z",
            "finishedAt": "2026-01-01T00:00:01Z", "mode": {"location": "outside", "trigger": "none"}},
            "reliability": {"collectionStatus": "Complete"},
            "results": [{"id": "reconcile_total_delta", "status": "pass", "value": 0}]}"#,
    );
    let gone = Mirror::new(|_, _| Reply::HangUp);
    let gate = |more: &[&str]| {
        let flags = ["gate", "--summary", "summary.json", "--policy", "policy.yaml", "--exit-on", "FAIL"];
        place.slipway(&gone, &[&flags, more].concat())
    };
    ends(&gate(&[]), 0);
    let cache = place.path().join("cache").to_string_lossy().into_owned();
    let mirror = |remote: &str| gate(&["--remote", remote, "--cache", &cache, "--base-url", &gone.url()]);
    let over = mirror("fetch");
    ends(&over, 1);
    assert!(place.read("slint-gate-summary.json").contains("THRESHOLD_MISS"));
    ends(&mirror("required"), 3);
    ends(&gate(&["--remote", "sometimes"]), 2);
    place.write("policy.yaml", "schema_version: slint.policy.v1\nthresholds: [{name: base, value: 0}]\n");
    ends(&mirror("cached"), 0);
    place.write("policy.yaml", "thresholds: [\n");
    let broken = mirror("cached");
    ends(&broken, 0);
    assert!(place.read("slint-gate-summary.json").contains("POLICY_INVALID"));
}

#[test]
fn what_a_run_would_be_refused_for_is_approved_as_no_baseline() {
    let place = Place::filled();
    place.write("slint/remote.yaml", &text(COMMIT, POLICY, None));
    place.write("slint/policy.yaml", "schema_version: slint.policy.v1\n");
    let measured = |reconciles: u32| {
        format!(
            r#"{{"schemaVersion": "slo.v3", "generatedAt": "2026-01-01T00:00:00Z", "config": {{"runId": "r{reconciles}",
                "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z",
                "mode": {{"location": "outside", "trigger": "none"}}}}, "reliability": {{"collectionStatus": "Complete"}},
                "results": [{{"id": "reconcile_total_delta", "status": "pass", "value": {reconciles}}}]}}"#
        )
    };
    place.write("none.json", &measured(0));
    place.write("one.json", &measured(1));
    let gone = Mirror::new(|_, _| Reply::HangUp);
    let approve = |summary: &str, more: &[&str]| {
        place.slipway(&gone, &[&["baseline", "approve", "main", "--summary", summary], more].concat())
    };
    let refused = approve("none.json", &[]);
    ends(&refused, 1);
    assert!(out(&refused).contains("base: reconcile_total_delta is 0, and should be >= 1"), "{}", out(&refused));
    assert!(!place.path().join("slint/baselines/main.json").exists());
    ends(&approve("one.json", &["--remote", "required"]), 3);
    assert!(!place.path().join("slint/baselines/main.json").exists(), "nothing is approved by what was not asked");

    ends(&approve("one.json", &[]), 0);
    let approved = place.read("slint/baselines/main.json");
    assert!(approved.contains("slint/policy.yaml over o/r@0897b4b4b92d .slint/policy.yaml"), "{approved}");
    place.write("slint/policy.yaml", "schema_version: slint.policy.v1\nthresholds: [{name: base, value: 0}]\n");
    ends(&approve("none.json", &[]), 0);
}
