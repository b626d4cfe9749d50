package components

import (
	"context"
	_ "embed"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"brokkr.io/work/tests/controlplane/internal/buildcache"
	"brokkr.io/work/tests/controlplane/internal/manifests"
)

// buildStrategies are the project's own strategies, installed with Shipwright.
//
//go:embed buildstrategies.yaml
var buildStrategies []byte

// install creates the upstream manifests of the wanted controllers, and then
// what needs their custom resource definitions.
func (c *Cluster) install(ctx context.Context) error {
	var objects []*unstructured.Unstructured
	for component, module := range map[Component]buildcache.Module{
		Tekton: buildcache.TektonModule, Shipwright: buildcache.ShipwrightModule,
	} {
		if !c.set.Has(component) {
			continue
		}
		found, err := manifests.Load(c.binaries.manifests[module.Name])
		if err != nil {
			return fmt.Errorf("reading the manifests of %s: %w", component, err)
		}
		objects = append(objects, found...)
	}
	for _, object := range objects {
		if err := configureTekton(object); err != nil {
			return err
		}
	}
	if err := c.creator.Create(ctx, objects); err != nil {
		return err
	}
	if !c.set.Has(Shipwright) {
		return nil
	}
	strategies, err := manifests.Parse(buildStrategies)
	if err != nil {
		return fmt.Errorf("reading the build strategies: %w", err)
	}
	return c.creator.Create(ctx, strategies)
}
