//! etcd, spoken to through its JSON gateway: no etcdctl is needed.

use http::Request;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{place::Place, server::Server};

/// The base64 of a zero byte: a key that is not there.
const NO_KEY: &str = "AA==";

/// A running etcd.
pub(super) struct Etcd {
    server: Server,
    client: Client,
}

impl Etcd {
    pub(super) fn start(place: &Place, runtime: &Runtime) -> Self {
        let client = format!("http://{}", place.etcd_client());
        let peer = format!("http://{}", place.etcd_peer());
        let args = [
            format!("--name={NAME}"),
            format!("--data-dir={}", place.file("etcd").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster={NAME}={peer}"),
            "--logger=zap".to_owned(),
        ];
        let server = Server::start("etcd", &args, place);
        let config = Config::new(client.parse().expect("an address makes a URL"));
        // A client starts a task.
        let client = runtime.block_on(async { Client::try_from(config) }).expect("plain HTTP needs nothing");
        Self { server, client }
    }

    pub(super) fn wait_ready(&mut self, runtime: &Runtime) {
        let client = &self.client;
        self.server.wait_ready(|| {
            let request = Request::get("/health").body(Vec::new()).expect("a request");
            let health = runtime.block_on(client.request::<Value>(request));
            health.is_ok_and(|health| health["health"] == "true")
        });
    }

    pub(super) fn kill(&mut self) {
        self.server.kill();
    }

    /// Compacts at the current revision.
    pub(super) async fn compact(&self) {
        let answer = self.call("/v3/kv/range", &json!({ "key": NO_KEY })).await;
        let revision = &answer["header"]["revision"];
        self.call("/v3/kv/compaction", &json!({ "revision": revision, "physical": true })).await;
    }

    /// One request of the gateway.
    pub(super) async fn call(&self, path: &str, body: &Value) -> Value {
        let request = Request::post(path).body(body.to_string().into_bytes()).expect("a request");
        self.client.request(request).await.unwrap_or_else(|error| panic!("etcd refuses {path}: {error}"))
    }
}

const NAME: &str = "natgw-test";
