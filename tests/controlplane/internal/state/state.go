// Package state is what a running control plane leaves in its folder for
// others: state.json for tests, and the identity of the supervisor.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// State is the content of state.json, written once everything is ready.
type State struct {
	Kubeconfig         string `json:"kubeconfig"`
	Kubectl            string `json:"kubectl"`
	ServerURL          string `json:"serverURL"`
	CAFile             string `json:"caFile"`
	ClientCAFile       string `json:"clientCAFile"`
	ClientCAKey        string `json:"clientCAKey"`
	RequestHeaderCA    string `json:"requestHeaderCAFile"`
	RequestHeaderCAKey string `json:"requestHeaderCAKey"`
	FrontProxyCert     string `json:"frontProxyCertFile"`
	FrontProxyKey      string `json:"frontProxyKeyFile"`
	AdminCert          string `json:"adminCertFile"`
	AdminKey           string `json:"adminKeyFile"`
	// Logs is the folder of the log files.
	Logs string `json:"logs"`
	// Pids has one entry for each child, and one named supervisor.
	Pids map[string]int `json:"pids"`
	// Versions has one entry for each pinned module.
	Versions map[string]string `json:"versions"`
}

// File returns the path of state.json in the control plane's folder dir.
func File(dir string) string { return filepath.Join(dir, "state.json") }

// Write puts state.json in place in one step.
func Write(dir string, state State) error { return writeJSON(File(dir), state) }

// Read returns the state.json of the control plane's folder dir.
func Read(dir string) (State, error) {
	var state State
	text, err := os.ReadFile(File(dir))
	if err != nil {
		return state, err
	}
	if err := json.Unmarshal(text, &state); err != nil {
		return state, fmt.Errorf("reading %s: %w", File(dir), err)
	}
	return state, nil
}

// Supervisor identifies the process that owns a folder. The start time tells
// it from a later process with the same id.
type Supervisor struct {
	Pid       int    `json:"pid"`
	StartTime string `json:"startTime"`
}

// SupervisorFile returns the path of the supervisor's identity in dir.
func SupervisorFile(dir string) string { return filepath.Join(dir, "supervisor.json") }

// Claim records the calling process as the owner of dir. It fails when another
// live supervisor owns it.
func Claim(dir string) error {
	owner, err := Owner(dir)
	if err != nil {
		return err
	}
	if owner != nil {
		return fmt.Errorf("%s is in use by the control plane with process id %d; run down first", dir, owner.Pid)
	}
	if err := os.Remove(File(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	started, err := startTime(os.Getpid())
	if err != nil {
		return err
	}
	return writeJSON(SupervisorFile(dir), Supervisor{os.Getpid(), started})
}

// Owner returns the live supervisor of dir, or nil when there is none.
func Owner(dir string) (*Supervisor, error) {
	text, err := os.ReadFile(SupervisorFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var owner Supervisor
	if err := json.Unmarshal(text, &owner); err != nil {
		return nil, fmt.Errorf("reading %s: %w", SupervisorFile(dir), err)
	}
	if started, err := startTime(owner.Pid); err != nil || started != owner.StartTime {
		return nil, nil
	}
	return &owner, nil
}

// startTime returns when the process started, in clock ticks since boot, as
// the kernel prints it. A process that has ended and only waits to be reaped is
// an error, as one that is gone.
func startTime(pid int) (string, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	// The second field is the command in parentheses and may hold spaces.
	const startTimeAfterCommand = 19
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) <= startTimeAfterCommand {
		return "", fmt.Errorf("unexpected content of /proc/%d/stat", pid)
	}
	if fields[0] == "Z" {
		return "", fs.ErrNotExist
	}
	return fields[startTimeAfterCommand], nil
}

// writeJSON writes through a temporary file, so that a reader never sees half.
func writeJSON(file string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	temporary := file + ".new"
	if err := os.WriteFile(temporary, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, file)
}
