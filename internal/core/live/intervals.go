package live

import (
	"math/rand/v2"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/plan"
)

// intervals is a set of ranges that finds those around a value without looking
// at most of the others: a treap ordered by the low ends, whose nodes know the
// greatest high end below them. Equal ranges share a node.
type intervals struct{ root *interval }

// interval is one distinct range.
type interval struct {
	span        plan.Route
	filters     bucket
	most        *plan.Route // the one with the greatest high end, of here and below
	priority    uint64
	left, right *interval
}

// compareLow orders ranges by where they begin.
func compareLow(a, b *plan.Route) int {
	if a.Low.IsNull() || b.Low.IsNull() {
		return boolOrder(!a.Low.IsNull(), !b.Low.IsNull())
	}
	if c := datum.Compare(a.Low, b.Low); c != 0 {
		return c
	}
	return boolOrder(a.LowOpen, b.LowOpen)
}

// compareHigh orders ranges by where they end.
func compareHigh(a, b *plan.Route) int {
	if a.High.IsNull() || b.High.IsNull() {
		return boolOrder(a.High.IsNull(), b.High.IsNull())
	}
	if c := datum.Compare(a.High, b.High); c != 0 {
		return c
	}
	return boolOrder(!a.HighOpen, !b.HighOpen)
}

func compareSpans(a, b *plan.Route) int {
	if c := compareLow(a, b); c != 0 {
		return c
	}
	return compareHigh(a, b)
}

// boolOrder puts false before true.
func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// find returns the node of a range, nil for none.
func (t *intervals) find(span *plan.Route) *interval {
	n := t.root
	for n != nil {
		switch c := compareSpans(span, &n.span); {
		case c < 0:
			n = n.left
		case c > 0:
			n = n.right
		default:
			return n
		}
	}
	return nil
}

// at returns the node of a range, which it adds if need be.
func (t *intervals) at(span *plan.Route) *interval {
	n := t.find(span)
	if n == nil {
		n = &interval{span: *span, priority: rand.Uint64()}
		n.most = &n.span
		t.root = t.root.insert(n)
	}
	return n
}

// remove takes a range out.
func (t *intervals) remove(span *plan.Route) { t.root = t.root.remove(span) }

// insert adds a node whose range is not there below n, and returns what stands
// in the place of n.
func (n *interval) insert(x *interval) *interval {
	if n == nil {
		return x
	}
	if compareSpans(&x.span, &n.span) < 0 {
		n.left = n.left.insert(x)
		if n.left.priority > n.priority {
			return n.rotateRight()
		}
	} else {
		n.right = n.right.insert(x)
		if n.right.priority > n.priority {
			return n.rotateLeft()
		}
	}
	n.measure()
	return n
}

// remove takes the node of a range out.
func (n *interval) remove(span *plan.Route) *interval {
	if n == nil {
		return nil
	}
	switch c := compareSpans(span, &n.span); {
	case c < 0:
		n.left = n.left.remove(span)
	case c > 0:
		n.right = n.right.remove(span)
	default:
		return join(n.left, n.right)
	}
	n.measure()
	return n
}

// join makes one tree of two, of which the first lies before the second.
func join(a, b *interval) *interval {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority > b.priority:
		a.right = join(a.right, b)
		a.measure()
		return a
	}
	b.left = join(a, b.left)
	b.measure()
	return b
}

func (n *interval) rotateRight() *interval {
	top := n.left
	n.left, top.right = top.right, n
	n.measure()
	top.measure()
	return top
}

func (n *interval) rotateLeft() *interval {
	top := n.right
	n.right, top.left = top.left, n
	n.measure()
	top.measure()
	return top
}

// measure finds the greatest high end anew.
func (n *interval) measure() {
	n.most = &n.span
	for _, below := range [...]*interval{n.left, n.right} {
		if below != nil && compareHigh(below.most, n.most) > 0 {
			n.most = below.most
		}
	}
}

// stab appends the filters of the ranges around a value.
func (n *interval) stab(dst []*filter, v datum.Value, generation uint64) []*filter {
	for n != nil && n.most.Below(v) {
		dst = n.left.stab(dst, v, generation)
		if !n.span.Above(v) {
			return dst // so do all to the right
		}
		if n.span.Below(v) {
			dst = n.filters.fresh(dst, generation)
		}
		n = n.right
	}
	return dst
}
