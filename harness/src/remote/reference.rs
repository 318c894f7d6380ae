//! The reference as a file, `slint/remote.yaml`: which files of which commit of which repository, with what hash and for
//! what use. Every complaint about it names a line, a column and the nearest right word.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::pin::{Commit, CommitError, Digest, FilePath, Repository};
use crate::scenario::diagnostic::{Problem, SourceFile};
use crate::scenario::tree::{self, Entry, Kind, Node};

/// Where the reference is looked for.
pub const FILE: &str = "slint/remote.yaml";

const API_VERSION: &str = "slipway.dev/v1alpha1";
const KIND: &str = "SlintReference";
const KEYS: [&str; 5] = ["apiVersion", "kind", "repository", "commit", "files"];
const FILE_KEYS: [&str; 3] = ["path", "use", "sha256"];
/// More files than anybody refers to one by one.
const FILES_MAX: usize = 64;

/// A value and its bytes in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// What it is.
    pub value: T,
    /// Where it stands.
    pub span: Range<usize>,
}

/// What is taken from elsewhere.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The file it was read from.
    pub source: SourceFile,
    /// Whose files.
    pub repository: Repository,
    /// Of which commit.
    pub commit: Placed<Commit>,
    /// The files, in the order they were written; one of them is the base policy.
    pub files: Vec<File>,
}

/// One of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it is in the repository.
    pub path: FilePath,
    /// What it is used for.
    pub used: Use,
    /// The hash it must have.
    pub sha256: Placed<Digest>,
}

/// What a file is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    /// The policy that ours is laid over.
    BasePolicy,
    /// A policy to learn from.
    ExamplePolicy,
    /// A measurement to learn from.
    ExampleSummary,
    /// A measurement that others are compared with, to learn from.
    ExampleBaseline,
}

impl Use {
    const ALL: [Self; 4] = [Self::BasePolicy, Self::ExamplePolicy, Self::ExampleSummary, Self::ExampleBaseline];

    /// What such a file is.
    pub fn noun(self) -> &'static str {
        match self {
            Self::BasePolicy | Self::ExamplePolicy => "policy",
            Self::ExampleSummary | Self::ExampleBaseline => "measurement",
        }
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BasePolicy => "base-policy",
            Self::ExamplePolicy => "example-policy",
            Self::ExampleSummary => "example-summary",
            Self::ExampleBaseline => "example-baseline",
        }
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Reference {
    /// Reads a reference.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of its places.
    pub fn parse(source: SourceFile) -> Result<Self, Vec<Problem>> {
        Self::read(source, Pins::Needed)
    }

    /// Reads a reference that is about to be moved: whatever stands for the commit and the hashes is to be replaced, so
    /// it may be a tag, or a word that holds the place of a new file's hash.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_to_move(source: SourceFile) -> Result<Self, Vec<Problem>> {
        Self::read(source, Pins::ToCome)
    }

    fn read(source: SourceFile, pins: Pins) -> Result<Self, Vec<Problem>> {
        let documents = tree::parse(source.text())
            .map_err(|error| vec![Problem::at(&source, error.span, format!("this is no YAML: {}", error.message))])?;
        let [root] = documents.as_slice() else {
            let place = documents.get(1).map_or(0..0, |second| second.span.clone());
            return Err(vec![Problem::at(&source, place, "a reference is one YAML document")]);
        };
        let mut reader = Reader { source: &source, pins, problems: Vec::new() };
        let read = reader.reference(root);
        let mut problems = reader.problems;
        match read {
            Some(read) if problems.is_empty() => Ok(Self { source, ..read }),
            _ => {
                problems.sort_by_key(|problem| problem.place.as_ref().map_or(0, |place| place.span.start));
                Err(problems)
            }
        }
    }

    /// The file that ours is laid over.
    pub fn base_policy(&self) -> Option<&File> {
        self.files.iter().find(|file| file.used == Use::BasePolicy)
    }

    /// The same, of the base policy alone.
    #[must_use]
    pub fn of_base_policy(&self) -> Self {
        Self { files: self.base_policy().cloned().into_iter().collect(), ..self.clone() }
    }

    /// How it is called where a file of it is named.
    pub fn label(&self) -> String {
        format!("{}@{}", self.repository, self.commit.value.short())
    }
}

/// Whether commit and hashes must be there already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pins {
    Needed,
    ToCome,
}

/// Reads on after a problem, so that all of them are told at once.
struct Reader<'a> {
    source: &'a SourceFile,
    pins: Pins,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.problems.push(self.at(span, message));
    }

    fn at(&self, span: &Range<usize>, message: impl Into<String>) -> Problem {
        Problem::at(self.source, span.clone(), message)
    }

    fn reference(&mut self, root: &Node) -> Option<Reference> {
        let found = self.fields(root, "a reference", KEYS)?;
        let [version, kind, repository, commit, files] = found;
        for (node, expected) in [(version, API_VERSION), (kind, KIND)] {
            if let Some(node) = node
                && node.text() != Some(expected)
            {
                self.problem(&node.span, format!("this should be `{expected}`, and is {}", node.describe()));
            }
        }
        let repository = repository.and_then(|node| self.word::<Repository>(node));
        let commit = commit.and_then(|node| self.commit(node));
        let files = files.and_then(|node| self.files(node));
        version.and(kind)?;
        Some(Reference { source: self.source.clone(), repository: repository?.value, commit: commit?, files: files? })
    }

    /// The values of a map's keys; complains about keys that are missing and keys that there are not.
    fn fields<'n, const N: usize>(
        &mut self,
        node: &'n Node,
        what: &str,
        keys: [&str; N],
    ) -> Option<[Option<&'n Node>; N]> {
        let Kind::Map(entries) = &node.kind else {
            self.problem(&node.span, format!("{what} is a map, and this is {}", node.describe()));
            return None;
        };
        for Entry { key, key_span, .. } in entries {
            if !keys.contains(&key.as_str()) {
                let problem = self.at(key_span, format!("{what} has no field `{key}`"));
                self.problems.push(problem.nearest(key, keys));
            }
        }
        for key in keys {
            if node.get(key).is_none() {
                self.problems.push(self.at(&node.span, format!("{what} needs `{key}`")).label("in here"));
            }
        }
        Some(keys.map(|key| node.get(key)))
    }

    /// What was written, also where YAML takes it for a number.
    fn written<'n>(&mut self, node: &'n Node) -> Option<&'n str>
    where
        Self: 'n,
    {
        if let Kind::Text(text) = &node.kind {
            return Some(text);
        }
        let problem = self.at(&node.span, format!("this should be a text, and is {}", node.describe()));
        self.problems.push(problem.help("write it in quotes"));
        None
    }

    fn word<T: FromStr<Err: fmt::Display>>(&mut self, node: &Node) -> Option<Placed<T>> {
        match self.written(node)?.parse() {
            Ok(value) => Some(Placed { value, span: node.span.clone() }),
            Err(error) => {
                self.problem(&node.span, error.to_string());
                None
            }
        }
    }

    /// What stands in for a pin that is to come, wherever something stands for it.
    fn to_come<T>(&self, node: &Node, known: Option<T>, unknown: T) -> Option<Placed<T>> {
        let is_word = !matches!(node.kind, Kind::Map(_) | Kind::List(_) | Kind::Null);
        (self.pins == Pins::ToCome && is_word)
            .then(|| Placed { value: known.unwrap_or(unknown), span: node.span.clone() })
    }

    fn digest(&mut self, node: &Node) -> Option<Placed<Digest>> {
        let known = node.text().and_then(|text| text.parse().ok());
        self.to_come(node, known, Digest::unknown()).or_else(|| self.word(node))
    }

    fn commit(&mut self, node: &Node) -> Option<Placed<Commit>> {
        let known = node.text().and_then(|text| text.parse().ok());
        if let Some(placed) = self.to_come(node, known, Commit::unknown()) {
            return Some(placed);
        }
        let text = self.written(node)?;
        match text.parse() {
            Ok(value) => Some(Placed { value, span: node.span.clone() }),
            Err(error @ (CommitError::Short { .. } | CommitError::Moving { .. })) => {
                let help = format!("`slipway slint update --to {text}` writes the commit that it is now");
                self.problems.push(self.at(&node.span, error.to_string()).help(help));
                None
            }
        }
    }

    fn files(&mut self, node: &Node) -> Option<Vec<File>> {
        let Kind::List(items) = &node.kind else {
            self.problem(&node.span, format!("`files` is a list, and this is {}", node.describe()));
            return None;
        };
        if items.len() > FILES_MAX {
            self.problem(&node.span, format!("these are {} files; {FILES_MAX} are the most", items.len()));
            return None;
        }
        let mut files: Vec<File> = Vec::new();
        for item in items {
            let Some(file) = self.file(item) else { continue };
            if files.iter().any(|other| other.path == file.path) {
                self.problem(&item.span, format!("`{}` is listed twice", file.path));
            }
            if file.used == Use::BasePolicy && files.iter().any(|other| other.used == Use::BasePolicy) {
                self.problem(&item.span, "there is one base policy, and this is a second");
            }
            files.push(file);
        }
        if self.problems.is_empty() && !files.iter().any(|file| file.used == Use::BasePolicy) {
            self.problem(&node.span, "one of the files must be the base policy: `use: base-policy`");
        }
        Some(files)
    }

    fn file(&mut self, node: &Node) -> Option<File> {
        let [path, used, sha256] = self.fields(node, "a file", FILE_KEYS)?;
        let path = path.and_then(|node| self.word::<FilePath>(node));
        let sha256 = sha256.and_then(|node| self.digest(node));
        let used = used.and_then(|node| {
            let word = self.written(node)?;
            let known = Use::ALL.into_iter().find(|known| known.as_str() == word);
            if known.is_none() {
                let problem = self.at(&node.span, format!("nothing is used for `{word}`"));
                self.problems.push(problem.nearest(word, Use::ALL.map(Use::as_str)));
            }
            known
        });
        Some(File { path: path?.value, used: used?, sha256: sha256? })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const OURS: &str = include_str!("../../../slint/remote.yaml");

    fn complaints(text: &str) -> Vec<String> {
        let problems = Reference::parse(SourceFile::new("r.yaml", text.to_owned())).unwrap_err();
        let told = |problem: &Problem| match &problem.help {
            Some(help) => format!("{problem} ({help})"),
            None => problem.to_string(),
        };
        problems.iter().map(told).collect()
    }

    #[test]
    fn the_reference_we_ship_pins_files_of_one_commit() {
        let reference = Reference::parse(SourceFile::new(FILE, OURS.to_owned())).unwrap();
        assert_eq!(reference.label(), "HeaInSeo/kube-slint@0897b4b4b92d");
        assert_eq!(reference.files.len(), 5);
        let base = reference.base_policy().unwrap();
        assert_eq!(base.path.as_str(), ".slint/policy.yaml");
        assert_eq!(&OURS[base.sha256.span.clone()], base.sha256.value.as_str());
        assert_eq!(&OURS[reference.commit.span.clone()], reference.commit.value.as_str());
        assert_eq!(reference.of_base_policy().files.len(), 1);
    }

    #[test]
    fn what_can_move_is_refused_and_the_way_out_is_said() {
        let commit = "0897b4b4b92df1e9d2bc6ab6b8d99031d5221b7c";
        assert_eq!(
            complaints(&OURS.replace(commit, "main")),
            [
                "r.yaml:6:9: `main` is no full commit of 40 digits; a branch or a tag can be moved (`slipway slint update \
              --to main` writes the commit that it is now)"
            ]
        );
        let short = complaints(&OURS.replace(commit, "0897b4b"));
        assert!(short[0].starts_with("r.yaml:6:9: `0897b4b` is a short commit, 7 of 40 digits"), "{short:?}");
        let number = complaints(&OURS.replace(commit, "12345678"));
        assert!(number[0].contains("write it in quotes"), "{number:?}");
    }

    #[test]
    fn a_reference_that_is_to_be_moved_needs_no_pins_yet() {
        let text = OURS
            .replace("0897b4b4b92df1e9d2bc6ab6b8d99031d5221b7c", "1234567")
            .replace("fcebaad390b0280173c25d41bd81f08f29a8ee5996ac7f93a561bbd387757b37", "new");
        let source = || SourceFile::new("r.yaml", text.clone());
        assert_eq!(Reference::parse(source()).unwrap_err().len(), 2);
        let reference = Reference::parse_to_move(source()).unwrap();
        assert_eq!(reference.commit.value, Commit::unknown());
        assert_eq!(reference.files[0].sha256.value, Digest::unknown());
        assert_eq!(&text[reference.commit.span.clone()], "1234567");
        assert!(reference.files[1].sha256.value != Digest::unknown());
        let bad = OURS.replace("use: base-policy", "use: nothing");
        assert!(Reference::parse_to_move(SourceFile::new("r.yaml", bad)).is_err(), "everything else must be right");
    }

    #[test]
    fn every_mistake_is_told_with_its_place_and_the_nearest_right_word() {
        for (wrong, right, expected) in [
            ("comit:", "commit:", "r.yaml:6:1: a reference has no field `comit` (did you mean `commit`?)"),
            (
                "use: base-polcy",
                "use: base-policy",
                "r.yaml:10:10: nothing is used for `base-polcy` (did you mean `base-policy`?)",
            ),
            (
                "path: ../policy.yaml",
                "path: .slint/policy.yaml",
                "r.yaml:9:11: `../policy.yaml` leads out of the repository",
            ),
            (
                "repository: kube-slint",
                "repository: HeaInSeo/kube-slint",
                "r.yaml:5:13: `kube-slint` names no repository",
            ),
            ("kind: Scenario", "kind: SlintReference", "r.yaml:4:7: this should be `SlintReference`"),
            (
                "sha256: fce",
                "sha256: fcebaad390b0280173c25d41bd81f08f29a8ee5996ac7f93a561bbd387757b37",
                "r.yaml:11:13: `fce` is no SHA-256",
            ),
            ("use: example-policy\n    hash: x", "use: base-policy", "r.yaml:11:5: a file has no field `hash`"),
            (
                "path: .slint/policy.yaml",
                "path: .slint/policy.example.yaml",
                "r.yaml:13:5: `.slint/policy.yaml` is listed twice",
            ),
            ("use: example-policy", "use: base-policy", "r.yaml:9:3: one of the files must be the base policy"),
        ] {
            let text = OURS.replacen(right, wrong, 1);
            assert_ne!(text, OURS, "{right}");
            let complaints = complaints(&text);
            assert!(complaints.iter().any(|complaint| complaint.starts_with(expected)), "{expected}: {complaints:#?}");
        }
        assert!(complaints("")[0].contains("one YAML document"));
        assert!(complaints("files: [")[0].contains("no YAML"));
        assert_eq!(complaints("{}").len(), KEYS.len(), "each field that is missing");
        assert!(complaints("- a")[0].contains("is a map"));
    }
}
