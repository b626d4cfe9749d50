// Package components knows how each part of the control plane is started and
// when it is ready.
package components

import (
	"fmt"
	"slices"
	"strings"
)

// Component is a part of the control plane that can be asked for.
type Component string

// The components, in the order in which they start.
const (
	Etcd              Component = "etcd"
	APIServer         Component = "apiserver"
	ControllerManager Component = "controller-manager"
	Tekton            Component = "tekton"
	Shipwright        Component = "shipwright"
	PodDriver         Component = "poddriver"
)

// requires says what a component cannot do without.
var requires = map[Component][]Component{
	Etcd:              nil,
	APIServer:         {Etcd},
	ControllerManager: {APIServer},
	Tekton:            {APIServer},
	Shipwright:        {Tekton},
	PodDriver:         {APIServer},
}

// All returns every component.
func All() []Component {
	return []Component{Etcd, APIServer, ControllerManager, Tekton, Shipwright, PodDriver}
}

// Set is the components of one control plane.
type Set []Component

// ParseSet reads a comma-separated list and refuses one that lacks what a
// member requires.
func ParseSet(list string) (Set, error) {
	var set Set
	for name := range strings.SplitSeq(list, ",") {
		component := Component(strings.TrimSpace(name))
		if _, known := requires[component]; !known {
			return nil, fmt.Errorf("unknown component %q; the components are %v", component, All())
		}
		set = append(set, component)
	}
	for _, component := range set {
		for _, needed := range requires[component] {
			if !set.Has(needed) {
				return nil, fmt.Errorf("component %s requires %s; add it to the list", component, needed)
			}
		}
	}
	return set, nil
}

// Has says whether the component is wanted.
func (s Set) Has(component Component) bool { return slices.Contains(s, component) }
