package live

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"kalamdb/internal/command"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/plan"
)

// feed is what a shard knows of one partition of one table: all subscriptions
// there, and an index of the live ones. It belongs to shard.mu.
type feed struct {
	key   feedKey
	table *schema.Table
	subs  map[*subscription]struct{} // live or not
	// done is the seq up to which live subscriptions have had all changes, where
	// that is beyond the shard's position.
	done uint64
	live int // how many subscriptions are live

	filters     map[string]*filter // by matcher key
	projections map[string]*projection
	router      *router
}

// filter is one distinct filter of live subscriptions.
type filter struct {
	match  *matcher
	env    *plan.Env // keeps compiled patterns from change to change; nil before the first
	groups []*group
	places []*place // where it stands in the router
	shown  uint64   // generation of the last change it was shown
}

// group is the live subscriptions with one filter and one projection.
type group struct {
	filter     *filter
	projection *projection
	subs       []*subscription
}

// projection is one distinct projection and the bodies made for the change at
// hand.
type projection struct {
	shape      *shape
	groups     int
	generation uint64
	bodies     []body
}

// body is what all change frames of one projection share.
type body struct {
	verdict verdict
	encoder Encoder
	bytes   []byte
}

func newFeed(key feedKey, t *schema.Table) *feed {
	return &feed{
		key: key, table: t,
		subs:        make(map[*subscription]struct{}),
		filters:     make(map[string]*filter),
		projections: make(map[string]*projection),
		router:      newRouter(t),
	}
}

// all returns the subscriptions in an order that chance has no part in.
func (f *feed) all() []*subscription {
	return slices.SortedFunc(maps.Keys(f.subs), func(a, b *subscription) int {
		return cmp.Or(strings.Compare(a.conn.o.ID, b.conn.o.ID), strings.Compare(a.id, b.id))
	})
}

// insert makes a subscription live.
func (f *feed) insert(sub *subscription) {
	q := sub.query
	fl := f.filters[q.match.key]
	if fl == nil {
		fl = &filter{match: q.match}
		f.filters[q.match.key] = fl
		f.router.add(fl)
	}
	p := f.projections[q.shape.key]
	if p == nil {
		p = &projection{shape: q.shape}
		f.projections[q.shape.key] = p
	}
	at := slices.IndexFunc(fl.groups, func(g *group) bool { return g.projection == p })
	if at < 0 {
		at = len(fl.groups)
		fl.groups = append(fl.groups, &group{filter: fl, projection: p})
		p.groups++
	}
	if q.match != fl.match || q.shape != p.shape {
		// They decide and project alike, and one of each is enough.
		alike := *q
		alike.match, alike.shape = fl.match, p.shape
		sub.query = &alike
	}
	g := fl.groups[at]
	sub.group, sub.slot = g, len(g.subs)
	g.subs = append(g.subs, sub)
	f.live++
}

// remove takes a live subscription out of the index.
func (f *feed) remove(sub *subscription) {
	g := sub.group
	last := len(g.subs) - 1
	g.subs[sub.slot] = g.subs[last]
	g.subs[sub.slot].slot = sub.slot
	g.subs[last] = nil
	g.subs = g.subs[:last]
	sub.group = nil
	f.live--
	if last > 0 {
		return
	}
	g.filter.groups = slices.DeleteFunc(g.filter.groups, func(x *group) bool { return x == g })
	if g.projection.groups--; g.projection.groups == 0 {
		delete(f.projections, g.projection.shape.key)
	}
	if len(g.filter.groups) == 0 {
		delete(f.filters, g.filter.match.key)
		f.router.remove(g.filter)
	}
}

// define takes a new definition of the table. No subscription is live meanwhile.
func (f *feed) define(t *schema.Table) { f.table, f.router = t, newRouter(t) }

// candidates appends every filter that the event could concern, once.
// generation numbers the event; hash is memory for the lookups.
func (f *feed) candidates(dst []*filter, e *event, generation uint64, hash []byte) ([]*filter, []byte) {
	if e.change.Op == command.Update && !e.hasWas {
		// Nobody knows what the row was, so anybody may lose it.
		for _, fl := range f.filters {
			dst = append(dst, fl)
		}
		return dst, hash
	}
	dst = f.router.always.fresh(dst, generation)
	dst, hash = f.router.find(dst, e.row, generation, hash)
	if e.hasWas {
		dst, hash = f.router.find(dst, e.was, generation, hash)
	}
	return dst, hash
}

// body returns the shared part of the frames for a verdict, made at most once
// per change and encoder.
func (p *projection) body(s *shard, v verdict, enc Encoder) ([]byte, error) {
	if p.generation != s.generation {
		p.generation, p.bodies = s.generation, p.bodies[:0]
	}
	for i := range p.bodies {
		if p.bodies[i].verdict == v && p.bodies[i].encoder == enc {
			return p.bodies[i].bytes, nil
		}
	}
	c, err := s.reader.pair.change(&s.reader.event, p.shape, v, &s.reader.env)
	if err != nil {
		return nil, err
	}
	bytes, err := enc.AppendBody(nil, c)
	if err != nil {
		return nil, err
	}
	s.hub.counters.encodings.Add(1)
	p.bodies = append(p.bodies, body{v, enc, bytes})
	return bytes, nil
}
