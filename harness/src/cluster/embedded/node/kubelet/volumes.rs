//! A Pod's volumes, and where they are mounted in its containers.
//!
//! A `hostPath` is the node's own file or directory, a claim a disk of the cluster; every other kind is a directory of
//! the Pod that goes with it.
//! `ConfigMaps`, Secrets and tokens are written once, when the Pod starts: later changes are not followed. Tokens that the
//! API server mounts by itself are good for a year.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, HostPathVolumeSource, KeyToPath, Pod, ServiceAccountTokenProjection, Volume,
    VolumeMount,
};

use super::env::{self, Addresses, Sources};
use crate::cluster::embedded::node::files::{Files, Mount};

/// The permission bits of files made from `ConfigMaps` and Secrets, unless the Pod says otherwise.
const FILE_MODE: u32 = 0o644;

/// How long tokens are good for that a Pod says nothing about.
const TOKEN_SECONDS: i64 = 3600;

/// A Pod's volumes: name to directory or file.
pub(super) type Volumes = BTreeMap<String, PathBuf>;

/// Makes a Pod's volumes under `home`; an error is what the event says.
pub(super) fn set_up(
    pod: &Pod,
    home: &Path,
    node: &Files,
    sources: &Sources,
    addresses: &Addresses,
) -> Result<Volumes, String> {
    let mut volumes = Volumes::new();
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let place = one(pod, volume, home, node, sources, addresses)
            .map_err(|what| format!("MountVolume.SetUp failed for volume \"{}\" : {what}", volume.name))?;
        volumes.insert(volume.name.clone(), place);
    }
    Ok(volumes)
}

/// Where a container sees its Pod's volumes.
pub(super) fn mounts(
    container: &Container,
    volumes: &Volumes,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<Mount>, String> {
    let mounts = container.volume_mounts.iter().flatten();
    mounts.map(|mount| mounted(mount, volumes, environment)).collect()
}

fn mounted(mount: &VolumeMount, volumes: &Volumes, environment: &BTreeMap<String, String>) -> Result<Mount, String> {
    let volume = volumes.get(&mount.name).ok_or_else(|| format!("volume \"{}\" not found", mount.name))?;
    let expanded = mount.sub_path_expr.as_ref().map(|path| env::expand(path, environment));
    let source = match expanded.as_ref().or(mount.sub_path.as_ref()).filter(|path| !path.is_empty()) {
        None => volume.clone(),
        Some(sub) => {
            let inside = Path::new(sub);
            if inside.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
                return Err(format!("subPath {sub:?} must stay inside the volume"));
            }
            let place = volume.join(inside);
            if !place.exists() {
                fs::create_dir_all(&place).map_err(|error| format!("cannot make subPath {sub:?}: {error}"))?;
            }
            place
        }
    };
    let at = Path::new("/").join(mount.mount_path.trim_end_matches('/'));
    Ok(Mount { at, source, read_only: mount.read_only == Some(true) })
}

fn one(
    pod: &Pod,
    volume: &Volume,
    home: &Path,
    node: &Files,
    sources: &Sources,
    addresses: &Addresses,
) -> Result<PathBuf, String> {
    if let Some(host) = &volume.host_path {
        return host_path(host, node);
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        let disk = sources.claims.get(&claim.claim_name).cloned();
        return disk.ok_or_else(|| format!("persistentvolumeclaim \"{}\" has no volume", claim.claim_name));
    }
    let place = home.join("volumes").join(&volume.name);
    let broken = |error: io::Error| format!("cannot write the volume: {error}");
    fs::create_dir_all(&place).map_err(broken)?;
    // Whoever the container runs as may write here.
    fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).map_err(broken)?;
    for (path, content, mode) in contents(pod, volume, sources, addresses)? {
        let inside = Path::new(&path);
        if inside.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(format!("path {path:?} must stay inside the volume"));
        }
        let file = place.join(inside);
        fs::create_dir_all(file.parent().unwrap_or(&place)).map_err(broken)?;
        fs::write(&file, content).map_err(broken)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).map_err(broken)?;
    }
    Ok(place)
}

/// Checks a path of the node, makes it where the volume says so, and returns where it is.
fn host_path(host: &HostPathVolumeSource, node: &Files) -> Result<PathBuf, String> {
    let path = host.path.as_str();
    let broken = |error: io::Error| format!("{path}: {error}");
    let real = node.real_path(path).map_err(broken)?;
    let not = |what: &str| Err(format!("hostPath type check failed: {path} is not {what}"));
    match host.type_.as_deref().unwrap_or_default() {
        // Without a type nothing is checked; the container runtime makes a missing directory.
        "" | "DirectoryOrCreate" if !real.exists() => node.create_dir_all(path).map_err(broken)?,
        "Directory" | "DirectoryOrCreate" if !real.is_dir() => return not("a directory"),
        "FileOrCreate" if !real.exists() => node.write(path, b"", FILE_MODE).map_err(broken)?,
        "File" | "FileOrCreate" if !real.is_file() => return not("a file"),
        "Socket" => return not("a socket file"),
        "CharDevice" => return not("a character device"),
        "BlockDevice" => return not("a block device"),
        _ => {}
    }
    Ok(real)
}

/// Path in the volume, content, permission bits.
type Content = (String, Vec<u8>, u32);

fn contents(pod: &Pod, volume: &Volume, sources: &Sources, addresses: &Addresses) -> Result<Vec<Content>, String> {
    if let Some(source) = &volume.config_map {
        let optional = source.optional == Some(true);
        let mode = source.default_mode;
        return config_map(&source.name, source.items.as_deref(), optional, mode, sources, pod);
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        let optional = source.optional == Some(true);
        return secret(name, source.items.as_deref(), optional, source.default_mode, sources, pod);
    }
    if let Some(source) = &volume.downward_api {
        return downward(source.items.as_deref(), source.default_mode, pod, addresses);
    }
    if let Some(source) = &volume.projected {
        let mut all = Vec::new();
        for part in source.sources.iter().flatten() {
            if let Some(from) = &part.config_map {
                let optional = from.optional == Some(true);
                all.extend(config_map(&from.name, from.items.as_deref(), optional, source.default_mode, sources, pod)?);
            }
            if let Some(from) = &part.secret {
                let optional = from.optional == Some(true);
                all.extend(secret(&from.name, from.items.as_deref(), optional, source.default_mode, sources, pod)?);
            }
            if let Some(from) = &part.downward_api {
                all.extend(downward(from.items.as_deref(), source.default_mode, pod, addresses)?);
            }
            if let Some(from) = &part.service_account_token {
                let token = sources.tokens.get(&token_key(from));
                let token = token.cloned().unwrap_or_else(|| Err("no token was asked for".to_owned()));
                let token = token.map_err(|why| format!("failed to fetch token: {why}"))?;
                all.push((from.path.clone(), token.into_bytes(), bits(source.default_mode)));
            }
        }
        return Ok(all);
    }
    if volume.empty_dir.is_some() {
        return Ok(Vec::new());
    }
    Err("this kind of volume does not exist on simulated nodes".to_owned())
}

/// By what a token is found among the sources.
pub(super) fn token_key(projection: &ServiceAccountTokenProjection) -> (String, i64) {
    let audience = projection.audience.clone().unwrap_or_default();
    (audience, projection.expiration_seconds.unwrap_or(TOKEN_SECONDS))
}

fn config_map(
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: bool,
    mode: Option<i32>,
    sources: &Sources,
    pod: &Pod,
) -> Result<Vec<Content>, String> {
    let Some(map) = sources.config_maps.get(name) else {
        return if optional { Ok(Vec::new()) } else { Err(format!("configmap \"{name}\" not found")) };
    };
    let text = map.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    select(text.chain(binary).collect(), items, optional, mode, || {
        format!("references non-existent config key: {}", of(pod, name))
    })
}

fn secret(
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: bool,
    mode: Option<i32>,
    sources: &Sources,
    pod: &Pod,
) -> Result<Vec<Content>, String> {
    let Some(secret) = sources.secrets.get(name) else {
        return if optional { Ok(Vec::new()) } else { Err(format!("secret \"{name}\" not found")) };
    };
    let data = secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    select(data.collect(), items, optional, mode, || format!("references non-existent secret key: {}", of(pod, name)))
}

fn of(pod: &Pod, name: &str) -> String {
    format!("{}/{name}", pod.metadata.namespace.as_deref().unwrap_or_default())
}

fn select(
    data: BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    optional: bool,
    mode: Option<i32>,
    missing: impl Fn() -> String,
) -> Result<Vec<Content>, String> {
    let default = bits(mode);
    let Some(items) = items else {
        return Ok(data.into_iter().map(|(key, value)| (key, value, default)).collect());
    };
    let mut selected = Vec::new();
    for item in items {
        match data.get(&item.key) {
            Some(value) => {
                let mode = item.mode.map_or(default, |mode| bits(Some(mode)));
                selected.push((item.path.clone(), value.clone(), mode));
            }
            None if optional => {}
            None => return Err(missing()),
        }
    }
    Ok(selected)
}

fn downward(
    items: Option<&[DownwardAPIVolumeFile]>,
    mode: Option<i32>,
    pod: &Pod,
    addresses: &Addresses,
) -> Result<Vec<Content>, String> {
    let mut files = Vec::new();
    for item in items.unwrap_or_default() {
        let Some(reference) = &item.field_ref else {
            return Err("only fieldRef is supported in downward API volumes".to_owned());
        };
        let path = &reference.field_path;
        let value = env::field(pod, path, addresses).ok_or_else(|| format!("unsupported fieldPath: {path}"))?;
        files.push((item.path.clone(), value.into_bytes(), item.mode.map_or(bits(mode), |mode| bits(Some(mode)))));
    }
    Ok(files)
}

fn bits(mode: Option<i32>) -> u32 {
    mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(FILE_MODE)
}
