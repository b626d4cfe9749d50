//! The command line: one subcommand per kind of certificate, and one per thing to do with them.

use std::path::PathBuf;

use brokkr_certs::{AlternativeName, CLIENT_CA, FRONT_PROXY_CA, SERVING_CA};
use clap::{Args, Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "Examples:
  Everything for a hub, then what `kubectl apply -k hub` needs of it:
    brokkr-certs serving --dir certificates --service brokkr-apiserver --namespace brokkr-system
    brokkr-certs manifests --dir certificates --output hub

  A weekly look at what ends within two months; exits with 1 if anything does:
    brokkr-certs check --dir certificates --within 60";

/// Mint and rotate the certificates of an aggregated Kubernetes API server.
///
/// Each kind has its own CA in the directory, created when it is first needed and never overwritten.
/// Running a command again issues a new leaf from the same CA: that is how leaves are rotated, and
/// servers that watch the files take the new one without a restart. Keys are ECDSA P-256, written with
/// mode 0600, unencrypted. For development and for hubs without a CA of their own; who has cert-manager
/// uses that.
#[derive(Debug, Parser)]
#[command(name = "brokkr-certs", version, after_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
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
    /// Write the serving certificate as a Secret and the CA as a patch of the APIService, for kubectl.
    ///
    /// serving-certificate.yaml is a Secret of type kubernetes.io/tls; it holds the private key.
    /// ca-bundle.yaml is the APIService with nothing but its caBundle, for `patches` of a kustomization.
    /// Nothing is written unless kube-apiserver would accept the server with both: the key belongs to the
    /// certificate, which is valid now, names the Service, and comes from a CA of the bundle.
    Manifests(ManifestsOptions),
    /// Print a CA as an APIService's caBundle: base64 of PEM, on one line.
    ///
    /// While a rotation is under way the bundle holds the new and the previous certificate.
    CaBundle(CaBundleOptions),
    /// Replace a CA in steps that interrupt nobody.
    ///
    /// 1. rotate-ca, then publish: the bundle now holds the old and the new certificate.
    /// 2. Issue the leaves again (serving, client, front-proxy): they come from the new CA. Give them to
    ///    the servers and wait until every one shows the new leaf.
    /// 3. rotate-ca --finish, then publish again: the new certificate alone.
    ///
    /// To publish is to give the bundle to whoever trusts the CA: the APIService (manifests), or
    /// kube-apiserver's --client-ca-file and --requestheader-client-ca-file (ca-bundle --pem). Until step
    /// 3, rotate-ca --back turns around: the old CA signs again, both are trusted, and step 2 follows.
    #[command(verbatim_doc_comment)]
    RotateCa(RotateOptions),
    /// Show what ends when, and what does not fit together; exit with 1 if something needs attention.
    ///
    /// Every *.crt of the directory is looked at, with the key beside it: how long it is valid, which CA
    /// issued it, whether the key is its own and closed to others.
    Check(CheckOptions),
}

#[derive(Debug, Args)]
pub(crate) struct DirectoryOptions {
    /// Directory of the certificates, made if absent
    #[arg(long)]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ValidityOptions {
    /// Days until the certificate expires; never beyond its CA
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) validity_days: u32,
    /// Days until the CA expires, if this command creates it
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) ca_validity_days: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ServingOptions {
    #[command(flatten)]
    pub(crate) directory: DirectoryOptions,
    /// Name of the Service that the APIService points to
    #[arg(long)]
    pub(crate) service: String,
    /// Namespace of that Service
    #[arg(long)]
    pub(crate) namespace: String,
    /// A further host name or IP address; may be repeated
    #[arg(long = "san", value_name = "NAME_OR_IP")]
    pub(crate) extra_names: Vec<AlternativeName>,
    #[command(flatten)]
    pub(crate) validity: ValidityOptions,
}

#[derive(Debug, Args)]
pub(crate) struct ClientOptions {
    #[command(flatten)]
    pub(crate) directory: DirectoryOptions,
    /// The user, 1 to 64 bytes
    #[arg(long)]
    pub(crate) user: String,
    /// A group of the user; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    #[command(flatten)]
    pub(crate) validity: ValidityOptions,
}

#[derive(Debug, Args)]
pub(crate) struct FrontProxyOptions {
    #[command(flatten)]
    pub(crate) directory: DirectoryOptions,
    /// Common name of the client certificate
    #[arg(long, value_name = "CN", default_value = "front-proxy-client")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) validity: ValidityOptions,
}

#[derive(Debug, Args)]
pub(crate) struct ManifestsOptions {
    #[command(flatten)]
    pub(crate) directory: DirectoryOptions,
    /// Directory the two files are written to, made if absent
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Name of the Service that the APIService points to
    #[arg(long, default_value = "brokkr-apiserver")]
    pub(crate) service: String,
    /// Namespace of that Service and of the Secret
    #[arg(long, default_value = "brokkr-system")]
    pub(crate) namespace: String,
    /// Name of the Secret
    #[arg(long, value_name = "NAME", default_value = "brokkr-apiserver-serving")]
    pub(crate) secret: String,
    /// Name of the APIService, VERSION.GROUP
    #[arg(long, value_name = "NAME", default_value = "v1alpha1.work.brokkr.io")]
    pub(crate) api_service: String,
}

#[derive(Debug, Args)]
pub(crate) struct CaBundleOptions {
    #[command(flatten)]
    pub(crate) directory: DirectoryOptions,
    /// Which CA
    #[arg(long, value_enum, default_value_t = Authority::Serving)]
    pub(crate) ca: Authority,
    /// Print the PEM itself, as files and ConfigMaps hold it
    #[arg(long)]
    pub(crate) pem: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RotateOptions {
    #[command(flatten)]
    pub(crate) directory: DirectoryOptions,
    /// Which CA
    #[arg(long, value_enum, default_value_t = Authority::Serving)]
    pub(crate) ca: Authority,
    /// Stop trusting the previous CA: the last step
    #[arg(long)]
    pub(crate) finish: bool,
    /// Turn around before the last step: the previous CA signs again
    #[arg(long, conflicts_with = "finish")]
    pub(crate) back: bool,
    /// Days until the new CA expires
    #[arg(long, default_value_t = 3650, conflicts_with_all = ["finish", "back"],
          value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) ca_validity_days: u32,
}

#[derive(Debug, Args)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    pub(crate) directory: DirectoryOptions,
    /// Certificates that end within so many days need attention
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub(crate) within: u32,
}

/// One of the CAs of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Authority {
    /// Signs the API server's certificate: ca.*
    Serving,
    /// Signs certificates of users: client-ca.*
    Client,
    /// Signs the aggregator's certificate: front-proxy-ca.*
    FrontProxy,
}

impl Authority {
    /// The stem of its files.
    pub(crate) const fn stem(self) -> &'static str {
        match self {
            Self::Serving => SERVING_CA,
            Self::Client => CLIENT_CA,
            Self::FrontProxy => FRONT_PROXY_CA,
        }
    }
}
