//! Where the reference's files came from, as a measurement says it.

use std::collections::BTreeMap;
use std::fmt;

use super::acquire::{Got, Way, source};
use super::pin::{Commit, Repository};
use super::reference::Reference;

/// Where files came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The network, this time.
    Network,
    /// The cache.
    Cache,
    /// This program, since neither had them.
    BuiltIn,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Network => "network",
            Self::Cache => "cache",
            Self::BuiltIn => "built-in",
        })
    }
}

/// Which reference was used, and where its files came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Whose files.
    pub repository: Repository,
    /// Of which commit.
    pub commit: Commit,
    /// Where they came from.
    pub source: Source,
    /// Why not from the network, where it was asked in vain.
    pub trouble: Option<String>,
}

impl Provenance {
    /// Of files that were got.
    pub fn of(reference: &Reference, got: &[Got]) -> Self {
        let trouble = got.iter().find_map(|got| match &got.way {
            Way::Unreachable(error) => Some(error.to_string()),
            _ => None,
        });
        Self {
            repository: reference.repository.clone(),
            commit: reference.commit.value.clone(),
            source: source(got),
            trouble,
        }
    }

    /// The tags of a summary that say so. They are texts, which every reader of the format takes.
    pub fn tags(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("slint_reference".to_owned(), format!("{}@{}", self.repository, self.commit)),
            ("slint_reference_source".to_owned(), self.source.to_string()),
        ])
    }

    /// What is to be said about it; nothing where the files are those of the reference and nobody failed to answer.
    pub fn warning(&self) -> Option<String> {
        let reference = format!("{}@{}", self.repository, self.commit.short());
        let why = self.trouble.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        match (self.source, &self.trouble) {
            (Source::BuiltIn, _) => Some(format!(
                "{reference} is neither cached nor fetched, so the built-in base policy stands in for its own{why}"
            )),
            (Source::Cache, Some(_)) => Some(format!("{reference} comes from the cache{why}")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_says_where_its_reference_came_from() {
        let with = |source, trouble: Option<&str>| Provenance {
            repository: "o/r".parse().unwrap(),
            commit: "0897b4b4b92df1e9d2bc6ab6b8d99031d5221b7c".parse().unwrap(),
            source,
            trouble: trouble.map(str::to_owned),
        };
        assert_eq!(with(Source::Network, None).tags()["slint_reference_source"], "network");
        assert_eq!(
            with(Source::BuiltIn, None).tags()["slint_reference"],
            "o/r@0897b4b4b92df1e9d2bc6ab6b8d99031d5221b7c"
        );
        assert_eq!(with(Source::Network, None).warning(), None);
        assert_eq!(with(Source::Cache, None).warning(), None, "nobody wanted the network");
        let cached = with(Source::Cache, Some("no route")).warning().unwrap();
        assert_eq!(cached, "o/r@0897b4b4b92d comes from the cache: no route");
        assert!(with(Source::BuiltIn, None).warning().unwrap().contains("built-in"));
    }
}
