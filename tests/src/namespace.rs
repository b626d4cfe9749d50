//! A namespace of a test's own, that takes work.

use serde_json::Value;

use crate::installation::Installation;
use crate::kubectl::Kubectl;

/// A namespace with the consent of `roles-runner.yaml`, unique to the test.
#[derive(Debug)]
pub struct TestNamespace {
    /// Its name.
    pub name: String,
    kubectl: Kubectl,
}

impl TestNamespace {
    /// Creates a namespace whose name begins with `prefix`.
    pub async fn create(installation: &Installation, prefix: &str) -> Self {
        let name = format!("{prefix}-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let kubectl = installation.kubectl();
        kubectl.run(&format!("create namespace {name}")).await.ok();
        kubectl
            .run_with_input("apply -f -", &Self::consent(&name))
            .await
            .ok();
        kubectl
            .run(&format!("create serviceaccount builder-sa -n {name}"))
            .await
            .ok();
        Self { name, kubectl }
    }

    /// A namespace that was created in another way.
    #[must_use]
    pub fn existing(installation: &Installation, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kubectl: installation.kubectl(),
        }
    }

    /// What lets builds run in a namespace, as YAML.
    #[must_use]
    pub fn consent(name: &str) -> String {
        include_str!("../../apiservice/roles-runner.yaml").replace("${NAMESPACE}", name)
    }

    /// The same namespace, as another kubectl or user sees it.
    #[must_use]
    pub fn by(&self, kubectl: Kubectl) -> Self {
        Self {
            name: self.name.clone(),
            kubectl,
        }
    }

    /// Runs `kubectl edit` in the namespace; the editor is a command line as `sed -i ...`.
    pub async fn edit(&self, object: &str, editor: &str) -> crate::Output {
        self.kubectl
            .edit(&format!("edit {object} -n {}", self.name), editor)
            .await
    }

    /// Runs a command of kubectl in the namespace that reads its input (`-f -`).
    pub async fn kubectl_with_input(&self, command_line: &str, input: &str) -> crate::Output {
        self.kubectl
            .run_with_input(&format!("{command_line} -n {}", self.name), input)
            .await
    }

    /// Runs a command of kubectl in the namespace.
    pub async fn kubectl(&self, command_line: &str) -> crate::Output {
        self.kubectl
            .run(&format!("{command_line} -n {}", self.name))
            .await
    }

    /// A command of kubectl in the namespace, not yet started.
    #[must_use]
    pub fn command(&self, command_line: &str) -> tokio::process::Command {
        self.kubectl.command(&format!("{command_line} -n {}", self.name))
    }

    /// Creates what the text holds, in the namespace.
    pub async fn create_objects(&self, yaml: &str) -> crate::Output {
        self.kubectl_with_input("create -f -", yaml).await
    }

    /// Steers the pods of a build by the pod driver's ConfigMap: `outcomes` by the name of the Build.
    pub async fn play(&self, outcomes: &[(&str, Value)]) {
        let data: serde_json::Map<String, Value> = outcomes
            .iter()
            .map(|(build, outcome)| ((*build).to_owned(), Value::String(outcome.to_string())))
            .collect();
        let config_map = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "pod-driver", "namespace": self.name}, "data": data});
        self.kubectl
            .run_with_input("apply -f -", &config_map.to_string())
            .await
            .ok();
    }

    /// A Shipwright Build of that name.
    pub async fn build(&self, name: &str) {
        let build = Self::build_object(name, &self.name);
        self.create_objects(&build.to_string()).await.ok();
    }

    /// The manifest of a Shipwright Build.
    #[must_use]
    pub fn build_object(name: &str, namespace: &str) -> Value {
        serde_json::json!({"apiVersion": "shipwright.io/v1beta1", "kind": "Build",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "source": {"type": "Git", "git": {"url": "https://github.com/shipwright-io/sample-go"}},
                "strategy": {"name": "buildah", "kind": "ClusterBuildStrategy"},
                "output": {"image": "registry.example.com/a/b:latest"}}})
    }

    /// An order for a Build; `spec` is merged over a minimal one.
    pub async fn order(&self, name: &str, build: &str, spec: Value) {
        let mut order = serde_json::json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrder",
            "metadata": {"name": name}, "spec": {"workType": "build", "buildRef": {"name": build}}});
        if let (Some(target), Value::Object(more)) = (order["spec"].as_object_mut(), spec) {
            target.extend(more);
        }
        self.create_objects(&order.to_string()).await.ok();
    }

    /// One object of the namespace, as JSON.
    pub async fn get(&self, resource: &str, name: &str) -> Option<Value> {
        let output = self.kubectl(&format!("get {resource} {name} -o json")).await;
        output
            .success
            .then(|| serde_json::from_str(&output.stdout).expect("JSON"))
    }

    /// All objects of a resource in the namespace.
    pub async fn list(&self, resource: &str) -> Vec<Value> {
        let text = self.kubectl(&format!("get {resource} -o json")).await.ok();
        let list: Value = serde_json::from_str(&text).expect("JSON");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// The log entries of an order.
    pub async fn entries(&self, order: &str) -> Vec<Value> {
        let entries = self.list("workorderlogs").await;
        entries
            .into_iter()
            .filter(|entry| entry["spec"]["orderName"] == order)
            .collect()
    }
}
