//! Certificates of a running installation are rotated, to and fro, and no request fails.
//!
//! Load runs all the while: list, create and watch through kube-apiserver, and list over new connections
//! straight to the server.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use brokkr_certs::{
    CertificateAuthority, ClientRequest, IssuedCertificate, SERVING_CA, Validity, authority_bundle,
    finish_rotation, roll_back, rotate_authority,
};
use brokkr_tests::eventually;
use serde_json::json;
use test_postgres::TestDatabase;

use crate::load::Load;
use crate::plane::LIMIT;
use crate::server::{Caller, Server};
use crate::site::Site;

const VERSION: &str = "/apis/work.brokkr.io/v1alpha1";
const CLIENT_CA: &str = "client-ca-file";
const FRONT_PROXY_CA: &str = "requestheader-client-ca-file";

/// An installation under load.
struct Rotation {
    load: Load,
    server: Arc<Server>,
    _database: TestDatabase,
    site: Site,
}

impl Rotation {
    async fn start() -> Self {
        let site = Site::up("etcd,apiserver").await;
        let (server, database) = site.available().await;
        site.kubectl().run("create namespace load").await.ok();
        let client = site.plane.client().await;
        let mut load = Load::default();
        load.create(client.clone());
        load.watch(client.clone());
        load.list("list through kube-apiserver", move || client.clone());
        let caller = site.account("client", "brokkr-work-view").await;
        let (direct, certificates) = (Arc::clone(&server), site.hub.certificates.clone());
        load.list("list straight from the server", move || {
            let trusted = authority_bundle(&certificates, SERVING_CA).expect("a bundle");
            direct.client(&trusted, &caller)
        });
        let rotation = Self {
            load,
            server,
            _database: database,
            site,
        };
        rotation.unharmed("before").await;
        rotation
    }

    /// Waits for some hundred answers more, none of them a failure.
    async fn unharmed(&self, when: &str) {
        let from = self.load.answered();
        eventually("requests are answered", LIMIT, || async {
            self.load.assert_unharmed(when);
            (self.load.answered() > from + 100).then_some(())
        })
        .await;
    }

    /// Applies certificate and bundle, as the guide does after each step.
    async fn publish(&self, when: &str) {
        self.site.hub.write_manifests();
        self.site.hub.apply(&self.site.kubectl()).await;
        self.unharmed(when).await;
    }

    /// Issues a new serving certificate, brings it to the server, and waits until the server shows it.
    async fn reissue(&self, when: &str) {
        let certificates = &self.site.hub.certificates;
        self.site.hub.issue();
        self.site.volume.update(certificates);
        let alone = fs::read_to_string(certificates.join("ca.crt")).expect("a CA");
        eventually("the server shows the new certificate", LIMIT, || async {
            (self.server.status(&alone, "/livez").await? == 200).then_some(())
        })
        .await;
        self.publish(when).await;
    }

    /// What kube-apiserver publishes under a key for servers behind it.
    async fn published(&self, key: &str) -> String {
        let command = "get configmap extension-apiserver-authentication -n kube-system -o json";
        let config = crate::server::json(&self.site.kubectl().run(command).await.ok());
        config["data"][key].as_str().unwrap_or_default().to_owned()
    }

    /// Writes a CA file of kube-apiserver and waits until it publishes every CA of the file.
    async fn publish_authorities(&self, file: &str, key: &str, authorities: &[&str]) {
        replace(&self.site.plane.file(file), &authorities.concat());
        eventually("kube-apiserver publishes the bundle", LIMIT, || async {
            let published = self.published(key).await;
            let all = authorities.iter().all(|one| published.contains(one.trim()));
            all.then_some(())
        })
        .await;
    }

    /// What an administrator does in the end, because kube-apiserver takes no CA out by itself: the key
    /// holds this and nothing else. Until kube-apiserver has read its file again, it puts back what was
    /// taken out.
    async fn forget_others(&self, key: &str, bundle: &str, gone: &str) {
        let patch = json!({"data": {key: bundle}}).to_string();
        eventually("the other CA is out and stays out", LIMIT, || async {
            let command = "patch configmap extension-apiserver-authentication -n kube-system --type merge -p";
            let mut command = self.site.kubectl().command(command);
            let output = command.arg(&patch).output().await.expect("kubectl");
            assert!(output.status.success(), "{output:?}");
            tokio::time::sleep(Duration::from_secs(1)).await;
            (!self.published(key).await.contains(gone.trim())).then_some(())
        })
        .await;
    }

    /// Whether the server believes somebody.
    async fn believes(&self, caller: &Caller) -> bool {
        let answer = self.server.get(&self.site.trusted(), caller, VERSION).await;
        answer.expect("an answer").0 == 200
    }

    async fn comes_to(&self, believe: bool, caller: &Caller, what: &str) {
        eventually(what, LIMIT, || async {
            (self.believes(caller).await == believe).then_some(())
        })
        .await;
    }
}

/// Replaces a file in one step, as a careful administrator does.
fn replace(path: &Path, text: &str) {
    let staged = path.with_extension("staged");
    fs::write(&staged, text).expect("written");
    fs::rename(staged, path).expect("renamed");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("PEM")
}

fn lifetime() -> Validity {
    Validity::authority_default()
}

fn authority() -> CertificateAuthority {
    CertificateAuthority::create("next-ca", lifetime()).expect("a CA")
}

fn pem(authority: &CertificateAuthority) -> String {
    authority.certificate_pem().expect("PEM")
}

/// Someone who presents a client certificate.
fn holder(issued: &IssuedCertificate) -> Caller {
    Caller {
        certificate: Some((
            issued.certificate_pem().to_owned(),
            issued.private_key_pem().to_owned(),
        )),
        ..Caller::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c006_every_ca_is_rotated_to_and_fro_under_load_and_no_request_fails() {
    let mut rotation = Rotation::start().await;

    serving_ca(&rotation).await;
    front_proxy_ca(&rotation).await;
    client_ca(&rotation).await;

    // Nothing that was acknowledged is missing, in what the watch has shown or in the list.
    let load = &mut rotation.load;
    load.stop_writing().await;
    eventually("the watch has caught up", LIMIT, || async {
        let (created, watched) = load.seen();
        created.is_subset(&watched).then_some(())
    })
    .await;
    load.stop().await;
    load.assert_unharmed("at the end");
    let (created, _) = load.seen();
    let listed = rotation
        .site
        .kubectl()
        .run("get workorders -n load -o name")
        .await
        .ok();
    assert_eq!(listed.lines().count(), created.len());
    let answered = rotation.load.answered();
    assert!(
        answered > 1000 && created.len() > 100,
        "{answered} {}",
        created.len()
    );
    eprintln!("{answered} requests, {} orders, no failure", created.len());
}

/// The CA that kube-apiserver verifies the server by: to a new one, to a third, and back.
async fn serving_ca(rotation: &Rotation) {
    let dir = &rotation.site.hub.certificates;

    rotate_authority(dir, SERVING_CA, "hub-ca", lifetime()).expect("rotated");
    rotation.publish("old and new CA").await;
    rotation.reissue("certificate of the new CA").await;
    finish_rotation(dir, SERVING_CA).expect("finished");
    rotation.publish("new CA alone").await;

    rotate_authority(dir, SERVING_CA, "hub-ca", lifetime()).expect("rotated");
    rotation.publish("a third CA beside").await;
    rotation.reissue("certificate of the third CA").await;
    roll_back(dir, SERVING_CA).expect("turned around");
    rotation.publish("turned around").await;
    rotation.reissue("certificate of the second CA again").await;
    finish_rotation(dir, SERVING_CA).expect("finished");
    rotation.publish("second CA alone").await;
}

/// The CA that the server verifies kube-apiserver by, and kube-apiserver's own certificate.
async fn front_proxy_ca(rotation: &Rotation) {
    let plane = &rotation.site.plane;
    let old_ca = read(&plane.file("requestHeaderCAFile"));
    let (certificate, key) = (plane.file("frontProxyCertFile"), plane.file("frontProxyKeyFile"));
    let as_admin = vec![("x-remote-user", "root"), ("x-remote-group", "system:masters")];
    let old = Caller {
        certificate: Some((read(&certificate), read(&key))),
        headers: as_admin.clone(),
        ..Caller::default()
    };
    let next = authority();
    let issued = next.issue_client(&ClientRequest::new("front-proxy-client"));
    let issued = issued.expect("a certificate");
    let new = Caller {
        headers: as_admin,
        ..holder(&issued)
    };
    assert!(rotation.believes(&old).await && !rotation.believes(&new).await);

    // Both CAs; the server believes either certificate.
    rotation
        .publish_authorities("requestHeaderCAFile", FRONT_PROXY_CA, &[&pem(&next), &old_ca])
        .await;
    rotation
        .comes_to(true, &new, "the new front proxy is believed")
        .await;
    rotation.unharmed("both front-proxy CAs").await;

    // kube-apiserver shows the new certificate.
    let taken = || {
        let log = plane.log("kube-apiserver.log");
        log.matches("Loaded a new cert/key pair").count()
    };
    let before = taken();
    replace(&key, issued.private_key_pem());
    replace(&certificate, issued.certificate_pem());
    eventually("kube-apiserver takes the new certificate", LIMIT, || async {
        (taken() > before).then_some(())
    })
    .await;
    rotation.unharmed("certificate of the new front-proxy CA").await;

    // The new CA alone.
    replace(&plane.file("requestHeaderCAFile"), &pem(&next));
    rotation.forget_others(FRONT_PROXY_CA, &pem(&next), &old_ca).await;
    rotation
        .comes_to(false, &old, "the old front proxy is not believed")
        .await;
    rotation.unharmed("new front-proxy CA alone").await;
}

/// The CA of users that call the server directly: to two of them, and back to one.
async fn client_ca(rotation: &Rotation) {
    let file = rotation.site.plane.file("clientCAFile");
    let (old_ca, next) = (read(&file), authority());
    let mut request = ClientRequest::new("root");
    request.groups = vec!["system:masters".to_owned()];
    let user = holder(&next.issue_client(&request).expect("a certificate"));
    assert!(!rotation.believes(&user).await);

    rotation
        .publish_authorities("clientCAFile", CLIENT_CA, &[&old_ca, &pem(&next)])
        .await;
    rotation
        .comes_to(true, &user, "a user of the new CA is believed")
        .await;
    rotation.unharmed("both client CAs").await;

    replace(&file, &old_ca);
    rotation.forget_others(CLIENT_CA, &old_ca, &pem(&next)).await;
    rotation
        .comes_to(false, &user, "a user of the new CA is not believed")
        .await;
    rotation.unharmed("old client CA alone").await;
}
