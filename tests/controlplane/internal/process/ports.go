package process

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are drawn from below the range from which Linux takes the source ports
// of outgoing connections, so that no connection of a neighbour can take a port
// between the draw and the child's bind.
const (
	firstPort = 15000
	lastPort  = 32000
	draws     = 100
)

// FreePort returns a TCP port that is free on 127.0.0.1.
func FreePort() (int, error) {
	for range draws {
		port := firstPort + rand.IntN(lastPort-firstPort)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		return port, listener.Close()
	}
	return 0, fmt.Errorf("no free port on 127.0.0.1 in %d draws between %d and %d", draws, firstPort, lastPort)
}
