//! What a command writes: the last lines for reports, all of it in a file where runs are kept, and whether it has said
//! the words that show it is at work.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::watch;

use crate::scenario::duration::Span;
use crate::sim::clock::ScenarioClock;

/// As many lines as are kept: more than any report shows.
const LINES_MAX: usize = 1000;

/// As much of a line as a report can use.
const LINE_BYTES_MAX: usize = 2000;

/// Everything that a command has written, over all its lives.
#[derive(Clone)]
pub(super) struct Output(Arc<Shared>);

struct Shared {
    clock: ScenarioClock,
    /// The words that show that the command is at work.
    sign: Option<String>,
    said: watch::Sender<bool>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    /// A line that has not ended yet.
    begun: Vec<u8>,
    file: Option<File>,
}

/// Who says something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Ours,
    Theirs,
}

impl Output {
    /// Nothing yet, on a scenario's clock. Whatever comes also goes to a file, where one is wanted.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(super) fn new(clock: ScenarioClock, sign: Option<String>, file: Option<&Path>) -> std::io::Result<Self> {
        let file = file.map(open).transpose()?;
        let kept = Mutex::new(Kept { file, ..Kept::default() });
        let said = watch::Sender::new(false);
        Ok(Self(Arc::new(Shared { clock, sign, said, kept })))
    }

    /// Reads until nobody is left who could write.
    pub(super) async fn read(self, mut pipe: pipe::Receiver) {
        let mut buffer = vec![0; 8192];
        // A pipe that breaks has been closed by the command; what came before is its output.
        while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
            self.take(&buffer[..length], Whose::Theirs);
        }
        self.end_line();
    }

    /// A word of ours, between what its lives have written.
    pub(super) fn note(&self, text: &str) {
        self.end_line();
        self.take(format!("--- {text}\n").as_bytes(), Whose::Ours);
    }

    /// Forgets that the sign was given: a new life begins.
    pub(super) fn begin(&self) {
        self.0.said.send_replace(false);
    }

    /// Waits until the sign is given.
    pub(super) async fn sign(&self) {
        let mut said = self.0.said.subscribe();
        // The sender lives as long as this.
        drop(said.wait_for(|said| *said).await);
    }

    /// The last lines, each with the time on the scenario's clock.
    pub(super) fn tail(&self, lines: usize) -> Vec<String> {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines.iter().skip(kept.lines.len().saturating_sub(lines)).cloned().collect()
    }

    fn end_line(&self) {
        let unended = !self.0.kept.lock().unwrap_or_else(PoisonError::into_inner).begun.is_empty();
        if unended {
            self.take(b"\n", Whose::Theirs);
        }
    }

    fn take(&self, bytes: &[u8], whose: Whose) {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut kept.file {
            // A disk that is full is no reason to fail a scenario.
            let _ = file.write_all(bytes);
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            kept.begun.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut kept.begun);
                if whose == Whose::Theirs {
                    self.listen(&line);
                }
                self.keep(&mut kept, &line);
            }
        }
    }

    fn listen(&self, line: &[u8]) {
        if self.0.sign.as_ref().is_some_and(|sign| String::from_utf8_lossy(line).contains(sign.as_str())) {
            self.0.said.send_replace(true);
        }
    }

    fn keep(&self, kept: &mut Kept, line: &[u8]) {
        let text = String::from_utf8_lossy(&line[..line.len().min(LINE_BYTES_MAX)]);
        if kept.lines.len() == LINES_MAX {
            kept.lines.pop_front();
        }
        let at = format!("+{}", Span(self.0.clock.elapsed()));
        kept.lines.push_back(format!("{at:>8} {}", text.trim_end()));
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    File::create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_file_has_everything_and_the_report_the_last_lines_with_their_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b.log");
        let output = Output::new(ScenarioClock::start(), Some("at work".to_owned()), Some(&path)).unwrap();
        output.note("it is not at work yet");
        output.take(b"begins\nis ", Whose::Theirs);
        tokio::time::advance(std::time::Duration::from_secs(2)).await;
        assert!(!*output.0.said.borrow(), "our own words are no sign");
        output.take(b"at work\nand di", Whose::Theirs);
        output.sign().await;
        output.note("killed");
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "--- it is not at work yet\nbegins\nis at work\nand di\n--- killed\n"
        );
        let expected = [
            "     +0s --- it is not at work yet",
            "     +0s begins",
            "     +2s is at work",
            "     +2s and di",
            "     +2s --- killed",
        ];
        assert_eq!(output.tail(10), expected);
        assert_eq!(output.tail(1), expected[4..]);
        output.begin();
        assert!(tokio::time::timeout(std::time::Duration::from_secs(1), output.sign()).await.is_err());
    }
}
