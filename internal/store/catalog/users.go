package catalog

import (
	"sync"

	"kalamdb/internal/schema"
)

// defaultCachedUsers is how many users a cache keeps.
const defaultCachedUsers = 10_000

// UserCache keeps the rows of users that were asked for lately. It holds at
// most the number it was made with; beyond that the older half goes.
type UserCache struct {
	half int
	mu   struct {
		sync.Mutex
		changes uint64 // counts Forget, so that no older row is kept after it
		young   map[schema.UserID]schema.UserRecord
		old     map[schema.UserID]schema.UserRecord
	}
}

// NewUserCache returns a cache of up to size users; 0 stands for 10,000.
func NewUserCache(size int) *UserCache {
	if size <= 0 {
		size = defaultCachedUsers
	}
	c := &UserCache{half: max(1, size/2)}
	c.mu.young = map[schema.UserID]schema.UserRecord{}
	return c
}

// Get returns a user's row, from the view that current returns if the cache
// has none. current is called without a lock, returns a view that is held for
// Get, and is nil-free.
func (c *UserCache) Get(id schema.UserID, current func() *View) (user schema.UserRecord, ok bool, err error) {
	user, ok, changes := c.cached(id)
	if ok {
		return user, true, nil
	}
	view := current()
	defer view.Release()
	user, ok, err = Users().Get(view.Reader(), string(id))
	if ok && err == nil {
		c.keep(user, changes)
	}
	return user, ok, err
}

// Forget drops the row of a user whose change has become visible in the
// current view.
func (c *UserCache) Forget(id schema.UserID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.changes++
	delete(c.mu.young, id)
	delete(c.mu.old, id)
}

func (c *UserCache) cached(id schema.UserID) (user schema.UserRecord, ok bool, changes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if user, ok = c.mu.young[id]; ok {
		return user, true, c.mu.changes
	}
	if user, ok = c.mu.old[id]; ok {
		c.insert(user)
	}
	return user, ok, c.mu.changes
}

// keep stores a row that was read while the cache had seen so many changes;
// after another change it may be an old one and is not kept.
func (c *UserCache) keep(user schema.UserRecord, changes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if changes == c.mu.changes {
		c.insert(user)
	}
}

func (c *UserCache) insert(user schema.UserRecord) {
	if len(c.mu.young) >= c.half {
		c.mu.old, c.mu.young = c.mu.young, map[schema.UserID]schema.UserRecord{}
	}
	c.mu.young[user.ID] = user
}
