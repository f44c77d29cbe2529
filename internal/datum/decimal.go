package datum

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"

	"kalamdb/internal/fault"
)

// dec is a decimal taken apart: (-1)^neg * mag / 10^scale. Zero is never
// negative, and outside of calculations mag is below 10^38.
type dec struct {
	mag   u128
	neg   bool
	scale uint8
}

// maxScale is the greatest number of fraction digits.
const maxScale = MaxPrecision

// dec takes a DECIMAL or an integer apart.
func (v Value) dec() dec {
	if v.kind == Decimal && v.s != "" {
		return wideDec(uint64(be64(v.s)), uint64(be64(v.s[8:])), v.scale)
	}
	return intDec(v.n, v.scale)
}

func be64(s string) uint64 {
	_ = s[7]
	return uint64(s[0])<<56 | uint64(s[1])<<48 | uint64(s[2])<<40 | uint64(s[3])<<32 |
		uint64(s[4])<<24 | uint64(s[5])<<16 | uint64(s[6])<<8 | uint64(s[7])
}

func intDec(n int64, scale uint8) dec {
	if n < 0 {
		return dec{u128{0, -uint64(n)}, true, scale}
	}
	return dec{u128{0, uint64(n)}, false, scale}
}

// wideDec reads a two's complement coefficient.
func wideDec(hi, lo uint64, scale uint8) dec {
	m := u128{hi, lo}
	if hi>>63 == 1 {
		return dec{m.negate(), true, scale}
	}
	return dec{m, false, scale}
}

// value puts a decimal together. Coefficients of 64 bits need no memory.
func (d dec) value() Value {
	if d.mag.hi == 0 && (d.mag.lo <= math.MaxInt64 || d.neg && d.mag.lo == 1<<63) {
		n := int64(d.mag.lo)
		if d.neg {
			n = -n
		}
		return Value{kind: Decimal, scale: d.scale, n: n}
	}
	m := d.mag
	if d.neg {
		m = m.negate()
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], m.hi)
	binary.BigEndian.PutUint64(b[8:], m.lo)
	return Value{kind: Decimal, scale: d.scale, s: string(b[:])}
}

// fits reports whether d has at most precision digits.
func (d dec) fits(precision uint8) bool {
	return int(precision) < len(pow10) && d.mag.cmp(pow10[precision]) < 0
}

// rescale returns d with another scale. Digits that fall off are rounded half
// away from zero, or cut. ok is false when the result exceeds 38 digits.
func (d dec) rescale(scale uint8, round bool) (out dec, ok bool) {
	switch {
	case scale > d.scale:
		d.mag, ok = d.mag.mul(pow10[scale-d.scale])
		d.scale = scale
		return d, ok && d.fits(MaxPrecision)
	case scale == d.scale:
		return d, d.fits(MaxPrecision)
	}
	p := pow10[d.scale-scale]
	q, r := d.mag.divMod(p)
	if round && r.cmp(p.sub(r)) >= 0 {
		q, _ = q.add(u128{0, 1})
	}
	d = dec{q, d.neg && !q.isZero(), scale}
	return d, d.fits(MaxPrecision)
}

// normal returns d without trailing zeros in its fraction.
func (d dec) normal() dec {
	for d.scale > 0 {
		q, r := d.mag.divMod64(10)
		if r != 0 {
			break
		}
		d.mag = q
		d.scale--
	}
	return d
}

// cmp compares two decimals of any scales.
func (d dec) cmp(o dec) int {
	if d.neg != o.neg {
		if d.neg {
			return -1
		}
		return 1
	}
	c := d.cmpMag(o)
	if d.neg {
		return -c
	}
	return c
}

func (d dec) cmpMag(o dec) int {
	switch {
	case d.scale < o.scale:
		m, ok := d.mag.mul(pow10[o.scale-d.scale])
		if !ok { // it left 128 bits, so it is above any 38 digits
			return 1
		}
		return m.cmp(o.mag)
	case d.scale > o.scale:
		m, ok := o.mag.mul(pow10[d.scale-o.scale])
		if !ok {
			return -1
		}
		return d.mag.cmp(m)
	}
	return d.mag.cmp(o.mag)
}

// append appends d with exactly its scale of fraction digits.
func (d dec) append(dst []byte) []byte {
	if d.neg {
		dst = append(dst, '-')
	}
	var buf [40]byte
	at := len(buf)
	put := func(n uint64, width int) {
		for range width {
			at--
			buf[at] = byte('0' + n%10)
			n /= 10
		}
	}
	rest := d.mag
	for rest.hi != 0 || rest.lo >= 1e19 {
		var low uint64
		rest, low = rest.divMod64(1e19)
		put(low, 19)
	}
	for n := rest.lo; n > 0; n /= 10 {
		put(n%10, 1)
	}
	for len(buf)-at <= int(d.scale) {
		put(0, 1)
	}
	point := len(buf) - int(d.scale)
	dst = append(dst, buf[at:point]...)
	if d.scale > 0 {
		dst = append(dst, '.')
		dst = append(dst, buf[point:]...)
	}
	return dst
}

// float returns the float64 nearest to d.
func (d dec) float() float64 {
	if d.mag.hi == 0 && d.mag.lo < 1<<53 && d.scale <= 22 {
		// Both numbers are exact floats, so the one division rounds once.
		f := float64(d.mag.lo) / pow10Float[d.scale]
		if d.neg {
			f = -f
		}
		return f
	}
	var buf [48]byte
	f, _ := strconv.ParseFloat(string(d.append(buf[:0])), 64)
	return f
}

var pow10Float = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// floatDec returns the decimal that is exactly f; ok is false when there is
// none of 38 digits.
func floatDec(f float64) (d dec, ok bool) {
	if f == 0 {
		return dec{}, true
	}
	raw := math.Float64bits(f)
	exp := int(raw >> 52 & 0x7ff)
	m := raw & (1<<52 - 1)
	if exp == 0x7ff {
		return dec{}, false
	}
	if exp == 0 {
		exp = 1
	} else {
		m |= 1 << 52
	}
	zeros := bits.TrailingZeros64(m)
	m >>= zeros
	exp += zeros - 1075
	d.neg = f < 0
	switch {
	case exp >= 0:
		if exp+bits.Len64(m) > 127 {
			return dec{}, false
		}
		d.mag = u128{0, m}.shl(uint(exp))
	case exp < -maxScale:
		return dec{}, false
	default:
		if d.mag, ok = pow5[-exp].mul64(m); !ok {
			return dec{}, false
		}
		d.scale = uint8(-exp)
	}
	return d, d.fits(MaxPrecision)
}

// NewDecimal parses text as DECIMAL(precision,scale); more fraction digits are
// rounded half away from zero.
func NewDecimal(text string, precision, scale uint8) (Value, error) {
	to := DecimalType(precision, scale)
	n, ok := scanNumber(text)
	if !ok {
		return Value{}, invalid(to, text)
	}
	d, ok := n.dec(int(scale))
	if !ok || !d.fits(precision) {
		return Value{}, outOfRange(to, text)
	}
	return d.value(), nil
}

// ParseDecimal parses text as a DECIMAL of the scale it is written with. Digits
// beyond the 38th are rounded half away from zero.
func ParseDecimal(text string) (Value, error) {
	n, ok := scanNumber(text)
	if !ok {
		return Value{}, invalid(Type{Kind: Decimal}, text)
	}
	d, ok := n.natural()
	if !ok {
		return Value{}, outOfRange(Type{Kind: Decimal}, text)
	}
	return d.value(), nil
}

// NewDecimal128 returns a DECIMAL from a 128-bit two's complement coefficient.
func NewDecimal128(hi int64, lo uint64, scale uint8) (Value, error) {
	d := wideDec(uint64(hi), lo, scale)
	if scale > maxScale || !d.fits(MaxPrecision) {
		return Value{}, fault.New(fault.OutOfRange, "a decimal holds at most %d digits", MaxPrecision)
	}
	return d.value(), nil
}

// Decimal128 returns the 128-bit two's complement coefficient of a DECIMAL.
func (v Value) Decimal128() (hi int64, lo uint64) {
	d := v.dec()
	if d.neg {
		d.mag = d.mag.negate()
	}
	return int64(d.mag.hi), d.mag.lo
}

// DecimalString returns a DECIMAL with exactly its scale of fraction digits.
func (v Value) DecimalString() string {
	var buf [48]byte
	return string(v.dec().append(buf[:0]))
}

// number is a numeric text taken apart: whole and fraction digits and the
// exponent of ten.
type number struct {
	whole, fraction string
	exp             int
	neg             bool
}

// scanNumber takes [+-]digits[.digits][e[+-]digits] apart. Blanks around it
// are dropped.
func scanNumber(text string) (n number, ok bool) {
	s := trim(text)
	if s != "" && (s[0] == '-' || s[0] == '+') {
		n.neg = s[0] == '-'
		s = s[1:]
	}
	n.whole, s = takeDigits(s)
	if s != "" && s[0] == '.' {
		n.fraction, s = takeDigits(s[1:])
	}
	if n.whole == "" && n.fraction == "" {
		return n, false
	}
	if s == "" {
		return n, true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return n, false
	}
	s = s[1:]
	minus := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		minus = s[0] == '-'
		s = s[1:]
	}
	digits, rest := takeDigits(s)
	if digits == "" || rest != "" {
		return n, false
	}
	for i := range len(digits) {
		// Beyond this any number is zero or out of range, even after the
		// longest text that reaches us.
		n.exp = min(n.exp*10+int(digits[i]-'0'), 1<<30)
	}
	if minus {
		n.exp = -n.exp
	}
	return n, true
}

func takeDigits(s string) (digits, rest string) {
	i := 0
	for i < len(s) && s[i]-'0' <= 9 {
		i++
	}
	return s[:i], s[i:]
}

func (n number) digit(i int) byte {
	if i < len(n.whole) {
		return n.whole[i] - '0'
	}
	return n.fraction[i-len(n.whole)] - '0'
}

func (n number) len() int { return len(n.whole) + len(n.fraction) }

// dec rounds n to scale; ok is false when the coefficient leaves 38 digits.
func (n number) dec(scale int) (d dec, ok bool) {
	d.scale = uint8(scale)
	// keep digits stand before the cut, padded with zeros where there are none.
	keep := len(n.whole) + n.exp + scale
	for i := range min(keep, n.len()) {
		if !d.fits(MaxPrecision - 1) {
			return d, false
		}
		d.mag, _ = d.mag.mul64(10)
		d.mag, _ = d.mag.add(u128{0, uint64(n.digit(i))})
	}
	if zeros := keep - n.len(); zeros > 0 && !d.mag.isZero() {
		if zeros > MaxPrecision {
			return d, false
		}
		if d.mag, ok = d.mag.mul(pow10[zeros]); !ok {
			return d, false
		}
	}
	if keep >= 0 && keep < n.len() && n.digit(keep) >= 5 {
		d.mag, _ = d.mag.add(u128{0, 1})
	}
	d.neg = n.neg && !d.mag.isZero()
	return d, d.fits(MaxPrecision)
}

// natural returns n with the scale it is written with, or the greatest one
// that 38 digits allow.
func (n number) natural() (d dec, ok bool) {
	first := 0
	for first < n.len() && n.digit(first) == 0 {
		first++
	}
	scale := min(max(len(n.fraction)-n.exp, 0), maxScale)
	if first < n.len() {
		scale = min(scale, max(MaxPrecision-max(len(n.whole)+n.exp-first, 0), 0))
	}
	if d, ok = n.dec(scale); !ok && scale > 0 {
		return n.dec(scale - 1) // rounding added a digit
	}
	return d, ok
}
