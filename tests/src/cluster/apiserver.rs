//! kube-apiserver: flags that 1.20 and current releases know.

use std::fs;

use http::Request;
use kube::Client;
use tokio::runtime::Runtime;

use super::{place::Place, server::Server};

/// Everything is recorded with who, what and the answer, but without bodies.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{ level: Metadata }]
";

/// A running kube-apiserver, killed on drop.
pub(super) struct ApiServer {
    server: Server,
}

impl ApiServer {
    pub(super) fn start(place: &Place) -> Self {
        let policy = place.file("audit-policy.yaml");
        fs::write(&policy, AUDIT_POLICY).expect("the cluster's directory is writable");
        let file = |name| place.file(name).display().to_string();
        let address = place.apiserver();
        let flags = [
            ("etcd-servers", format!("http://{}", place.etcd_client())),
            ("bind-address", address.ip().to_string()),
            ("advertise-address", address.ip().to_string()),
            ("secure-port", address.port().to_string()),
            ("cert-dir", file("run")),
            ("tls-cert-file", file("apiserver.crt")),
            ("tls-private-key-file", file("apiserver.key")),
            ("client-ca-file", file("ca.crt")),
            ("authorization-mode", "RBAC".to_owned()),
            // Tokens of the TokenRequest API are real: signed, bound and of limited life.
            ("service-account-issuer", "https://natgw.test".to_owned()),
            ("service-account-key-file", file("accounts.pub")),
            ("service-account-signing-key-file", file("accounts.key")),
            // It would wait for tokens that only a controller manager makes.
            ("disable-admission-plugins", "ServiceAccount".to_owned()),
            // A loopback address is no valid endpoint of the service `kubernetes`.
            ("endpoint-reconciler-type", "none".to_owned()),
            ("service-cluster-ip-range", "10.96.0.0/24".to_owned()),
            ("allow-privileged", "true".to_owned()),
            ("audit-policy-file", policy.display().to_string()),
            ("audit-log-path", place.audit_log().display().to_string()),
            // One file, never rotated.
            ("audit-log-maxsize", "100000".to_owned()),
        ];
        let args: Vec<_> = flags.iter().map(|(name, value)| format!("--{name}={value}")).collect();
        Self { server: Server::start("kube-apiserver", &args, place) }
    }

    /// Waits for `/readyz`: the roles of RBAC and the default namespaces are there too.
    pub(super) fn wait_ready(&mut self, runtime: &Runtime, admin: &Client) {
        self.server.wait_ready(|| {
            let request = Request::get("/readyz").body(Vec::new()).expect("a request");
            runtime.block_on(admin.request_text(request)).is_ok_and(|text| text == "ok")
        });
    }
}
