package live

import (
	"hash/maphash"
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/plan"
)

// longHash is from where on the hash of a value is hashed once more before it is
// kept as the key of an index. Two values may meet there; the filters tell.
const longHash = 32

// router finds the filters that a row could concern: each filter stands in the
// buckets of one option of its routes, or among those that every row is shown
// to. The cost of a lookup grows with the columns that filters speak of and with
// the filters found, not with those that are not.
type router struct {
	table   *schema.Table
	seed    maphash.Seed
	always  bucket
	columns []*columnRouter
}

// columnRouter finds filters by the value of one column.
type columnRouter struct {
	id     schema.ColumnID
	places int // filters count once for each of their routes
	equal  map[string]*bucket
	null   bucket
	ranges intervals
	// prefixes by their text, and how many there are of each length.
	prefixes map[string]*bucket
	lengths  []prefixLength
}

// prefixLength counts the distinct prefixes of a length in bytes.
type prefixLength struct{ bytes, count int }

// bucket is a set of filters that lie together.
type bucket []*place

// place is a filter in a bucket.
type place struct {
	filter *filter
	column *columnRouter // nil in always
	kind   plan.RouteKind
	key    string      // the hash of an equality, or the prefix
	span   *plan.Route // of a range
	slot   int         // in the bucket
}

func (b *bucket) add(p *place) {
	p.slot = len(*b)
	*b = append(*b, p)
}

func (b *bucket) remove(p *place) {
	all := *b
	last := len(all) - 1
	all[p.slot] = all[last]
	all[p.slot].slot = p.slot
	all[last] = nil
	*b = all[:last]
	if last > 16 && last < cap(all)/4 {
		*b = slices.Clone(all[:last]) // memory follows the crowd
	}
}

// fresh appends the filters that this generation has not met yet.
func (b bucket) fresh(dst []*filter, generation uint64) []*filter {
	for _, p := range b {
		if p.filter.shown != generation {
			p.filter.shown = generation
			dst = append(dst, p.filter)
		}
	}
	return dst
}

func newRouter(t *schema.Table) *router { return &router{table: t, seed: maphash.MakeSeed()} }

// add files a filter under the option that promises the fewest rows and the
// least company.
func (r *router) add(fl *filter) {
	options := fl.match.options
	if len(options) == 0 {
		fl.places = []*place{{filter: fl}}
		r.always.add(fl.places[0])
		return
	}
	best, least := 0, 0
	for i := range options {
		if cost := r.cost(options[i]); i == 0 || cost < least {
			best, least = i, cost
		}
	}
	for i := range options[best] {
		r.place(fl, &options[best][i])
	}
}

// cost estimates what it takes to have a filter filed under an option: how many
// rows are likely to pass, and how many filters each of them then meets.
func (r *router) cost(option []plan.Route) int {
	sum := 0
	for i := range option {
		weight := plan.RouteWeight(option[i : i+1])
		switch column := &r.table.Columns[option[i].Column]; {
		case column.System != schema.NotSystem:
			weight *= 4
		case option[i].Kind == plan.RouteEqual && r.table.IsKey(option[i].Column):
			weight = 1
		}
		sum += weight * (1 + r.company(&option[i]))
	}
	return sum
}

// company returns how many filters stand where a route leads.
func (r *router) company(route *plan.Route) int {
	c := r.column(route.Column, false)
	if c == nil {
		return 0
	}
	var b *bucket
	switch route.Kind {
	case plan.RouteEqual:
		b = c.equal[string(r.hash(nil, route.Low))]
	case plan.RouteNull:
		b = &c.null
	case plan.RoutePrefix:
		b = c.prefixes[route.Prefix]
	case plan.RouteRange:
		if n := c.ranges.find(route); n != nil {
			b = &n.filters
		}
	}
	if b == nil {
		return 0
	}
	return len(*b)
}

// column returns the router of the column at a position, a new one if asked.
func (r *router) column(position int, add bool) *columnRouter {
	id := r.table.Columns[position].ID
	for _, c := range r.columns {
		if c.id == id {
			return c
		}
	}
	if !add {
		return nil
	}
	c := &columnRouter{id: id, equal: make(map[string]*bucket), prefixes: make(map[string]*bucket)}
	r.columns = append(r.columns, c)
	return c
}

// hash appends the key of a value.
func (r *router) hash(dst []byte, v datum.Value) []byte {
	dst = datum.AppendHash(dst, v)
	if len(dst) <= longHash {
		return dst
	}
	sum := maphash.Bytes(r.seed, dst)
	dst = append(dst[:0], "long"...)
	for range 8 {
		dst = append(dst, byte(sum))
		sum >>= 8
	}
	return dst
}

// place puts a filter where a route leads.
func (r *router) place(fl *filter, route *plan.Route) {
	c := r.column(route.Column, true)
	p := &place{filter: fl, column: c, kind: route.Kind}
	var b *bucket
	switch route.Kind {
	case plan.RouteEqual:
		p.key = string(r.hash(nil, route.Low))
		b = bucketOf(c.equal, p.key)
	case plan.RouteNull:
		b = &c.null
	case plan.RoutePrefix:
		p.key = route.Prefix
		if c.prefixes[p.key] == nil {
			c.measure(len(p.key), 1)
		}
		b = bucketOf(c.prefixes, p.key)
	case plan.RouteRange:
		n := c.ranges.at(route)
		p.span, b = &n.span, &n.filters
	}
	b.add(p)
	c.places++
	fl.places = append(fl.places, p)
}

func bucketOf(m map[string]*bucket, key string) *bucket {
	b := m[key]
	if b == nil {
		b = new(bucket)
		m[key] = b
	}
	return b
}

// measure counts a prefix of a length in or out.
func (c *columnRouter) measure(bytes, n int) {
	at := slices.IndexFunc(c.lengths, func(l prefixLength) bool { return l.bytes == bytes })
	if at < 0 {
		c.lengths = append(c.lengths, prefixLength{bytes: bytes})
		at = len(c.lengths) - 1
	}
	if c.lengths[at].count += n; c.lengths[at].count == 0 {
		c.lengths = slices.Delete(c.lengths, at, at+1)
	}
}

// remove undoes add.
func (r *router) remove(fl *filter) {
	for _, p := range fl.places {
		if p.column == nil {
			r.always.remove(p)
			continue
		}
		p.column.remove(p)
		if p.column.places == 0 {
			r.columns = slices.DeleteFunc(r.columns, func(c *columnRouter) bool { return c == p.column })
		}
	}
	fl.places = nil
}

// remove takes a filter out of one of its places.
func (c *columnRouter) remove(p *place) {
	c.places--
	switch p.kind {
	case plan.RouteEqual:
		b := c.equal[p.key]
		if b.remove(p); len(*b) == 0 {
			delete(c.equal, p.key)
		}
	case plan.RouteNull:
		c.null.remove(p)
	case plan.RoutePrefix:
		b := c.prefixes[p.key]
		if b.remove(p); len(*b) == 0 {
			delete(c.prefixes, p.key)
			c.measure(len(p.key), -1)
		}
	case plan.RouteRange:
		n := c.ranges.find(p.span)
		if n.filters.remove(p); len(n.filters) == 0 {
			c.ranges.remove(p.span)
		}
	}
}

// find appends the filters that may select a row and that this generation has
// not met yet, those in always left out; hash is memory for the lookups.
func (r *router) find(dst []*filter, row []datum.Value, generation uint64, hash []byte) ([]*filter, []byte) {
	for _, c := range r.columns {
		at := r.table.ColumnByID(c.id)
		if at < 0 {
			continue
		}
		v := row[at]
		if v.IsNull() {
			dst = c.null.fresh(dst, generation)
			continue
		}
		if len(c.equal) > 0 {
			hash = r.hash(hash[:0], v)
			if b := c.equal[string(hash)]; b != nil {
				dst = b.fresh(dst, generation)
			}
		}
		for _, l := range c.lengths {
			text := v.Text()
			if len(text) < l.bytes {
				continue
			}
			if b := c.prefixes[text[:l.bytes]]; b != nil {
				dst = b.fresh(dst, generation)
			}
		}
		dst = c.ranges.root.stab(dst, v, generation)
	}
	return dst, hash
}
