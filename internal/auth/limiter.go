package auth

import (
	"container/list"
	"sync"
	"time"
)

// LimiterOptions are the figures of a Limiter.
type LimiterOptions struct {
	// PerSecond is the rate per key and the size of its bucket; 0 means 1.
	PerSecond int
	// Entries is how many keys are remembered; 0 means 1,000. When it is full
	// the key that was idle longest is forgotten.
	Entries int
	// Idle is how long an unused key is remembered; 0 means ten minutes.
	Idle time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Limiter gives each key a bucket of tokens that refills continuously. It may
// be used by many goroutines.
type Limiter struct {
	o  LimiterOptions
	mu struct {
		sync.Mutex
		byKey map[string]*list.Element // of *bucket
		order *list.List               // most recently used first
	}
}

// bucket is the state of one key, guarded by Limiter.mu.
type bucket struct {
	key    string
	tokens float64
	used   time.Time
}

// NewLimiter returns an empty limiter.
func NewLimiter(o LimiterOptions) *Limiter {
	if o.PerSecond <= 0 {
		o.PerSecond = 1
	}
	if o.Entries <= 0 {
		o.Entries = 1000
	}
	if o.Idle <= 0 {
		o.Idle = 10 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Limiter{o: o}
	l.mu.byKey = make(map[string]*list.Element)
	l.mu.order = list.New()
	return l
}

// Allow takes one token of a key and reports whether there was one.
func (l *Limiter) Allow(key string) bool {
	now := l.o.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(key, now)
	full := float64(l.o.PerSecond)
	if passed := now.Sub(b.used).Seconds(); passed > 0 {
		b.tokens = min(full, b.tokens+passed*full)
		b.used = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// Len returns how many keys are remembered.
func (l *Limiter) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.byKey)
}

// bucket finds or makes the bucket of a key and forgets idle ones.
func (l *Limiter) bucket(key string, now time.Time) *bucket {
	if e, ok := l.mu.byKey[key]; ok {
		l.mu.order.MoveToFront(e)
		return e.Value.(*bucket)
	}
	for e := l.mu.order.Back(); e != nil; e = l.mu.order.Back() {
		oldest := e.Value.(*bucket)
		if len(l.mu.byKey) < l.o.Entries && now.Sub(oldest.used) < l.o.Idle {
			break
		}
		l.mu.order.Remove(e)
		delete(l.mu.byKey, oldest.key)
	}
	b := &bucket{key: key, tokens: float64(l.o.PerSecond), used: now}
	l.mu.byKey[key] = l.mu.order.PushFront(b)
	return b
}
