//! The CA of a cluster, its certificates and its key for tokens.
//!
//! rcgen and not the openssl program: one program less for the machine to have, and the errors are of this process.

use std::{fs, os::unix::fs::PermissionsExt as _};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::place::Place;

/// Writes them all.
///
/// # Panics
/// When a file cannot be written.
pub(super) fn write(place: &Place) {
    let mut params = subject("natgw test CA", &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let ca = CertifiedIssuer::self_signed(params, new_key()).expect("a CA can sign itself");
    put(place, "ca.crt", &ca.pem());

    let ip = place.apiserver().ip().to_string();
    let mut server = CertificateParams::new([ip, "127.0.0.1".to_owned(), "localhost".to_owned()]).expect("valid names");
    server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issue(place, "apiserver", &server, &ca);

    // The group that no role can be taken from.
    let mut admin = subject("natgw-test-admin", &["system:masters"]);
    admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    issue(place, "admin", &admin, &ca);

    let accounts = new_key();
    put(place, "accounts.key", &accounts.serialize_pem());
    put(place, "accounts.pub", &accounts.public_key_pem());
}

fn subject(name: &str, groups: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    for group in groups {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    params
}

fn issue(place: &Place, name: &str, params: &CertificateParams, ca: &CertifiedIssuer<'_, KeyPair>) {
    let key = new_key();
    let certificate = params.signed_by(&key, ca).expect("the CA can sign");
    put(place, &format!("{name}.crt"), &certificate.pem());
    put(place, &format!("{name}.key"), &key.serialize_pem());
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a P-256 key can be made")
}

fn put(place: &Place, name: &str, pem: &str) {
    let path = place.file(name);
    fs::write(&path, pem).expect("the cluster's directory is writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
}
