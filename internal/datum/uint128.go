package datum

import "math/bits"

// u128 is an unsigned 128-bit number; it holds the coefficient of a decimal.
type u128 struct{ hi, lo uint64 }

// pow10 holds 10^0 to 10^38 and pow5 5^0 to 5^38; neither is ever written.
var (
	pow10 = powers(10)
	pow5  = powers(5)
)

func powers(base uint64) (p [MaxPrecision + 1]u128) {
	p[0] = u128{0, 1}
	for i := 1; i < len(p); i++ {
		p[i], _ = p[i-1].mul64(base)
	}
	return p
}

func (a u128) isZero() bool { return a.hi|a.lo == 0 }

func (a u128) cmp(b u128) int {
	switch {
	case a == b:
		return 0
	case a.hi < b.hi || a.hi == b.hi && a.lo < b.lo:
		return -1
	}
	return 1
}

// add returns a+b; ok is false when the sum does not fit.
func (a u128) add(b u128) (sum u128, ok bool) {
	lo, c := bits.Add64(a.lo, b.lo, 0)
	hi, c := bits.Add64(a.hi, b.hi, c)
	return u128{hi, lo}, c == 0
}

// sub returns a-b modulo 2^128.
func (a u128) sub(b u128) u128 {
	lo, c := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(a.hi, b.hi, c)
	return u128{hi, lo}
}

// mul64 returns a*m; ok is false when the product does not fit.
func (a u128) mul64(m uint64) (product u128, ok bool) {
	over, mid := bits.Mul64(a.hi, m)
	carry, lo := bits.Mul64(a.lo, m)
	hi, c := bits.Add64(mid, carry, 0)
	return u128{hi, lo}, over == 0 && c == 0
}

// mul returns a*b; ok is false when the product does not fit.
func (a u128) mul(b u128) (product u128, ok bool) {
	if b.hi == 0 {
		return a.mul64(b.lo)
	}
	if a.hi == 0 {
		return b.mul64(a.lo)
	}
	return u128{}, false
}

// divMod64 returns the quotient and the remainder of a/d; d is not zero.
func (a u128) divMod64(d uint64) (q u128, r uint64) {
	q.hi, r = a.hi/d, a.hi%d
	q.lo, r = bits.Div64(r, a.lo, d)
	return q, r
}

// divMod returns the quotient and the remainder of a/b; b is not zero.
func (a u128) divMod(b u128) (q, r u128) {
	if b.hi == 0 {
		q, rest := a.divMod64(b.lo)
		return q, u128{0, rest}
	}
	// The quotient fits in 64 bits. Dividing the shifted numbers estimates it
	// at most one too high, so one is taken off and the rest decides.
	n := uint(bits.LeadingZeros64(b.hi))
	top := b.shl(n)
	half := u128{a.hi >> 1, a.hi<<63 | a.lo>>1}
	guess, _ := bits.Div64(half.hi, half.lo, top.hi)
	guess >>= 63 - n
	if guess != 0 {
		guess--
	}
	product, _ := b.mul64(guess)
	r = a.sub(product)
	if r.cmp(b) >= 0 {
		guess++
		r = r.sub(b)
	}
	return u128{0, guess}, r
}

// shl returns a<<n for n below 128, dropping what leaves on the left.
func (a u128) shl(n uint) u128 {
	if n >= 64 {
		return u128{a.lo << (n - 64), 0}
	}
	return u128{a.hi<<n | a.lo>>(64-n), a.lo << n}
}

// bitLen returns the number of bits of a.
func (a u128) bitLen() int {
	if a.hi != 0 {
		return 64 + bits.Len64(a.hi)
	}
	return bits.Len64(a.lo)
}

// digits returns the number of decimal digits of a, 0 for zero.
func (a u128) digits() int {
	// 1233/4096 is just above log10(2), so the estimate is at most one too low.
	n := a.bitLen() * 1233 >> 12
	if n < len(pow10) && a.cmp(pow10[n]) >= 0 {
		n++
	}
	return n
}

// negate returns the two's complement of a.
func (a u128) negate() u128 { return u128{}.sub(a) }
