//! The flags of upstream's sample server.
//!
//! Those that say how to listen, whom to ask and whom to believe do what they do upstream. Those about
//! etcd, audit and profiling have nothing to act on here: they are accepted, and the log says so. All
//! others are refused as unknown, because to ignore them would promise what is not done (encryption at
//! rest, cipher suites); ADR 0012 lists them. The database is ours.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Parser};
use jiff::SignedDuration;

use crate::request_header::RequestHeaderFlags;

/// Serves wardle.example.com to a Kubernetes cluster, from PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "wardle-apiserver", version)]
pub struct Options {
    /// Address of the database
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,

    /// Address to listen on
    #[arg(long, value_name = "IP", default_value = "0.0.0.0")]
    pub bind_address: IpAddr,

    /// Port to listen on
    #[arg(long, value_name = "PORT", default_value_t = 443)]
    pub secure_port: u16,

    /// Serving certificate with its chain, PEM; without it --cert-dir counts
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,

    /// Key of the serving certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,

    /// Folder of the serving certificate apiserver.crt and its key, which are minted when they are not there
    #[arg(
        long,
        value_name = "DIR",
        default_value = "apiserver.local.config/certificates"
    )]
    pub cert_dir: PathBuf,

    /// Kubeconfig of the core cluster, whose namespaces are followed; without it the account of the pod
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Kubeconfig to review tokens with and to look the front proxy up; without it the account of the pod
    #[arg(long, value_name = "FILE")]
    pub authentication_kubeconfig: Option<PathBuf>,

    /// Kubeconfig to review access with; without it the account of the pod
    #[arg(long, value_name = "FILE")]
    pub authorization_kubeconfig: Option<PathBuf>,

    /// Authorities whose client certificates are believed besides those of the cluster, PEM
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,

    /// Do not ask the cluster whom to believe: the flags alone say so
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set, default_value_t = false)]
    pub authentication_skip_lookup: bool,

    /// Begin even when the cluster does not say whom to believe; many requests are anonymous then
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set, default_value_t = false)]
    pub authentication_tolerate_lookup_failure: bool,

    /// How to believe the front proxy
    #[command(flatten)]
    pub request_header: RequestHeaderFlags,

    /// Paths that are open to everyone; a * at the end stands for all that may follow
    #[arg(
        long,
        value_name = "PATHS",
        value_delimiter = ',',
        default_value = "/healthz,/readyz,/livez"
    )]
    pub authorization_always_allow_paths: Vec<String>,

    /// How long an allowed access review is remembered
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub authorization_webhook_cache_authorized_ttl: Duration,

    /// How long a denied access review is remembered
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub authorization_webhook_cache_unauthorized_ttl: Duration,

    /// Flags that are given and have nothing to act on
    #[command(flatten)]
    pub ignored: Ignored,
}

/// A duration as Go writes it, such as 1m30s.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    parsed
        .try_into()
        .map_err(|_| "it must not be negative".to_owned())
}

/// Flags with a value that have nothing to act on.
const WITH_VALUE: [&str; 31] = [
    "audit-log-format",
    "audit-log-maxage",
    "audit-log-maxbackup",
    "audit-log-maxsize",
    "audit-log-mode",
    "audit-log-path",
    "audit-log-version",
    "audit-policy-file",
    "audit-webhook-batch-initial-backoff",
    "audit-webhook-config-file",
    "audit-webhook-initial-backoff",
    "audit-webhook-mode",
    "audit-webhook-version",
    "default-watch-cache-size",
    "delete-collection-workers",
    "etcd-cafile",
    "etcd-certfile",
    "etcd-compaction-interval",
    "etcd-count-metric-poll-period",
    "etcd-db-metric-poll-interval",
    "etcd-healthcheck-timeout",
    "etcd-keyfile",
    "etcd-prefix",
    "etcd-readycheck-timeout",
    "etcd-servers",
    "etcd-servers-overrides",
    "lease-reuse-duration-seconds",
    "storage-backend",
    "storage-media-type",
    "v",
    "watch-cache-sizes",
];

/// Switches that have nothing to act on.
const SWITCHES: [&str; 5] = [
    "audit-log-compress",
    "contention-profiling",
    "enable-garbage-collector",
    "profiling",
    "watch-cache",
];

/// The names of the flags that are given and have nothing to act on.
#[derive(Debug)]
pub struct Ignored(pub Vec<&'static str>);

impl Args for Ignored {
    fn augment_args(command: Command) -> Command {
        let flag = |name| Arg::new(name).long(name).hide(true).action(ArgAction::Append);
        let values = WITH_VALUE.map(|name| flag(name).allow_hyphen_values(true));
        let switches = SWITCHES.map(|name| flag(name).num_args(0..=1).require_equals(true));
        command.args(values).args(switches)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Ignored {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let all = WITH_VALUE.into_iter().chain(SWITCHES);
        // A switch without a value has none to read; that it is there is told by its presence alone.
        Ok(Self(all.filter(|name| matches.contains_id(name)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: [&str; 4] = [
        "wardle-apiserver",
        "--database-url=postgresql:///wardle",
        "--tls-cert-file=tls.crt",
        "--tls-private-key-file=tls.key",
    ];

    fn parse(further: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from(NEEDED.iter().chain(further))
    }

    #[test]
    fn flags_of_the_conformance_test_are_accepted() {
        let options = parse(&[
            "--etcd-servers=http://127.0.0.1:2379",
            "--etcd-prefix",
            "/registry/wardle.example.com",
            "--audit-log-path=-",
            "--audit-log-maxage=0",
            "--audit-log-maxbackup=0",
            "--profiling=false",
            "--watch-cache",
            "--authorization-webhook-cache-authorized-ttl=1m30s",
        ])
        .unwrap();
        let ignored = [
            "audit-log-maxage",
            "audit-log-maxbackup",
            "audit-log-path",
            "etcd-prefix",
            "etcd-servers",
            "profiling",
            "watch-cache",
        ];
        assert_eq!(options.ignored.0, ignored);
        assert_eq!(
            options.authorization_webhook_cache_authorized_ttl,
            Duration::from_secs(90)
        );
    }

    #[test]
    fn certificate_and_key_are_given_together_or_not_at_all() {
        let parse = |flags: &[&str]| Options::try_parse_from([&NEEDED[..2], flags].concat());
        let options = parse(&[]).unwrap();
        assert_eq!(
            options.cert_dir,
            PathBuf::from("apiserver.local.config/certificates")
        );
        for alone in ["--tls-cert-file=a", "--tls-private-key-file=a"] {
            assert!(parse(&[alone]).is_err(), "{alone}");
        }
    }

    #[test]
    fn switches_are_given_with_or_without_a_value() {
        let skips = |flags: &[&str]| parse(flags).unwrap().authentication_skip_lookup;
        assert!(!skips(&[]) && !skips(&["--authentication-skip-lookup=false"]));
        assert!(skips(&["--authentication-skip-lookup"]) && skips(&["--authentication-skip-lookup=true"]));
    }

    #[test]
    fn open_paths_are_the_probes_unless_others_are_given() {
        let paths = |flags: &[&str]| parse(flags).unwrap().authorization_always_allow_paths;
        assert_eq!(paths(&[]), ["/healthz", "/readyz", "/livez"]);
        let given = ["--authorization-always-allow-paths=/livez,/openapi/*"];
        assert_eq!(paths(&given), ["/livez", "/openapi/*"]);
    }

    #[test]
    fn flags_that_would_promise_something_are_refused() {
        for flag in [
            "--encryption-provider-config=x",
            "--tls-min-version=VersionTLS13",
            "--authentication-token-webhook-cache-ttl=5s",
        ] {
            assert_eq!(
                parse(&[flag]).unwrap_err().kind(),
                clap::error::ErrorKind::UnknownArgument,
                "{flag}"
            );
        }
    }
}
