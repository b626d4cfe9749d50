//! The flags that say how to believe the front proxy.
//!
//! Upstream: `k8s.io/apiserver/pkg/server/options.RequestHeaderAuthenticationOptions`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use generic_apiserver::authentication::{AuthenticationConfig, RequestHeaderConfig};
use serde_json::json;

/// How to believe the front proxy, if not as the cluster publishes.
#[derive(Clone, Debug, Args)]
pub struct RequestHeaderFlags {
    /// Authorities of the front proxy's certificate, PEM, read once; with it, this and the other
    /// --requestheader flags count in place of what the cluster publishes, without it none of them does
    #[arg(long, value_name = "FILE")]
    requestheader_client_ca_file: Option<PathBuf>,

    /// Common names allowed to the front proxy; none = any below its authorities
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    requestheader_allowed_names: Vec<String>,

    /// Headers of the user's name
    #[arg(
        long,
        value_name = "HEADERS",
        value_delimiter = ',',
        default_value = "x-remote-user"
    )]
    requestheader_username_headers: Vec<String>,

    /// Headers of the user's UID; none by default
    #[arg(long, value_name = "HEADERS", value_delimiter = ',')]
    requestheader_uid_headers: Vec<String>,

    /// Headers of the user's groups
    #[arg(
        long,
        value_name = "HEADERS",
        value_delimiter = ',',
        default_value = "x-remote-group"
    )]
    requestheader_group_headers: Vec<String>,

    /// Beginnings of the headers of further attributes
    #[arg(
        long,
        value_name = "PREFIXES",
        value_delimiter = ',',
        default_value = "x-remote-extra-"
    )]
    requestheader_extra_headers_prefix: Vec<String>,
}

impl RequestHeaderFlags {
    /// What the flags say; `None` = as the cluster publishes.
    ///
    /// # Errors
    /// When the file cannot be read, or a list has an empty entry or what is no header.
    pub fn config(&self) -> anyhow::Result<Option<RequestHeaderConfig>> {
        let Some(path) = &self.requestheader_client_ca_file else {
            return Ok(None);
        };
        let authorities = std::fs::read_to_string(path).context("--requestheader-client-ca-file")?;
        // The form in which the cluster publishes the same.
        let mut published = vec![("requestheader-client-ca-file".to_owned(), authorities)];
        for (name, entries) in [
            ("requestheader-allowed-names", &self.requestheader_allowed_names),
            (
                "requestheader-username-headers",
                &self.requestheader_username_headers,
            ),
            ("requestheader-uid-headers", &self.requestheader_uid_headers),
            ("requestheader-group-headers", &self.requestheader_group_headers),
            (
                "requestheader-extra-headers-prefix",
                &self.requestheader_extra_headers_prefix,
            ),
        ] {
            published.push((name.to_owned(), json!(entries_of(name, entries)?).to_string()));
        }
        let config = AuthenticationConfig::from_config_map(&published.into_iter().collect());
        let own = config.context("the --requestheader flags")?.request_header;
        Ok(Some(own.context(
            "--requestheader-client-ca-file holds no certificate",
        )?))
    }
}

/// A flag with an empty value is an empty list. An empty entry of a longer one is a mistake: as a prefix it would make
/// every header one of identity.
fn entries_of<'a>(name: &str, entries: &'a [String]) -> anyhow::Result<&'a [String]> {
    match entries {
        [only] if only.is_empty() => Ok(&[]),
        _ if entries.iter().any(|entry| entry.trim().is_empty()) => bail!("--{name}: an entry is empty"),
        _ => Ok(entries),
    }
}

#[cfg(test)]
mod tests {
    use brokkr_certs::{CertificateAuthority, Validity};
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        flags: RequestHeaderFlags,
    }

    /// What these flags say with an authority in a file, and that name of the file.
    fn config(name: &str, flags: &[&str]) -> anyhow::Result<Option<RequestHeaderConfig>> {
        let directory = std::env::temp_dir().join(format!("wardle-{}-{name}", std::process::id()));
        let authority =
            CertificateAuthority::create("front-proxy-ca", Validity::authority_default()).unwrap();
        authority.save(&directory, "ca").unwrap();
        let file = format!(
            "--requestheader-client-ca-file={}",
            directory.join("ca.crt").display()
        );
        let flags = [&["wardle", file.as_str()], flags].concat();
        let config = Flags::parse_from(flags).flags.config();
        std::fs::remove_dir_all(directory).unwrap();
        config
    }

    #[test]
    fn without_the_authorities_the_cluster_says_whom_to_believe() {
        let flags = Flags::parse_from(["wardle", "--requestheader-allowed-names=a"]).flags;
        assert!(flags.config().unwrap().is_none());
    }

    #[test]
    fn defaults_are_those_of_upstream() {
        let config = config("defaults", &[]).unwrap().unwrap();
        assert_eq!(config.username_headers, ["x-remote-user"]);
        assert_eq!(config.group_headers, ["x-remote-group"]);
        assert_eq!(config.extra_header_prefixes, ["x-remote-extra-"]);
        assert!(config.uid_headers.is_empty() && config.allowed_names.is_empty());
    }

    #[test]
    fn lists_are_given_with_commas_or_by_repeating() {
        let flags = [
            "--requestheader-allowed-names=a,b",
            "--requestheader-uid-headers=X-Remote-Uid",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-username-headers=X-User",
            "--requestheader-group-headers=",
        ];
        let config = config("lists", &flags).unwrap().unwrap();
        assert_eq!(config.allowed_names, ["a", "b"]);
        assert_eq!(config.uid_headers, ["x-remote-uid"]);
        assert_eq!(config.username_headers, ["x-remote-user", "x-user"]);
        assert!(config.group_headers.is_empty());
    }

    #[test]
    fn empty_entries_and_bad_headers_are_refused() {
        for (flag, said) in [
            ("--requestheader-extra-headers-prefix=a,", "an entry is empty"),
            ("--requestheader-allowed-names= ", "an entry is empty"),
            ("--requestheader-username-headers=a b", "no header name"),
        ] {
            let error = config("refused", &[flag]).unwrap_err();
            assert!(format!("{error:#}").contains(said), "{flag}: {error:#}");
        }
    }
}
