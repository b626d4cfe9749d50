package components

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"brokkr.io/work/tests/controlplane/internal/buildcache"
	"brokkr.io/work/tests/controlplane/internal/process"
)

const tektonNamespace = "tekton-pipelines"

var tektonAccount = serviceAccount{
	namespace: tektonNamespace, name: "tekton-pipelines-controller", group: "tekton.dev", resource: "taskruns",
}

// tektonSettings are the settings that differ from upstream, by ConfigMap.
var tektonSettings = map[string]map[string]string{
	// Affinity assistants are StatefulSets, whose controller does not run.
	"feature-flags": {"coschedule": "disabled"},
	// No metrics are served, so none need be collected.
	"config-observability": {"metrics-protocol": "none"},
}

// configureTekton applies tektonSettings to an upstream object.
func configureTekton(object *unstructured.Unstructured) error {
	if object.GetKind() != "ConfigMap" || object.GetNamespace() != tektonNamespace {
		return nil
	}
	for key, value := range tektonSettings[object.GetName()] {
		if err := unstructured.SetNestedField(object.Object, value, "data", key); err != nil {
			return fmt.Errorf("setting %s in ConfigMap %s: %w", key, object.GetName(), err)
		}
	}
	return nil
}

// runTekton starts Tekton's controller under its own service account and waits
// until its caches are filled.
func (c *Cluster) runTekton(ctx context.Context) error {
	const kubeconfig = "tekton.kubeconfig"
	err := c.writeServiceAccountKubeconfig(ctx, kubeconfig, tektonAccount)
	if err != nil {
		return err
	}
	child, err := c.supervisor.Start(process.Spec{
		Name: buildcache.Tekton,
		Path: c.binaries.Path(buildcache.Tekton),
		Env: []string{
			"KUBECONFIG=" + c.kubeconfigFile(kubeconfig),
			"SYSTEM_NAMESPACE=" + tektonNamespace,
			"CONFIG_DEFAULTS_NAME=config-defaults",
			"CONFIG_FEATURE_FLAGS_NAME=feature-flags",
			"CONFIG_LOGGING_NAME=config-logging",
			"CONFIG_OBSERVABILITY_NAME=config-observability",
			"CONFIG_LEADERELECTION_NAME=config-leader-election-controller",
			"CONFIG_SPIRE=config-spire",
			"METRICS_DOMAIN=tekton.dev/pipeline",
		},
		NotifiesReady: true,
	})
	if err != nil {
		return err
	}
	return awaitSignal(ctx, child)
}
