//! What a caller asks a CA for: names, groups, and how long.
//!
//! Everything is checked when a certificate is issued, before a key is made, so that a request can
//! be written as a plain value.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use crate::Error;

/// Clocks of two machines differ: a certificate is valid from this long ago, as those that
/// Kubernetes' own signers issue.
const BACKDATE: Duration = Duration::from_secs(5 * 60);

/// A certificate that outlives this is a mistake in the unit; openssl's own dates end in 9999.
const LIFETIME_MAX: Duration = Duration::from_secs(100 * 365 * DAY_SECONDS);

/// X.520's upper bound for a common name and for an organization name.
const SUBJECT_BYTES_MAX: usize = 64;

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// From when until when a certificate is valid. A leaf never outlives its CA: its end is cut there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

impl Validity {
    /// Ten years, for a CA.
    pub fn authority_default() -> Self {
        Self::days(3650)
    }

    /// One year, for a leaf.
    pub fn leaf_default() -> Self {
        Self::days(365)
    }

    /// From five minutes ago until `days` days from now.
    pub fn days(days: u32) -> Self {
        let now = SystemTime::now();
        Self::between(
            now - BACKDATE,
            now + Duration::from_secs(u64::from(days) * DAY_SECONDS),
        )
    }

    /// Exactly these two moments, in whole seconds; tests mint certificates that are over or not yet valid.
    pub fn between(not_before: SystemTime, not_after: SystemTime) -> Self {
        Self {
            not_before,
            not_after,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let invalid = |problem| Error::Invalid {
            field: "validity",
            value: format!("{self:?}"),
            problem,
        };
        match self.not_after.duration_since(self.not_before) {
            Ok(lifetime) if lifetime > LIFETIME_MAX => Err(invalid("at most 100 years")),
            Ok(_) => Ok(()),
            Err(_) => Err(invalid("it ends before it begins")),
        }
    }
}

/// One name a server is reached by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// A host name; the first label may be `*`.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

impl FromStr for AlternativeName {
    type Err = Error;

    /// An IP address if the text is one, otherwise a host name; [`Error::Invalid`] if it is neither.
    fn from_str(text: &str) -> Result<Self, Error> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let host = text.strip_prefix("*.").unwrap_or(text);
        let valid = text.len() <= 253 && host.split('.').all(is_dns_label);
        valid
            .then(|| Self::Dns(text.to_owned()))
            .ok_or_else(|| Error::Invalid {
                field: "alternative name",
                value: text.to_owned(),
                problem: "give an IP address or a lower-case host name",
            })
    }
}

impl fmt::Display for AlternativeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(host) => formatter.write_str(host),
            Self::Ip(address) => address.fmt(formatter),
        }
    }
}

/// A serving certificate for a Kubernetes Service, with extended key usage serverAuth.
///
/// The aggregator calls `<service>.<namespace>.svc` and looks at alternative names only.
#[derive(Clone, Debug)]
pub struct ServingRequest {
    /// The Service's name, a DNS label.
    pub service: String,
    /// The Service's namespace, a DNS label.
    pub namespace: String,
    /// Names beside the Service's two, `localhost` and `127.0.0.1`.
    pub extra_names: Vec<AlternativeName>,
    /// From when until when.
    pub validity: Validity,
}

impl ServingRequest {
    /// A request with no extra names and the default validity of a leaf.
    pub fn new(service: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            namespace: namespace.into(),
            extra_names: Vec::new(),
            validity: Validity::leaf_default(),
        }
    }

    /// Every name the certificate will hold, each once, the Service's first.
    pub fn names(&self) -> Vec<AlternativeName> {
        let host = format!("{}.{}.svc", self.service, self.namespace);
        let mut names = vec![
            AlternativeName::Dns(host.clone()),
            AlternativeName::Dns(format!("{host}.cluster.local")),
            AlternativeName::Dns("localhost".to_owned()),
            AlternativeName::Ip(Ipv4Addr::LOCALHOST.into()),
        ];
        for name in &self.extra_names {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_label("service", &self.service)?;
        check_label("namespace", &self.namespace)?;
        for name in &self.extra_names {
            // A variant can be built without parsing, so what openssl would take as it is gets parsed here.
            name.to_string().parse::<AlternativeName>()?;
        }
        self.validity.check()
    }
}

/// A client certificate, with extended key usage clientAuth. Kubernetes reads the user from the
/// common name and the groups from the organizations.
#[derive(Clone, Debug)]
pub struct ClientRequest {
    /// The user's name, 1 to 64 bytes.
    pub user: String,
    /// The user's groups, each 1 to 64 bytes, in this order.
    pub groups: Vec<String>,
    /// From when until when.
    pub validity: Validity,
}

impl ClientRequest {
    /// A request without groups, with the default validity of a leaf.
    pub fn new(user: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            groups: Vec::new(),
            validity: Validity::leaf_default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_subject("user", &self.user)?;
        for group in &self.groups {
            check_subject("group", group)?;
        }
        self.validity.check()
    }
}

/// Refuses what a certificate's subject cannot hold, with a better message than openssl's.
pub(crate) fn check_subject(field: &'static str, value: &str) -> Result<(), Error> {
    let problem = if value.is_empty() {
        "it must not be empty"
    } else if value.len() > SUBJECT_BYTES_MAX {
        "a certificate's subject holds at most 64 bytes of it; use a service-account token for longer names"
    } else if value.chars().any(char::is_control) {
        // A NUL inside a name ends it for some readers and not for others.
        "control characters are not allowed"
    } else {
        return Ok(());
    };
    Err(Error::Invalid {
        field,
        value: value.to_owned(),
        problem,
    })
}

pub(crate) fn check_label(field: &'static str, value: &str) -> Result<(), Error> {
    is_dns_label(value).then_some(()).ok_or_else(|| Error::Invalid {
        field,
        value: value.to_owned(),
        problem: "a DNS label is needed: at most 63 of a-z, 0-9 and -, with no - at either end",
    })
}

fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
