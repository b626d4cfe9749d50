//! Certificates in a directory: what is created, kept, replaced and refused, through the library and
//! through the command line.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod commands;
mod rotation;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Barrier;
use std::time::{Duration, UNIX_EPOCH};

use brokkr_certs::{
    CertificateAuthority, Error, ManifestRequest, Problem, SERVING_CA, ServingRequest, Validity,
    base64_bundle, cluster_manifests, inspect,
};

/// An empty directory of this test's own, made anew on every run.
fn empty_dir(test: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("directory")
        .join(test);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn load_or_create(dir: &Path) -> Result<CertificateAuthority, Error> {
    CertificateAuthority::load_or_create(dir, SERVING_CA, "test-ca", Validity::authority_default())
}

fn text(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brokkr-certs"));
    command
        .args(&arguments[..1])
        .arg("--dir")
        .arg(dir)
        .args(&arguments[1..])
        .output()
        .unwrap()
}

fn succeed(dir: &Path, arguments: &[&str]) -> String {
    let output = run(dir, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn authority_is_created_once_and_loaded_afterwards() {
    let dir = empty_dir("created-once").join("made/on/demand");

    let created = load_or_create(&dir).unwrap();
    let loaded = load_or_create(&dir).unwrap();

    assert_eq!(
        created.certificate_pem().unwrap(),
        loaded.certificate_pem().unwrap()
    );
    assert_eq!(names(&dir), ["ca.crt", "ca.key"]);
    let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("ca.key"), 0o600);
    assert_eq!(
        mode("ca.crt") & 0o133,
        0,
        "readable, never executable nor writable for others"
    );
}

#[test]
fn existing_authority_is_never_overwritten() {
    let dir = empty_dir("never-overwritten");
    load_or_create(&dir).unwrap();
    let before = (text(&dir, "ca.crt"), text(&dir, "ca.key"));

    let other = CertificateAuthority::create("other", Validity::authority_default()).unwrap();
    let error = other.save(&dir, SERVING_CA).unwrap_err();

    assert!(matches!(error, Error::Exists { .. }), "{error}");
    assert_eq!((text(&dir, "ca.crt"), text(&dir, "ca.key")), before);
}

#[test]
fn half_an_authority_is_refused_and_nothing_is_created() {
    for left in ["ca.crt", "ca.key"] {
        let dir = empty_dir(&format!("half-{left}"));
        load_or_create(&dir).unwrap();
        let removed = if left == "ca.crt" { "ca.key" } else { "ca.crt" };
        fs::remove_file(dir.join(removed)).unwrap();

        let error = load_or_create(&dir).unwrap_err();

        assert!(
            matches!(&error, Error::Incomplete { missing, .. } if missing.ends_with(removed)),
            "{error}"
        );
        assert_eq!(names(&dir), [left]);
    }
}

#[test]
fn of_authorities_saved_at_once_exactly_one_wins_with_a_matching_pair() {
    let dir = empty_dir("saved-at-once");
    let start = Barrier::new(8);

    let winners = std::thread::scope(|scope| {
        let save = || {
            let authority = CertificateAuthority::create("racer", Validity::authority_default()).unwrap();
            start.wait();
            match authority.save(&dir, SERVING_CA) {
                Ok(()) => 1,
                Err(Error::Exists { .. }) => 0,
                Err(other) => panic!("{other}"),
            }
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(save)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum::<u32>()
    });

    assert_eq!(winners, 1);
    CertificateAuthority::load(&dir, SERVING_CA).unwrap();
    assert_eq!(names(&dir), ["ca.crt", "ca.key"]);
}

#[test]
fn leaf_is_replaced_whole_and_its_key_stays_private() {
    let dir = empty_dir("leaf-replaced");
    let authority = load_or_create(&dir).unwrap();
    let request = ServingRequest::new("one", "a");
    authority
        .issue_serving(&request)
        .unwrap()
        .write(&dir, "tls")
        .unwrap();
    fs::set_permissions(dir.join("tls.key"), fs::Permissions::from_mode(0o644)).unwrap();

    let second = authority.issue_serving(&request).unwrap();
    second.write(&dir, "tls").unwrap();

    assert_eq!(text(&dir, "tls.crt"), second.certificate_pem());
    assert_eq!(text(&dir, "tls.key"), second.private_key_pem());
    assert_eq!(
        fs::metadata(dir.join("tls.key")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(names(&dir), ["ca.crt", "ca.key", "tls.crt", "tls.key"]);
}

#[test]
fn key_of_an_authority_that_others_can_read_is_refused_with_its_mode() {
    let dir = empty_dir("exposed");
    load_or_create(&dir).unwrap();
    for mode in [0o640, 0o604, 0o666] {
        fs::set_permissions(dir.join("ca.key"), fs::Permissions::from_mode(mode)).unwrap();
        let error = load_or_create(&dir).unwrap_err();
        assert!(
            matches!(&error, Error::Exposed { path, mode: found } if path.ends_with("ca.key") && *found == mode),
            "{error}"
        );
        assert!(error.to_string().contains(&format!("{mode:04o}")), "{error}");
    }
    fs::set_permissions(dir.join("ca.key"), fs::Permissions::from_mode(0o600)).unwrap();
    load_or_create(&dir).unwrap();
}

fn for_one() -> ManifestRequest {
    ManifestRequest {
        service: "one".to_owned(),
        namespace: "a".to_owned(),
        secret: "one-serving".to_owned(),
        api_service: "v1.example.com".to_owned(),
    }
}

fn serve(dir: &Path, authority: &CertificateAuthority, request: &ServingRequest) {
    authority
        .issue_serving(request)
        .unwrap()
        .write(dir, "tls")
        .unwrap();
}

#[test]
fn manifests_hold_the_pair_and_the_bundle_that_verifies_it() {
    let dir = empty_dir("manifests");
    serve(
        &dir,
        &load_or_create(&dir).unwrap(),
        &ServingRequest::new("one", "a"),
    );

    let manifests = cluster_manifests(&dir, &for_one()).unwrap();

    let secret: serde_json::Value = serde_saphyr::from_str(&manifests.secret).unwrap();
    assert_eq!(
        (&secret["kind"], &secret["type"]),
        (&"Secret".into(), &"kubernetes.io/tls".into())
    );
    assert_eq!(
        secret["metadata"],
        serde_json::json!({"name": "one-serving", "namespace": "a"})
    );
    for file in ["ca.crt", "tls.crt", "tls.key"] {
        assert_eq!(secret["data"][file], base64_bundle(&text(&dir, file)), "{file}");
    }
    let patch: serde_json::Value = serde_saphyr::from_str(&manifests.ca_bundle).unwrap();
    assert_eq!(patch["metadata"]["name"], "v1.example.com");
    assert_eq!(
        patch["spec"],
        serde_json::json!({"caBundle": base64_bundle(&text(&dir, "ca.crt"))})
    );
    let [secret, _] = manifests.write(&dir.join("hub")).unwrap();
    assert_eq!(fs::metadata(secret).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn manifests_are_refused_when_kube_apiserver_would_refuse_the_server() {
    let dir = empty_dir("manifests-refused");
    let refused = || cluster_manifests(&dir, &for_one()).map(drop).unwrap_err();
    let missing = |file: &str| {
        let error = refused();
        assert!(
            matches!(&error, Error::Missing { path, .. } if path.ends_with(file)),
            "{error}"
        );
    };
    missing("ca.crt");
    let authority = load_or_create(&dir).unwrap();
    missing("tls.crt");

    serve(&dir, &authority, &ServingRequest::new("two", "a"));
    let error = refused();
    assert!(
        matches!(&error, Error::WrongName { host, .. } if host == "one.a.svc"),
        "{error}"
    );

    let request = ServingRequest::new("one", "a");
    let stranger = CertificateAuthority::create("test-ca", Validity::authority_default()).unwrap();
    serve(&dir, &stranger, &request);
    assert!(matches!(refused(), Error::NotIssued { .. }), "{}", refused());

    let validity = Validity::between(UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(60));
    serve(
        &dir,
        &authority,
        &ServingRequest {
            validity,
            ..request.clone()
        },
    );
    assert!(matches!(refused(), Error::LeafExpired { .. }), "{}", refused());

    serve(&dir, &authority, &request);
    fs::write(dir.join("tls.key"), stranger.private_key_pem().unwrap()).unwrap();
    assert!(matches!(refused(), Error::KeyMismatch { .. }), "{}", refused());
}
