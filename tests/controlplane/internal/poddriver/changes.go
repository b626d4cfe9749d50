package poddriver

import "sync"

// changes lets any number of readers wait for the next change of a pod or of
// the ConfigMaps.
type changes struct {
	mu      sync.Mutex
	waiting chan struct{}
}

// next returns a channel that closes at the next change.
func (c *changes) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		c.waiting = make(chan struct{})
	}
	return c.waiting
}

// announce wakes all who wait.
func (c *changes) announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting != nil {
		close(c.waiting)
		c.waiting = nil
	}
}
