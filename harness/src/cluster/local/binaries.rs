//! Where the programs of a control plane are. Pure, but for looking whether a file is there.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Where the environment says programs may be.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// `KUBEBUILDER_ASSETS`: where `setup-envtest` puts them.
    pub assets: Option<PathBuf>,
    /// `PATH`.
    pub path: Option<std::ffi::OsString>,
}

/// A program of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// What the API server keeps its objects in.
    Etcd,
    /// The API server.
    ApiServer,
    /// The controllers.
    ControllerManager,
    /// The scheduler.
    Scheduler,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        })
    }
}

/// The programs that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// `etcd`.
    pub etcd: PathBuf,
    /// `kube-apiserver`.
    pub api_server: PathBuf,
    /// `kube-controller-manager`, where there is one.
    pub controller_manager: Option<PathBuf>,
    /// `kube-scheduler`, where there is one.
    pub scheduler: Option<PathBuf>,
}

/// A program that is needed and was not found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "there is no {program} in {}; \
     `setup-envtest use -p path` fetches one and prints the directory that KUBEBUILDER_ASSETS is to name", looked.join(" or ")
)]
pub struct Missing {
    /// Which.
    pub program: Program,
    /// Where it was looked for.
    pub looked: Vec<String>,
}

/// Finds the programs: those of `KUBEBUILDER_ASSETS` before those of `PATH`.
///
/// # Errors
/// [`Missing`] for etcd and the API server; without the others this process does what they do.
pub fn find(places: &Places) -> Result<Binaries, Missing> {
    let needed = |program| find_one(places, program).ok_or_else(|| Missing { program, looked: looked(places) });
    Ok(Binaries {
        etcd: needed(Program::Etcd)?,
        api_server: needed(Program::ApiServer)?,
        controller_manager: find_one(places, Program::ControllerManager),
        scheduler: find_one(places, Program::Scheduler),
    })
}

fn find_one(places: &Places, program: Program) -> Option<PathBuf> {
    let name = program.to_string();
    let on_path = places.path.as_deref().map(std::env::split_paths).into_iter().flatten();
    places.assets.iter().cloned().chain(on_path).map(|directory| directory.join(&name)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn looked(places: &Places) -> Vec<String> {
    let assets = places.assets.as_ref().map_or_else(
        || "KUBEBUILDER_ASSETS (which is not set)".to_owned(),
        |assets| format!("KUBEBUILDER_ASSETS ({})", assets.display()),
    );
    let path = places.path.as_deref().is_some_and(|path| path != OsStr::new(""));
    vec![assets, if path { "PATH".to_owned() } else { "PATH (which is empty)".to_owned() }]
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};

    use super::*;

    fn program(directory: &Path, name: &str, mode: u32) {
        let file = directory.join(name);
        File::create(&file).unwrap();
        fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_kubebuilder_brought_is_taken_before_what_is_on_the_path() {
        let (assets, path) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        program(assets.path(), "kube-apiserver", 0o755);
        for name in ["kube-apiserver", "etcd", "kube-scheduler"] {
            program(path.path(), name, 0o755);
        }
        // A file that cannot be run is no program.
        program(path.path(), "kube-controller-manager", 0o644);
        let places = Places { assets: Some(assets.path().to_owned()), path: Some(path.path().as_os_str().to_owned()) };
        let found = find(&places).unwrap();
        assert_eq!(found.api_server, assets.path().join("kube-apiserver"));
        assert_eq!(found.etcd, path.path().join("etcd"));
        assert_eq!((found.controller_manager, found.scheduler), (None, Some(path.path().join("kube-scheduler"))));
    }

    #[test]
    fn a_missing_program_says_where_it_was_looked_for_and_how_to_get_it() {
        let empty = tempfile::tempdir().unwrap();
        let places = Places { assets: Some(empty.path().to_owned()), path: None };
        let missing = find(&places).unwrap_err().to_string();
        for part in ["no etcd", &format!("KUBEBUILDER_ASSETS ({})", empty.path().display()), "PATH", "setup-envtest"] {
            assert!(missing.contains(part), "{missing} lacks {part}");
        }
        program(empty.path(), "etcd", 0o755);
        assert_eq!(find(&places).unwrap_err().program, Program::ApiServer);
    }
}
