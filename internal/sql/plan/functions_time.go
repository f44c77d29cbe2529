package plan

import (
	"math"
	"strconv"
	"strings"
	"time"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

func notPositive(what string, n int64) error {
	return fault.New(fault.InvalidValue, "%s must be above zero, but is %d", what, n)
}

func clockFunctions() []Function {
	moment := func(name string, t datum.Type, doc string, f func(*Env) value, aliases ...string) Function {
		return Function{Name: name, Aliases: aliases, Doc: doc, Volatility: Stable, result: t,
			call0: func(env *Env) (value, error) { return f(env), nil }}
	}
	return []Function{
		moment("now", timestampType, "The moment of the statement, in UTC.", func(e *Env) value { return e.now(datum.Timestamp) },
			"current_timestamp", "localtimestamp", "transaction_timestamp", "statement_timestamp"),
		moment("current_date", dateType, "The day of the statement, in UTC.", func(e *Env) value { return datum.NewInt(datum.Date, e.today()) }, "today"),
		moment("current_time", timeType, "The time of day of the statement, in UTC.", func(e *Env) value {
			return datum.NewInt(datum.Time, e.Now-e.today()*microsPerDay)
		}, "localtime"),
		{Name: "clock_timestamp", Doc: "The moment of the call, in UTC.", Volatility: Volatile, result: timestampType,
			call0: func(*Env) (value, error) { return datum.NewInt(datum.Timestamp, time.Now().UnixMicro()), nil }},
	}
}

// temporalArgs are the types with fields.
var temporalArgs = []pattern{timestampArg, datetimeArg, dateArg, timeArg, intervalArg}

func fieldFunctions() []Function {
	var all []Function
	for _, arg := range temporalArgs {
		all = append(all,
			Function{Name: "extract", Doc: "EXTRACT(field FROM x): year, month, day, hour, minute, second, epoch, week, dow, doy, quarter and others.", args: []pattern{textArg, arg}, typed: extractType, shows: "DECIMAL",
				call2: func(_ *Env, field, v value) (value, error) { return datum.Extract(field.Text(), v) }},
			Function{Name: "date_part", Aliases: []string{"datepart"}, Doc: "EXTRACT as DOUBLE.", args: []pattern{textArg, arg}, result: doubleType,
				call2: func(_ *Env, field, v value) (value, error) {
					part, err := datum.Extract(field.Text(), v)
					if err != nil {
						return value{}, err
					}
					return datum.Cast(part, doubleType)
				}})
	}
	trunc := func(arg pattern, t datum.Type) Function {
		return Function{Name: "date_trunc", Aliases: []string{"datetrunc"}, Doc: "The moment cut to a unit: microsecond to millennium.", args: []pattern{textArg, arg}, result: t,
			call2: func(_ *Env, field, v value) (value, error) { return datum.Trunc(field.Text(), v) }}
	}
	return append(all, trunc(timestampArg, timestampType), trunc(datetimeArg, datetimeType), trunc(intervalArg, intervalType),
		Function{Name: "date_bin", Doc: "The start of the interval, counted from an origin, that a moment lies in.", args: []pattern{intervalArg, timestampArg, timestampArg}, result: timestampType, call3: dateBin},
		Function{Name: "date_bin", Doc: "The start of the interval, counted from an origin, that a moment lies in.", args: []pattern{intervalArg, datetimeArg, datetimeArg}, result: datetimeType, call3: dateBin},
		Function{Name: "age", Doc: "Years, months, days and time between two moments.", args: []pattern{timestampArg, timestampArg}, result: intervalType,
			call2: func(_ *Env, a, b value) (value, error) { return age(a.Int(), b.Int()) }},
		Function{Name: "age", Doc: "Years, months, days and time between two moments.", args: []pattern{datetimeArg, datetimeArg}, result: intervalType,
			call2: func(_ *Env, a, b value) (value, error) { return age(a.Int(), b.Int()) }},
		Function{Name: "age", Doc: "Years, months and days from a moment to the start of this day.", Volatility: Stable, args: []pattern{timestampArg}, result: intervalType,
			call1: func(env *Env, v value) (value, error) { return age(env.today()*microsPerDay, v.Int()) }},
	)
}

// extractType knows the scale of fields that are named by a constant.
func extractType(args []Expr) datum.Type {
	scale := uint8(6)
	if c, ok := args[0].(*Const); ok && c.Value.Kind() == datum.Text {
		switch strings.ToLower(strings.TrimSpace(c.Value.Text())) {
		case "second", "seconds", "sec", "secs", "s":
		case "epoch":
			if args[1].Type().Kind == datum.Date {
				scale = 0
			}
		case "millisecond", "milliseconds", "ms", "msec", "msecs":
			scale = 3
		case "julian", "jd":
			scale = divisionScale
		default:
			scale = 0
		}
	}
	return datum.DecimalType(datum.MaxPrecision, scale)
}

func dateBin(_ *Env, stride, at, origin value) (value, error) {
	months, days, micros := stride.Interval()
	if months != 0 {
		return value{}, fault.New(fault.NotImplemented, "date_bin does not take months or years")
	}
	width := int64(days)*microsPerDay + micros
	if width <= 0 {
		return value{}, fault.New(fault.InvalidValue, "the interval of date_bin must be above zero, but is %s", stride)
	}
	rest := (at.Int()%width - origin.Int()%width) % width
	if rest < 0 {
		rest += width
	}
	return instantOf(at.Kind(), at.Int()-rest)
}

// age is the difference in calendar fields; a day that is missing is borrowed
// from the month of the earlier moment.
func age(a, b int64) (value, error) {
	sign := int64(1)
	if a < b {
		a, b, sign = b, a, -1
	}
	late, early := time.UnixMicro(a).UTC(), time.UnixMicro(b).UTC()
	micros := clockOf(a) - clockOf(b)
	days := int64(late.Day() - early.Day())
	months := int64(late.Year()-early.Year())*12 + int64(late.Month()) - int64(early.Month())
	if micros < 0 {
		micros += microsPerDay
		days--
	}
	if days < 0 {
		days += int64(time.Date(early.Year(), early.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day())
		months--
	}
	return datum.NewInterval(int32(sign*months), int32(sign*days), sign*micros), nil
}

// clockOf is the time of day of a moment.
func clockOf(micros int64) int64 {
	rest := micros % microsPerDay
	if rest < 0 {
		rest += microsPerDay
	}
	return rest
}

func makingFunctions() []Function {
	epoch := func(name string, unit int64, doc string, aliases ...string) Function {
		return Function{Name: name, Aliases: aliases, Doc: doc, args: []pattern{intArg}, result: timestampType,
			call1: func(_ *Env, v value) (value, error) { return fromEpoch(v.Int(), unit) }}
	}
	return []Function{
		{Name: "make_date", Doc: "The date of a year, a month and a day.", args: []pattern{intArg, intArg, intArg}, result: dateType,
			call3: func(_ *Env, y, m, d value) (value, error) {
				return datum.ParseDate(dateText(y.Int(), m.Int(), d.Int()))
			}},
		{Name: "make_time", Doc: "The time of an hour, a minute and seconds.", args: []pattern{intArg, intArg, doubleArg}, result: timeType,
			call3: func(_ *Env, h, m, s value) (value, error) {
				return datum.ParseTime(timeText(h.Int(), m.Int(), s.Float()))
			}},
		{Name: "make_timestamp", Doc: "The moment of a year, a month, a day, an hour, a minute and seconds.", args: []pattern{intArg, intArg, intArg, intArg, intArg, doubleArg}, result: timestampType,
			calls: func(_ *Env, a []value) (value, error) {
				date, err := datum.ParseDate(dateText(a[0].Int(), a[1].Int(), a[2].Int()))
				if err != nil {
					return date, err
				}
				clock, err := datum.ParseTime(timeText(a[3].Int(), a[4].Int(), a[5].Float()))
				if err != nil {
					return clock, err
				}
				return datum.Add(date, clock)
			}},
		{Name: "to_timestamp", Doc: "The moment so many seconds after 1970-01-01.", args: []pattern{doubleArg}, result: datetimeType, call1: pure1(fromSeconds)},
		{Name: "to_timestamp", Doc: "The moment that a text in ISO form names.", args: []pattern{textArg}, result: datetimeType,
			call1: func(_ *Env, v value) (value, error) { return datum.ParseDateTime(v.Text()) }},
		epoch("to_timestamp_seconds", 1_000_000, "The moment so many seconds after 1970-01-01.", "from_unixtime"),
		epoch("to_timestamp_millis", 1_000, "The moment so many milliseconds after 1970-01-01."),
		epoch("to_timestamp_micros", 1, "The moment so many microseconds after 1970-01-01."),
		{Name: "to_date", Doc: "The date that a text in ISO form names.", args: []pattern{textArg}, result: dateType,
			call1: func(_ *Env, v value) (value, error) { return datum.ParseDate(v.Text()) }},
	}
}

func dateText(year, month, day int64) string {
	pad := func(n int64, width int) string {
		s := strconv.FormatInt(n, 10)
		return strings.Repeat("0", max(width-len(s), 0)) + s
	}
	if year < 0 {
		return pad(-year, 4) + "-" + pad(month, 2) + "-" + pad(day, 2) + " BC"
	}
	return pad(year, 4) + "-" + pad(month, 2) + "-" + pad(day, 2)
}

func timeText(hour, minute int64, second float64) string {
	return strconv.FormatInt(hour, 10) + ":" + strconv.FormatInt(minute, 10) + ":" + strconv.FormatFloat(second, 'f', 6, 64)
}

// instantOf checks the range of a moment by way of a cast.
func instantOf(kind datum.Kind, micros int64) (value, error) {
	return datum.Assign(datum.NewInt(datum.BigInt, micros), datum.Type{Kind: kind})
}

func fromEpoch(n, unit int64) (value, error) {
	if n > math.MaxInt64/unit || n < math.MinInt64/unit {
		return value{}, fault.New(fault.OutOfRange, "value %d is out of range for TIMESTAMP", n)
	}
	return instantOf(datum.Timestamp, n*unit)
}

func fromSeconds(v value) (value, error) {
	micros := math.RoundToEven(v.Float() * 1e6)
	if math.IsNaN(micros) || math.Abs(micros) >= math.MaxInt64 {
		return value{}, fault.New(fault.OutOfRange, "value %s is out of range for DATETIME", v)
	}
	return instantOf(datum.DateTime, int64(micros))
}

func zoneFunctions() []Function {
	return []Function{
		{Name: "timezone", Doc: "x AT TIME ZONE z of a TIMESTAMP: the moment at which clocks in the zone show it.", Volatility: Stable, args: []pattern{textArg, timestampArg}, result: datetimeType,
			call2: func(env *Env, zone, v value) (value, error) {
				place, err := env.location(zone.Text())
				if err != nil {
					return value{}, err
				}
				t := time.UnixMicro(v.Int()).UTC()
				there := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), place)
				return instantOf(datum.DateTime, there.UnixMicro())
			}},
		{Name: "timezone", Doc: "x AT TIME ZONE z of a DATETIME: what clocks in the zone show.", Volatility: Stable, args: []pattern{textArg, datetimeArg}, result: timestampType,
			call2: func(env *Env, zone, v value) (value, error) {
				place, err := env.location(zone.Text())
				if err != nil {
					return value{}, err
				}
				_, offset := time.UnixMicro(v.Int()).In(place).Zone()
				return instantOf(datum.Timestamp, v.Int()+int64(offset)*1_000_000)
			}},
	}
}

// location finds a zone, once per execution.
func (e *Env) location(name string) (*time.Location, error) {
	if place, known := e.patterns.zones[name]; known {
		return place, nil
	}
	place, err := location(name)
	if err != nil {
		return nil, err
	}
	if e.patterns.zones == nil || len(e.patterns.zones) >= maxPatterns {
		e.patterns.zones = map[string]*time.Location{}
	}
	e.patterns.zones[name] = place
	return place, nil
}

// location finds a zone by its name or by its distance from UTC.
func location(name string) (*time.Location, error) {
	switch upper := strings.ToUpper(name); {
	case upper == "UTC" || upper == "GMT" || upper == "Z":
		return time.UTC, nil
	case name != "" && (name[0] == '+' || name[0] == '-'):
		if seconds, ok := zoneOffset(name); ok {
			return time.FixedZone(name, seconds), nil
		}
	case name != "" && upper != "LOCAL" && len(name) < maxPrinted:
		if place, err := time.LoadLocation(name); err == nil {
			return place, nil
		}
	}
	return nil, fault.New(fault.InvalidValue, "unknown time zone '%s'", shorten(name))
}

// zoneOffset reads +hh, +hh:mm or +hhmm.
func zoneOffset(name string) (seconds int, ok bool) {
	digits := strings.Replace(name[1:], ":", "", 1)
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || len(digits) > 4 {
		return 0, false
	}
	hours, minutes := int(n), 0
	if len(digits) > 2 {
		hours, minutes = int(n/100), int(n%100)
	}
	if hours > 18 || minutes > 59 {
		return 0, false
	}
	seconds = hours*3600 + minutes*60
	if name[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}
