package datum

import (
	"cmp"
	"math"
	"math/big"
	"strings"
)

// family groups the kinds that are compared with each other; families are
// ordered by their numbers, NULL is last.
func (k Kind) family() uint8 {
	switch k {
	case Bool:
		return 1
	case SmallInt, Int, BigInt, Float, Double, Decimal:
		return 2
	case Text, JSON, File:
		return 3
	case Bytes:
		return 4
	case UUID:
		return 5
	case Date, Timestamp, DateTime:
		return 6
	case Time:
		return 7
	case Interval:
		return 8
	case Embedding:
		return 9
	case Array:
		return 10
	}
	return 255
}

// Comparable reports whether values of the two kinds are compared by what they
// mean: numbers with numbers, strings with strings, points in time with points
// in time, any other kind with itself, NULL with everything.
func Comparable(a, b Kind) bool {
	return a == Null || b == Null || a.family() == b.family()
}

// Compare returns -1, 0 or 1. Numbers of all kinds are compared exactly, strings
// byte by byte, DATE with TIMESTAMP and DATETIME as points in time. NaN equals
// itself and is the greatest number, -0.0 equals 0.0, NULL equals itself and
// comes after everything. Values of different families are ordered by family.
func Compare(a, b Value) int {
	if a.kind == b.kind {
		switch a.kind {
		case SmallInt, Int, BigInt, Bool, Date, Time, Timestamp, DateTime:
			return cmp.Compare(a.n, b.n)
		case Text, JSON, File, Bytes, UUID:
			return strings.Compare(a.s, b.s)
		}
	}
	f := a.kind.family()
	if g := b.kind.family(); f != g {
		return cmp.Compare(f, g)
	}
	switch {
	case a.kind == Null:
		return 0
	case a.kind.IsNumeric():
		return compareNumbers(a, b)
	case a.kind.IsString():
		return strings.Compare(a.s, b.s)
	case a.kind.isInstant():
		days1, clock1 := a.instant()
		days2, clock2 := b.instant()
		return cmp.Or(cmp.Compare(days1, days2), cmp.Compare(clock1, clock2))
	case a.kind == Interval:
		days1, clock1 := a.length()
		days2, clock2 := b.length()
		return cmp.Or(cmp.Compare(days1, days2), cmp.Compare(clock1, clock2))
	case a.kind == Array:
		return compareArrays(a, b)
	}
	return compareEmbeddings(a, b)
}

// Equal reports whether Compare finds a and b equal. NULL equals NULL here.
func Equal(a, b Value) bool { return Compare(a, b) == 0 }

// length returns an interval as days, with 30 to a month, and less than a day.
func (v Value) length() (days, micros int64) {
	days, micros = floorDiv(v.n, microsPerDay)
	return days + int64(v.months)*daysPerMonth + int64(v.days()), micros
}

func compareNumbers(a, b Value) int {
	switch {
	case a.kind.isFloat() && b.kind.isFloat():
		return compareFloats(a.Float(), b.Float())
	case a.kind.isFloat():
		return -compareToFloat(b, a.Float())
	case b.kind.isFloat():
		return compareToFloat(a, b.Float())
	case a.kind.IsInteger() && b.kind.IsInteger():
		return cmp.Compare(a.n, b.n)
	}
	return a.dec().cmp(b.dec())
}

func compareFloats(x, y float64) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	case x == y:
		return 0
	}
	// At least one is NaN, which is the greatest.
	nanX, nanY := math.IsNaN(x), math.IsNaN(y)
	switch {
	case nanX && nanY:
		return 0
	case nanX:
		return 1
	}
	return -1
}

// compareToFloat compares an integer or a decimal with a float, exactly.
func compareToFloat(v Value, f float64) int {
	switch {
	case math.IsNaN(f) || f >= 1e39:
		return -1
	case f <= -1e39:
		return 1
	case v.kind != Decimal:
		return compareIntFloat(v.n, f)
	}
	d := v.dec()
	// Most pairs differ by far more than the rounding of the conversion.
	near := d.float()
	if gap := math.Abs(near - f); gap > 1e-9*math.Abs(f) {
		return cmp.Compare(near, f)
	}
	if exact, ok := floatDec(f); ok {
		return d.cmp(exact)
	}
	x := new(big.Rat).SetFrac(d.big(), bigPow10(int(d.scale)))
	return x.Cmp(new(big.Rat).SetFloat64(f))
}

func compareIntFloat(n int64, f float64) int {
	const limit = 1 << 63
	switch {
	case f >= limit:
		return -1
	case f < -limit:
		return 1
	}
	whole := math.Trunc(f)
	if c := cmp.Compare(n, int64(whole)); c != 0 {
		return c
	}
	return cmp.Compare(0, f-whole)
}

func compareEmbeddings(a, b Value) int {
	for i := range min(a.Dim(), b.Dim()) {
		if c := compareFloats(float64(a.embeddingAt(i)), float64(b.embeddingAt(i))); c != 0 {
			return c
		}
	}
	return cmp.Compare(a.Dim(), b.Dim())
}
