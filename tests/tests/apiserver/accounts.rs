//! Service accounts have real tokens and only the rights that roles give; what they may not do is on record.

use std::time::Duration;

use natgw_tests::{Cluster, clock, cluster::shared};

use crate::support::{code, get, namespace, put};

/// The shortest life that the API server gives a token.
const LIFETIME: Duration = Duration::from_mins(10);
/// It remembers for ten seconds that a token was valid.
const REMEMBERED: Duration = Duration::from_secs(15);

/// Lets `reader` read config maps.
fn allow(cluster: &Cluster, namespace: &str) {
    cluster.apply_yaml(&format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{ name: reader, namespace: {namespace} }}
rules: [{{ apiGroups: [''], resources: [configmaps], verbs: [get] }}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{ name: reader, namespace: {namespace} }}
roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader }}
subjects: [{{ kind: ServiceAccount, name: reader, namespace: {namespace} }}]
"
    ));
}

#[test]
fn an_account_may_do_what_its_role_says_and_the_rest_is_on_record() {
    let cluster = shared();
    let namespace = namespace(&cluster);
    put(&cluster, &namespace, "one", "1");
    let account = cluster.service_account(&namespace, "reader", LIFETIME);
    let client = cluster.client(account.kubeconfig());

    assert_eq!(code(cluster.block_on(get(&client, &namespace, "one"))), 403);
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/one");
    assert_eq!(cluster.forbidden(&account.user()), [format!("get {path}")]);

    allow(&cluster, &namespace);
    // The API server learns of roles by watching: there is no event for a client.
    let granted = || cluster.block_on(get(&client, &namespace, "one")).is_ok();
    clock::eventually("the role is in force", Duration::from_secs(10), granted);
    let before = cluster.forbidden(&account.user()).len();
    assert_eq!(cluster.block_on(get(&client, &namespace, "one")).unwrap(), "1");
    assert_eq!(cluster.forbidden(&account.user()).len(), before);
    let last = cluster.requests(&account.user()).pop().expect("it has asked");
    assert_eq!((last.to_string(), last.code), (format!("get {path}"), 200));
    // Others are not blamed.
    assert_eq!(cluster.forbidden("natgw-test-admin"), [""; 0]);
}

#[test]
fn a_revoked_token_is_refused_and_its_successor_in_the_same_file_is_not() {
    let cluster = shared();
    let namespace = namespace(&cluster);
    put(&cluster, &namespace, "one", "1");
    let account = cluster.service_account(&namespace, "reader", LIFETIME);
    allow(&cluster, &namespace);
    let client = cluster.client(account.kubeconfig());
    let status = || match cluster.block_on(get(&client, &namespace, "one")) {
        Ok(_) => 200,
        error => code(error),
    };
    clock::eventually("the role is in force", Duration::from_secs(10), || status() == 200);

    cluster.revoke_tokens(&account);
    clock::eventually("the token is refused", REMEMBERED, || status() == 401);

    cluster.renew_token(&account, LIFETIME);
    // A new client: how soon a running one reads the file again is its own affair.
    let client = cluster.client(account.kubeconfig());
    assert_eq!(cluster.block_on(get(&client, &namespace, "one")).unwrap(), "1");
}
