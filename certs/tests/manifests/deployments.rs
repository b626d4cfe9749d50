//! What runs the server and the agent: rollout, probes, volumes, and who may call.

use super::*;

/// The pod template of a Deployment with its one container.
fn pod(deployment: &Value) -> (&Value, &Value) {
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["containers"].as_array().map(Vec::len), Some(1));
    (pod, &pod["containers"][0])
}

#[test]
fn server_is_rolled_out_drained_and_evicted_without_a_gap() {
    let deployment = one("Deployment", "brokkr-apiserver").object;
    let budget = one("PodDisruptionBudget", "brokkr-apiserver").object;
    let (pod, container) = pod(&deployment);
    let spec = &deployment["spec"];

    assert!(spec["replicas"].as_u64().unwrap() >= 2);
    assert_eq!(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    assert_eq!(budget["spec"]["selector"], spec["selector"]);
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    // What the shutdown takes at most: the delay that the flag sets, and the drain of the library.
    let arguments = container["args"].as_array().unwrap();
    let delay = arguments
        .iter()
        .find_map(|it| it.as_str().unwrap().strip_prefix("--shutdown-delay-duration="))
        .and_then(|delay| delay.strip_suffix('s')?.parse::<u64>().ok())
        .unwrap();
    assert!(delay >= 5, "load balancers need some seconds to notice");
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > delay + 60);
    for constraint in pod["topologySpreadConstraints"].as_array().unwrap() {
        assert_eq!(constraint["labelSelector"], spec["selector"]);
    }
}

#[test]
fn probes_ask_for_life_and_readiness_and_the_service_finds_the_port() {
    let deployment = one("Deployment", "brokkr-apiserver").object;
    let service = one("Service", "brokkr-apiserver").object;
    let (_, container) = pod(&deployment);
    let port = &container["ports"][0]["name"];

    assert_eq!(&service["spec"]["ports"][0]["targetPort"], port);
    assert_eq!(
        service["spec"]["selector"],
        deployment["spec"]["selector"]["matchLabels"]
    );
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        let request = &container[probe]["httpGet"];
        assert_eq!(
            (&request["path"], &request["port"]),
            (&Value::from(path), port),
            "{probe}"
        );
        assert_eq!(request["scheme"], "HTTPS", "{probe}");
    }
    let limit = &one("NetworkPolicy", "brokkr-apiserver").object["spec"]["ingress"];
    assert_eq!(&limit[0]["ports"][0]["port"], port);
}

#[test]
fn secrets_are_mounted_as_directories_that_are_kept_up_to_date_and_never_put_into_the_environment() {
    for name in ["brokkr-apiserver", "brokkr-agent"] {
        let deployment = one("Deployment", name);
        let (pod, container) = pod(&deployment.object);
        let volumes = pod["volumes"].as_array().unwrap();
        let secrets = volumes.iter().filter(|volume| volume["secret"].is_object());
        for volume in secrets {
            let mounts = container["volumeMounts"].as_array().unwrap();
            let mount = mounts
                .iter()
                .find(|mount| mount["name"] == volume["name"])
                .unwrap();
            assert!(mount["subPath"].is_null(), "{}: {volume}", deployment.place());
            assert_eq!(mount["readOnly"], true, "{}: {volume}", deployment.place());
        }
        let text = container.to_string();
        assert!(
            !text.contains("secretKeyRef") && !text.contains("secretRef"),
            "{name}"
        );
    }
}

#[test]
fn one_agent_process_runs_at_a_time_and_nobody_but_the_kubelet_calls_it() {
    let deployment = one("Deployment", "brokkr-agent").object;
    let policy = one("NetworkPolicy", "brokkr-agent").object;

    assert_eq!(deployment["spec"]["replicas"], 1);
    assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate");
    assert_eq!(policy["spec"]["ingress"], Value::Array(Vec::new()));
    assert_eq!(
        policy["spec"]["podSelector"]["matchLabels"],
        deployment["spec"]["selector"]["matchLabels"]
    );
}

#[test]
fn agent_is_probed_where_it_listens() {
    let deployment = one("Deployment", "brokkr-agent").object;
    let (_, container) = pod(&deployment);
    let port = &container["ports"][0];
    for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        let request = &container[probe]["httpGet"];
        assert_eq!(
            (&request["path"], &request["port"]),
            (&Value::from(path), &port["name"]),
            "{probe}"
        );
        assert!(request["scheme"].is_null(), "{probe}: it speaks plain HTTP");
    }
    let kustomization = fs::read_to_string(directory().join("agent/kustomization.yaml")).unwrap();
    let listens = format!(
        "- BROKKR_AGENT_METRICS_BIND_ADDRESS=0.0.0.0:{}\n",
        port["containerPort"]
    );
    assert!(kustomization.contains(&listens), "{listens}");
}
