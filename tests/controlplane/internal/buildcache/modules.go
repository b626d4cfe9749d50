// Package buildcache builds the pinned binaries once and keeps them, so that a
// control plane starts in seconds. Every pinned module is a Go module of its
// own in a folder beside this program, because their requirements contradict
// one another. What is built depends on the files of that folder and the Go
// version alone, and the cache is addressed by their hash.
package buildcache

import "strings"

// Module is one pinned module: what is built from it and which manifests are
// taken from its sources.
type Module struct {
	// Name is the module's folder beside this program.
	Name string
	// Binaries are built in order, so that the first ones compile what the
	// later ones share.
	Binaries []Binary
	// Manifests says where the module cache holds the manifests, if anywhere.
	Manifests *ManifestSource
	// Pins are the dependencies whose versions are reported.
	Pins []string
}

// Binary is one main package.
type Binary struct {
	// Name is the file name of the result.
	Name string
	// Package is the import path of the main package.
	Package string
	// Stamped binaries report the version of k8s.io/kubernetes as their own.
	Stamped bool
}

// ManifestSource names manifest files inside a dependency.
type ManifestSource struct {
	// Dependency is the module path.
	Dependency string
	// Globs are patterns relative to the module's root, in order of creation.
	Globs []string
}

// Names of the binaries.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Kubectl           = "kubectl"
	Tekton            = "tekton-pipelines-controller"
	Shipwright        = "shipwright-build-controller"
)

const kubernetesPath = "k8s.io/kubernetes"

// KubernetesModule pins Kubernetes and the etcd that its own modules require.
var KubernetesModule = Module{
	Name: "kubernetes",
	Binaries: []Binary{
		{Name: Etcd, Package: "go.etcd.io/etcd/server/v3"},
		{Name: APIServer, Package: kubernetesPath + "/cmd/kube-apiserver", Stamped: true},
		{Name: ControllerManager, Package: kubernetesPath + "/cmd/kube-controller-manager", Stamped: true},
		{Name: Kubectl, Package: kubernetesPath + "/cmd/kubectl", Stamped: true},
	},
	Pins: []string{kubernetesPath, "go.etcd.io/etcd/server/v3"},
}

// TektonModule pins Tekton Pipelines.
var TektonModule = Module{
	Name:     "tekton",
	Binaries: []Binary{{Name: Tekton, Package: "."}},
	Manifests: &ManifestSource{
		Dependency: "github.com/tektoncd/pipeline",
		Globs: []string{
			"config/100-namespace/*.yaml", "config/300-crds/*.yaml", "config/200-*.yaml",
			"config/201-*.yaml", "config/clusterrole-*.yaml", "config/config-*.yaml",
		},
	},
	Pins: []string{"github.com/tektoncd/pipeline"},
}

// ShipwrightModule pins Shipwright Build.
var ShipwrightModule = Module{
	Name:     "shipwright",
	Binaries: []Binary{{Name: Shipwright, Package: "."}},
	Manifests: &ManifestSource{
		Dependency: "github.com/shipwright-io/build",
		Globs: []string{
			"deploy/100-*.yaml", "deploy/crds/*.yaml", "deploy/200-*.yaml", "deploy/300-*.yaml",
			"deploy/400-*.yaml", "deploy/clusterrole-*.yaml",
		},
	},
	Pins: []string{"github.com/shipwright-io/build"},
}

// Modules returns all pinned modules in the order in which they are built.
func Modules() []Module { return []Module{KubernetesModule, TektonModule, ShipwrightModule} }

// linkerFlags returns the -ldflags of a binary. Without a stamped version
// kube-apiserver reports v0.0.0, which clients refuse as too old.
func (b Binary) linkerFlags(kubernetesVersion string) string {
	flags := []string{"-s", "-w"}
	if b.Stamped {
		const target = "k8s.io/component-base/version."
		major, minor, _ := strings.Cut(strings.TrimPrefix(kubernetesVersion, "v"), ".")
		minor, _, _ = strings.Cut(minor, ".")
		for name, value := range map[string]string{
			"gitVersion": kubernetesVersion, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean",
		} {
			flags = append(flags, "-X", target+name+"="+value)
		}
	}
	return strings.Join(flags, " ")
}
