package core

import (
	"container/list"
	"sync"
	"sync/atomic"

	"kalamdb/internal/core/write"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
)

// prepared is a parsed and bound statement. It is immutable and shared; the
// caller's rights are checked at each use, and nothing of a caller is in it.
type prepared struct {
	statement parse.Statement
	// One of the five is set for statements that have a plan.
	query    *exec.Program
	analytic *exec.Analytic
	// large is the analytic path of query, for a table with many rows; or nil.
	large  *exec.Analytic
	insert *write.Insert
	update *write.Update
	delete *write.Delete
	// definitions is the version of the catalog it was bound under.
	definitions uint64
	// explicit is how many $n the text has.
	explicit int
	// kinds are those of the parameters that it was made for, "" for any.
	kinds string
}

// given are the parameters of a request as a binding sees them: as kinds.
type given struct {
	params []datum.Value
	asked  bool
}

// kind answers plan.Options.Given.
func (g *given) kind(source int) datum.Kind {
	g.asked = true
	if source >= len(g.params) {
		return datum.Null
	}
	return g.params[source].Kind()
}

// used are the kinds, "" if nobody has asked for one.
func (g *given) used() string {
	if !g.asked {
		return ""
	}
	return g.String()
}

// String is not empty and no part of a statement.
func (g *given) String() string {
	text := []byte{0}
	for _, v := range g.params {
		text = append(text, byte(v.Kind())+'A')
	}
	return string(text)
}

// table returns the one table that the statement reads or changes, or nil.
func (p *prepared) table() *schema.Table {
	switch {
	case p.query != nil:
		return p.query.Query().Table
	case p.insert != nil:
		return p.insert.Plan().Table
	case p.update != nil:
		return p.update.Plan().Table
	case p.delete != nil:
		return p.delete.Plan().Table
	}
	return nil
}

// reads returns what an INSERT, UPDATE or DELETE reads beside the rows that it
// changes: one table on the row path, or a tree.
func (p *prepared) reads() (*schema.Table, *plan.Analytic) {
	switch {
	case p.insert != nil:
		if q := p.insert.Plan().Query; q != nil {
			return q.Table, nil
		}
		return nil, p.insert.Plan().Source
	case p.update != nil:
		return nil, p.update.Plan().Source
	case p.delete != nil:
		return nil, p.delete.Plan().Source
	}
	return nil, nil
}

// computes returns what an INSERT, UPDATE or DELETE computes from subqueries
// over the rows that it changes.
func (p *prepared) computes() []*plan.Analytic {
	var all []*plan.Analytic
	add := func(g *plan.Given) {
		if g != nil {
			all = append(all, g.Source)
		}
	}
	switch {
	case p.insert != nil:
		if c := p.insert.Plan().Conflict; c != nil {
			add(c.Given)
		}
		add(p.insert.Plan().Given)
	case p.update != nil:
		add(p.update.Plan().Given)
	case p.delete != nil:
		add(p.delete.Plan().Given)
	}
	return all
}

// planKey identifies a statement up to its automatic parameters.
type planKey struct {
	path path
	text string
}

func (k planKey) size() int { return len(k.path) + len(k.text) }

// planCache keeps the plans used last, bounded in their number and in the bytes
// of their texts. A plan bound under other definitions counts as absent.
type planCache struct {
	limit        int
	hits, misses atomic.Int64
	mu           struct {
		sync.Mutex
		entries map[planKey]*list.Element
		order   *list.List // most recently used first
		bytes   int        // of all keys
	}
}

type planEntry struct {
	key  planKey
	plan *prepared
}

const (
	// maxCachedText keeps single huge statements out of the cache.
	maxCachedText = 16 << 10
	// maxCachedTexts bounds the texts of all plans. A plan takes up to a hundred
	// times its text, so the cache stays below some 50 MiB.
	maxCachedTexts = 512 << 10
)

func newPlanCache(limit int) *planCache {
	c := &planCache{limit: limit}
	c.mu.entries = make(map[planKey]*list.Element, limit)
	c.mu.order = list.New()
	return c
}

func (c *planCache) find(key planKey, definitions uint64) *prepared {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.mu.entries[key]
	if !ok || e.Value.(*planEntry).plan.definitions != definitions {
		c.misses.Add(1)
		return nil
	}
	c.mu.order.MoveToFront(e)
	c.hits.Add(1)
	return e.Value.(*planEntry).plan
}

// look is find for a caller who does not run the plan: it counts for nothing.
func (c *planCache) look(key planKey, definitions uint64) *prepared {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.mu.entries[key]; ok && e.Value.(*planEntry).plan.definitions == definitions {
		return e.Value.(*planEntry).plan
	}
	return nil
}

func (c *planCache) keep(key planKey, p *prepared) {
	if key.size() > maxCachedText {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.mu.entries[key]; ok {
		e.Value.(*planEntry).plan = p
		c.mu.order.MoveToFront(e)
		return
	}
	c.mu.entries[key] = c.mu.order.PushFront(&planEntry{key, p})
	c.mu.bytes += key.size()
	for c.mu.order.Len() > c.limit || c.mu.bytes > maxCachedTexts {
		last := c.mu.order.Remove(c.mu.order.Back()).(*planEntry)
		delete(c.mu.entries, last.key)
		c.mu.bytes -= last.key.size()
	}
}

func (c *planCache) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.order.Len()
}
