package cold

import (
	"bytes"
	"fmt"

	"kalamdb/internal/schema"
)

// probeName is the object that a check writes and removes.
const probeName = ".kalamdb-probe"

// Health is what a check of a storage found out.
type Health struct {
	Readable, Writable, Listable, Deletable bool
	// TotalBytes and UsedBytes describe the device; 0 when not known.
	TotalBytes, UsedBytes uint64
	// Err is the first refusal, nil when all works.
	Err error
}

// Status is "healthy", "degraded" or "unreachable".
func (h Health) Status() string {
	switch {
	case h.Err == nil:
		return "healthy"
	case h.Readable || h.Writable || h.Listable:
		return "degraded"
	}
	return "unreachable"
}

// Check writes, lists, reads and deletes an object of a storage. The base
// folder is made when it is missing.
func (t *Tier) Check(st schema.Storage, extended bool) Health {
	var h Health
	s, err := t.storage(st)
	if err != nil {
		h.Err = err
		return h
	}
	note := func(what string, err error) bool {
		if err != nil && h.Err == nil {
			h.Err = fmt.Errorf("%s: %w", what, err)
		}
		return err == nil
	}
	probe := []byte("kalamdb")
	if !note("make the base folder", s.MakeBase()) {
		return h
	}
	h.Writable = note("write", s.Put(probeName, probe))
	_, err = s.List(".")
	h.Listable = note("list", err)
	if h.Writable {
		data, err := s.Get(probeName)
		if err == nil && !bytes.Equal(data, probe) {
			err = ErrDamaged
		}
		h.Readable = note("read", err)
		h.Deletable = note("delete", s.Remove(probeName))
	}
	if extended {
		free, total, err := s.Usage()
		if note("usage", err) {
			h.TotalBytes, h.UsedBytes = total, total-min(free, total)
		}
	}
	return h
}
