//! A cluster of somebody else: our own `slipway serve` in a process of its own, reached by kubeconfig as any other is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tempfile::TempDir;

/// Somebody else's cluster. It ends with the test.
pub(crate) struct Foreign {
    pub(crate) server: Child,
    pub(crate) directory: TempDir,
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

pub(crate) fn slipway(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .env("NO_COLOR", "1")
        .env_remove("KUBECONFIG")
        .env_remove("SLIPWAY_JOBS")
        .env_remove("SLIPWAY_SEED")
        .stdin(Stdio::null());
    command
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

impl Foreign {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = directory.path().join("config");
        fs::create_dir(directory.path().join("tmp")).unwrap();
        let mut server = slipway(&["serve", "--no-nodes", "--kubeconfig", &kubeconfig.to_string_lossy()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It says where the kubeconfig is once it is there.
        let lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let said: Vec<String> = lines.map(Result::unwrap).take(2).collect();
        assert!(said[1].starts_with("kubeconfig "), "{said:?}");
        Self { server, directory }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("config")
    }

    /// The arguments that lead to the cluster.
    pub(crate) fn arguments(kubeconfig: &Path) -> Vec<String> {
        let path = kubeconfig.to_string_lossy().into_owned();
        ["--context", "slipway", "--allow-context", "slip*", "--kubeconfig", &path].map(str::to_owned).to_vec()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = slipway(arguments);
        command.args(Self::arguments(&self.kubeconfig())).env("TMPDIR", self.temporary());
        command
    }

    /// Where its runs put their temporary files.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.directory.path().join("tmp")
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let common = ["--no-sli", "--cluster", "kubeconfig", "--callback", "127.0.0.1"];
        self.command(&[&["run"], arguments, &common].concat()).output().unwrap()
    }

    pub(crate) fn scenario(&self, name: &str, rest: &str) -> PathBuf {
        let file = self.directory.path().join(format!("{name}.yaml"));
        let head = format!("apiVersion: slipway.dev/v1alpha1\nkind: Scenario\nmetadata: {{name: {name}}}\n");
        fs::write(&file, head + rest).unwrap();
        file
    }

    pub(crate) async fn client(&self) -> Client {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig()).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        Client::try_from(config).unwrap()
    }

    /// A kubeconfig with the rights of a service account.
    pub(crate) async fn kubeconfig_of(&self, namespace: &str, account: &str) -> PathBuf {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await, namespace);
        let request = TokenRequest { spec: Some(TokenRequestSpec::default()), ..TokenRequest::default() };
        let given = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
        let admin = fs::read_to_string(self.kubeconfig()).unwrap();
        let token = admin.lines().find(|line| line.trim().starts_with("token:")).unwrap();
        let indent = token.split("token:").next().unwrap();
        let limited = admin.replace(token, &format!("{indent}token: {}", given.status.unwrap().token.unwrap()));
        let path = self.directory.path().join(account);
        fs::write(&path, limited).unwrap();
        path
    }
}
