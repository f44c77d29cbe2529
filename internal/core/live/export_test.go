package live

// Idle reports whether every shard has handled all that was committed and no
// connection has anything left to take.
func (h *Hub) Idle() bool {
	h.ring.mu.Lock()
	end := h.ring.mu.first + uint64(len(h.ring.kept()))
	h.ring.mu.Unlock()
	for _, s := range h.shards {
		s.mu.Lock()
		behind := s.mu.next != end
		s.mu.Unlock()
		if behind {
			return false
		}
	}
	return h.results.idle()
}

// Waiting reports whether Take would return something.
func (c *Conn) Waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mu.queue) > 0
}

// Load returns what waits in the outbox.
func (c *Conn) Load() int64 { return c.load.Load() }

// LiveState returns the state of a subscription by its id.
func (c *Conn) LiveState(id string) string {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	if sub := c.subs[id]; sub != nil {
		return stateNames[sub.state]
	}
	return stateNames[gone]
}

// Pause stops the shards until Resume.
func (h *Hub) Pause() {
	for _, s := range h.shards {
		s.mu.Lock()
	}
}

// Resume lets them go on.
func (h *Hub) Resume() {
	for _, s := range h.shards {
		s.mu.Unlock()
	}
}

// Taken reports whether the shards have taken all that was committed from the
// ring, handled or not.
func (h *Hub) Taken() bool {
	h.ring.mu.Lock()
	defer h.ring.mu.Unlock()
	end := h.ring.mu.first + uint64(len(h.ring.kept()))
	for _, r := range h.ring.mu.readers[:len(h.shards)] {
		if r.next != end {
			return false
		}
	}
	return true
}
