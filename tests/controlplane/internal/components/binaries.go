package components

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"brokkr.io/work/tests/controlplane/internal/buildcache"
)

// assetsVariable names a folder with ready-made binaries, as in the test
// environment of controller-runtime.
const assetsVariable = "KUBEBUILDER_ASSETS"

// Binaries are the files the components run.
type Binaries struct {
	paths map[string]string
	// manifests holds the path of a module's manifests by module name.
	manifests map[string]string
	// Versions are the versions in use, by module path.
	Versions map[string]string
}

// Path returns the path of a binary by its name in package buildcache.
func (b *Binaries) Path(name string) string { return b.paths[name] }

// Locate finds all binaries the components need and builds what is missing.
func Locate(ctx context.Context, cache *buildcache.Cache, set Set) (*Binaries, error) {
	binaries := &Binaries{paths: map[string]string{}, manifests: map[string]string{}, Versions: map[string]string{}}
	complete, err := binaries.fromAssets(ctx, os.Getenv(assetsVariable), set)
	if err != nil {
		return nil, err
	}
	modules := map[string]bool{
		buildcache.KubernetesModule.Name: !complete,
		buildcache.TektonModule.Name:     set.Has(Tekton),
		buildcache.ShipwrightModule.Name: set.Has(Shipwright),
	}
	for _, module := range buildcache.Modules() {
		if !modules[module.Name] {
			continue
		}
		if err := binaries.fromCache(ctx, cache, module); err != nil {
			return nil, err
		}
	}
	return binaries, nil
}

// fromCache adds a pinned module. What the assets folder gave stays.
func (b *Binaries) fromCache(ctx context.Context, cache *buildcache.Cache, module buildcache.Module) error {
	built, err := cache.Ensure(ctx, module)
	if err != nil {
		return err
	}
	for _, binary := range module.Binaries {
		if b.paths[binary.Name] == "" {
			b.paths[binary.Name] = built.Binary(binary.Name)
		}
	}
	b.manifests[module.Name] = built.Manifests()
	versions, err := built.Versions()
	if err != nil {
		return err
	}
	maps.Copy(versions, b.Versions)
	b.Versions = versions
	return nil
}

// fromAssets takes the Kubernetes binaries from a folder. It says whether that
// folder has all that the set needs.
func (b *Binaries) fromAssets(ctx context.Context, dir string, set Set) (bool, error) {
	if dir == "" {
		return false, nil
	}
	for _, name := range []string{buildcache.Etcd, buildcache.APIServer, buildcache.Kubectl} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			return false, fmt.Errorf("%s: %w", assetsVariable, err)
		}
		b.paths[name] = path
	}
	version, err := exec.CommandContext(ctx, b.paths[buildcache.APIServer], "--version").Output()
	if err != nil {
		return false, fmt.Errorf("asking %s for its version: %w", b.paths[buildcache.APIServer], err)
	}
	b.Versions["k8s.io/kubernetes"] = strings.TrimSpace(strings.TrimPrefix(string(version), "Kubernetes "))
	manager := filepath.Join(dir, buildcache.ControllerManager)
	if _, err := os.Stat(manager); err == nil {
		b.paths[buildcache.ControllerManager] = manager
		return true, nil
	}
	return !set.Has(ControllerManager), nil
}
