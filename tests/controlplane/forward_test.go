package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// backend answers every connection with its name.
func backend(t *testing.T, name string) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(connection, name)
			_ = connection.Close()
		}
	}()
	return listener
}

// answers returns what so many connections to the address were answered.
func answers(t *testing.T, address string, count int) string {
	t.Helper()
	var all strings.Builder
	for range count {
		connection, err := net.DialTimeout("tcp", address, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(connection)
		_ = connection.Close()
		all.Write(text)
	}
	return all.String()
}

func TestForwardUsesAllBackendsAndPassesOverThoseThatAreGone(t *testing.T) {
	one, two := backend(t, "1"), backend(t, "2")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	backends := one.Addr().String() + "," + two.Addr().String()
	go func() { _ = forward(t.Context(), []string{"--listen", address, "--to", backends}) }()
	eventuallyDials(t, address)

	if all := answers(t, address, 6); strings.Count(all, "1") < 2 || strings.Count(all, "2") < 2 {
		t.Errorf("both should have been used in turn: %s", all)
	}
	_ = one.Close()
	if all := answers(t, address, 4); all != "2222" {
		t.Errorf("one is gone: %s", all)
	}
	_ = two.Close()
	if all := answers(t, address, 1); all != "" {
		t.Errorf("nobody is there: %s", all)
	}
}

// eventuallyDials waits until somebody listens at the address.
func eventuallyDials(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			_ = connection.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}
