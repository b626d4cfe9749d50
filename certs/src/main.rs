//! The command line of the certificates for development: one subcommand per kind of certificate.
//!
//! It prints what it wrote, and nothing else; `ca-bundle` prints the bundle alone, for use in scripts.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use brokkr_certs::{
    AlternativeName, CLIENT_CA, CertificateAuthority, ClientRequest, FRONT_PROXY_CA, IssuedCertificate,
    SERVING_CA, ServingRequest, Validity, authority_bundle, base64_bundle, finish_rotation, rotate_authority,
};
use clap::{Args, Parser, Subcommand};

/// Mint and rotate the certificates of an aggregated Kubernetes API server, for development.
///
/// Each kind has its own CA in the directory, created when it is first needed and never overwritten.
/// Running a command again issues a new leaf from the same CA: that is how leaves are rotated, and
/// servers that watch the files take the new one without a restart. Keys are ECDSA P-256, written with
/// mode 0600, unencrypted. Not for production clusters: use cert-manager or your own CA there.
#[derive(Debug, Parser)]
#[command(name = "brokkr-certs", version)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Issue the API server's serving certificate: ca.crt, ca.key (if absent), tls.crt, tls.key.
    ///
    /// Valid for SERVICE.NAMESPACE.svc, SERVICE.NAMESPACE.svc.cluster.local, localhost and 127.0.0.1;
    /// the aggregator connects with the first of them.
    Serving(ServingOptions),
    /// Issue a client certificate: client-ca.crt, client-ca.key (if absent), user-NAME.crt, user-NAME.key.
    ///
    /// Kubernetes reads the user from the common name and the groups from the organizations. In file
    /// names, characters other than letters, digits, "." and "-" become "_".
    Client(ClientOptions),
    /// Issue the aggregator's client certificate: front-proxy-ca.* (if absent), front-proxy-client.*.
    ///
    /// For kube-apiserver's --proxy-client-cert-file and --requestheader-client-ca-file. The name must
    /// be among --requestheader-allowed-names.
    FrontProxy(FrontProxyOptions),
    /// Print the serving CA as an APIService's caBundle: base64 of PEM, on one line.
    ///
    /// While a rotation is under way the bundle holds the new and the previous certificate.
    CaBundle(DirectoryOptions),
    /// Replace the serving CA in steps that interrupt nobody.
    ///
    /// 1. rotate-ca, then publish ca-bundle, which now holds the old and the new certificate.
    /// 2. serving: the new serving certificate comes from the new CA.
    /// 3. rotate-ca --finish, then publish ca-bundle again: the new certificate alone.
    #[command(verbatim_doc_comment)]
    RotateCa(RotateOptions),
}

#[derive(Debug, Args)]
struct DirectoryOptions {
    /// Directory of the certificates, made if absent
    #[arg(long)]
    dir: PathBuf,
}

#[derive(Debug, Args)]
struct ValidityOptions {
    /// Days until the certificate expires; never beyond its CA
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36500))]
    validity_days: u32,
    /// Days until the CA expires, if this command creates it
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36500))]
    ca_validity_days: u32,
}

#[derive(Debug, Args)]
struct ServingOptions {
    #[command(flatten)]
    directory: DirectoryOptions,
    /// Name of the Service that the APIService points to
    #[arg(long)]
    service: String,
    /// Namespace of that Service
    #[arg(long)]
    namespace: String,
    /// A further host name or IP address; may be repeated
    #[arg(long = "san", value_name = "NAME_OR_IP")]
    extra_names: Vec<AlternativeName>,
    #[command(flatten)]
    validity: ValidityOptions,
}

#[derive(Debug, Args)]
struct ClientOptions {
    #[command(flatten)]
    directory: DirectoryOptions,
    /// The user, 1 to 64 bytes
    #[arg(long)]
    user: String,
    /// A group of the user; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    validity: ValidityOptions,
}

#[derive(Debug, Args)]
struct FrontProxyOptions {
    #[command(flatten)]
    directory: DirectoryOptions,
    /// Common name of the client certificate
    #[arg(long, value_name = "CN", default_value = "front-proxy-client")]
    name: String,
    #[command(flatten)]
    validity: ValidityOptions,
}

#[derive(Debug, Args)]
struct RotateOptions {
    #[command(flatten)]
    directory: DirectoryOptions,
    /// Stop trusting the previous CA: the last step
    #[arg(long)]
    finish: bool,
    /// Days until the new CA expires
    #[arg(long, default_value_t = 3650, conflicts_with = "finish",
          value_parser = clap::value_parser!(u32).range(1..=36500))]
    ca_validity_days: u32,
}

fn main() -> anyhow::Result<()> {
    let report = match Options::parse().command {
        Command::Serving(options) => serving(options)?,
        Command::Client(options) => client(options)?,
        Command::FrontProxy(options) => front_proxy(options)?,
        Command::CaBundle(options) => base64_bundle(&authority_bundle(&options.dir, SERVING_CA)?),
        Command::RotateCa(options) => rotate_ca(&options)?,
    };
    writeln!(io::stdout().lock(), "{report}").context("cannot write to standard output")
}

fn serving(options: ServingOptions) -> anyhow::Result<String> {
    let authority = authority(&options.directory.dir, SERVING_CA, &options.validity)?;
    let issued = authority.issue_serving(&ServingRequest {
        service: options.service,
        namespace: options.namespace,
        extra_names: options.extra_names,
        validity: Validity::days(options.validity.validity_days),
    })?;
    write(&issued, &options.directory.dir, "tls")
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

fn rotate_ca(options: &RotateOptions) -> anyhow::Result<String> {
    let dir = &options.directory.dir;
    if options.finish {
        finish_rotation(dir, SERVING_CA)?;
        return Ok("the previous CA is no longer trusted; publish ca-bundle".to_owned());
    }
    rotate_authority(
        dir,
        SERVING_CA,
        &authority_name(SERVING_CA),
        Validity::days(options.ca_validity_days),
    )?;
    Ok(
        "a new CA is in place, the previous one still trusted; publish ca-bundle, then run serving"
            .to_owned(),
    )
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
