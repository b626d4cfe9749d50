package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// dialTimeout bounds the attempt to reach one backend; all are on loopback.
const dialTimeout = time.Second

// forward stands in for kube-proxy, which does not run here: it listens at the
// address of a Service and hands each connection to a backend that accepts it.
// TLS passes through untouched.
func forward(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet("forward", flag.ContinueOnError)
	listen := flags.String("listen", "", "address to listen at (required)")
	to := flags.String("to", "", "comma-separated addresses of the backends (required)")
	if err := parse(flags, arguments); err != nil {
		return err
	}
	if *listen == "" || *to == "" {
		return errors.New("--listen and --to are required")
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	backends := &backends{addresses: strings.Split(*to, ",")}
	for {
		client, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go backends.serve(client)
	}
}

// backends are what a Service leads to.
type backends struct {
	addresses []string
	next      atomic.Uint64
}

// serve joins a client with a backend until either closes. A client for whom
// no backend is there is closed at once, as by a Service without endpoints.
func (b *backends) serve(client net.Conn) {
	defer client.Close()
	backend, err := b.dial()
	if err != nil {
		return
	}
	defer backend.Close()
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{client, backend}, {backend, client}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			done <- struct{}{}
		}()
	}
	<-done
}

// dial connects to the backends in turn, passing over those that refuse.
func (b *backends) dial() (net.Conn, error) {
	first := b.next.Add(1)
	var failed error
	for offset := range uint64(len(b.addresses)) {
		address := b.addresses[(first+offset)%uint64(len(b.addresses))]
		connection, err := net.DialTimeout("tcp", address, dialTimeout)
		if err == nil {
			return connection, nil
		}
		failed = errors.Join(failed, fmt.Errorf("%s: %w", address, err))
	}
	return nil, failed
}
