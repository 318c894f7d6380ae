//! Images of this checkout for k3s's nodes: built by the engine's own command, and saved as an archive.
//!
//! The command and not the engine's API: the Containerfile keeps caches between builds, which takes the newer of the
//! engine's builders, and whoever has that has the command.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::K3sError;
use crate::temporary::Directory;

/// What the images are built from, seen from the checkout's root.
pub(super) const CONTAINERFILE: &str = "operator/deploy/Containerfile";

/// The targets that it has, and what scenarios call them: the operator's settings name its agent so unless told otherwise.
const IMAGES: [(&str, &str); 2] = [("agent", "multinic-agent:latest"), ("operator", "slipway-operator:latest")];

/// As many of a build's last lines as an error shows.
const LINES: usize = 15;

/// An archive of images, until this is dropped.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) archive: PathBuf,
    directory: Directory,
}

impl Built {
    /// Removes it.
    pub(super) fn close(self) -> std::io::Result<()> {
        self.directory.close()
    }
}

/// Builds the images of the checkout that the current directory is the root of.
///
/// # Errors
/// It is none, there is no command to build with, or a build fails.
pub(super) async fn build(stop: &CancellationToken, tell: &(dyn Fn(&str) + Sync)) -> Result<Built, K3sError> {
    if !Path::new(CONTAINERFILE).is_file() {
        return Err(K3sError::NoContainerfile);
    }
    let directory = Directory::new("images").map_err(K3sError::Directory)?;
    let archive = directory.path().join("built.tar");
    for (target, tag) in IMAGES {
        tell(&format!("k3s: building {tag}"));
        docker(&format!("build the image {tag}"), &arguments(target, tag), stop).await?;
    }
    let file = archive.to_string_lossy();
    let save = ["save", "--output", &file].into_iter().chain(IMAGES.map(|(_, tag)| tag));
    docker("save the images", &save.map(str::to_owned).collect::<Vec<_>>(), stop).await?;
    Ok(Built { archive, directory })
}

fn arguments(target: &str, tag: &str) -> Vec<String> {
    ["build", "--file", CONTAINERFILE, "--target", target, "--tag", tag, "."].map(str::to_owned).to_vec()
}

async fn docker(what: &str, arguments: &[String], stop: &CancellationToken) -> Result<(), K3sError> {
    let mut command = Command::new("docker");
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let done = tokio::select! {
        done = command.output() => done.map_err(K3sError::NoCommand)?,
        () = stop.cancelled() => return Err(K3sError::Interrupted),
    };
    if done.status.success() {
        return Ok(());
    }
    let log = last_lines(&String::from_utf8_lossy(&done.stdout), &String::from_utf8_lossy(&done.stderr));
    Err(K3sError::Build { what: what.to_owned(), status: done.status, log })
}

/// What was said last, complaints at the end.
fn last_lines(output: &str, complaint: &str) -> Vec<String> {
    let said = output.lines().chain(complaint.lines()).map(str::trim_end).filter(|line| !line.is_empty());
    let said: Vec<String> = said.map(str::to_owned).collect();
    said.get(said.len().saturating_sub(LINES)..).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_fails_is_shown_with_its_last_lines_and_not_with_all() {
        let output = (0..40).map(|number| format!("step {number}")).collect::<Vec<_>>().join("\n");
        let said = last_lines(&output, "\nno such file\n");
        assert_eq!((said.len(), said[0].as_str(), said[LINES - 1].as_str()), (LINES, "step 26", "no such file"));
        assert_eq!(last_lines("", ""), Vec::<String>::new());
    }
}
