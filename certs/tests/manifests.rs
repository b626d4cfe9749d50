//! The rules of the manifests in `apiservice/`: what is registered, and what nobody is granted.
//!
//! They are read as a cluster would read them, with the placeholders filled in; a rule that is broken
//! is reported with the file and the object.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

#[path = "manifests/deployments.rs"]
mod deployments;

use std::fs;
use std::path::{Path, PathBuf};

use brokkr_certs::{CertificateAuthority, Validity, base64_bundle};
use serde_json::Value;

const AGENT_PROTOCOL: [&str; 6] = [
    "workorders/claim",
    "workorders/renew",
    "workorders/complete",
    "workorders/release",
    "agents",
    "agents/",
];

/// One object of one file.
struct Manifest {
    file: String,
    object: Value,
}

impl Manifest {
    fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap()
    }

    fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap()
    }

    fn place(&self) -> String {
        format!("{}: {} {}", self.file, self.kind(), self.name())
    }

    /// The rules of a Role or ClusterRole, and none for anything else.
    fn rules(&self) -> impl Iterator<Item = Rule<'_>> {
        let is_role = matches!(self.kind(), "Role" | "ClusterRole");
        assert!(
            !is_role || self.object["rules"].is_array(),
            "{}: a role without rules",
            self.place()
        );
        self.object["rules"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(move |_| is_role)
            .map(Rule)
    }
}

struct Rule<'manifest>(&'manifest Value);

impl<'manifest> Rule<'manifest> {
    fn list(&self, field: &str) -> Vec<&'manifest str> {
        self.0[field]
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| item.as_str().unwrap())
            .collect()
    }

    fn grants(&self, resource: &str) -> bool {
        let is_it =
            |granted: &&str| *granted == resource || resource.ends_with('/') && granted.starts_with(resource);
        self.list("resources").iter().any(is_it)
    }

    /// What no shipped role may say, whoever gets it.
    fn violation(&self) -> Option<&'static str> {
        let resources = self.list("resources");
        let fields = [
            "apiGroups",
            "resources",
            "verbs",
            "resourceNames",
            "nonResourceURLs",
        ];
        if fields
            .iter()
            .any(|field| self.list(field).iter().any(|item| item.contains('*')))
        {
            return Some("a wildcard");
        }
        if resources
            .iter()
            .any(|resource| resource.split('/').next() == Some("secrets"))
        {
            return Some("a rule for secrets");
        }
        let verbs = self.list("verbs");
        let escalates = verbs.iter().any(|verb| matches!(*verb, "escalate" | "bind"));
        escalates.then_some("a verb that hands out rights")
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("apiservice")
}

/// The files of `apiservice/` and of its folder for agents, named from there, with their texts.
fn files() -> Vec<(String, String)> {
    let folders = [directory(), directory().join("agent")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let yaml = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    yaml.map(|path| {
        let name = path.strip_prefix(directory()).unwrap().to_str().unwrap();
        (name.to_owned(), fs::read_to_string(&path).unwrap())
    })
    .collect()
}

/// Every object of every file, with the placeholders of the templates filled in.
fn manifests() -> Vec<Manifest> {
    let mut manifests = Vec::new();
    for (file, text) in files() {
        let text = text
            .replace("${AGENT_NAME}", "east-1")
            .replace("${NAMESPACE}", "team-a");
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert!(!objects.is_empty(), "{file} holds no object");
        manifests.extend(objects.into_iter().map(|object| Manifest {
            file: file.clone(),
            object,
        }));
    }
    // A file without a kind is no object of a cluster: a kustomization puts it into a ConfigMap.
    manifests.retain(|manifest| manifest.object["kind"].is_string() && manifest.kind() != "Kustomization");
    manifests
}

fn one(kind: &str, name: &str) -> Manifest {
    let mut found: Vec<_> = manifests()
        .into_iter()
        .filter(|it| it.kind() == kind && it.name() == name)
        .collect();
    assert_eq!(found.len(), 1, "{kind} {name}");
    found.remove(0)
}

#[test]
fn no_role_holds_wildcards_secrets_or_the_right_to_hand_out_rights() {
    let manifests = manifests();
    let mut rules = 0;
    for manifest in &manifests {
        for rule in manifest.rules() {
            rules += 1;
            assert_eq!(rule.violation(), None, "{}: {}", manifest.place(), rule.0);
        }
    }
    assert!(rules >= 15, "only {rules} rules were seen");
}

#[test]
fn namespace_of_the_server_is_the_same_object_for_hub_and_agent() {
    let namespaces: Vec<_> = manifests()
        .into_iter()
        .filter(|it| it.kind() == "Namespace" && it.name() == "brokkr-system")
        .collect();
    assert_eq!(namespaces.len(), 2);
    assert_eq!(namespaces[0].object, namespaces[1].object);
}

#[test]
fn violation_finds_what_it_looks_for() {
    let violation = |rule: Value| Rule(&rule).violation();
    let rule = |group: &str, resource: &str, verb: &str| serde_json::json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]});

    assert_eq!(violation(rule("", "pods", "get")), None);
    assert_eq!(violation(rule("", "secrets", "get")), Some("a rule for secrets"));
    assert_eq!(violation(rule("*", "pods", "get")), Some("a wildcard"));
    assert_eq!(violation(rule("", "*/log", "get")), Some("a wildcard"));
    assert_eq!(violation(rule("", "pods", "*")), Some("a wildcard"));
    assert_eq!(
        violation(rule("", "roles", "escalate")),
        Some("a verb that hands out rights")
    );
}

#[test]
fn roles_of_users_hold_no_part_of_the_claim_protocol_and_nothing_of_agents() {
    let is_aggregated = |manifest: &Manifest| {
        let labels = manifest.object["metadata"]["labels"].as_object().unwrap();
        labels
            .keys()
            .any(|label| label.starts_with("rbac.authorization.k8s.io/aggregate-to-"))
    };
    let aggregated: Vec<_> = manifests().into_iter().filter(is_aggregated).collect();

    assert_eq!(aggregated.len(), 2);
    for manifest in &aggregated {
        for rule in manifest.rules() {
            assert!(
                !AGENT_PROTOCOL.iter().any(|resource| rule.grants(resource)),
                "{}",
                manifest.place()
            );
            assert!(
                !rule.list("verbs").contains(&"create") || rule.list("resources") == ["workorders"],
                "{}: only whole orders are created by users",
                manifest.place()
            );
            let writes = rule
                .list("verbs")
                .iter()
                .any(|verb| !["get", "list", "watch"].contains(verb));
            assert!(
                !writes || !rule.grants("workorderlogs"),
                "{}: the log is read-only",
                manifest.place()
            );
        }
    }
}

#[test]
fn agent_reaches_its_own_agent_object_and_no_other() {
    let role = one("ClusterRole", "brokkr-agent:east-1");
    for rule in role.rules() {
        assert_eq!(
            rule.list("resourceNames"),
            ["east-1"],
            "{}: {}",
            role.place(),
            rule.0
        );
        assert!(
            rule.list("resources")
                .iter()
                .all(|resource| resource.split('/').next() == Some("agents"))
        );
        let writes_agents = rule.grants("agents") && rule.list("verbs") != ["get", "list", "watch"];
        assert!(
            !writes_agents,
            "{}: only fleet administrators write agents",
            role.place()
        );
    }
    let orders = one("ClusterRole", "brokkr-agent-orders");
    for rule in orders.rules() {
        assert_eq!(
            rule.list("verbs"),
            ["create"],
            "{}: an agent reads no orders",
            orders.place()
        );
        assert!(
            rule.list("resources")
                .iter()
                .all(|resource| resource.starts_with("workorders/"))
        );
    }
}

#[test]
fn impersonation_is_of_one_account_in_one_namespace() {
    let manifests = manifests();
    let mut seen = 0;
    for manifest in &manifests {
        for rule in manifest
            .rules()
            .filter(|rule| rule.list("verbs").contains(&"impersonate"))
        {
            seen += 1;
            assert_eq!(manifest.kind(), "Role", "{}", manifest.place());
            assert_eq!(manifest.object["metadata"]["namespace"], "team-a");
            assert_eq!(rule.list("resources"), ["serviceaccounts"]);
            assert_eq!(rule.list("resourceNames"), ["brokkr-runner"]);
        }
    }
    assert_eq!(seen, 1);
}

#[test]
fn bindings_name_roles_that_exist_and_never_spread_a_namespace_s_role_over_the_cluster() {
    let manifests = manifests();
    let built_in = [
        "extension-apiserver-authentication-reader",
        "system:auth-delegator",
    ];
    let bindings: Vec<_> = manifests
        .iter()
        .filter(|manifest| manifest.kind().ends_with("RoleBinding"))
        .collect();
    assert!(bindings.len() >= 7, "only {} bindings were seen", bindings.len());
    for binding in bindings {
        let reference = &binding.object["roleRef"];
        let (kind, name) = (
            reference["kind"].as_str().unwrap(),
            reference["name"].as_str().unwrap(),
        );
        let exists = manifests
            .iter()
            .any(|manifest| manifest.kind() == kind && manifest.name() == name);
        assert!(
            exists || built_in.contains(&name),
            "{}: no {kind} {name}",
            binding.place()
        );
        let namespaced_only = ["brokkr-runner", "brokkr-agent-orders"].contains(&name);
        assert!(
            binding.kind() == "RoleBinding" || !namespaced_only,
            "{}",
            binding.place()
        );
        for subject in binding.object["subjects"].as_array().unwrap() {
            let account = manifests.iter().any(|manifest| {
                manifest.kind() == "ServiceAccount"
                    && manifest.object["metadata"]["name"] == subject["name"]
                    && manifest.object["metadata"]["namespace"] == subject["namespace"]
            });
            assert!(account, "{}: no account {subject}", binding.place());
        }
    }
}

#[test]
fn apiservice_points_to_the_service_and_takes_the_minted_bundle() {
    let api = one("APIService", "v1alpha1.work.brokkr.io").object;
    let service = one("Service", "brokkr-apiserver").object;
    let spec = &api["spec"];

    assert_eq!(
        api["metadata"]["name"],
        format!("{}.{}", spec["version"].as_str().unwrap(), "work.brokkr.io")
    );
    assert_eq!(spec["group"], "work.brokkr.io");
    assert!((1..=20000).contains(&spec["groupPriorityMinimum"].as_u64().unwrap()));
    assert!((1..=1000).contains(&spec["versionPriority"].as_u64().unwrap()));
    assert_eq!(spec["service"]["name"], service["metadata"]["name"]);
    assert_eq!(spec["service"]["namespace"], service["metadata"]["namespace"]);
    assert_eq!(spec["service"]["port"], service["spec"]["ports"][0]["port"]);
    assert_ne!(service["spec"]["clusterIP"], "None");

    let authority = CertificateAuthority::create("ca", Validity::authority_default()).unwrap();
    let pem = authority.certificate_pem().unwrap();
    let text = fs::read_to_string(directory().join("apiservice.yaml")).unwrap();
    assert_eq!(text.matches("${CA_BUNDLE}").count(), 1);
    let filled: Value = serde_saphyr::from_str(&text.replace("${CA_BUNDLE}", &base64_bundle(&pem))).unwrap();
    let bundle = openssl::base64::decode_block(filled["spec"]["caBundle"].as_str().unwrap()).unwrap();
    assert_eq!(bundle, pem.as_bytes());
}

#[test]
fn every_file_says_who_gets_it_and_is_applied_by_someone() {
    let files = files();
    for (name, text) in &files {
        assert!(text.starts_with("# "), "{name} opens with no comment");
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let of_folder = Path::new(folder).join("kustomization.yaml");
        let (_, kustomization) = files
            .iter()
            .find(|(name, _)| Path::new(name) == of_folder)
            .unwrap();
        let listed = kustomization.contains(&format!("- {file}\n"));
        let is_template = text.contains("kubectl apply -f") || text.contains("filled in the same way");
        assert!(
            listed || is_template || file == "kustomization.yaml",
            "{name} is neither in {} nor says how it is applied",
            of_folder.display()
        );
        assert!(
            kustomization.contains(file) || file == "kustomization.yaml",
            "{} is silent on {name}",
            of_folder.display()
        );
    }
}
