//! Service accounts, as a pod would be one: a kubeconfig with a token of limited life in a file.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{Namespace, Secret, ServiceAccount},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{
    Cluster,
    apply::MANAGER,
    kubeconfig::{self, Identity},
};

/// A service account and where its token is.
#[derive(Debug, Clone)]
pub struct Account {
    namespace: String,
    name: String,
    token: PathBuf,
    kubeconfig: PathBuf,
}

impl Account {
    /// Its kubeconfig, which names the token's file.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The file with its token and nothing else.
    #[must_use]
    pub fn token_file(&self) -> &Path {
        &self.token
    }

    /// Its name as a user, in RBAC and in the audit log.
    #[must_use]
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// The token is bound to this Secret and valid as long as that is there.
    fn secret(&self) -> String {
        format!("{}-token", self.name)
    }
}

impl Cluster {
    /// A service account, made with its namespace if they are not there, and a token for it. It may do what roles say;
    /// apply them by [`Cluster::apply_yaml`].
    ///
    /// # Panics
    /// When the API server refuses; it does so for a `lifetime` under ten minutes.
    #[must_use]
    pub fn service_account(&self, namespace: &str, name: &str, lifetime: Duration) -> Account {
        let file = |kind: &str| self.place.file(&format!("{namespace}.{name}.{kind}"));
        let (token, kubeconfig) = (file("token"), file("kubeconfig"));
        let account = Account { namespace: namespace.to_owned(), name: name.to_owned(), token, kubeconfig };
        self.block_on(async {
            ensure(&Api::<Namespace>::all(self.admin()), namespace).await;
            ensure(&Api::<ServiceAccount>::namespaced(self.admin(), namespace), name).await;
        });
        self.renew_token(&account, lifetime);
        self.write_kubeconfig(&account, self.apiserver_address(), &account.kubeconfig);
        account
    }

    /// Replaces the token in its file by a new one, at once as kubelet does. The old one stays valid unless it was
    /// revoked.
    ///
    /// # Panics
    /// When the API server refuses.
    pub fn renew_token(&self, account: &Account, lifetime: Duration) {
        let token = self.block_on(request_token(self.admin(), account, lifetime));
        let next = account.token.with_extension("token-next");
        fs::write(&next, token).and_then(|()| fs::rename(&next, &account.token)).expect("the directory is writable");
    }

    /// Makes every token of the account invalid: requests with it get 401, as with an expired one. The API server
    /// remembers a valid token for ten seconds.
    ///
    /// # Panics
    /// When the API server refuses.
    pub fn revoke_tokens(&self, account: &Account) {
        let secrets = Api::<Secret>::namespaced(self.admin(), &account.namespace);
        let deleted = self.block_on(async { secrets.delete(&account.secret(), &DeleteParams::default()).await });
        deleted.unwrap_or_else(|error| panic!("cannot delete the secret of {}: {error}", account.user()));
    }

    /// Writes a kubeconfig of `account` in which the API server is at `server`.
    pub(super) fn write_kubeconfig(&self, account: &Account, server: SocketAddr, path: &Path) {
        kubeconfig::write(path, &self.place, server, &Identity::TokenFile(&account.token));
    }
}

async fn request_token(client: Client, account: &Account, lifetime: Duration) -> String {
    let secret = ensure(&Api::<Secret>::namespaced(client.clone(), &account.namespace), &account.secret()).await;
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Secret".to_owned()),
        name: secret.metadata.name,
        uid: secret.metadata.uid,
    };
    let seconds = i64::try_from(lifetime.as_secs()).expect("a lifetime of less than an age");
    let spec =
        TokenRequestSpec { expiration_seconds: Some(seconds), bound_object_ref: Some(bound), audiences: Vec::new() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let accounts = Api::<ServiceAccount>::namespaced(client, &account.namespace);
    let answer = accounts.create_token_request(&account.name, &PostParams::default(), &request).await;
    let answer = answer.unwrap_or_else(|error| panic!("no token for {}: {error}", account.user()));
    answer.status.expect("an answer has a token").token
}

/// Makes an object that has nothing but a name, unless it is there.
async fn ensure<K>(api: &Api<K>, name: &str) -> K
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let object = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": name },
    });
    let applied = api.patch(name, &PatchParams::apply(MANAGER), &Patch::Apply(object)).await;
    let object = applied.unwrap_or_else(|error| panic!("cannot make {} {name}: {error}", K::kind(&())));
    assert!(object.meta().deletion_timestamp.is_none(), "{} is being deleted", object.name_any());
    object
}
