package buildcache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// recipe changes when this package builds something else from the same files.
const recipe = "1"

// Cache is a folder of built modules.
type Cache struct {
	root     string
	source   string
	progress io.Writer
}

// Built is a module found in the cache.
type Built struct {
	dir string
}

// Binary returns the path of a built binary.
func (b Built) Binary(name string) string { return filepath.Join(b.dir, "bin", name) }

// Manifests returns the path of the module's manifests, as a JSON array.
func (b Built) Manifests() string { return filepath.Join(b.dir, "manifests.json") }

// Versions returns the pinned versions by module path.
func (b Built) Versions() (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(b.dir, "versions.json"))
	if err != nil {
		return nil, err
	}
	var versions map[string]string
	return versions, json.Unmarshal(text, &versions)
}

// Open returns the cache for the pinned modules below source. It lies in
// BROKKR_CACHE_DIR, or else in the user's cache folder. Progress is written to
// progress.
func Open(source string, progress io.Writer) (*Cache, error) {
	root := os.Getenv("BROKKR_CACHE_DIR")
	if root == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("no place for the cache; set BROKKR_CACHE_DIR: %w", err)
		}
		root = filepath.Join(user, "brokkr-work", "controlplane")
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	return &Cache{root: root, source: source, progress: progress}, nil
}

// Ensure returns the module from the cache and builds it first when it is not
// there. Of two callers at once, one builds and the other waits for it.
func (c *Cache) Ensure(ctx context.Context, module Module) (Built, error) {
	key, err := c.key(ctx, module)
	if err != nil {
		return Built{}, err
	}
	built := Built{filepath.Join(c.root, module.Name+"-"+key)}
	if present(built.dir) {
		return built, nil
	}
	unlock, err := c.lock(module)
	if err != nil {
		return Built{}, err
	}
	defer unlock()
	if present(built.dir) {
		return built, nil
	}
	return built, c.build(ctx, module, built.dir)
}

func present(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}

// key hashes what the result depends on.
func (c *Cache) key(ctx context.Context, module Module) (string, error) {
	dir := filepath.Join(c.source, module.Name)
	toolchain, err := goOutput(ctx, dir, "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	fmt.Fprintln(hash, recipe, toolchain)
	var files []string
	for _, pattern := range []string{"go.mod", "go.sum", "*.go"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "%s %d\n", filepath.Base(file), len(text))
		hash.Write(text)
	}
	return hex.EncodeToString(hash.Sum(nil))[:16], nil
}

// lock takes the module's build lock, which ends with the process at the
// latest.
func (c *Cache) lock(module Module) (func(), error) {
	file, err := os.OpenFile(filepath.Join(c.root, module.Name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	descriptor := int(file.Fd())
	err = syscall.Flock(descriptor, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		fmt.Fprintf(c.progress, "%s: waiting for another build\n", module.Name)
		err = syscall.Flock(descriptor, syscall.LOCK_EX)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", file.Name(), err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// removeLeftovers deletes what interrupted builds of the module left behind.
// The caller holds the lock, so nobody is writing there.
func (c *Cache) removeLeftovers(module Module) error {
	leftovers, err := filepath.Glob(filepath.Join(c.root, "building-"+module.Name+"-*"))
	if err != nil {
		return err
	}
	for _, leftover := range leftovers {
		if err := os.RemoveAll(leftover); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
