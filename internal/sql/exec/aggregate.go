package exec

import (
	"math"
	"math/bits"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/plan"
)

// aggregate is one compiled aggregate; its state is kept per group.
type aggregate struct {
	op       plan.AggregateOp
	x        Eval // nil for COUNT(*)
	filter   pred // nil for all rows
	distinct bool
	kind     datum.Kind // of the argument
	to       datum.Type
}

// state is what an aggregate knows of one group.
type state struct {
	n        int64 // values that counted
	hi       int64 // sum of integers, the upper half of 128 bits
	lo       uint64
	f        float64 // sum of floating point numbers
	infinite bool    // one of them was infinite
	v        datum.Value
	seen     map[string]struct{}
}

// stateBytes is about what a state takes.
const stateBytes = 88

func (c *compiler) aggregate(a plan.Aggregate) (aggregate, error) {
	out := aggregate{op: a.Op, to: a.Type, distinct: a.Distinct && a.Op != plan.Min && a.Op != plan.Max}
	var err error
	if a.X != nil {
		out.kind = a.X.Type().Kind
		if out.x, err = c.value(a.X); err != nil {
			return out, err
		}
	}
	if a.Filter != nil {
		out.filter, err = c.pred(a.Filter)
	}
	return out, err
}

// add gives a row to the aggregate.
func (a *aggregate) add(s *state, row []datum.Value, env *Env, b *budget) error {
	if a.filter != nil {
		t, err := a.filter(row, env)
		if err != nil || t != isTrue {
			return err
		}
	}
	if a.x == nil {
		s.n++
		return nil
	}
	v, err := a.x(row, env)
	if err != nil || v.IsNull() {
		return err
	}
	if a.distinct {
		if known, err := s.known(v, b); err != nil || known {
			return err
		}
	}
	s.n++
	switch a.op {
	case plan.Sum, plan.Avg:
		return s.sum(v)
	case plan.Min:
		if s.n == 1 || datum.Compare(v, s.v) < 0 {
			return s.keep(v, b)
		}
	case plan.Max:
		if s.n == 1 || datum.Compare(v, s.v) > 0 {
			return s.keep(v, b)
		}
	}
	return nil
}

// merge adds what another state knows of the same group. Floats are not summed:
// their sum depends on the order.
func (a *aggregate) merge(s, from *state, b *budget) (err error) {
	had := s.n > 0
	s.n += from.n
	switch {
	case from.n == 0 || a.x == nil:
	case a.op == plan.Min:
		if !had || datum.Compare(from.v, s.v) < 0 {
			return s.keep(from.v, b)
		}
	case a.op == plan.Max:
		if !had || datum.Compare(from.v, s.v) > 0 {
			return s.keep(from.v, b)
		}
	case a.kind == datum.Decimal && !had:
		s.v = from.v
	case a.kind == datum.Decimal && a.op != plan.Count:
		s.v, err = datum.Add(s.v, from.v)
	default:
		var carry uint64
		s.lo, carry = bits.Add64(s.lo, from.lo, 0)
		s.hi += from.hi + int64(carry)
	}
	return err
}

// known reports whether v was met before, and remembers it.
func (s *state) known(v datum.Value, b *budget) (bool, error) {
	var room [64]byte
	key := datum.AppendHash(room[:0], v)
	if _, known := s.seen[string(key)]; known {
		return true, nil
	}
	if s.seen == nil {
		s.seen = map[string]struct{}{}
	}
	s.seen[string(key)] = struct{}{}
	return false, b.take(int64(len(key)) + mapEntryBytes)
}

// keep holds the least or greatest value so far.
func (s *state) keep(v datum.Value, b *budget) error {
	grown := len(v.Bytes()) - len(s.v.Bytes())
	s.v = v.Clone()
	return b.take(int64(grown))
}

func (s *state) sum(v datum.Value) (err error) {
	switch k := v.Kind(); {
	case k.IsInteger():
		var carry uint64
		s.lo, carry = bits.Add64(s.lo, uint64(v.Int()), 0)
		s.hi += v.Int()>>63 + int64(carry)
	case k == datum.Decimal:
		if s.n == 1 {
			s.v = v.Clone()
			return nil
		}
		s.v, err = datum.Add(s.v, v)
	default:
		s.infinite = s.infinite || math.IsInf(v.Float(), 0)
		s.f += v.Float()
	}
	return err
}

// result is the value of the aggregate for a group.
func (a *aggregate) result(s *state) (datum.Value, error) {
	switch {
	case a.op == plan.Count || a.op == plan.CountRows:
		return datum.NewInt(datum.BigInt, s.n), nil
	case s.n == 0:
		return datum.Value{}, nil
	case a.op == plan.Sum:
		return a.total(s)
	case a.op == plan.Avg:
		return a.mean(s)
	}
	return s.v, nil
}

func (a *aggregate) total(s *state) (datum.Value, error) {
	switch {
	case a.kind.IsInteger():
		if s.hi != int64(s.lo)>>63 {
			return datum.Value{}, fault.New(fault.OutOfRange, "the sum is out of range for BIGINT; SUM(CAST(… AS DECIMAL)) takes more")
		}
		return datum.NewInt(datum.BigInt, int64(s.lo)), nil
	case a.kind == datum.Decimal:
		return datum.Cast(s.v, a.to)
	}
	return s.double(s.f)
}

func (s *state) double(f float64) (datum.Value, error) {
	if math.IsInf(f, 0) && !s.infinite {
		return datum.Value{}, fault.New(fault.OutOfRange, "the sum is out of range for DOUBLE")
	}
	return datum.NewDouble(f), nil
}

func (a *aggregate) mean(s *state) (datum.Value, error) {
	switch {
	case a.kind.IsInteger():
		return datum.NewDouble(s.wide() / float64(s.n)), nil
	case a.kind == datum.Decimal:
		v, err := datum.Div(s.v, datum.NewInt(datum.BigInt, s.n))
		if err != nil {
			return v, err
		}
		return datum.Cast(v, a.to)
	}
	return s.double(s.f / float64(s.n))
}

// wide is the sum of integers as a float64.
func (s *state) wide() float64 {
	if s.hi == int64(s.lo)>>63 {
		return float64(int64(s.lo))
	}
	hi, lo := uint64(s.hi), s.lo
	sign := 1.0
	if s.hi < 0 {
		sign = -1
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	return sign * (float64(hi)*(1<<64) + float64(lo))
}
