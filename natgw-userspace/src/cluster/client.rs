//! From settings to a client of the API server.

use std::{path::PathBuf, time::Duration};

use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};
use thiserror::Error;

use super::{errors::chain, links::Links};

/// A server that does not even accept a connection by then is as good as gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than [`super::watch::WATCH_TIMEOUT`], after which a server ends a watch that had nothing to say.
const READ_TIMEOUT: Duration = Duration::from_secs(75);
/// For requests other than watches there is a shorter one, at the call.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the cluster is and who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterOptions {
    /// A kubeconfig file; `None`: the pod's service account, else `$KUBECONFIG` or `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig; `None`: its current one.
    pub context: Option<String>,
}

/// There is no way to the cluster.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The kubeconfig cannot be used.
    #[error("cannot use the kubeconfig{}: {reason}", path.as_ref().map(|path| format!(" `{}`", path.display())).unwrap_or_default())]
    Kubeconfig {
        /// The file, if one was named.
        path: Option<PathBuf>,
        /// Why not.
        reason: String,
    },
    /// The pod's service account cannot be used.
    #[error(
        "cannot use the pod's ServiceAccount: {reason} (is automountServiceAccountToken off? --kubeconfig names a file \
         instead)"
    )]
    InCluster {
        /// Why not.
        reason: String,
    },
    /// The settings make no client.
    #[error("cannot make a client for the API server: {reason}")]
    Client {
        /// Why not.
        reason: String,
    },
}

/// Makes the client. Says nothing about whether the server can be reached.
///
/// # Errors
/// The configuration is missing, unreadable or contradictory.
pub(super) async fn connect(options: &ClusterOptions, links: &Links) -> Result<Client, ClientError> {
    let mut config = configuration(options).await?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    // Whoever asks has a backoff of its own.
    config.default_retry = false;
    let fail = |error: kube::Error| ClientError::Client { reason: chain(&error) };
    Ok(ClientBuilder::try_from(config).map_err(fail)?.with_layer(links).build())
}

async fn configuration(options: &ClusterOptions) -> Result<Config, ClientError> {
    let path = options.kubeconfig.clone();
    if path.is_none() && options.context.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Config::incluster().map_err(|error| ClientError::InCluster { reason: chain(&error) });
    }
    let selected = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    let outcome = match &path {
        Some(path) => match Kubeconfig::read_from(path) {
            Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &selected).await,
            Err(error) => Err(error),
        },
        None => Config::from_kubeconfig(&selected).await,
    };
    outcome.map_err(|error| ClientError::Kubeconfig { path, reason: chain(&error) })
}
