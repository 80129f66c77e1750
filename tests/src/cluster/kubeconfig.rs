//! kubeconfig files: JSON, which is YAML.

use std::{fs, net::SocketAddr, path::Path};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;

use super::place::Place;

/// Who the client is.
pub(super) enum Identity<'a> {
    /// By certificate, with all rights.
    Admin,
    /// By a token that is read from a file, so that it can be replaced.
    TokenFile(&'a Path),
}

/// Writes a kubeconfig for the API server, as it is reached at `server`.
///
/// # Panics
/// When it cannot be written.
pub(super) fn write(path: &Path, place: &Place, server: SocketAddr, identity: &Identity<'_>) {
    let user = match identity {
        Identity::Admin => {
            json!({ "client-certificate": place.file("admin.crt"), "client-key": place.file("admin.key") })
        }
        Identity::TokenFile(file) => json!({ "tokenFile": file }),
    };
    let cluster = json!({ "server": format!("https://{server}"), "certificate-authority": place.file("ca.crt") });
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": cluster }],
        "users": [{ "name": "test", "user": user }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        "current-context": "test",
    });
    fs::write(path, format!("{config:#}\n")).expect("the cluster's directory is writable");
}

/// A client by a kubeconfig.
///
/// # Panics
/// When the file cannot be used.
pub(super) async fn client(path: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(path).expect("the kubeconfig can be read");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("the kubeconfig is complete")).expect("the certificates can be read")
}
