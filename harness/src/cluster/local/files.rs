//! The files of a control plane: keys and certificates that are made for one run, the administrator's token, the
//! kubeconfig and data. All of them are in one directory that only its owner can enter, and go with it.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rcgen::{KeyUsagePurpose, SanType};
use thiserror::Error;

/// The administrator, as the API server knows him by his token.
const ADMINISTRATOR: &str = "admin";
/// The group that may do anything.
const MASTERS: &str = "system:masters";

/// Why the files could not be made.
#[derive(Debug, Error)]
pub enum FilesError {
    /// A key or certificate.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// A file.
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

/// Where the files are.
#[derive(Clone, Debug)]
pub(super) struct Files {
    directory: PathBuf,
}

impl Files {
    /// Those of a directory, which need not be there yet.
    pub(super) fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    pub(super) fn server_certificate(&self) -> PathBuf {
        self.directory.join("server.crt")
    }

    pub(super) fn server_key(&self) -> PathBuf {
        self.directory.join("server.key")
    }

    pub(super) fn service_account_key(&self) -> PathBuf {
        self.directory.join("service-account.key")
    }

    pub(super) fn tokens(&self) -> PathBuf {
        self.directory.join("tokens.csv")
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    pub(super) fn etcd_data(&self) -> PathBuf {
        self.directory.join("etcd")
    }

    /// Makes keys, certificates and the file with the administrator's token. Returns the authority's certificate.
    ///
    /// # Errors
    /// See [`FilesError`].
    pub(super) fn make(&self, token: &str) -> Result<String, FilesError> {
        let authority = authority()?;
        let key = KeyPair::generate()?;
        let certificate = certificate()?.signed_by(&key, &authority)?;
        write(&self.authority(), &authority.pem())?;
        write(&self.server_certificate(), &certificate.pem())?;
        write(&self.server_key(), &key.serialize_pem())?;
        write(&self.service_account_key(), &KeyPair::generate()?.serialize_pem())?;
        write(&self.tokens(), &format!("{token},{ADMINISTRATOR},{ADMINISTRATOR},\"{MASTERS}\"\n"))?;
        Ok(authority.pem())
    }
}

/// Writes a file that only its owner can read.
pub(super) fn write(path: &Path, text: &str) -> Result<(), FilesError> {
    let open = || {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(path)?.write_all(text.as_bytes())
    };
    open().map_err(|source| FilesError::Write(path.to_owned(), source))
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "slipway local control plane");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)
}

/// One certificate for etcd, for the API server and for the API server as etcd's client.
fn certificate() -> Result<CertificateParams, rcgen::Error> {
    let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let mut parameters = CertificateParams::new(names.map(str::to_owned))?;
    parameters.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    parameters.distinguished_name.push(DnType::CommonName, "slipway");
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_secret_is_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::at(directory.path());
        let authority = files.make("secret").unwrap();
        assert!(authority.starts_with("-----BEGIN CERTIFICATE-----"));
        for path in [files.server_key(), files.service_account_key(), files.tokens()] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
        assert_eq!(std::fs::read_to_string(files.tokens()).unwrap(), "secret,admin,admin,\"system:masters\"\n");
    }
}
