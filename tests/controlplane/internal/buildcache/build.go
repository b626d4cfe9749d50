package buildcache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"brokkr.io/work/tests/controlplane/internal/manifests"
)

// downloads is how often fetching a binary's sources is tried; proxies fail
// now and then.
const downloads = 3

// build builds the module beside its place in the cache and moves it there in
// one step.
func (c *Cache) build(ctx context.Context, module Module, target string) error {
	if err := c.removeLeftovers(module); err != nil {
		return err
	}
	work, err := os.MkdirTemp(c.root, "building-"+module.Name+"-")
	if err != nil {
		return err
	}
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	err = c.fill(ctx, module, work)
	if err == nil {
		err = os.Rename(work, target)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(work))
	}
	return nil
}

// fill builds everything of the module into the folder work.
func (c *Cache) fill(ctx context.Context, module Module, work string) error {
	versions, err := c.Versions(ctx, module)
	if err != nil {
		return err
	}
	for _, binary := range module.Binaries {
		if err := c.compile(ctx, module, binary, versions[kubernetesPath], work); err != nil {
			return err
		}
	}
	if module.Manifests != nil {
		if err := c.render(ctx, module, work); err != nil {
			return err
		}
	}
	text, err := json.Marshal(versions)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(work, "versions.json"), text, 0o644)
}

// compile builds one binary and says what it cost.
func (c *Cache) compile(ctx context.Context, module Module, binary Binary, version, work string) error {
	dir := filepath.Join(c.source, module.Name)
	fmt.Fprintf(c.progress, "%s: building (minutes when Go has not compiled it before)\n", binary.Name)
	started := time.Now()
	if err := download(ctx, dir, binary.Package); err != nil {
		return err
	}
	command := goCommand(ctx, dir, "build", "-trimpath", "-ldflags", binary.linkerFlags(version),
		"-o", filepath.Join(work, "bin", binary.Name), binary.Package)
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("building %s: %w\n%s", binary.Name, err, output)
	}
	usage := command.ProcessState
	fmt.Fprintf(c.progress, "%s: built in %s (%s of processor time)\n", binary.Name,
		time.Since(started).Round(100*time.Millisecond),
		(usage.UserTime() + usage.SystemTime()).Round(100*time.Millisecond))
	return nil
}

// download fetches the sources a package needs, so that a flaky proxy is told
// from a build that fails.
func download(ctx context.Context, dir, pkg string) error {
	var err error
	for range downloads {
		if _, err = goOutput(ctx, dir, "list", "-deps", "-f", "{{.Name}}", pkg); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// render collects the module's manifests from the module cache.
func (c *Cache) render(ctx context.Context, module Module, work string) error {
	dir, err := goOutput(ctx, filepath.Join(c.source, module.Name),
		"list", "-m", "-f", "{{.Dir}}", module.Manifests.Dependency)
	if err != nil {
		return err
	}
	text, err := manifests.Collect(dir, module.Manifests.Globs)
	if err != nil {
		return fmt.Errorf("manifests of %s: %w", module.Manifests.Dependency, err)
	}
	return os.WriteFile(filepath.Join(work, "manifests.json"), text, 0o644)
}

// Versions returns the versions pinned by the module, by module path.
func (c *Cache) Versions(ctx context.Context, module Module) (map[string]string, error) {
	arguments := append([]string{"list", "-m", "-f", "{{.Path}} {{.Version}}"}, module.Pins...)
	output, err := goOutput(ctx, filepath.Join(c.source, module.Name), arguments...)
	if err != nil {
		return nil, err
	}
	versions := map[string]string{}
	for line := range strings.Lines(output) {
		path, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		versions[path] = version
	}
	return versions, nil
}

// goCommand prepares a call of the go command in a pinned module's folder. Its
// whole process group ends with ctx.
func goCommand(ctx context.Context, dir string, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = dir
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOTOOLCHAIN=local")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	return command
}

// goOutput returns what the go command prints.
func goOutput(ctx context.Context, dir string, arguments ...string) (string, error) {
	output, err := goCommand(ctx, dir, arguments...).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(arguments, " "), err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("calling go, which builds the control plane: %w", err)
	}
	return strings.TrimSpace(string(output)), nil
}
