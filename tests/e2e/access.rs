//! Who may do what: RBAC on every verb, the identity rule, and what a claim answers to the second who asks.

use std::time::Duration;

use brokkr_tests::{Installation, Kubectl, TestNamespace, eventually};
use serde_json::{Value, json};

use crate::agents::{BatchAgent, agent, may_claim};
use crate::undisturbed;

const LIMIT: Duration = Duration::from_secs(60);

/// Posts to a subresource of an order, as typed clients do.
async fn post(
    kubectl: &Kubectl,
    namespace: &TestNamespace,
    order: &str,
    subresource: &str,
    body: Value,
) -> brokkr_tests::Output {
    let path = format!(
        "/apis/work.brokkr.io/v1alpha1/namespaces/{}/workorders/{order}/{subresource}",
        namespace.name
    );
    kubectl
        .run_with_input(&format!("create --raw {path} -f -"), &body.to_string())
        .await
}

fn claim(agent: &str, holder: &str) -> Value {
    json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrderClaim",
        "spec": {"agent": agent, "holder": holder}})
}

/// An order that the shared agent leaves alone, because it is targeted at these.
async fn order_for(namespace: &TestNamespace, name: &str, agents: &[&str]) {
    namespace
        .order(name, "app", json!({"targets": [{"agentNames": agents}]}))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claim_without_the_role_is_forbidden() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "no-role").await;
    let one = format!("{}-one", namespace.name);
    let kubectl = agent(installation, &namespace, &one).await;
    order_for(&namespace, "app", &[&one]).await;

    let past_kube_apiserver = installation.kubectl_of_server_as(&namespace.name, &one).await;
    for kubectl in [kubectl, past_kube_apiserver] {
        let error = post(&kubectl, &namespace, "app", "claim", claim(&one, "h1"))
            .await
            .err();
        assert!(
            error.contains("cannot create resource \"workorders/claim\""),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c048_claim_in_the_name_of_another_agent_is_forbidden() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "other-name").await;
    let (one, two) = (
        format!("{}-one", namespace.name),
        format!("{}-two", namespace.name),
    );
    let kubectl = agent(installation, &namespace, &one).await;
    agent(installation, &namespace, &two).await;
    may_claim(&namespace, &one).await;
    order_for(&namespace, "app", &[&one, &two]).await;

    let error = post(&kubectl, &namespace, "app", "claim", claim(&two, "h1"))
        .await
        .err();

    assert!(error.contains(&two) && error.contains("identity"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_cannot_read_orders() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let kubectl = installation.kubectl_as("brokkr-agents", "local").await;

    let error = kubectl.run("get workorders -A").await.err();

    assert!(
        error.contains("Forbidden") || error.contains("forbidden"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn second_claim_conflicts_and_names_holder_and_expiry_and_an_old_fence_is_spent() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "second").await;
    let (one, two) = (
        format!("{}-one", namespace.name),
        format!("{}-two", namespace.name),
    );
    let first = agent(installation, &namespace, &one).await;
    let second = agent(installation, &namespace, &two).await;
    may_claim(&namespace, &one).await;
    may_claim(&namespace, &two).await;
    order_for(&namespace, "app", &[&one, &two]).await;

    // Given that the first agent holds the order,
    let answer = post(&first, &namespace, "app", "claim", claim(&one, "h1"))
        .await
        .ok();
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let fence = answer["status"]["fence"].clone();
    let uid = answer["status"]["order"]["metadata"]["uid"].clone();
    assert_eq!(answer["status"]["attempt"], 1, "{answer:#}");

    // the second is told by whom and until when it is held,
    let error = post(&second, &namespace, "app", "claim", claim(&two, "h2"))
        .await
        .err();
    assert!(error.contains(&one) && error.contains("until 20"), "{error}");

    // and after a release and another claim, the first fence is spent.
    let release = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrderRelease",
        "spec": {"uid": uid, "fence": fence, "reason": "handing over"}});
    post(&first, &namespace, "app", "release", release).await.ok();
    post(&second, &namespace, "app", "claim", claim(&two, "h2"))
        .await
        .ok();
    let completion = json!({"apiVersion": "work.brokkr.io/v1alpha1", "kind": "WorkOrderCompletion",
        "spec": {"uid": uid, "fence": fence, "outcome": "Succeeded"}});
    let error = post(&first, &namespace, "app", "complete", completion)
        .await
        .err();
    assert!(
        error.contains("Conflict") || error.contains("no longer current"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn c041_user_without_rights_is_forbidden_everywhere() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "nobody-may").await;
    namespace.kubectl("create serviceaccount nobody").await.ok();
    let kubectl = installation.kubectl_as(&namespace.name, "nobody").await;
    for command in [
        "get workorders",
        "get workorderlogs",
        "get agents",
        "delete workorders --all",
    ] {
        let error = kubectl
            .run(&format!("{command} -n {}", namespace.name))
            .await
            .err();
        assert!(error.contains("orbidden"), "{command}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn user_with_the_edit_role_works_with_orders_and_never_with_agents() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "editor").await;
    namespace.kubectl("create serviceaccount editor").await.ok();
    let binding = format!(
        "create rolebinding editor --clusterrole edit --serviceaccount {}:editor",
        namespace.name
    );
    namespace.kubectl(&binding).await.ok();
    let kubectl = installation.kubectl_as(&namespace.name, "editor").await;
    order_for(&namespace, "app", &["nobody"]).await;

    kubectl
        .run(&format!("get workorders -n {}", namespace.name))
        .await
        .ok();
    kubectl
        .run(&format!("delete workorder app -n {}", namespace.name))
        .await
        .ok();
    kubectl.run("get agents").await.err();
}

/// Waits until the agent has been rung so often.
async fn rung(agent: &BatchAgent, times: i64) {
    eventually("the agent is rung", LIMIT, || async {
        (agent.rings().await >= times).then_some(())
    })
    .await;
    assert_eq!(agent.rings().await, times);
}

#[tokio::test(flavor = "multi_thread")]
async fn c048_agent_bound_in_one_namespace_works_there_and_is_not_rung_for_another() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let own = TestNamespace::create(installation, "bound").await;
    let other = TestNamespace::create(installation, "unbound").await;
    let agent = BatchAgent::register(installation, "bound").await;
    agent.serve(&own).await;
    let witness = BatchAgent::register(installation, "witness").await;
    witness.serve(&other).await;
    let order_for_both = async |namespace: &TestNamespace, name: &str| {
        order_for(namespace, name, &[&agent.name, &witness.name]).await;
    };

    // Given an agent that has found nothing to do, longer ago than one that may claim elsewhere,
    assert!(agent.claim(5).await.is_empty());
    assert!(witness.claim(5).await.is_empty());
    let before = agent.rings().await;

    // when an order for both comes up where it may not claim, then the other one is rung in its stead,
    order_for_both(&other, "app").await;
    rung(&witness, 1).await;
    assert_eq!(agent.rings().await, before);

    // when one comes up where it may, then it is rung for that, gets it and no other,
    order_for(&own, "app", &[&agent.name]).await;
    rung(&agent, before + 1).await;
    let claims = agent.claim(5).await;
    let names: Vec<_> = claims.iter().map(|claim| claim.namespace.as_str()).collect();
    assert_eq!(names, [own.name.as_str()]);

    // is still not rung for the other's when both ask again,
    assert!(agent.claim(5).await.is_empty());
    assert_eq!(witness.claim(5).await.len(), 1);
    order_for_both(&other, "second").await;
    rung(&witness, 2).await;
    assert_eq!(agent.rings().await, before + 1);

    // and is told where it may not claim when it tries by name, by kube-apiserver and by the server itself.
    for kubectl in [agent.kubectl(), &agent.kubectl_of_server(installation).await] {
        let error = post(kubectl, &other, "app", "claim", claim(&agent.name, "h1"))
            .await
            .err();
        assert!(
            error.contains("cannot create resource \"workorders/claim\"") && error.contains(&other.name),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c060_whoever_kube_apiserver_impersonates_is_who_acts() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "as-jane").await;
    namespace
        .kubectl("create rolebinding jane --clusterrole edit --user jane")
        .await
        .ok();
    order_for(&namespace, "app", &["nobody"]).await;

    let cancel = r#"patch workorder app --type=merge -p {"spec":{"cancel":{}}} --as jane"#;
    namespace.kubectl(cancel).await.ok();

    let entry = namespace.entries("app").await.remove(0);
    assert_eq!(
        entry["status"]["cancellation"]["requestedBy"], "jane",
        "{entry:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn c311_auth_can_i_answers_for_subresources_with_any_kubectl() {
    let _running = undisturbed().await;
    let installation = Installation::shared().await;
    let namespace = TestNamespace::create(installation, "can-i").await;
    namespace.kubectl("create serviceaccount claimer").await.ok();
    may_claim(&namespace, "claimer").await;
    let user = format!("system:serviceaccount:{}:claimer", namespace.name);
    for kubectl in [installation.kubectl(), installation.old_kubectl()] {
        let namespace = namespace.by(kubectl);
        let claims = format!("auth can-i create workorders --subresource=claim --as {user}");
        assert_eq!(namespace.kubectl(&claims).await.ok().trim(), "yes");
        let creates = namespace
            .kubectl(&format!("auth can-i create workorders --as {user}"))
            .await;
        assert_eq!((creates.success, creates.stdout.trim()), (false, "no"));
    }
}
