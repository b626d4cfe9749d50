//! The program `brokkr-certs`: what was asked for on the command line, done by the library.
//!
//! It prints what it wrote, and nothing else; `ca-bundle` prints the bundle alone, for use in scripts.

mod options;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use brokkr_certs::{
    CLIENT_CA, CertificateAuthority, CertificateReport, ClientRequest, FRONT_PROXY_CA, IssuedCertificate,
    ManifestRequest, SERVING_CA, SERVING_CERTIFICATE, ServingRequest, Validity, authority_bundle,
    base64_bundle, cluster_manifests, finish_rotation, inspect, roll_back, rotate_authority,
};
use clap::Parser as _;

use options::{
    CaBundleOptions, CheckOptions, ClientOptions, Command, FrontProxyOptions, ManifestsOptions, Options,
    RotateOptions, ServingOptions, ValidityOptions,
};

fn main() -> ExitCode {
    run(Options::parse().command).unwrap_or_else(|error| {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr().lock(), "brokkr-certs: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let report = match command {
        Command::Serving(options) => serving(options)?,
        Command::Client(options) => client(options)?,
        Command::FrontProxy(options) => front_proxy(options)?,
        Command::Manifests(options) => manifests(options)?,
        Command::CaBundle(options) => ca_bundle(&options)?,
        Command::RotateCa(options) => rotate_ca(&options)?,
        Command::Check(options) => return check(&options),
    };
    print(&report)?;
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> anyhow::Result<()> {
    let written = writeln!(io::stdout().lock(), "{}", text.trim_end());
    written.context("cannot write to standard output")
}

fn serving(options: ServingOptions) -> anyhow::Result<String> {
    let authority = authority(&options.directory.dir, SERVING_CA, &options.validity)?;
    let issued = authority.issue_serving(&ServingRequest {
        service: options.service,
        namespace: options.namespace,
        extra_names: options.extra_names,
        validity: Validity::days(options.validity.validity_days),
    })?;
    write(&issued, &options.directory.dir, SERVING_CERTIFICATE)
}

fn client(options: ClientOptions) -> anyhow::Result<String> {
    let stem = format!("user-{}", file_name(&options.user));
    let authority = authority(&options.directory.dir, CLIENT_CA, &options.validity)?;
    let issued = authority.issue_client(&ClientRequest {
        user: options.user,
        groups: options.groups,
        validity: Validity::days(options.validity.validity_days),
    })?;
    write(&issued, &options.directory.dir, &stem)
}

fn front_proxy(options: FrontProxyOptions) -> anyhow::Result<String> {
    let authority = authority(&options.directory.dir, FRONT_PROXY_CA, &options.validity)?;
    let issued = authority.issue_client(&ClientRequest {
        user: options.name,
        groups: Vec::new(),
        validity: Validity::days(options.validity.validity_days),
    })?;
    write(&issued, &options.directory.dir, "front-proxy-client")
}

fn manifests(options: ManifestsOptions) -> anyhow::Result<String> {
    let request = ManifestRequest {
        service: options.service,
        namespace: options.namespace,
        secret: options.secret,
        api_service: options.api_service,
    };
    let [secret, bundle] = cluster_manifests(&options.directory.dir, &request)
        .with_context(|| format!("nothing was written to {}", options.output.display()))?
        .write(&options.output)?;
    Ok(format!(
        "wrote {} (it holds the private key) and {}",
        secret.display(),
        bundle.display()
    ))
}

fn ca_bundle(options: &CaBundleOptions) -> anyhow::Result<String> {
    let bundle = authority_bundle(&options.directory.dir, options.ca.stem())?;
    Ok(if options.pem {
        bundle
    } else {
        base64_bundle(&bundle)
    })
}

fn rotate_ca(options: &RotateOptions) -> anyhow::Result<String> {
    let (dir, stem) = (&options.directory.dir, options.ca.stem());
    if options.finish {
        finish_rotation(dir, stem)?;
        return Ok("the previous CA is no longer trusted; publish the bundle".to_owned());
    }
    if options.back {
        roll_back(dir, stem)?;
        return Ok("the previous CA signs again, both are trusted; issue the leaves again".to_owned());
    }
    let lifetime = Validity::days(options.ca_validity_days);
    rotate_authority(dir, stem, &authority_name(stem), lifetime)?;
    Ok(
        "a new CA is in place, the previous one still trusted; publish the bundle, then issue the leaves again"
            .to_owned(),
    )
}

fn check(options: &CheckOptions) -> anyhow::Result<ExitCode> {
    let dir = &options.directory.dir;
    let reports = inspect(dir, options.within)?;
    anyhow::ensure!(
        !reports.is_empty(),
        "{} holds no certificate (*.crt)",
        dir.display()
    );
    print(&table(&reports))?;
    let needs_attention = reports.iter().any(|report| !report.problems.is_empty());
    Ok(if needs_attention {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// One line for each certificate, in columns.
fn table(reports: &[CertificateReport]) -> String {
    let header = ["FILE", "SUBJECT", "ISSUER", "ENDS", "DAYS", "STATE"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(header).chain(reports.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..5).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &[String; 6]| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}   "));
        format!("{}{}\n", cells.collect::<String>(), row[5])
    };
    rows.iter().map(line).collect()
}

fn row(report: &CertificateReport) -> [String; 6] {
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    let state = if problems.is_empty() {
        "ok".to_owned()
    } else {
        problems.join(", ")
    };
    let issuer = report.issuer.clone().unwrap_or_else(|| "-".to_owned());
    [
        report.file.clone(),
        report.subject.clone(),
        issuer,
        report.not_after.clone(),
        report.days_left.to_string(),
        state,
    ]
}

fn authority(dir: &Path, stem: &str, validity: &ValidityOptions) -> anyhow::Result<CertificateAuthority> {
    let lifetime = Validity::days(validity.ca_validity_days);
    CertificateAuthority::load_or_create(dir, stem, &authority_name(stem), lifetime)
        .with_context(|| format!("cannot use the CA {stem:?} in {}", dir.display()))
}

fn authority_name(stem: &str) -> String {
    format!("brokkr-work-{stem}")
}

fn write(issued: &IssuedCertificate, dir: &Path, stem: &str) -> anyhow::Result<String> {
    issued.write(dir, stem)?;
    let path = dir.join(stem);
    Ok(format!(
        "wrote {0}.crt and {0}.key, valid until {1}",
        path.display(),
        issued.not_after()
    ))
}

fn file_name(user: &str) -> String {
    let keep = |character: char| character.is_ascii_alphanumeric() || ".-".contains(character);
    user.chars()
        .map(|character| if keep(character) { character } else { '_' })
        .collect()
}
