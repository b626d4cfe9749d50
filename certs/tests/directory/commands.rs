//! What the commands write, show and refuse.

use super::*;

#[test]
fn inspection_says_what_ends_when_and_what_does_not_fit() {
    let dir = empty_dir("inspection");
    let authority = load_or_create(&dir).unwrap();
    let days = |days| ServingRequest {
        validity: Validity::days(days),
        ..ServingRequest::new("one", "a")
    };
    let over = Validity::between(UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(60));
    for (stem, request) in [
        ("long", days(90)),
        ("soon", days(10)),
        (
            "over",
            ServingRequest {
                validity: over,
                ..days(1)
            },
        ),
        ("mixed", days(90)),
        ("open", days(90)),
    ] {
        authority
            .issue_serving(&request)
            .unwrap()
            .write(&dir, stem)
            .unwrap();
    }
    let stranger = CertificateAuthority::create("stranger", Validity::authority_default()).unwrap();
    stranger
        .issue_serving(&days(90))
        .unwrap()
        .write(&dir, "orphan")
        .unwrap();
    fs::write(dir.join("mixed.key"), stranger.private_key_pem().unwrap()).unwrap();
    fs::set_permissions(dir.join("open.key"), fs::Permissions::from_mode(0o644)).unwrap();

    let reports = inspect(&dir, 30).unwrap();

    let found: Vec<_> = reports
        .iter()
        .map(|it| (it.file.as_str(), it.problems.as_slice()))
        .collect();
    assert_eq!(
        found,
        [
            ("ca.crt", [].as_slice()),
            ("long.crt", &[]),
            ("mixed.crt", &[Problem::KeyMismatch]),
            ("open.crt", &[Problem::KeyOpenToOthers(0o644)]),
            ("orphan.crt", &[Problem::NoIssuer]),
            ("over.crt", &[Problem::Expired]),
            ("soon.crt", &[Problem::ExpiresSoon]),
        ]
    );
    let long = &reports[1];
    assert_eq!(
        (long.issuer.as_deref(), long.subject.as_str()),
        (Some("ca.crt"), "one")
    );
    assert!((89..=90).contains(&long.days_left), "{}", long.days_left);
}

#[test]
fn check_shows_a_rotation_and_fails_when_something_needs_attention() {
    let dir = empty_dir("commands-check");
    succeed(&dir, &["serving", "--service", "one", "--namespace", "a"]);
    succeed(&dir, &["rotate-ca"]);

    let shown = succeed(&dir, &["check"]);
    let line = |file: &str| {
        shown
            .lines()
            .find(|line| line.starts_with(file))
            .unwrap()
            .to_owned()
    };
    assert!(
        line("tls.crt").contains("ca-previous.crt") && line("tls.crt").ends_with("ok"),
        "{shown}"
    );

    let output = run(&dir, &["check", "--within", "400"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("expires soon"), "{shown}");
}

#[test]
fn commands_write_every_kind_and_print_the_bundle_alone() {
    let dir = empty_dir("commands");

    let serving = [
        "serving",
        "--service",
        "one",
        "--namespace",
        "a",
        "--san",
        "10.0.0.1",
        "--validity-days",
        "7",
    ];
    let written = succeed(&dir, &serving);
    succeed(
        &dir,
        &["client", "--user", "system:admin", "--group", "system:masters"],
    );
    succeed(&dir, &["front-proxy"]);
    let bundle = succeed(&dir, &["ca-bundle"]);

    assert!(
        written.contains("tls.crt") && written.contains("valid until"),
        "{written}"
    );
    assert_eq!(
        names(&dir),
        [
            "ca.crt",
            "ca.key",
            "client-ca.crt",
            "client-ca.key",
            "front-proxy-ca.crt",
            "front-proxy-ca.key",
            "front-proxy-client.crt",
            "front-proxy-client.key",
            "tls.crt",
            "tls.key",
            "user-system_admin.crt",
            "user-system_admin.key",
        ]
    );
    assert_eq!(bundle, format!("{}\n", base64_bundle(&text(&dir, "ca.crt"))));
}

#[test]
fn serving_again_keeps_the_authority_and_rotating_it_takes_three_commands() {
    let dir = empty_dir("commands-rotate");
    let serving = ["serving", "--service", "one", "--namespace", "a"];
    succeed(&dir, &serving);
    let (authority, leaf) = (text(&dir, "ca.crt"), text(&dir, "tls.crt"));

    succeed(&dir, &serving);
    assert_eq!(text(&dir, "ca.crt"), authority);
    assert_ne!(text(&dir, "tls.crt"), leaf);

    succeed(&dir, &["rotate-ca"]);
    succeed(&dir, &serving);
    assert_ne!(text(&dir, "ca.crt"), authority);
    assert_eq!(text(&dir, "ca-previous.crt"), authority);
    succeed(&dir, &["rotate-ca", "--back"]);
    assert_eq!(text(&dir, "ca.crt"), authority);
    succeed(&dir, &["rotate-ca", "--finish"]);
    assert_eq!(names(&dir), ["ca.crt", "ca.key", "tls.crt", "tls.key"]);
}

#[test]
fn refused_command_says_why_and_issues_nothing() {
    let dir = empty_dir("commands-refused");

    let output = run(&dir, &["serving", "--service", "Not_A_Label", "--namespace", "a"]);

    assert!(!output.status.success());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("service \"Not_A_Label\"") && message.contains("DNS label"),
        "{message}"
    );
    assert!(!dir.join("tls.crt").exists());
}
