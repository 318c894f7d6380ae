//! What `slipway serve` serves: the arguments, and what they mean.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::scenario::image::{Image, Runs};

/// Arguments of `slipway serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// Serve plain HTTP on this address. kubectl sends no token without TLS.
    #[arg(long, value_name = "ADDR")]
    pub http: Option<SocketAddr>,
    /// Serve HTTPS on this address, with a certificate made for the occasion. Without either address: HTTPS on loopback
    /// and a free port.
    #[arg(long, value_name = "ADDR")]
    pub https: Option<SocketAddr>,
    /// The certificate of HTTPS with its chain, as PEM, in place of one made for the occasion.
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// The key of that certificate, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// The administrator's bearer token; made up unless told otherwise.
    #[arg(long, env = "SLIPWAY_ADMIN_TOKEN", value_name = "TOKEN")]
    pub admin_token: Option<String>,
    /// Where to write the kubeconfig; a temporary file unless told otherwise.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The API server alone, without the controllers and nodes that make it a cluster.
    #[arg(long)]
    pub bare: bool,
    /// No nodes, for those who bring their own: scenarios that run here by `--cluster kubeconfig`, for example.
    #[arg(long, conflicts_with = "bare")]
    pub no_nodes: bool,
    /// What containers run whose image is not known, which otherwise cannot be pulled: `pause` (until they are told to
    /// stop), `exit` or `http-server`. `*` stands for anything: `--image 'nginx:*=http-server'`, and `--image '*'` for
    /// every image to pause. May be given more than once; the first that matches counts.
    #[arg(long, value_name = "PATTERN[=PROGRAM]", value_parser = image, conflicts_with_all = ["bare", "no_nodes"])]
    pub image: Vec<Image>,
}

/// Settings of `slipway serve`.
#[derive(Clone, Debug)]
pub struct ServeSettings {
    /// Address for plain HTTP.
    pub http: Option<SocketAddr>,
    /// Address for HTTPS.
    pub https: Option<SocketAddr>,
    /// The certificate of HTTPS and its key, as files.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The administrator's token.
    pub admin_token: Option<String>,
    /// Where to write the kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// The API server alone.
    pub bare: bool,
    /// Without nodes.
    pub no_nodes: bool,
    /// What stands in for images that are not known.
    pub images: Vec<Image>,
}

impl From<ServeArgs> for ServeSettings {
    fn from(args: ServeArgs) -> Self {
        Self {
            http: args.http,
            https: args.https,
            certificate: args.tls_cert_file.zip(args.tls_private_key_file),
            admin_token: args.admin_token,
            kubeconfig: args.kubeconfig,
            bare: args.bare,
            no_nodes: args.no_nodes,
            images: args.image,
        }
    }
}

/// An image, and what stands in for it.
fn image(text: &str) -> Result<Image, String> {
    let (image, runs) = text.rsplit_once('=').unwrap_or((text, "pause"));
    let runs = match runs {
        "pause" => Runs::Pause,
        "exit" => Runs::Exit,
        "http-server" => Runs::HttpServer,
        other => return Err(format!("there is no program {other}: pause, exit and http-server are there")),
    };
    if image.is_empty() {
        return Err("no image is named: nginx:*, */postgres:16, *".to_owned());
    }
    Ok(Image { image: image.to_owned(), runs, env: BTreeMap::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_pauses_unless_something_else_is_asked_for() {
        let read = |text: &str| image(text).map(|image| (image.image, image.runs));
        assert_eq!(read("*"), Ok(("*".to_owned(), Runs::Pause)));
        assert_eq!(read("nginx:*=http-server"), Ok(("nginx:*".to_owned(), Runs::HttpServer)));
        assert!(read("nginx:*=nginx").is_err_and(|why| why.contains("http-server")));
        assert!(read("=pause").is_err());
    }
}
