// Package process runs the children of one control plane. Each child leads its
// own process group, writes to its own log file, and is killed by the kernel
// when the supervisor dies, however it dies. Children are killed rather than
// drained: nothing they hold outlives the control plane.
package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
)

// Spec says how to start one child.
type Spec struct {
	// Name is the child's name in state, messages and its log file.
	Name string
	// Path is the executable.
	Path string
	Args []string
	// Env is added to the supervisor's environment.
	Env []string
	// NotifiesReady means the child writes to file descriptor 3 once it is
	// ready; otherwise Process.Ready never fires.
	NotifiesReady bool
}

// Process is a started child.
type Process struct {
	Name    string
	Pid     int
	LogFile string
	// Ready is closed when the child has said that it is ready.
	Ready <-chan struct{}
	// Done is closed when the child has ended.
	Done <-chan struct{}
	// wanted is whether the end was asked for, and so is no exit to report.
	wanted bool
}

// Supervisor starts children and ends them together.
type Supervisor struct {
	logDir  string
	starts  chan startRequest
	exits   chan Exit
	mu      sync.Mutex
	running []*Process
	stopped bool
}

// Exit reports a child that ended.
type Exit struct {
	Process *Process
	// State is what the kernel said, such as "exit status 1".
	State string
}

type startRequest struct {
	command *exec.Cmd
	result  chan error
}

// NewSupervisor returns a supervisor that writes the children's logs to
// logDir, which must exist.
func NewSupervisor(logDir string) *Supervisor {
	s := &Supervisor{logDir: logDir, starts: make(chan startRequest), exits: make(chan Exit, 16)}
	go s.fork()
	return s
}

// fork starts every child from one locked thread. The parent-death signal is
// sent when the thread that forked ends, not the process, and the Go runtime
// may end threads that are not locked.
func (s *Supervisor) fork() {
	runtime.LockOSThread()
	for request := range s.starts {
		request.result <- request.command.Start()
	}
}

// Exits delivers children that ended without having been stopped.
func (s *Supervisor) Exits() <-chan Exit { return s.exits }

// Start starts a child.
func (s *Supervisor) Start(spec Spec) (*Process, error) {
	logFile := filepath.Join(s.logDir, spec.Name+".log")
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.Command(spec.Path, spec.Args...)
	command.Env = append(os.Environ(), spec.Env...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	ready, closeWriter, err := notification(command, spec.NotifiesReady)
	if err != nil {
		return nil, err
	}
	result := make(chan error, 1)
	s.starts <- startRequest{command, result}
	err = <-result
	closeWriter()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	return s.adopt(spec.Name, logFile, command, ready), nil
}

// adopt records a started child and waits for its end in the background.
func (s *Supervisor) adopt(name, logFile string, command *exec.Cmd, ready <-chan struct{}) *Process {
	done := make(chan struct{})
	process := &Process{Name: name, Pid: command.Process.Pid, LogFile: logFile, Ready: ready, Done: done}
	s.mu.Lock()
	s.running = append(s.running, process)
	stopped := s.stopped
	s.mu.Unlock()
	if stopped {
		kill(process)
	}
	go func() {
		// Wait's error only repeats the state that is reported below.
		_ = command.Wait()
		close(done)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running = slices.DeleteFunc(s.running, func(p *Process) bool { return p == process })
		if !s.stopped && !process.wanted {
			s.exits <- Exit{process, command.ProcessState.String()}
		}
	}()
	return process
}

// notification prepares file descriptor 3 of the child. The returned channel
// closes at the first byte; the returned function closes our copy of the
// writing end.
func notification(command *exec.Cmd, wanted bool) (<-chan struct{}, func(), error) {
	ready := make(chan struct{})
	if !wanted {
		return ready, func() {}, nil
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	command.ExtraFiles = []*os.File{writer}
	command.Env = append(command.Env, "READY_FD=3")
	go func() {
		defer reader.Close()
		if _, err := io.ReadFull(reader, make([]byte, 1)); err == nil {
			close(ready)
		}
	}()
	return ready, func() { writer.Close() }, nil
}

// Stop kills all children and returns when they have ended.
func (s *Supervisor) Stop() {
	s.mu.Lock()
	s.stopped = true
	children := slices.Clone(s.running)
	s.mu.Unlock()
	// In reverse, so that nobody is seen to lose what it depends on.
	slices.Reverse(children)
	for _, child := range children {
		kill(child)
	}
	for _, child := range children {
		<-child.Done
	}
}

// End kills one child and returns when it has ended. Its end is not reported.
func (s *Supervisor) End(child *Process) {
	s.mu.Lock()
	child.wanted = true
	s.mu.Unlock()
	kill(child)
	<-child.Done
}

// Pids returns the process id of every running child by name.
func (s *Supervisor) Pids() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	pids := make(map[string]int, len(s.running))
	for _, child := range s.running {
		pids[child.Name] = child.Pid
	}
	return pids
}

// kill ends the child's whole process group.
func kill(process *Process) {
	if err := syscall.Kill(-process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		fmt.Fprintf(os.Stderr, "killing %s: %v\n", process.Name, err)
	}
}
