//! Images that need no download: busybox, this build's `slipway` with its libraries, and `k3s.sh` in the place of k3s.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use libtest_mimic::Failed;

use super::engine::{self, docker};

/// The name of all of them; tags tell them apart, and those of one test process from another's.
const NAME: &str = "slipway-test/k3s";

/// What `k3s.sh` is written in, and what nodes are asked with.
const APPLETS: [&str; 12] = ["sh", "sleep", "sed", "mkdir", "mv", "chmod", "kill", "cat", "wget", "stat", "ls", "grep"];

/// Why no image can be made, if none can.
pub(super) fn lacking() -> Option<String> {
    let version = docker(&["version", "--format", "{{.Server.Version}}"]);
    if let Err(why) = version {
        return Some(format!("there is no Docker engine: {}", why.message().unwrap_or_default()));
    }
    let missing = ["busybox", "ldd", "tar"].into_iter().find(|program| which(program).is_none());
    let missing = missing.map(|program| format!("{program} is not to be had"));
    // Only without libraries it runs in an image that has none.
    missing.or_else(|| {
        ldd(&which("busybox")?).ok().filter(|it| !it.is_empty()).map(|_| "busybox is not static".to_owned())
    })
}

/// Why there can be no real nodes, if there can be none.
pub(super) fn lacking_for_nodes() -> Option<String> {
    lacking().or_else(|| which("ip").is_none().then(|| "ip (iproute2) is not to be had".to_owned())).or_else(|| {
        engine::socket().is_none().then(|| "the Docker engine is not at a socket of this machine".to_owned())
    })
}

/// An image whose `k3s` behaves like this (see `k3s.sh`), with a label by which its containers are found.
pub(super) fn of(behaviour: &str, label: &str) -> Result<String, Failed> {
    static BASE: OnceLock<Result<String, String>> = OnceLock::new();
    let base = BASE.get_or_init(|| base().map_err(|error| error.message().unwrap_or_default().to_owned()));
    let base = base.as_deref().map_err(|error| Failed::from(error.to_owned()))?;
    let tag = format!("{NAME}:{label}-{}", std::process::id());
    let container = docker(&["create", base, "k3s"])?;
    let changes = [format!("ENV K3S_TEST={behaviour}"), format!("LABEL slipway-test={label}-{}", std::process::id())];
    let made = docker(&["commit", "--change", &changes[0], "--change", &changes[1], &container, &tag]);
    docker(&["rm", "--force", &container])?;
    made.map(|_| tag)
}

/// Removes what was made.
pub(super) fn remove_all() {
    let mine = format!("-{}", std::process::id());
    let images = docker(&["images", NAME, "--format", "{{.Repository}}:{{.Tag}}"]).unwrap_or_default();
    for image in images.lines().filter(|image| image.ends_with(&mine)) {
        // What cannot be removed is the engine's to tell.
        let _ = docker(&["rmi", "--force", image]);
    }
}

fn base() -> Result<String, Failed> {
    let root = tempfile::tempdir()?;
    let inside = |path: &str| root.path().join(path.trim_start_matches('/'));
    for directory in ["bin", "tmp", "etc", "var"] {
        fs::create_dir_all(inside(directory))?;
    }
    fs::set_permissions(inside("tmp"), fs::Permissions::from_mode(0o1777))?;
    fs::copy(which("busybox").ok_or("there is no busybox")?, inside("bin/busybox"))?;
    for applet in APPLETS {
        symlink("busybox", inside(&format!("bin/{applet}")))?;
    }
    let ip = which("ip").map(|ip| (ip, "bin/ip"));
    let slipway = (env!("CARGO_BIN_EXE_slipway").to_owned(), "bin/slipway");
    for (program, there) in ip.into_iter().chain([slipway]) {
        fs::copy(&program, inside(there))?;
        for library in ldd(&program)? {
            let there = inside(&library);
            fs::create_dir_all(there.parent().ok_or("a library in no directory")?)?;
            fs::copy(&library, there)?;
        }
    }
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/k3s/k3s.sh"), inside("bin/k3s"))?;
    fs::set_permissions(inside("bin/k3s"), fs::Permissions::from_mode(0o755))?;

    let tag = format!("{NAME}:base-{}", std::process::id());
    let mut tar = Command::new("tar");
    let mut tar = tar.args(["--create", "--owner=0", "--group=0", "--directory"]).arg(root.path()).arg(".");
    tar = tar.stdout(Stdio::piped());
    let mut packing = tar.spawn()?;
    let import = ["import", "--change", "ENTRYPOINT [\"/bin/k3s\"]", "--change", "ENV PATH=/bin", "-", &tag];
    let packed = packing.stdout.take().ok_or("tar writes nothing")?;
    let done = Command::new("docker").args(import).stdin(packed).output()?;
    if packing.wait()?.success() && done.status.success() {
        Ok(tag)
    } else {
        Err(format!("cannot import the image: {}", String::from_utf8_lossy(&done.stderr)).into())
    }
}

/// The libraries of a program; none where it is static.
fn ldd(program: &str) -> Result<Vec<String>, Failed> {
    let done = Command::new("ldd").arg(program).output()?;
    let text = String::from_utf8(done.stdout)?;
    let paths = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(paths.map(|path| path.trim_end_matches(':').to_owned()).filter(|path| path != program).collect())
}

fn which(program: &str) -> Option<String> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.is_file());
    found.map(|path| path.to_string_lossy().into_owned())
}
