//! `slipway slint`: fetches, verifies, shows and moves the kube-slint reference.

use super::Failure;
use super::reference::{
    acquire_failure, base, cache, check, effective, fetch_failure, need, need_to_move, network, read_text, wait,
};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::reference::{ReferenceSettings, RemoteMode};
use crate::cli::slint::{ShowSettings, SlintSettings, UpdateSettings};
use crate::gate::measurement::Measurement;
use crate::gate::policy::Policy;
use crate::remote::acquire::{Got, Way, acquire, kept};
use crate::remote::cache::{Cache, Kept, write_whole};
use crate::remote::merge::{Layer, Row};
use crate::remote::provenance::{Provenance, Source};
use crate::remote::reference::{File, Reference, Use};
use crate::remote::update::{Renewed, UpdateError, diff, renew, resolve, rewrite};

/// Does what was asked.
///
/// # Errors
/// See [`Failure`].
pub fn slint(settings: &SlintSettings, printer: &Printer) -> Result<Exit, Failure> {
    match settings {
        SlintSettings::Fetch(settings) => fetch(settings, printer),
        SlintSettings::Verify(settings) => verify(settings, printer),
        SlintSettings::Show(settings) => show(settings, printer),
        SlintSettings::Update(settings) => update(settings, printer),
    }
}

fn heading(reference: &Reference, printer: &Printer) {
    let (repository, commit) = (&reference.repository, &reference.commit.value);
    printer.line(format_args!("{repository} at {commit} ({})", reference.source.name()));
}

/// A line about a file: what became of it, its hash, and what it is for.
fn line(what: &str, file: &File, printer: &Printer) {
    let hash = &file.sha256.value.as_str()[..12];
    printer.line(format_args!("  {what:<10} {hash}  {:<17} {}", file.used, file.path));
}

fn fetch(settings: &ReferenceSettings, printer: &Printer) -> Result<Exit, Failure> {
    let reference = need(settings, printer)?;
    let (cache, network) = (cache(settings), network(&settings.base)?);
    let got = wait(acquire(&reference, &cache, Some(&network)))?.map_err(acquire_failure)?;
    heading(&reference, printer);
    for got in &got {
        line(became(got), &got.file, printer);
    }
    let provenance = Provenance::of(&reference, &got);
    check(settings.mode, &provenance)?;
    match provenance.source {
        Source::Network => {}
        Source::Cache => printer.note(provenance.warning().unwrap_or_default()),
        Source::BuiltIn => {
            let missing = got.into_iter().find_map(|got| match got.way {
                Way::Unreachable(error) if got.bytes.is_none() => Some(error),
                _ => None,
            });
            if let Some(error) = missing {
                return Err(fetch_failure(error));
            }
        }
    }
    report(&got_files(&cache, &reference)?, printer)?;
    printer.line(format_args!("in {}", cache.directory().display()));
    Ok(Exit::Passed)
}

fn became(got: &Got) -> &'static str {
    match (&got.way, &got.bytes) {
        (_, None) => "missing",
        (Way::Fetched, _) => "fetched",
        (Way::Confirmed, _) => "unchanged",
        (Way::NotAsked | Way::Unreachable(_), _) => "cached",
    }
}

fn got_files(cache: &Cache, reference: &Reference) -> Result<Vec<(File, Kept)>, Failure> {
    kept(reference, cache)
        .map_err(|error| Failure::Environment { what: "the cache cannot be used".to_owned(), source: error.into() })
}

fn verify(settings: &ReferenceSettings, printer: &Printer) -> Result<Exit, Failure> {
    let reference = need(settings, printer)?;
    let files = got_files(&cache(settings), &reference)?;
    heading(&reference, printer);
    for (file, kept) in &files {
        line(if matches!(kept, Kept::Whole(_)) { "right" } else { "wrong" }, file, printer);
    }
    report(&files, printer)?;
    printer.line(format_args!("all {} files are in {} and right", files.len(), settings.cache.display()));
    Ok(Exit::Passed)
}

/// Says what is wrong with the files that are kept.
fn report(files: &[(File, Kept)], printer: &Printer) -> Result<(), Failure> {
    let wrong: Vec<String> =
        files.iter().filter_map(|(file, kept)| Some(format!("{}: {}", file.path, fault(file, kept)?))).collect();
    for wrong in &wrong {
        printer.note(wrong);
    }
    match wrong.len() {
        0 => Ok(()),
        count => {
            let what = format!("{count} of {} files of the reference cannot be used", files.len());
            Err(Failure::Refused { what, source: None })
        }
    }
}

/// What is wrong with a file: it is not there, it is another one, or not what it is used for.
fn fault(file: &File, kept: &Kept) -> Option<String> {
    let bytes = match kept {
        Kept::Whole(bytes) => bytes,
        Kept::Damaged(actual) => {
            let expected = &file.sha256.value;
            return Some(format!(
                "the cached file is not what was pinned: the reference says sha256 {expected}, and it has {actual}; \
                 `slipway slint fetch` repairs it"
            ));
        }
        Kept::Nothing => return Some("it is not in the cache; `slipway slint fetch` gets it".to_owned()),
    };
    let why = match file.used {
        Use::BasePolicy | Use::ExamplePolicy => Policy::parse(bytes).0.err().map(|error| error.to_string()),
        Use::ExampleSummary | Use::ExampleBaseline => Measurement::parse(bytes).err().map(|error| error.to_string()),
    };
    why.map(|why| format!("it is no {}: {why}", file.used.noun()))
}

fn show(settings: &ShowSettings, printer: &Printer) -> Result<Exit, Failure> {
    let reference = need(&settings.reference, printer)?;
    let Some(base) = base(&settings.reference, printer)? else { return Ok(Exit::BadInput) };
    let ours = match read_text(&settings.policy) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !settings.is_named => None,
        Err(error) => {
            let what = format!("cannot read the policy {}", settings.policy.display());
            return Err(Failure::Input { what, source: Some(error.into()) });
        }
    };
    let name = settings.policy.display().to_string();
    let layer = ours.as_deref().map(|text| Layer { name: &name, text });
    let effective =
        effective(&base, layer).map_err(|error| Failure::Input { what: error.to_string(), source: None })?;
    heading(&reference, printer);
    printer.line(format_args!("base policy: {}", base.provenance.source));
    if settings.reference.mode == RemoteMode::Cached
        && let Some(warning) = base.provenance.warning()
    {
        printer.note(warning);
    }
    if layer.is_none() {
        printer.note(format_args!("there is no {name}; the base stands as it is"));
    }
    for warning in &effective.warnings {
        printer.note(format_args!("{name}: {warning}"));
    }
    printer.line("");
    for line in table(&effective.rows()) {
        printer.line(line);
    }
    Ok(Exit::Passed)
}

/// Rules in columns: what each is called, what it says, where it was written.
fn table(rows: &[Row]) -> Vec<String> {
    let from = |row: &Row| match &row.over {
        Some(over) => format!("{}, over {over}", row.from),
        None => row.from.to_string(),
    };
    let cells = rows.iter().map(|row| [row.name.clone(), row.says.clone(), from(row)]);
    let cells: Vec<[String; 3]> = [["RULE", "SAYS", "FROM"].map(str::to_owned)].into_iter().chain(cells).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let (name, says) = (width(0), width(1));
    cells.iter().map(|[a, b, c]| format!("{a:<name$}  {b:<says$}  {c}")).collect()
}

fn update(settings: &UpdateSettings, printer: &Printer) -> Result<Exit, Failure> {
    let reference = need_to_move(&settings.reference, printer)?;
    let (cache, api, raw) = (cache(&settings.reference), network(&settings.api)?, network(&settings.reference.base)?);
    let revision = &settings.to;
    let (commit, files) = wait(async {
        let commit = resolve(&reference.repository, revision, &api).await?;
        let files = renew(&reference, &commit, &raw).await?;
        Ok((commit, files))
    })?
    .map_err(update_failure)?;
    let text = rewrite(&reference, &commit, revision, &files).map_err(update_failure)?;
    printer.line(format_args!("{} {revision} is {commit}", reference.repository));
    let name = reference.source.name();
    let Some(changes) = diff(name, reference.source.text(), &text) else {
        printer.line(format_args!("{name} says so already"));
        return Ok(Exit::Passed);
    };
    printer.text(changes);
    for file in files.iter().filter(|file| file.is_changed()) {
        contents(file, &cache, printer)?;
    }
    if settings.dry_run {
        printer.line(format_args!("{name} stays as it is (--dry-run)"));
        return Ok(Exit::Passed);
    }
    let failed = |what: &str, source: Box<dyn std::error::Error + Send + Sync>| Failure::Environment {
        what: what.to_owned(),
        source,
    };
    for file in &files {
        cache.put(&file.bytes).map_err(|error| failed("the cache cannot be used", error.into()))?;
    }
    write_whole(&settings.reference.file, text.as_bytes())
        .map_err(|error| failed("the reference cannot be written", error.into()))?;
    let changed = files.iter().filter(|file| file.is_changed()).count();
    printer.line(format_args!("{name} written; {changed} of {} files have changed", files.len()));
    Ok(Exit::Passed)
}

/// What changes in a file, where the old one is still kept.
fn contents(file: &Renewed, cache: &Cache, printer: &Printer) -> Result<(), Failure> {
    let kept = cache
        .get(&file.file.sha256.value)
        .map_err(|error| Failure::Environment { what: "the cache cannot be used".to_owned(), source: error.into() })?;
    let path = file.file.path.as_str();
    match kept.whole() {
        Some(old) => {
            let (old, new) = (String::from_utf8_lossy(&old), String::from_utf8_lossy(&file.bytes));
            printer.text(diff(path, &old, &new).unwrap_or_default());
        }
        None => printer.line(format_args!("{path} changes; the old one is not cached, so the change is not shown")),
    }
    Ok(())
}

fn update_failure(error: UpdateError) -> Failure {
    match error {
        UpdateError::NoSuchRevision { .. } | UpdateError::Text(_) => {
            Failure::Input { what: error.to_string(), source: None }
        }
        UpdateError::NoCommit { .. } | UpdateError::NoSuchFile { .. } => {
            Failure::Refused { what: error.to_string(), source: None }
        }
        UpdateError::Fetch(error) => fetch_failure(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::merge::Origin;

    #[test]
    fn rules_stand_in_columns_with_what_they_replace() {
        let origin = |line| Origin { file: "p.yaml".into(), line };
        let row =
            |name: &str, says: &str, over| Row { name: name.to_owned(), says: says.to_owned(), from: origin(2), over };
        let lines = table(&[row("a", "m <= 5", None), row("longer", "x", Some(origin(9)))]);
        assert_eq!(
            lines,
            ["RULE    SAYS    FROM", "a       m <= 5  p.yaml:2", "longer  x       p.yaml:2, over p.yaml:9"]
        );
    }
}
