//! Builds the parts of the server, runs them, and takes them down in the reverse order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use generic_apiserver::admission::NamespaceLifecycle;
use generic_apiserver::authorization::{AllNamesFirst, Authorizer};
use generic_apiserver::endpoints::Endpoints;
use generic_apiserver::server::{
    DelegatedAuth, DelegatedAuthOptions, GenericApiServer, HealthCheck, HealthChecks, ServerParts,
    ServingCertificate, ServingOptions, VersionInfo,
};
use generic_apiserver::storage::Storage;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use telemetry::{MetricsRegistry, process};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::CompletedConfig;
use crate::events::Recorder;
use crate::high_water_mark::ConfigMapMark;
use crate::queue::metrics::{QueueMetrics, QueueReadings};
use crate::queue::{Queue, Sweeper};
use crate::{events, install, migrate};

/// Runs until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// When a part cannot be built: the message names the flag, the RoleBinding or the database at fault.
pub async fn run(config: CompletedConfig) -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider is installed"))?;
    let mut metrics = MetricsRegistry::default();
    process::register(&mut metrics);
    let counts = QueueMetrics::default();
    let stop = stop_on_signal()?;
    let client = client(&config).await?;

    // Storage and what feeds on it outlive the requests that use them.
    let background = CancellationToken::new();
    let migrated = CancellationToken::new();
    let storage = install::storage(config.database.clone(), &counts)
        .high_water_mark(Arc::new(ConfigMapMark::new(client.clone())))
        .after(migrated.clone().cancelled_owned())
        .start(&background);
    let readings = QueueReadings::default();
    readings.register(&mut metrics, &counts, &storage);
    let reading = tokio::spawn(readings.run(storage.clone(), background.clone()));
    let (namespaces, following) = NamespaceLifecycle::follow(client.clone(), background.clone());
    let auth = DelegatedAuth::connect(
        client.clone(),
        DelegatedAuthOptions::default(),
        background.clone(),
    )
    .await?;
    auth.register_metrics(&mut metrics);
    // Every claim and report names another order.
    let authorizer = AllNamesFirst::of(Arc::clone(&auth.authorizer), &["workorders"]);
    let authorizer: Arc<dyn Authorizer> = Arc::new(authorizer);
    let queue = Queue::new(storage.clone(), Arc::new(namespaces.clone())).counting(counts.clone());
    let queue = Arc::new(queue);
    let watched = Arc::new(namespaces.clone());
    let sweeper = Sweeper::new(storage.clone(), watched, Arc::clone(&authorizer)).counting(counts);
    let sweeping = tokio::spawn(sweep(sweeper, migrated.clone(), background.clone()));
    let recorder = Recorder::start(client.clone(), &instance(), &background);
    let recording = tokio::spawn(events::run(storage.clone(), recorder, background.clone()));
    let groups = vec![install::api_group(&storage, &queue)];
    let handler = Endpoints::new(
        groups,
        Arc::new(namespaces.clone()),
        concat!("v", env!("CARGO_PKG_VERSION")),
    )
    .after(migrated.clone());
    let parts = ServerParts {
        authenticator: Arc::clone(&auth.authenticator),
        authorizer,
        health: health(&storage, &namespaces),
        version: VersionInfo::of_crate(env!("CARGO_PKG_VERSION")),
        storage: Some(storage.clone()),
        handler: Arc::new(handler),
    };
    let server = GenericApiServer::new(serving_options(&config).complete()?, parts);
    let server = server
        .metrics(metrics)
        .bind()
        .await
        .with_context(|| format!("listening on {}", config.address))?;
    // A database that is away is waited for while health, discovery and OpenAPI are served: restarting
    // this process would mend nothing.
    let migrating = migrate::bring_up_to_date(&config.database, &migrated, &stop);
    let (schema, ()) = tokio::join!(migrating, server.run(stop.clone()));

    // No request comes any more, and storage still writes.
    queue.write_delayed_progress().await;
    background.cancel();
    schema.context("migrating the database")?;
    sweeping.await.context("serving the queue")?;
    reading.await.context("reading the queue's numbers")?;
    recording.await.context("following orders for Events")?;
    auth.stopped().await;
    following.await.context("following namespaces")?;
    storage.shutdown().await;
    Ok(())
}

/// Serves the queue once its tables are there, until `stop`.
async fn sweep(sweeper: Sweeper, migrated: CancellationToken, stop: CancellationToken) {
    if stop.run_until_cancelled(migrated.cancelled()).await.is_some() {
        sweeper.run(stop.clone()).await;
    }
}

/// What Events call this replica: the name of its pod.
fn instance() -> String {
    std::env::var("HOSTNAME").unwrap_or_else(|_| "brokkr-apiserver".to_owned())
}

async fn client(config: &CompletedConfig) -> anyhow::Result<Client> {
    let config = match &config.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).context("--kubeconfig")?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .context("--kubeconfig")?
        }
        None => kube::Config::incluster().context("no --kubeconfig, and this is no pod")?,
    };
    Ok(Client::try_from(config)?)
}

fn serving_options(config: &CompletedConfig) -> ServingOptions {
    let certificate = ServingCertificate::Files {
        certificate: config.tls_cert_file.clone(),
        private_key: config.tls_private_key_file.clone(),
    };
    ServingOptions {
        bind_address: config.address,
        shutdown_delay: config.shutdown_delay,
        ..ServingOptions::new(certificate)
    }
}

/// Ready once the caches have been filled, and for good: while the database is away, discovery and what
/// is in memory are still served, and an APIService that is unavailable stops every namespace deletion.
fn health(storage: &Storage, namespaces: &NamespaceLifecycle) -> HealthChecks {
    let (storage, namespaces) = (storage.clone(), namespaces.clone());
    HealthChecks::default()
        .ready(once(
            "storage",
            "the watch caches are not filled yet",
            move || storage.is_ready(),
        ))
        .ready(once(
            "informer-sync",
            "the namespaces have not been listed yet",
            move || namespaces.is_synced(),
        ))
}

/// A check that passes for good once it has passed.
fn once(name: &str, why: &'static str, passes: impl Fn() -> bool + Send + Sync + 'static) -> HealthCheck {
    let passed = AtomicBool::new(false);
    HealthCheck::new(name, move || {
        if passed.load(Ordering::Relaxed) || passes() {
            passed.store(true, Ordering::Relaxed);
            return Ok(());
        }
        Err(why.to_owned())
    })
}

/// Cancelled by the first SIGTERM or SIGINT; the second one ends the process at once.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        for attempt in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if attempt > 0 {
                tracing::warn!("stopped a second time: exiting without draining");
                std::process::exit(1);
            }
            stopping.cancel();
        }
    });
    Ok(stop)
}
