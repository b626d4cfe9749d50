package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"brokkr.io/work/tests/controlplane/internal/buildcache"
	"brokkr.io/work/tests/controlplane/internal/components"
)

// sourceFlag adds the flag that says where the pinned modules are.
func sourceFlag(flags *flag.FlagSet) *string {
	return flags.String("source", "", "folder of this program's sources, which holds the pinned modules (default: the folder it was built from, or else the working directory)")
}

// componentsFlag adds the flag that names the components to build or start.
func componentsFlag(flags *flag.FlagSet, verb string) *string {
	var names []string
	for _, component := range components.All() {
		names = append(names, string(component))
	}
	return flags.String("components", strings.Join(names, ","), "comma-separated components to "+verb)
}

// openCache opens the build cache for the pinned modules below source.
func openCache(source string) (*buildcache.Cache, error) {
	candidates := []string{source}
	if source == "" {
		candidates = []string{builtFrom(), "."}
	}
	for _, candidate := range candidates {
		if _, err := os.Stat(filepath.Join(candidate, buildcache.KubernetesModule.Name, "go.mod")); err != nil {
			continue
		}
		dir, err := filepath.Abs(candidate)
		if err != nil {
			return nil, err
		}
		return buildcache.Open(dir, os.Stderr)
	}
	return nil, fmt.Errorf("no pinned modules in %q; name the folder tests/controlplane with --source", candidates)
}

// builtFrom returns the folder of this file at compile time. It is meaningless
// when the paths were trimmed, and then does not exist.
func builtFrom() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

// parse parses a command's flags and refuses what is left over.
func parse(flags *flag.FlagSet, arguments []string) error {
	if err := flags.Parse(arguments); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			os.Exit(0)
		}
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}
