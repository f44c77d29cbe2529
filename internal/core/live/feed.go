package live

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"kalamdb/internal/command"
	"kalamdb/internal/datum"
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
	// always holds the filters that every change must be shown to; keyed the
	// others by a value that a column must have.
	always []*filter
	keyed  []columnIndex
}

// columnIndex finds filters by the hash of the value that a column must have.
type columnIndex struct {
	column schema.ColumnID
	values map[string][]*filter
}

// filter is one distinct filter of live subscriptions.
type filter struct {
	match  *matcher
	env    *plan.Env // keeps compiled patterns from change to change; nil before the first
	groups []*group
	routes []route // where the filter stands in keyed; none in always
	shown  uint64  // generation of the last change it was shown
}

// route is a place in feed.keyed.
type route struct {
	column schema.ColumnID
	hash   string
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
		f.index(fl)
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
		f.unindex(g.filter)
	}
}

// index files a filter under one equality of each of its alternatives, so that
// only changes of rows with such a value are shown to it.
func (f *feed) index(fl *filter) {
	if len(fl.match.equal) == 0 || slices.ContainsFunc(fl.match.equal, func(a []plan.EqCond) bool { return len(a) == 0 }) {
		f.always = append(f.always, fl)
		return
	}
	for _, alternative := range fl.match.equal {
		c := f.sharpest(alternative)
		r := route{f.table.Columns[c.Column].ID, string(datum.AppendHash(nil, c.Value))}
		if slices.Contains(fl.routes, r) {
			continue
		}
		fl.routes = append(fl.routes, r)
		values := f.valuesOf(r.column)
		values[r.hash] = append(values[r.hash], fl)
	}
}

// valuesOf returns the index of a column, a new one if need be.
func (f *feed) valuesOf(id schema.ColumnID) map[string][]*filter {
	for _, c := range f.keyed {
		if c.column == id {
			return c.values
		}
	}
	c := columnIndex{id, make(map[string][]*filter)}
	f.keyed = append(f.keyed, c)
	return c.values
}

// sharpest returns the equality that is likely to be met by the fewest rows:
// one of the key first, then one of a column with many values.
func (f *feed) sharpest(conditions []plan.EqCond) plan.EqCond {
	rank := func(c plan.EqCond) int {
		switch column := &f.table.Columns[c.Column]; {
		case column.System != schema.NotSystem:
			return 3
		case column.Type.Kind == datum.Bool:
			return 2
		case f.table.IsKey(c.Column):
			return 0
		}
		return 1
	}
	return slices.MinFunc(conditions, func(a, b plan.EqCond) int { return rank(a) - rank(b) })
}

// unindex undoes index.
func (f *feed) unindex(fl *filter) {
	is := func(x *filter) bool { return x == fl }
	if len(fl.routes) == 0 {
		f.always = slices.DeleteFunc(f.always, is)
		return
	}
	for _, r := range fl.routes {
		values := f.valuesOf(r.column)
		values[r.hash] = slices.DeleteFunc(values[r.hash], is)
		if len(values[r.hash]) == 0 {
			delete(values, r.hash)
		}
		if len(values) == 0 {
			f.keyed = slices.DeleteFunc(f.keyed, func(c columnIndex) bool { return c.column == r.column })
		}
	}
}

// candidates appends every filter that the event could concern, once.
// generation numbers the event; hash is memory for the lookups.
func (f *feed) candidates(dst []*filter, e *event, generation uint64, hash []byte) ([]*filter, []byte) {
	dst = append(dst, f.always...)
	if e.change.Op == command.Update && !e.hasWas {
		// Nobody knows what the row was, so anybody may lose it.
		for _, fl := range f.filters {
			if len(fl.routes) > 0 {
				dst = append(dst, fl)
			}
		}
		return dst, hash
	}
	for _, c := range f.keyed {
		at := f.table.ColumnByID(c.column)
		if at < 0 {
			continue
		}
		hash = datum.AppendHash(hash[:0], e.row[at])
		dst = fresh(dst, c.values[string(hash)], generation)
		if e.hasWas {
			hash = datum.AppendHash(hash[:0], e.was[at])
			dst = fresh(dst, c.values[string(hash)], generation)
		}
	}
	return dst, hash
}

// fresh appends the filters that this generation has not met yet.
func fresh(dst, filters []*filter, generation uint64) []*filter {
	for _, fl := range filters {
		if fl.shown != generation {
			fl.shown = generation
			dst = append(dst, fl)
		}
	}
	return dst
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
