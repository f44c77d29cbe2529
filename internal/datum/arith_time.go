package datum

import "math"

// temporals calculates with dates, times, instants and intervals.
func temporals(o op, a, b Value) (Value, error) {
	switch o {
	case '+':
		if a.kind.IsInteger() || a.kind == Interval && b.kind != Interval || a.kind == Time && b.kind == Date {
			a, b = b, a
		}
		return addTemporal(a, b)
	case '-':
		return subTemporal(a, b)
	case '*':
		if b.kind == Interval {
			a, b = b, a
		}
		if a.kind == Interval && b.kind.IsNumeric() {
			return scaleInterval(o, a, b)
		}
	case '/':
		if a.kind == Interval && b.kind.IsNumeric() {
			if b.double() == 0 {
				return Value{}, divisionByZero()
			}
			return scaleInterval(o, a, b)
		}
	}
	return Value{}, noOperator(o, a, b)
}

func addTemporal(a, b Value) (Value, error) {
	switch {
	case a.kind == Date && b.kind.IsInteger():
		return moveDate('+', a, b, b.n)
	case a.kind == Date && b.kind == Time:
		v, ok := newStamp(Timestamp, a.n, b.n)
		if !ok {
			return Value{}, overflow('+', a, b, Timestamp)
		}
		return v, nil
	case a.kind == Interval && b.kind == Interval:
		return addIntervals('+', a, b)
	case b.kind == Interval && a.kind.IsTemporal():
		return moveByInterval('+', a, b, b)
	}
	return Value{}, noOperator('+', a, b)
}

func subTemporal(a, b Value) (Value, error) {
	switch {
	case a.kind == Date && b.kind.IsInteger():
		return moveDate('-', a, b, -b.n)
	case a.kind == Date && b.kind == Date:
		if n := a.n - b.n; Int.holds(n) {
			return NewInt(Int, n), nil
		}
		return Value{}, overflow('-', a, b, Int)
	case a.kind.isInstant() && b.kind.isInstant():
		return subInstants(a, b)
	case a.kind == Time && b.kind == Time:
		return NewInterval(0, 0, a.n-b.n), nil
	case b.kind == Interval && (a.kind == Interval || a.kind.IsTemporal()):
		minus, err := Neg(b)
		if err != nil {
			return Value{}, err
		}
		if a.kind == Interval {
			return addIntervals('-', a, minus)
		}
		return moveByInterval('-', a, b, minus)
	}
	return Value{}, noOperator('-', a, b)
}

// moveDate moves a date by whole days; o and b are for the error.
func moveDate(o op, a, b Value, days int64) (Value, error) {
	n := a.n + days
	if !Int.holds(days) || n < minDay || n > maxDateDay {
		return Value{}, overflow(o, a, b, Date)
	}
	return NewInt(Date, n), nil
}

// subInstants returns whole days and a time, both with the same sign.
func subInstants(a, b Value) (Value, error) {
	days1, clock1 := a.instant()
	days2, clock2 := b.instant()
	days, clock := days1-days2, clock1-clock2
	switch {
	case days > 0 && clock < 0:
		days, clock = days-1, clock+microsPerDay
	case days < 0 && clock > 0:
		days, clock = days+1, clock-microsPerDay
	}
	v, ok := span{0, days, clock}.value()
	if !ok {
		return Value{}, overflow('-', a, b, Interval)
	}
	return v, nil
}

// instant returns the day and the time of day of a DATE, TIMESTAMP or DATETIME.
func (v Value) instant() (days, micros int64) {
	if v.kind == Date {
		return v.n, 0
	}
	return floorDiv(v.n, microsPerDay)
}

// moveByInterval adds months, then days, then the time of span to a. A date
// becomes a TIMESTAMP; a TIME goes round the clock. o and b are for the error.
func moveByInterval(o op, a, b, span Value) (Value, error) {
	months, days, micros := span.Interval()
	if a.kind == Time {
		_, clock := floorDiv(micros%microsPerDay+a.n, microsPerDay)
		return NewInt(Time, clock), nil
	}
	kind := a.kind
	if kind == Date {
		kind = Timestamp
	}
	day, clock := a.instant()
	if months != 0 {
		day = addMonths(day, int64(months))
	}
	more, rest := floorDiv(micros, microsPerDay)
	v, ok := newStamp(kind, day+int64(days)+more, clock+rest)
	if !ok {
		return Value{}, overflow(o, a, b, kind)
	}
	return v, nil
}

// addIntervals adds field by field; o is for the error.
func addIntervals(o op, a, b Value) (Value, error) {
	m1, d1, t1 := a.Interval()
	m2, d2, t2 := b.Interval()
	micros, ok := add64(t1, t2)
	v, ok2 := span{int64(m1) + int64(m2), int64(d1) + int64(d2), micros}.value()
	if !ok || !ok2 {
		return Value{}, overflow(o, a, b, Interval)
	}
	return v, nil
}

// scaleInterval multiplies or divides an interval. What is left of a month
// becomes days of 30 to a month, what is left of a day becomes time.
func scaleInterval(o op, a, b Value) (Value, error) {
	factor := b.double()
	scale := func(x float64) float64 {
		if o == '/' {
			return x / factor
		}
		return x * factor
	}
	m, d, t := a.Interval()
	months := scale(float64(m))
	days := scale(float64(d))
	micros := scale(float64(t))
	if !within(months, math.MaxInt32) || !within(days, math.MaxInt32) || !within(micros, math.MaxInt64) {
		return Value{}, overflow(o, a, b, Interval)
	}
	monthRest := roundMicro((months - math.Trunc(months)) * daysPerMonth)
	seconds := roundMicro((days - math.Trunc(days) + monthRest - math.Trunc(monthRest)) * (microsPerDay / microsPerSecond))
	wholeDays := math.Trunc(days) + math.Trunc(monthRest)
	if carry := math.Trunc(seconds / (microsPerDay / microsPerSecond)); carry != 0 {
		wholeDays += carry
		seconds -= carry * (microsPerDay / microsPerSecond)
	}
	micros = math.RoundToEven(micros + seconds*microsPerSecond)
	if !within(wholeDays, math.MaxInt32) || !within(micros, math.MaxInt64) {
		return Value{}, overflow(o, a, b, Interval)
	}
	return NewInterval(int32(months), int32(wholeDays), int64(micros)), nil
}

// within reports whether |x| is below limit; it is not for NaN.
func within(x, limit float64) bool { return math.Abs(x) < limit }

func roundMicro(x float64) float64 { return math.RoundToEven(x*1e6) / 1e6 }
