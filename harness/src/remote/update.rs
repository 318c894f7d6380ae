//! Moves the reference to another commit: looks it up, hashes its files, and rewrites what has to change in the text, so
//! that everything else in it stays as somebody wrote it.

use std::ops::Range;

use futures::{StreamExt, TryStreamExt, stream};
use http::StatusCode;
use serde_json::Value;
use similar::TextDiff;

use super::acquire::Network;
use super::fetch::{Answer, FetchError, Question};
use super::pin::{Commit, Digest, FilePath, Repository, Revision};
use super::reference::{File, Reference};
use crate::scenario::diagnostic::SourceFile;

/// The form in which GitHub says nothing but the commit.
const ACCEPT_COMMIT: &str = "application/vnd.github.sha";
/// How many files are asked for at once.
const AT_ONCE: usize = 8;
/// How many lines around a change are shown.
const CONTEXT_LINES: usize = 3;

/// Why the reference stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The repository has no such revision.
    #[error("{repository} has no `{revision}`")]
    NoSuchRevision {
        /// Whose.
        repository: Repository,
        /// What was looked up.
        revision: Revision,
    },
    /// What was looked up is not said to be a commit.
    #[error("{url} does not say which commit `{revision}` is")]
    NoCommit {
        /// Who was asked.
        url: String,
        /// What was looked up.
        revision: Revision,
    },
    /// The commit has no such file.
    #[error("{commit} has no {path}; take it out of the reference, or name the file that took its place")]
    NoSuchFile {
        /// Which commit.
        commit: Commit,
        /// Which file.
        path: FilePath,
    },
    /// The network.
    #[error("the new files were not fetched")]
    Fetch(#[source] FetchError),
    /// The text is written in a way that cannot be changed in place.
    #[error("the reference is written in a way that cannot be changed in place; change it by hand to {0}")]
    Text(Commit),
}

/// Which commit a revision is.
///
/// # Errors
/// See [`UpdateError`].
pub async fn resolve(repository: &Repository, revision: &Revision, network: &Network) -> Result<Commit, UpdateError> {
    if let Some(commit) = revision.commit() {
        return Ok(commit);
    }
    let url = network.base.commit(repository, revision);
    let answer = network.fetcher.get(Question { url: &url, etag: None, accept: ACCEPT_COMMIT }).await;
    let bytes = match answer {
        Ok(Answer::New { bytes, .. }) => bytes,
        Ok(Answer::Unchanged) => Vec::new(),
        Err(FetchError::Refused { status: StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY, .. }) => {
            return Err(UpdateError::NoSuchRevision { repository: repository.clone(), revision: revision.clone() });
        }
        Err(error) => return Err(UpdateError::Fetch(error)),
    };
    let unknown = || UpdateError::NoCommit { url: url.to_string(), revision: revision.clone() };
    commit_in(&bytes).ok_or_else(unknown)
}

/// The commit that an answer names: alone, or as the `sha` of an object.
fn commit_in(bytes: &[u8]) -> Option<Commit> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    text.parse().ok().or_else(|| serde_json::from_str::<Value>(text).ok()?["sha"].as_str()?.parse().ok())
}

/// A file as it is in the new commit.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The file as the reference has it.
    pub file: File,
    /// The new hash.
    pub sha256: Digest,
    /// The new content.
    pub bytes: Vec<u8>,
}

impl Renewed {
    /// Whether its content is another one.
    pub fn is_changed(&self) -> bool {
        self.sha256 != self.file.sha256.value
    }
}

/// Fetches every file of the reference as it is in another commit.
///
/// # Errors
/// See [`UpdateError`].
pub async fn renew(reference: &Reference, commit: &Commit, network: &Network) -> Result<Vec<Renewed>, UpdateError> {
    let files: Vec<File> = reference.files.clone();
    stream::iter(files).map(|file| renewed(reference, file, commit, network)).buffered(AT_ONCE).try_collect().await
}

async fn renewed(
    reference: &Reference,
    file: File,
    commit: &Commit,
    network: &Network,
) -> Result<Renewed, UpdateError> {
    let url = network.base.file(&reference.repository, commit, &file.path);
    match network.fetcher.get(Question { url: &url, etag: None, accept: "*/*" }).await {
        Ok(Answer::New { bytes, .. }) => Ok(Renewed { sha256: Digest::of(&bytes), file, bytes }),
        Err(FetchError::Refused { status: StatusCode::NOT_FOUND, .. }) => {
            Err(UpdateError::NoSuchFile { commit: commit.clone(), path: file.path })
        }
        Err(error) => Err(UpdateError::Fetch(error)),
        Ok(Answer::Unchanged) => Err(UpdateError::Fetch(FetchError::Refused { url, status: StatusCode::NOT_MODIFIED })),
    }
}

/// The reference's text for another commit; `revision` is noted beside it where it says more than the commit.
///
/// # Errors
/// [`UpdateError::Text`] when the new text would not be read as it should.
pub fn rewrite(
    reference: &Reference,
    commit: &Commit,
    revision: &Revision,
    files: &[Renewed],
) -> Result<String, UpdateError> {
    let text = reference.source.text();
    let mut edits: Vec<(Range<usize>, String)> =
        files.iter().map(|file| (file.file.sha256.span.clone(), file.sha256.to_string())).collect();
    edits.push((reference.commit.span.clone(), commit.to_string()));
    for (span, word) in &mut edits {
        if let Some(quote @ ('\'' | '"')) = text.get(span.clone()).and_then(|old| old.chars().next()) {
            *word = format!("{quote}{word}{quote}");
        }
    }
    edits.extend(remark(text, reference.commit.span.end, revision));
    edits.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    let mut renewed = text.to_owned();
    for (span, word) in edits {
        renewed.replace_range(span, &word);
    }
    let read = Reference::parse(SourceFile::new(reference.source.name(), renewed.clone()));
    let is_right = read.is_ok_and(|read| {
        read.commit.value == *commit
            && read.files.len() == files.len()
            && read.files.iter().zip(files).all(|(read, file)| read.sha256.value == file.sha256)
    });
    if is_right { Ok(renewed) } else { Err(UpdateError::Text(commit.clone())) }
}

/// What becomes of the remark behind the commit, which says the release for people. A commit needs none.
fn remark(text: &str, end: usize, revision: &Revision) -> Option<(Range<usize>, String)> {
    let rest = text[end..].lines().next().unwrap_or_default();
    let trimmed = rest.trim();
    if !trimmed.is_empty() && !trimmed.starts_with('#') {
        return None;
    }
    let note = if revision.commit().is_some() { String::new() } else { format!(" # {revision}") };
    Some((end..end + rest.trim_end().len(), note))
}

/// What changes between two texts; none where nothing does.
pub fn diff(name: &str, old: &str, new: &str) -> Option<String> {
    if old == new {
        return None;
    }
    let (old, new) = (printable(old), printable(new));
    let diff = TextDiff::from_lines(old.as_str(), new.as_str());
    let (before, after) = (format!("a/{name}"), format!("b/{name}"));
    Some(diff.unified_diff().context_radius(CONTEXT_LINES).header(&before, &after).to_string())
}

/// A text of elsewhere that cannot speak to a terminal.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::reference::tests::OURS;

    const NEW: &str = "631fe440da2e71d2c229919e5b429ea2ec03dfda";

    fn rewritten(text: &str, revision: &str) -> String {
        let reference = Reference::parse(SourceFile::new("r.yaml", text.to_owned())).unwrap();
        let files: Vec<Renewed> = reference
            .files
            .iter()
            .map(|file| Renewed {
                file: file.clone(),
                sha256: Digest::of(file.path.as_str().as_bytes()),
                bytes: file.path.as_str().as_bytes().to_vec(),
            })
            .collect();
        let commit = NEW.parse().unwrap();
        rewrite(&reference, &commit, &revision.parse().unwrap(), &files).unwrap()
    }

    #[test]
    fn only_the_commit_its_remark_and_the_hashes_change() {
        let new = rewritten(OURS, "v1.7.0");
        assert!(new.contains(&format!("commit: {NEW} # v1.7.0\n")));
        let differing: Vec<(&str, &str)> = OURS.lines().zip(new.lines()).filter(|(old, new)| old != new).collect();
        assert_eq!(differing.len(), 1 + 5, "{differing:#?}");
        assert!(differing[1..].iter().all(|(old, _)| old.trim().starts_with("sha256: ")));
        assert!(rewritten(OURS, NEW).contains(&format!("commit: {NEW}\n")), "a commit needs no remark");
        let bare = OURS.replace(" # v1.7.1", "");
        assert!(rewritten(&bare, "v1.7.0").contains(&format!("commit: {NEW} # v1.7.0\n")));
        let quoted =
            OURS.replace("0897b4b4b92df1e9d2bc6ab6b8d99031d5221b7c", "'0897b4b4b92df1e9d2bc6ab6b8d99031d5221b7c'");
        assert!(rewritten(&quoted, "v1.7.0").contains(&format!("commit: '{NEW}' # v1.7.0\n")));
    }

    #[test]
    fn an_answer_names_a_commit_or_none() {
        assert_eq!(commit_in(NEW.as_bytes()).unwrap().as_str(), NEW);
        assert_eq!(commit_in(format!("{{\"sha\": \"{NEW}\"}}").as_bytes()).unwrap().as_str(), NEW);
        for none in [&b"main"[..], b"{}", b"{\"sha\": \"abc\"}", b"\xff", b""] {
            assert_eq!(commit_in(none), None);
        }
    }

    #[test]
    fn what_is_shown_of_a_foreign_file_cannot_speak_to_a_terminal() {
        assert_eq!(diff("x", "a\n", "a\n"), None);
        let shown = diff("x", "a\n", "\u{1b}[31mb\n").unwrap();
        assert!(shown.contains("--- a/x\n+++ b/x\n") && !shown.contains('\u{1b}'), "{shown}");
    }
}
