package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"brokkr.io/work/tests/controlplane/internal/buildcache"
	"brokkr.io/work/tests/controlplane/internal/components"
)

// build fills the cache with what up can start.
func build(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	source := sourceFlag(flags)
	list := componentsFlag(flags, "build")
	if err := parse(flags, arguments); err != nil {
		return err
	}
	set, err := components.ParseSet(*list)
	if err != nil {
		return err
	}
	cache, err := openCache(*source)
	if err != nil {
		return err
	}
	started := time.Now()
	if _, err := components.Locate(ctx, cache, set); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "everything is built (%s)\n", time.Since(started).Round(10*time.Millisecond))
	return nil
}

// versions prints one pinned dependency a line.
func versions(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet("versions", flag.ContinueOnError)
	source := sourceFlag(flags)
	if err := parse(flags, arguments); err != nil {
		return err
	}
	cache, err := openCache(*source)
	if err != nil {
		return err
	}
	for _, module := range buildcache.Modules() {
		pinned, err := cache.Versions(ctx, module)
		if err != nil {
			return err
		}
		for _, path := range slices.Sorted(maps.Keys(pinned)) {
			fmt.Println(path, pinned[path])
		}
	}
	return nil
}
