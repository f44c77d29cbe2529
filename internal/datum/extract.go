package datum

import (
	"strings"

	"kalamdb/internal/fault"
)

// Extract returns EXTRACT(field FROM v) as a DECIMAL: whole for most fields,
// with six fraction digits for second and epoch and three for milliseconds.
// v is a temporal value or an INTERVAL.
func Extract(field string, v Value) (Value, error) {
	u := parseUnit(trim(field))
	if u == noUnit {
		return Value{}, unknownField(field, v)
	}
	var n int64
	var scale uint8
	ok := false
	switch v.kind {
	case Date:
		n, ok = extractDay(u, v.n)
		if u == unitEpoch {
			n, ok = v.n*(microsPerDay/microsPerSecond), true
		}
	case Time:
		n, scale, ok = extractClock(u, v.n)
		if u == unitEpoch {
			n, scale, ok = v.n, 6, true
		}
	case Timestamp, DateTime:
		return extractInstant(field, u, v)
	case Interval:
		return extractInterval(field, u, v)
	default:
		return Value{}, fault.New(fault.TypeMismatch, "a date, time or interval is needed, not %s", v.kind)
	}
	if !ok {
		return Value{}, unknownField(field, v)
	}
	return Value{kind: Decimal, n: n, scale: scale}, nil
}

func unknownField(field string, v Value) error {
	return fault.New(fault.InvalidValue, "%s has no field %s", v.kind, quote(field))
}

func extractInstant(field string, u unit, v Value) (Value, error) {
	days, clock := v.instant()
	var n int64
	var scale uint8
	ok := true
	switch {
	case u == unitEpoch:
		n, scale = v.n, 6
	case u == unitJulian:
		day := intDec(days-minDay, 0)
		part, _ := intDec(clock, 0).div(intDec(microsPerDay, 0))
		sum, _ := day.add(part)
		if clock == 0 {
			sum = day
		}
		return sum.value(), nil
	case u >= unitZone && u <= unitZoneMinute:
		ok = v.kind == DateTime // and always 0: the zone is UTC
	default:
		if n, ok = extractDay(u, days); !ok {
			n, scale, ok = extractClock(u, clock)
		}
	}
	if !ok {
		return Value{}, unknownField(field, v)
	}
	return Value{kind: Decimal, n: n, scale: scale}, nil
}

// extractClock reads a field of a time of day.
func extractClock(u unit, micros int64) (n int64, scale uint8, ok bool) {
	switch u {
	case unitMicrosecond:
		return micros % microsPerMinute, 0, true
	case unitMillisecond:
		return micros % microsPerMinute, 3, true
	case unitSecond:
		return micros % microsPerMinute, 6, true
	case unitMinute:
		return micros / microsPerMinute % 60, 0, true
	case unitHour:
		return micros / microsPerHour, 0, true
	}
	return 0, 0, false
}

// extractDay reads a field of a date.
func extractDay(u unit, days int64) (n int64, ok bool) {
	year, month, day := civilFromDays(days)
	switch u {
	case unitDay:
		return day, true
	case unitWeek:
		_, week := isoWeek(days)
		return week, true
	case unitMonth:
		return month, true
	case unitQuarter:
		return (month-1)/3 + 1, true
	case unitYear:
		return withoutYearZero(year), true
	case unitDecade:
		decade, _ := floorDiv(year, 10)
		return decade, true
	case unitCentury:
		return period(year, 100), true
	case unitMillennium:
		return period(year, 1000), true
	case unitDow:
		return weekday(days), true
	case unitIsoDow:
		return (weekday(days)+6)%7 + 1, true
	case unitDoy:
		return days - daysFromCivil(year, 1, 1) + 1, true
	case unitIsoYear:
		year, _ := isoWeek(days)
		return withoutYearZero(year), true
	case unitJulian:
		return days - minDay, true
	}
	return 0, false
}

// withoutYearZero turns 0 into 1 BC, written -1.
func withoutYearZero(year int64) int64 {
	if year <= 0 {
		return year - 1
	}
	return year
}

// period numbers the centuries or millennia; there is none with the number 0.
func period(year, length int64) int64 {
	if year > 0 {
		return (year + length - 1) / length
	}
	return -((length - year) / length)
}

func extractInterval(field string, u unit, v Value) (Value, error) {
	months, days, micros := v.Interval()
	years := int64(months / monthsPerYear)
	switch u {
	case unitDay:
		return NewInt(Decimal, int64(days)), nil
	case unitMonth:
		return NewInt(Decimal, int64(months%monthsPerYear)), nil
	case unitQuarter:
		return NewInt(Decimal, int64(months%monthsPerYear)/3+1), nil
	case unitYear:
		return NewInt(Decimal, years), nil
	case unitDecade:
		return NewInt(Decimal, years/10), nil
	case unitCentury:
		return NewInt(Decimal, years/100), nil
	case unitMillennium:
		return NewInt(Decimal, years/1000), nil
	case unitEpoch:
		return intervalEpoch(v).value(), nil
	}
	n, scale, ok := extractClock(u, micros)
	if !ok {
		return Value{}, unknownField(field, v)
	}
	return Value{kind: Decimal, n: n, scale: scale}, nil
}

// intervalEpoch counts the seconds of an interval, with years of 365.25 days.
func intervalEpoch(v Value) dec {
	months, days, micros := v.Interval()
	const quarterDay = microsPerDay / microsPerSecond / 4
	seconds := int64(months/monthsPerYear)*(1461*quarterDay) +
		(int64(months%monthsPerYear)*daysPerMonth+int64(days))*(4*quarterDay)
	whole, _ := intDec(seconds, 0).rescale(6, false)
	sum, _ := whole.add(intDec(micros, 6))
	return sum
}

// Trunc returns date_trunc(field, v). A DATE becomes a DATETIME at midnight and
// a TIME an INTERVAL, as in PostgreSQL.
func Trunc(field string, v Value) (Value, error) {
	u := parseUnit(strings.TrimSpace(field))
	switch v.kind {
	case Date:
		stamp, ok := newStamp(DateTime, v.n, 0)
		if !ok {
			return Value{}, outOfRange(Type{Kind: DateTime}, v.String())
		}
		return truncInstant(field, u, stamp)
	case Timestamp, DateTime:
		return truncInstant(field, u, v)
	case Time:
		return truncInterval(field, u, NewInterval(0, 0, v.n))
	case Interval:
		return truncInterval(field, u, v)
	}
	return Value{}, fault.New(fault.TypeMismatch, "a date, time or interval is needed, not %s", v.kind)
}

func truncInstant(field string, u unit, v Value) (Value, error) {
	days, clock := v.instant()
	if length := u.micros(); length > 0 {
		return NewInt(v.kind, v.n-clock%length), nil
	}
	year, month, _ := civilFromDays(days)
	switch u {
	case unitDay:
	case unitWeek:
		days -= (weekday(days) + 6) % 7
	case unitMonth:
		days = daysFromCivil(year, month, 1)
	case unitQuarter:
		days = daysFromCivil(year, (month-1)/3*3+1, 1)
	case unitYear:
		days = daysFromCivil(year, 1, 1)
	case unitDecade:
		_, rest := floorDiv(year, 10)
		days = daysFromCivil(year-rest, 1, 1)
	case unitCentury, unitMillennium:
		_, rest := floorDiv(year-1, u.months()/monthsPerYear)
		days = daysFromCivil(year-rest, 1, 1)
	default:
		return Value{}, unknownField(field, v)
	}
	out, ok := newStamp(v.kind, days, 0)
	if !ok {
		return Value{}, outOfRange(Type{Kind: v.kind}, v.String())
	}
	return out, nil
}

func truncInterval(field string, u unit, v Value) (Value, error) {
	months, days, micros := v.Interval()
	if length := u.micros(); length > 0 {
		return NewInterval(months, days, micros-micros%length), nil
	}
	switch {
	case u == unitDay:
		return NewInterval(months, days, 0), nil
	case u >= unitMonth && u <= lastLengthUnit:
		return NewInterval(months-months%int32(u.months()), 0, 0), nil
	}
	return Value{}, unknownField(field, v)
}
