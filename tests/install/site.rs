//! An installation on this machine: manifests applied, server running as a process with its account.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brokkr_certs::{SERVING_CA, authority_bundle};
use brokkr_tests::{Kubectl, eventually, free_port};
use test_postgres::{TestDatabase, TestPostgres};

use crate::hub::{Hub, add_patches};
use crate::plane::{LIMIT, Plane};
use crate::server::{Caller, Server, Setup};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A hub whose manifests are applied: its Service is an alias of this machine.
pub(crate) struct Site {
    pub(crate) hub: Hub,
    /// The server's certificate as its pod would see it.
    pub(crate) volume: Volume,
    machine: Machine,
    kubeconfig: PathBuf,
    /// A token of the server's own account.
    pub(crate) own_token: String,
    // Last, because fields are dropped in this order.
    pub(crate) plane: Plane,
}

impl Site {
    /// Brings a control plane up and applies the manifests.
    pub(crate) async fn up(components: &str) -> Self {
        let plane = Plane::up(components).await;
        let machine = Machine::free();
        let hub = Hub::create(plane.directory());
        machine.patch(&hub.overlay.join("kustomization.yaml"));
        hub.prepare(&plane.kubectl()).await;
        hub.apply(&plane.kubectl()).await;
        let volume = Volume::mount(plane.directory().join("volume"), &hub.certificates);
        let (kubeconfig, own_token) = plane.account("brokkr-system", "brokkr-apiserver").await;
        Self {
            hub,
            volume,
            machine,
            kubeconfig,
            own_token,
            plane,
        }
    }

    /// Starts the server on a database.
    pub(crate) fn server(&self, database: &TestDatabase) -> Arc<Server> {
        self.machine
            .server(&self.plane, &self.kubeconfig, database, &self.volume.0)
    }

    /// Starts the server on a database of its own and waits until its API is available.
    pub(crate) async fn available(&self) -> (Arc<Server>, TestDatabase) {
        let database = TestPostgres::shared()
            .create_database()
            .await
            .expect("a database");
        let server = self.server(&database);
        let wait = "wait apiservice v1alpha1.work.brokkr.io --for=condition=Available --timeout=120s";
        self.kubectl().run(wait).await.ok();
        // A Service of pods would hold requests back until then.
        let trusted = self.trusted();
        eventually("the server is ready", LIMIT, || async {
            (server.status(&trusted, "/readyz").await? == 200).then_some(())
        })
        .await;
        (server, database)
    }

    /// kubectl as the administrator.
    pub(crate) fn kubectl(&self) -> Kubectl {
        self.plane.kubectl()
    }

    /// What clients that call the server directly trust now.
    pub(crate) fn trusted(&self) -> String {
        authority_bundle(&self.hub.certificates, SERVING_CA).expect("a bundle")
    }

    /// Someone with a token of a service account, which is created with a ClusterRole.
    pub(crate) async fn account(&self, name: &str, role: &str) -> Caller {
        for command in [
            format!("create serviceaccount {name} -n default"),
            format!("create clusterrolebinding {name} --clusterrole {role} --serviceaccount default:{name}"),
        ] {
            self.kubectl().run(&command).await.ok();
        }
        let (_, token) = self.plane.account("default", name).await;
        Caller {
            token: Some(token),
            ..Caller::default()
        }
    }
}

/// A Secret as the kubelet mounts it: `..data` leads to a directory and is replaced in one step.
pub(crate) struct Volume(PathBuf);

impl Volume {
    fn mount(path: PathBuf, certificates: &Path) -> Self {
        fs::create_dir_all(&path).expect("a directory");
        let volume = Self(path);
        volume.update(certificates);
        for file in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(file), volume.0.join(file)).expect("a link");
        }
        volume
    }

    /// Brings the certificate of a directory to the server.
    pub(crate) fn update(&self, certificates: &Path) {
        let data = self.0.join("..data");
        let old = fs::read_link(&data).ok();
        let new = format!("..{}", uuid::Uuid::new_v4().simple());
        fs::create_dir(self.0.join(&new)).expect("a directory");
        for file in ["tls.crt", "tls.key"] {
            fs::copy(certificates.join(file), self.0.join(&new).join(file)).expect("copied");
        }
        symlink(&new, self.0.join("..data_tmp")).expect("a link");
        fs::rename(self.0.join("..data_tmp"), &data).expect("renamed");
        if let Some(old) = old {
            fs::remove_dir_all(self.0.join(old)).expect("removed");
        }
    }
}

/// A place on this machine for a server that is no pod.
#[derive(Clone, Copy)]
pub(crate) struct Machine {
    address: SocketAddr,
}

impl Machine {
    /// One with a free port.
    pub(crate) fn free() -> Self {
        let address = SocketAddr::new(LOCALHOST, free_port(LOCALHOST));
        Self { address }
    }

    /// Makes an overlay's Service an alias of this machine, and its APIService name the port.
    pub(crate) fn patch(self, kustomization: &Path) {
        let service = "apiVersion: v1\nkind: Service\n\
            metadata: {name: brokkr-apiserver, namespace: brokkr-system}\n\
            spec: {type: ExternalName, externalName: localhost}";
        let api_service = format!(
            "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\n\
             metadata: {{name: v1alpha1.work.brokkr.io}}\nspec: {{service: {{port: {}}}}}",
            self.address.port()
        );
        add_patches(kustomization, &[service, &api_service]);
    }

    /// Starts a server here.
    pub(crate) fn server(
        self,
        plane: &Plane,
        kubeconfig: &Path,
        database: &TestDatabase,
        certificates: &Path,
    ) -> Arc<Server> {
        Arc::new(Server::start(
            plane,
            &Setup {
                kubeconfig,
                database_url: &database.url(),
                address: self.address,
                certificates,
            },
        ))
    }
}
