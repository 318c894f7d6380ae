//! k3s's kubeconfig, made to lead to where its port is published.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::temporary::Directory;

type Unfit = Box<dyn Error + Send + Sync>;

/// The kubeconfig with another server, and its one context under another name.
///
/// # Errors
/// It is no kubeconfig.
pub(super) fn rewritten(text: &str, server: &str, context: &str) -> Result<String, Unfit> {
    let mut config: Value = serde_yaml::from_str(text)?;
    let named = |config: &mut Value, list: &str| -> Result<Value, Unfit> {
        let first = config.get_mut(list).and_then(|list| list.get_mut(0));
        Ok(first.ok_or_else(|| format!("it has no {list}"))?.take())
    };
    let (mut cluster, user, mut chosen) =
        (named(&mut config, "clusters")?, named(&mut config, "users")?, named(&mut config, "contexts")?);
    if !cluster["cluster"].is_object() {
        return Err("its cluster says nothing".into());
    }
    cluster["cluster"]["server"] = server.into();
    chosen["name"] = context.into();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": context,
        "clusters": [cluster], "users": [user], "contexts": [chosen],
    });
    Ok(serde_yaml::to_string(&config)?)
}

/// Writes it where only its owner can read it, for as long as the directory is kept.
///
/// # Errors
/// Those of the file system.
pub(super) fn keep(text: &str) -> io::Result<(Directory, PathBuf)> {
    let directory = Directory::new("k3s")?;
    let path = directory.keep("kubeconfig", text)?;
    Ok((directory, path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const WRITTEN: &str = "
apiVersion: v1
clusters:
- cluster: {certificate-authority-data: Q0E=, server: 'https://127.0.0.1:6443'}
  name: default
contexts:
- context: {cluster: default, user: default}
  name: default
current-context: default
kind: Config
users:
- name: default
  user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}
";

    #[test]
    fn a_kubeconfig_leads_to_the_published_port_and_keeps_its_credentials() {
        let text = rewritten(WRITTEN, "https://127.0.0.1:32768", "k3s").unwrap();
        let config: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://127.0.0.1:32768");
        assert_eq!(config["clusters"][0]["cluster"]["certificate-authority-data"], "Q0E=");
        assert_eq!(config["users"][0]["user"]["client-key-data"], "S0VZ");
        assert_eq!(config["current-context"], "k3s");
        assert_eq!(config["contexts"][0]["name"], "k3s");
    }

    #[test]
    fn what_is_no_kubeconfig_is_refused() {
        for text in ["", "[]", "clusters: []", "clusters: [{name: a}]\nusers: [{}]\ncontexts: [{}]", "{{"] {
            assert!(rewritten(text, "https://127.0.0.1:1", "k3s").is_err(), "{text}");
        }
    }

    #[test]
    fn a_kubeconfig_is_for_its_owner_only_and_goes_with_its_directory() {
        let (directory, path) = keep(WRITTEN).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        drop(directory);
        assert!(!path.exists());
    }
}
