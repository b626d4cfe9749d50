//! Builds the parts of the server and runs them: what a server on the library has to write itself.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use generic_apiserver::admission::NamespaceLifecycle;
use generic_apiserver::authentication::{
    AuthenticationConfig, Authenticator, ClientCert, SharedAuthenticationConfig, Union,
};
use generic_apiserver::authorization::subject_access_review::DecisionLifetimes;
use generic_apiserver::authorization::{Authorizer, LocallyAllowed, SubjectAccessReviewAuthorizer};
use generic_apiserver::endpoints::Endpoints;
use generic_apiserver::server::{
    DelegatedAuth, DelegatedAuthOptions, GenericApiServer, HealthCheck, HealthChecks, Lookup, ServerParts,
    ServingOptions, VersionInfo,
};
use generic_apiserver::storage::{Storage, StorageOptions};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::serving_certificate::serving_certificate;
use crate::{BanFlunder, Options, VERSION, install};

/// Runs until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// When a part cannot be built: the message names the flag or the database at fault.
pub async fn run(options: Options) -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider is installed"))?;
    for flag in &options.ignored.0 {
        tracing::info!("--{flag} is ignored: there is nothing here that it could act on");
    }
    let stop = stop_on_signal()?;
    let database: PgConnectOptions = options.database_url.parse().context("--database-url")?;
    migrate(&database).await.context("migrating the database")?;

    // Storage and what feeds on it outlive the requests that use them.
    let background = CancellationToken::new();
    let storage = install::storage(StorageOptions::new(database)).start(&background);
    let core = client("--kubeconfig", options.kubeconfig.as_deref()).await?;
    let (namespaces, following) = NamespaceLifecycle::follow(core, background.clone());
    let auth = delegated(&options, &background).await?;
    let parts = ServerParts {
        authenticator: authenticator(&options, &auth)?,
        authorizer: authorizer(&options).await?,
        health: health(&storage, &namespaces),
        version: VersionInfo::of_crate(VERSION),
        storage: Some(storage.clone()),
        handler: Arc::new(handler(&storage, namespaces)),
    };
    let server = GenericApiServer::new(serving_options(&options)?.complete()?, parts);
    server.bind().await?.run(stop).await;

    background.cancel();
    auth.stopped().await;
    following.await.context("following namespaces")?;
    storage.shutdown().await;
    Ok(())
}

fn handler(storage: &Storage, namespaces: NamespaceLifecycle) -> Endpoints {
    let admission = BanFlunder::after(Arc::new(namespaces), storage.clone());
    let groups = vec![install::api_group(storage)];
    Endpoints::new(groups, Arc::new(admission), &format!("v{VERSION}"))
}

async fn migrate(database: &PgConnectOptions) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect_with(database).await?;
    generic_apiserver::storage::migrator()
        .run(&mut connection)
        .await?;
    install::migrator().run(&mut connection).await?;
    Ok(())
}

async fn client(flag: &str, kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let config = match kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).with_context(|| flag.to_owned())?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .with_context(|| flag.to_owned())?
        }
        None => kube::Config::incluster().with_context(|| format!("no {flag}, and this is no pod"))?,
    };
    Ok(Client::try_from(config)?)
}

/// Authentication as in production.
async fn delegated(options: &Options, background: &CancellationToken) -> anyhow::Result<DelegatedAuth> {
    let kubeconfig = options.authentication_kubeconfig.as_deref();
    let client = client("--authentication-kubeconfig", kubeconfig).await?;
    let lookup = match (
        options.authentication_skip_lookup,
        options.authentication_tolerate_lookup_failure,
    ) {
        (true, _) => Lookup::Skipped,
        (false, true) => Lookup::Tolerated,
        (false, false) => Lookup::Required,
    };
    let choices = DelegatedAuthOptions {
        lookup,
        front_proxy: options.request_header.config()?,
        ..DelegatedAuthOptions::default()
    };
    Ok(DelegatedAuth::connect(client, choices, background.clone()).await?)
}

/// Asks the cluster's authorities, then those of the flag.
fn authenticator(options: &Options, auth: &DelegatedAuth) -> anyhow::Result<Arc<dyn Authenticator>> {
    let delegated = Arc::clone(&auth.authenticator);
    let Some(path) = &options.client_ca_file else {
        return Ok(delegated);
    };
    let authorities = std::fs::read_to_string(path).context("--client-ca-file")?;
    let published = [("client-ca-file".to_owned(), authorities)].into();
    let config = AuthenticationConfig::from_config_map(&published).context("--client-ca-file")?;
    let own = ClientCert::new(SharedAuthenticationConfig::new(config));
    Ok(Arc::new(Union::new(vec![delegated, Arc::new(own)])))
}

/// Authorization as in production, but that it may be asked of another place than who is asking.
async fn authorizer(options: &Options) -> anyhow::Result<Arc<dyn Authorizer>> {
    let kubeconfig = options.authorization_kubeconfig.as_deref();
    let client = client("--authorization-kubeconfig", kubeconfig).await?;
    let lifetimes = DecisionLifetimes {
        allow: options.authorization_webhook_cache_authorized_ttl,
        deny: options.authorization_webhook_cache_unauthorized_ttl,
    };
    let reviews = SubjectAccessReviewAuthorizer::new(client, lifetimes)
        .map_err(|_| anyhow::anyhow!("the system has no randomness"))?;
    let allowed = LocallyAllowed::or(reviews).open(&options.authorization_always_allow_paths);
    let allowed = allowed.map_err(|why| anyhow::anyhow!("--authorization-always-allow-paths: {why}"))?;
    Ok(Arc::new(allowed))
}

fn serving_options(options: &Options) -> anyhow::Result<ServingOptions> {
    Ok(ServingOptions {
        bind_address: SocketAddr::new(options.bind_address, options.secure_port),
        ..ServingOptions::new(serving_certificate(options)?)
    })
}

fn health(storage: &Storage, namespaces: &NamespaceLifecycle) -> HealthChecks {
    let (storage, namespaces) = (storage.clone(), namespaces.clone());
    let check = |passes: bool, why: &str| if passes { Ok(()) } else { Err(why.to_owned()) };
    HealthChecks::default()
        .ready(HealthCheck::new("storage", move || {
            check(storage.is_ready(), "the watch caches are not filled yet")
        }))
        .ready(HealthCheck::new("informer-sync", move || {
            check(namespaces.is_synced(), "the namespaces have not been listed yet")
        }))
}

/// Cancelled by SIGTERM or SIGINT.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopping.cancel();
    });
    Ok(stop)
}
