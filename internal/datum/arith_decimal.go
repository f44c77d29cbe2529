package datum

import (
	"math"
	"math/big"

	"kalamdb/internal/fault"
)

// Division gives at least so many significant digits, as PostgreSQL does.
const divisionDigits = 16

func decimals(o op, a, b Value) (Value, error) {
	x, y := a.dec(), b.dec()
	var d dec
	var ok bool
	switch o {
	case '+':
		d, ok = x.add(y)
	case '-':
		y.neg = !y.neg && !y.mag.isZero()
		d, ok = x.add(y)
	case '*':
		d, ok = x.mul(y)
	case '/', '%':
		if y.mag.isZero() {
			return Value{}, divisionByZero()
		}
		if o == '/' {
			d, ok = x.div(y)
		} else {
			d, ok = x.mod(y)
		}
	}
	if !ok {
		return Value{}, overflow(o, a, b, Decimal)
	}
	return d.value(), nil
}

// add returns d+o with the greater scale, or fewer fraction digits when 38
// digits do not suffice.
func (d dec) add(o dec) (sum dec, ok bool) {
	scale := max(d.scale, o.scale)
	x, ok1 := d.rescale(scale, true)
	y, ok2 := o.rescale(scale, true)
	if !ok1 || !ok2 {
		return bigDec(func(x, y *big.Int) *big.Int { return x.Add(x, y) }, d, o, scale)
	}
	sum.scale = scale
	switch {
	case x.neg == y.neg:
		sum.mag, _ = x.mag.add(y.mag) // two numbers below 10^38 fit
		sum.neg = x.neg
	case x.mag.cmp(y.mag) >= 0:
		sum.mag, sum.neg = x.mag.sub(y.mag), x.neg
	default:
		sum.mag, sum.neg = y.mag.sub(x.mag), y.neg
	}
	sum.neg = sum.neg && !sum.mag.isZero()
	if sum.fits(MaxPrecision) || scale == 0 {
		return sum, sum.fits(MaxPrecision)
	}
	return sum.rescale(scale-1, true)
}

// mul returns d*o with the scales added, or fewer fraction digits when 38
// digits do not suffice.
func (d dec) mul(o dec) (product dec, ok bool) {
	if scale := int(d.scale) + int(o.scale); scale <= maxScale {
		mag, ok := d.mag.mul(o.mag)
		product = dec{mag, d.neg != o.neg && !mag.isZero(), uint8(scale)}
		if ok && product.fits(MaxPrecision) {
			return product, true
		}
	}
	x := new(big.Int).Mul(d.big(), o.big())
	return roundBig(x, int(d.scale)+int(o.scale), maxScale)
}

// div returns d/o with PostgreSQL's choice of scale, as far as 38 digits allow.
func (d dec) div(o dec) (q dec, ok bool) {
	scale := divisionScale(d, o)
	// q = d.mag * 10^up / o.mag has the scale wanted.
	up := scale + int(o.scale) - int(d.scale)
	if up >= 0 && up <= maxScale {
		if n, ok := d.mag.mul(pow10[up]); ok {
			mag, rest := n.divMod(o.mag)
			if rest.cmp(o.mag.sub(rest)) >= 0 {
				mag, _ = mag.add(u128{0, 1})
			}
			q = dec{mag, d.neg != o.neg && !mag.isZero(), uint8(scale)}
			if q.fits(MaxPrecision) {
				return q, true
			}
		}
	}
	// One digit more than wanted, cut, is all that rounding half away needs.
	n, m := d.big(), o.big()
	if up++; up >= 0 {
		n.Mul(n, bigPow10(up))
	} else {
		m.Mul(m, bigPow10(-up))
	}
	return roundBig(n.Quo(n, m), scale+1, scale)
}

// divisionScale chooses the scale of a quotient as PostgreSQL does: enough for
// 16 significant digits by the leading base-10000 digits, and no fewer than
// either side has.
func divisionScale(d, o dec) int {
	w1, f1 := leading10000(d)
	w2, f2 := leading10000(o)
	weight := w1 - w2
	if f1 <= f2 {
		weight--
	}
	scale := divisionDigits - weight*4
	return min(max(scale, int(d.scale), int(o.scale), 0), maxScale)
}

// leading10000 returns the weight and the value of the first digit of d in
// base 10000, both 0 for zero.
func leading10000(d dec) (weight int, first uint64) {
	if d.mag.isZero() {
		return 0, 0
	}
	// The first decimal digit stands for 10^top.
	digits := d.mag.digits()
	top := digits - 1 - int(d.scale)
	w, _ := floorDiv(int64(top), 4)
	weight = int(w)
	// All digits down to 10^(4*weight) belong to it.
	drop := weight*4 + int(d.scale)
	if drop <= 0 {
		m, _ := d.mag.mul(pow10[-drop])
		return weight, m.lo
	}
	q, _ := d.mag.divMod(pow10[drop])
	return weight, q.lo
}

// mod returns the rest of d/o, with the sign of d and the greater scale.
func (d dec) mod(o dec) (rest dec, ok bool) {
	scale := max(d.scale, o.scale)
	x, ok1 := d.rescale(scale, true)
	y, ok2 := o.rescale(scale, true)
	if !ok1 || !ok2 {
		return bigDec(func(x, y *big.Int) *big.Int { return x.Rem(x, y) }, d, o, scale)
	}
	_, r := x.mag.divMod(y.mag)
	return dec{r, d.neg && !r.isZero(), scale}, true
}

// big returns the signed coefficient.
func (d dec) big() *big.Int {
	n := new(big.Int).SetUint64(d.mag.hi)
	n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(d.mag.lo))
	if d.neg {
		n.Neg(n)
	}
	return n
}

func bigPow10(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// bigDec calculates with coefficients of one scale that leave 128 bits.
func bigDec(f func(x, y *big.Int) *big.Int, d, o dec, scale uint8) (dec, bool) {
	x, y := d.big(), o.big()
	x.Mul(x, bigPow10(int(scale-d.scale)))
	y.Mul(y, bigPow10(int(scale-o.scale)))
	return roundBig(f(x, y), int(scale), maxScale)
}

// dropDigits returns n/10^count, rounded half away from zero.
func dropDigits(n *big.Int, count int) *big.Int {
	p := bigPow10(count)
	q, r := new(big.Int).QuoRem(n, p, new(big.Int))
	if r.Abs(r).Lsh(r, 1).Cmp(p) >= 0 {
		q.Add(q, big.NewInt(int64(n.Sign())))
	}
	return q
}

// roundBig returns coefficient/10^scale with at most want fraction digits, and
// fewer when 38 digits do not hold them; ok is false when the whole part alone
// is longer.
func roundBig(coefficient *big.Int, scale, want int) (d dec, ok bool) {
	limit := bigPow10(MaxPrecision)
	digits := len(new(big.Int).Abs(coefficient).String())
	for drop := max(digits-MaxPrecision, scale-want, 0); drop <= scale; drop++ {
		n := dropDigits(coefficient, drop)
		if n.CmpAbs(limit) >= 0 {
			continue // rounding added a digit
		}
		neg := n.Sign() < 0
		n.Abs(n)
		low := new(big.Int).And(n, new(big.Int).SetUint64(math.MaxUint64)).Uint64()
		return dec{u128{n.Rsh(n, 64).Uint64(), low}, neg, uint8(scale - drop)}, true
	}
	return dec{}, false
}

// Abs returns the magnitude of a number.
func Abs(v Value) (Value, error) {
	switch {
	case v.kind.isFloat():
		v.n &= math.MaxInt64
		return v, nil
	case v.kind.IsInteger() && v.n >= 0:
		return v, nil
	case v.kind == Decimal && !v.dec().neg:
		return v, nil
	case !v.kind.IsNumeric():
		return Value{}, noNumber(v)
	}
	return Neg(v)
}

func noNumber(v Value) error {
	return fault.New(fault.TypeMismatch, "a number is needed, not %s", v.kind)
}

// Round rounds a number to places fraction digits, or to 10^-places when
// places is negative. Decimals and integers round half away from zero and keep
// their kind; a decimal gets the scale places. A float rounds half to even when
// places is 0, else as the decimal it prints.
func Round(v Value, places int) (Value, error) { return shortenNumber(v, places, true) }

// Truncate cuts a number to places fraction digits; see Round.
func Truncate(v Value, places int) (Value, error) { return shortenNumber(v, places, false) }

func shortenNumber(v Value, places int, round bool) (Value, error) {
	switch {
	case v.kind == Decimal:
		d, ok := v.dec().shorten(places, round)
		if !ok {
			return Value{}, outOfRange(Type{Kind: Decimal}, v.String())
		}
		return d.value(), nil
	case v.kind.isFloat():
		return shortenFloat(v, places, round)
	case !v.kind.IsNumeric():
		return Value{}, noNumber(v)
	case places >= 0:
		return v, nil
	}
	d, ok := intDec(v.n, 0).shorten(places, round)
	n, ok2 := d.int(false)
	if !ok || !ok2 || !v.kind.holds(n) {
		return Value{}, outOfRange(Type{Kind: v.kind}, v.String())
	}
	return NewInt(v.kind, n), nil
}

func shortenFloat(v Value, places int, round bool) (Value, error) {
	f := v.Float()
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return v, nil
	case places == 0 && round:
		return v.withFloat(math.RoundToEven(f)), nil
	case places == 0:
		return v.withFloat(math.Trunc(f)), nil
	case places > 0 && math.Abs(f) >= 1<<53:
		return v, nil
	}
	p, err := ParseDecimal(v.String())
	if err != nil {
		return v, nil // beyond 38 digits there is nothing to shorten
	}
	d, _ := p.dec().shorten(places, round)
	return v.withFloat(d.float()), nil
}

// withFloat returns f in the kind of v.
func (v Value) withFloat(f float64) Value {
	if v.kind == Float {
		f = float64(float32(f))
	}
	return Value{kind: v.kind, n: int64(math.Float64bits(f))}
}

// shorten gives d the scale places; a negative one zeroes whole digits.
func (d dec) shorten(places int, round bool) (out dec, ok bool) {
	if places >= 0 {
		if places > int(d.scale) {
			// Zeros are added as far as there is room for them.
			for s := min(places, maxScale); s > int(d.scale); s-- {
				if out, ok = d.rescale(uint8(s), round); ok {
					return out, true
				}
			}
			return d, true
		}
		return d.rescale(uint8(places), round)
	}
	d, ok = d.rescale(0, false)
	if places < -MaxPrecision {
		return dec{}, ok
	}
	p := pow10[-places]
	q, r := d.mag.divMod(p)
	if round && r.cmp(p.sub(r)) >= 0 {
		q, _ = q.add(u128{0, 1})
	}
	if d.mag, ok = q.mul(p); !ok {
		return d, false
	}
	d.neg = d.neg && !d.mag.isZero()
	return d, d.fits(MaxPrecision)
}

// int returns d as a whole number, rounded half away from zero or cut.
func (d dec) int(round bool) (n int64, ok bool) {
	d, ok = d.rescale(0, round)
	if !ok || d.mag.hi != 0 || d.mag.lo > 1<<63 || d.mag.lo == 1<<63 && !d.neg {
		return 0, false
	}
	n = int64(d.mag.lo)
	if d.neg {
		n = -n
	}
	return n, true
}

// Floor returns the greatest whole number that is not above v, in v's kind.
func Floor(v Value) (Value, error) { return whole(v, true) }

// Ceil returns the least whole number that is not below v, in v's kind.
func Ceil(v Value) (Value, error) { return whole(v, false) }

func whole(v Value, down bool) (Value, error) {
	switch {
	case v.kind.IsInteger():
		return v, nil
	case v.kind.isFloat() && down:
		return v.withFloat(math.Floor(v.Float())), nil
	case v.kind.isFloat():
		return v.withFloat(math.Ceil(v.Float())), nil
	case v.kind != Decimal:
		return Value{}, noNumber(v)
	}
	d := v.dec()
	q, r := d.mag.divMod(pow10[d.scale])
	if !r.isZero() && d.neg == down {
		q, _ = q.add(u128{0, 1})
	}
	return dec{q, d.neg && !q.isZero(), 0}.value(), nil
}
