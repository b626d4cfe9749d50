//! The serving certificate on disk: as the kubelet replaces it, and what is said before it ends.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use brokkr_certs::{IssuedCertificate, ServingRequest, Validity};
use generic_apiserver::server::ServingCertificate;
use http::StatusCode;
use test_scrape::Scrape;

use crate::client::{Client, Protocol};
use crate::pki::{Pki, issue};
use crate::request_log::Log;
use crate::server::{Setup, TestServer, eventually};

/// A Secret volume: `tls.crt` leads to `..data/tls.crt`, and `..data` to a directory that is replaced as
/// a whole.
struct SecretVolume(PathBuf);

impl SecretVolume {
    fn mount(first: &IssuedCertificate) -> Self {
        let path = std::env::temp_dir().join(format!("secret-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&path).expect("a directory");
        let volume = Self(path);
        volume.update(first);
        for file in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(file), volume.0.join(file)).expect("a link");
        }
        volume
    }

    /// What the kubelet does: a new directory, a link renamed over the old one, the old directory removed.
    fn update(&self, certificate: &IssuedCertificate) {
        let data = self.0.join("..data");
        let old = std::fs::read_link(&data).ok();
        let new = format!("..{}", uuid::Uuid::new_v4());
        certificate.write(&self.0.join(&new), "tls").expect("written");
        symlink(&new, self.0.join("..data_tmp")).expect("a link");
        std::fs::rename(self.0.join("..data_tmp"), &data).expect("renamed");
        if let Some(old) = old {
            std::fs::remove_dir_all(self.0.join(old)).expect("removed");
        }
    }

    fn files(&self) -> ServingCertificate {
        ServingCertificate::Files {
            certificate: self.0.join("tls.crt"),
            private_key: self.0.join("tls.key"),
        }
    }
}

impl Drop for SecretVolume {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn serve(pki: Pki, certificate: ServingCertificate) -> TestServer {
    let setup = Setup {
        options: Box::new(|options| {
            options.certificate = certificate;
            options.certificate_reload_interval = Duration::from_millis(20);
        }),
        ..Setup::default()
    };
    TestServer::on(pki, setup).await
}

async fn shown(client: &Client) -> Vec<u8> {
    client.connect().await.tls.server_certificate
}

#[tokio::test]
async fn c006_secret_volume_is_followed_through_its_links() {
    let pki = Pki::create();
    let volume = SecretVolume::mount(&pki.serving_certificate());
    let server = serve(pki, volume.files()).await;
    let client = server.client(Protocol::Http2);
    let mut connection = client.connect().await;
    let mut last = shown(&client).await;

    for _ in 0..5 {
        volume.update(&server.pki.serving_certificate());
        eventually("the certificate of the volume", async || {
            shown(&client).await != last
        })
        .await;
        last = shown(&client).await;
    }

    assert_eq!(
        connection.get("/livez").await.status,
        StatusCode::OK,
        "connections live on"
    );
}

#[tokio::test]
async fn certificate_about_to_end_is_warned_of_until_it_is_renewed_and_one_that_ended_is_an_error() {
    let pki = Pki::create();
    let lasting = |validity| {
        let request = ServingRequest {
            validity,
            ..ServingRequest::new("api", "brokkr")
        };
        pki.serving
            .issue_serving(&request)
            .expect("a serving certificate")
    };
    // Six days are left of sixty.
    let now = std::time::SystemTime::now();
    let day = Duration::from_secs(24 * 60 * 60);
    let ending = lasting(Validity::between(now - 54 * day, now + 6 * day));
    let over = lasting(Validity::between(now - 60 * day, now - day));
    let renewed = lasting(Validity::days(60));
    let volume = SecretVolume::mount(&ending);
    let (log, _logging) = Log::start();
    let said = |text: &'static str| {
        let log = log.clone();
        async move || log.text().contains(text)
    };

    let server = serve(pki, volume.files()).await;
    let client = server.client(Protocol::Http1);
    let first = shown(&client).await;

    eventually("a warning", said("ends soon")).await;
    volume.update(&renewed);
    eventually("the new certificate", async || shown(&client).await != first).await;
    assert_eq!(
        log.text().matches("ends soon").count(),
        1,
        "said once a day: {}",
        log.text()
    );
    volume.update(&over);
    eventually("an error", said("is over")).await;
}

#[tokio::test]
async fn c084_end_of_the_serving_certificate_is_a_metric_that_follows_it() {
    let pki = Pki::create();
    let volume = SecretVolume::mount(&pki.serving_certificate());
    let server = serve(pki, volume.files()).await;
    let scraper = issue(&server.pki.client, "prometheus", &[]);
    let client = server.client(Protocol::Http1).with(&scraper);
    let days_left = async || {
        let scrape = Scrape::parse(&client.get("/metrics").await.text);
        let ends = scrape.sum("apiserver_serving_certificate_expiration_timestamp_seconds", &[]);
        let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
        ((ends - now.as_secs_f64()) / (24.0 * 60.0 * 60.0)).round()
    };
    assert!((days_left().await - 365.0).abs() < 0.5);

    let request = ServingRequest {
        validity: Validity::days(40),
        ..ServingRequest::new("api", "brokkr")
    };
    let next = server.pki.serving.issue_serving(&request);
    volume.update(&next.expect("a serving certificate"));

    eventually("the end of the new certificate", async || {
        (days_left().await - 40.0).abs() < 0.5
    })
    .await;
}
