//! The only place that prints: standard output for what was asked for, standard error for what went wrong.
//!
//! Colours appear only where they can be seen (`NO_COLOR`, `CLICOLOR_FORCE` and a pipe are respected). A reader that
//! closes the pipe early is no error.

use std::error::Error;
use std::fmt::Display;
use std::io::{IsTerminal, Write};

use owo_colors::OwoColorize;

use super::commands::Failure;

/// Writes to the process's standard streams.
#[derive(Debug)]
pub struct Printer {
    terminal: bool,
    width: Option<usize>,
}

impl Printer {
    /// The printer of this process.
    pub fn standard() -> Self {
        let width = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
        let terminal = std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
        Self { terminal, width: width.filter(|columns| *columns > 0) }
    }

    /// How many columns there are, where somebody watches; files and logs have as many as it takes.
    pub fn width(&self) -> Option<usize> {
        self.width
    }

    /// Whether a person watches: progress is drawn only then.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether colours will be seen on standard error.
    pub fn colours_errors(&self) -> bool {
        anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
    }

    /// Whether colours will be seen on standard output.
    pub fn colours(&self) -> bool {
        anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
    }

    /// One line of what was asked for.
    pub fn line(&self, text: impl Display) {
        drop(writeln!(anstream::stdout().lock(), "{text}"));
    }

    /// Text of what was asked for, as it is.
    pub fn text(&self, text: impl Display) {
        let mut out = anstream::stdout().lock();
        drop(write!(out, "{text}").and_then(|()| out.flush()));
    }

    /// One line beside what was asked for: a remark, a warning.
    pub fn note(&self, text: impl Display) {
        drop(writeln!(anstream::stderr().lock(), "{text}"));
    }

    /// What clap has to say: an error of usage, or the help that was asked for.
    pub fn usage(&self, error: &clap::Error) {
        drop(error.print());
    }

    /// An error with everything that caused it.
    pub fn failure(&self, failure: &Failure) {
        let mut out = anstream::stderr().lock();
        drop(writeln!(out, "{} {failure}", "error:".red().bold()));
        let mut source = failure.source();
        while let Some(cause) = source {
            drop(writeln!(out, "  {} {cause}", "caused by:".dimmed()));
            source = cause.source();
        }
    }
}
