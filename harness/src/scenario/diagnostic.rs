//! What is wrong with a file somebody wrote: a message, the place, and the nearest right word.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

/// How different a word may be and still be taken for a misspelling: strsim's Jaro–Winkler similarity.
const LEAST_SIMILARITY: f64 = 0.75;

/// The width reports are wrapped to, so that they read the same everywhere.
const REPORT_WIDTH: usize = 120;

/// A file that was read.
#[derive(Clone, Debug)]
pub struct SourceFile {
    source: Arc<NamedSource<String>>,
}

impl SourceFile {
    /// A file by the name to show it under.
    pub fn new(name: impl AsRef<str>, text: String) -> Self {
        Self { source: Arc::new(NamedSource::new(name, text).with_language("yaml")) }
    }

    /// The name it is shown under.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// Its text.
    pub fn text(&self) -> &str {
        self.source.inner()
    }

    /// Line and column of a byte, both from 1, the column in characters.
    pub fn position(&self, byte: usize) -> Position {
        let before = self.text().get(..byte).unwrap_or(self.text());
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

/// A line and a column, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

/// A place in a file.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file.
    pub file: SourceFile,
    /// The bytes.
    pub span: Range<usize>,
}

impl Place {
    /// Where the place begins.
    pub fn position(&self) -> Position {
        self.file.position(self.span.start)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position();
        write!(f, "{}:{line}:{column}", self.file.name())
    }
}

/// Something wrong with a file.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What is wrong: a lowercase fragment.
    pub message: String,
    /// Where; none when the file could not be read at all.
    pub place: Option<Place>,
    /// What stands at that place, said beside it.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// A problem at a place.
    pub fn at(file: &SourceFile, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: Some(Place { file: file.clone(), span }),
            label: "here".to_owned(),
            help: None,
        }
    }

    /// A problem that has no place in a file.
    pub fn nowhere(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, label: String::new(), help: None }
    }

    /// With the words beside the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With advice on a word that is none of `known`: the nearest of them, or all.
    #[must_use]
    pub fn nearest<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(word, known) {
            Some(advice) => self.help(advice),
            None => self,
        }
    }

    /// The report with an excerpt of the source, as a person reads it.
    pub fn render(&self, colours: bool) -> String {
        let theme = if colours { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(REPORT_WIDTH).with_links(false);
        let mut out = String::new();
        match handler.render_report(&mut out, &Excerpt(self)) {
            Ok(()) => out,
            // The handler fails only when the formatter does; the message alone still says what is wrong.
            Err(fmt::Error) => format!("{self}\n"),
        }
    }
}

/// "did you mean …?", or which words there are.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    let lower = word.to_lowercase();
    let (similarity, best) = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), *candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(if similarity >= LEAST_SIMILARITY {
        format!("did you mean `{best}`?")
    } else {
        let words: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
        format!("known are {}", words.join(", "))
    })
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Problem {}

/// A problem whose place is shown by an excerpt, and so not said in the message.
#[derive(Debug)]
struct Excerpt<'a>(&'a Problem);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Excerpt<'_> {}

impl Diagnostic for Excerpt<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.place.as_ref().map(|place| &*place.file.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.0.place.as_ref()?;
        // A long block is named by its first line: the excerpt is to show the place, not the file.
        let text = place.file.text().get(place.span.clone()).unwrap_or_default();
        let first_line = text.find('\n').unwrap_or(text.len());
        let span = place.span.start..place.span.start + first_line;
        let label = LabeledSpan::new_primary_with_span(Some(self.0.label.clone()), span);
        Some(Box::new(std::iter::once(label)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_gets_the_nearest_right_one_and_a_wild_one_gets_the_list() {
        let known = ["expect", "expectGone", "never"];
        assert_eq!(nearest("expct", known).as_deref(), Some("did you mean `expect`?"));
        assert_eq!(nearest("ExpectGnoe", known).as_deref(), Some("did you mean `expectGone`?"));
        assert_eq!(nearest("zzz", known).as_deref(), Some("known are `expect`, `expectGone`, `never`"));
        assert_eq!(nearest("zzz", []), None);
    }

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let file = SourceFile::new("f.yaml", "a: é\nbb: x\n".to_owned());
        assert_eq!(file.position(0), Position { line: 1, column: 1 });
        assert_eq!(file.position(5), Position { line: 1, column: 5 });
        assert_eq!(file.position(10), Position { line: 2, column: 5 });
    }
}
