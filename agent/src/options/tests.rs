//! What a command line completes to, and how a wrong one is named.

use super::*;

const KUBECONFIG: &str = "apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: 'https://cluster.example:6443'}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
";

/// A folder with the files the options name, removed at the end.
struct Files(PathBuf);

impl Files {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("brokkr-agent-{}", Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let files = Self(folder);
        files.write("kubeconfig", KUBECONFIG);
        files.write("token", "t");
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    /// Completes a command line in which `@name` stands for a file of the folder.
    async fn complete(&self, arguments: &str) -> Result<CompletedConfig, String> {
        let folder = format!("{}/", self.0.display());
        let arguments = format!("brokkr-agent --kubeconfig @kubeconfig {arguments}").replace('@', &folder);
        let options =
            Options::try_parse_from(arguments.split_whitespace()).map_err(|error| error.to_string())?;
        options.complete().await.map_err(|error| error.to_string())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_wrong_option_is_named() {
    let files = Files::new();
    files.write("misspelt.yaml", "workOrders: {pollInterval: 3}");
    files.write("range.yaml", "workOrders: {pollIntervalSeconds: 0}");
    let rows = [
        ("--name East_1", "--name is \"East_1\""),
        ("--name a --drain-timeout 30", "--drain-timeout is \"30\""),
        ("--name a --runner-account X", "--runner-account"),
        ("--name a --config @none.yaml", "--config: "),
        ("--name a --config @misspelt.yaml", "pollInterval"),
        (
            "--name a --config @range.yaml",
            "workOrders.pollIntervalSeconds is \"0\"",
        ),
        ("--name a --hub-kubeconfig @token", "--hub-kubeconfig: "),
        (
            "--name a --hub-url http://hub --hub-token-file @token",
            "--hub-url is \"http://hub\"",
        ),
        ("--name a --hub-url https://hub", "--hub-token-file"),
        (
            "--name a --hub-url https://hub --hub-token-file @none",
            "--hub-token-file: ",
        ),
        (
            "--name a --hub-url https://hub --hub-token-file @token --hub-ca-file @none",
            "--hub-ca-file: ",
        ),
        (
            "--name a --hub-kubeconfig @kubeconfig --hub-url https://hub --hub-token-file @token",
            "--hub-url",
        ),
        ("", "--name"),
    ];
    for (arguments, expected) in rows {
        let message = files.complete(arguments).await.unwrap_err();
        assert!(message.contains(expected), "{arguments}: {message}");
    }
}

#[tokio::test]
async fn the_hub_is_the_own_cluster_unless_it_is_named() {
    let files = Files::new();
    let own = files.complete("--name a").await.unwrap();
    assert_eq!(own.hub.cluster_url, own.cluster.cluster_url);
    let arguments = "--name a --hub-url https://hub.example --hub-token-file @token --hub-ca-file @token";
    let remote = files.complete(arguments).await.unwrap();
    assert_eq!(remote.hub.cluster_url.host(), Some("hub.example"));
    assert_eq!(
        remote.hub.auth_info.token_file,
        Some(files.0.join("token").display().to_string())
    );
    assert_eq!(remote.hub.root_cert_file, Some(files.0.join("token")));
    assert_ne!(own.holder, remote.holder, "every process has a holder of its own");
}
