package plan

import (
	"math"
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// intervalFunctions make intervals and even out their fields.
func intervalFunctions() []Function {
	justify := func(name string, f func(months, days, micros int64) (int64, int64, int64), doc string) Function {
		return Function{Name: name, Doc: doc, args: []pattern{intervalArg}, result: intervalType,
			call1: func(_ *Env, v value) (value, error) {
				months, days, micros := v.Interval()
				return intervalOf(f(int64(months), int64(days), micros))
			}}
	}
	all := []Function{
		justify("justify_hours", justifyHours, "24 hours become a day each."),
		justify("justify_days", justifyDays, "30 days become a month each."),
		justify("justify_interval", func(months, days, micros int64) (int64, int64, int64) {
			return sameSigns(justifyDays(justifyHours(months, days, micros)))
		}, "24 hours become a day and 30 days a month, all fields of one sign."),
	}
	for n := range 8 {
		args := slices.Repeat([]pattern{intArg}, min(n, 6))
		if n == 7 {
			args = append(args, doubleArg)
		}
		all = append(all, Function{Name: "make_interval", Doc: "The interval of years, months, weeks, days, hours, minutes and seconds; those left out are 0.", args: args, result: intervalType,
			calls: makeInterval})
	}
	return append(all, finiteFunctions()...)
}

// finiteFunctions tell moments from infinity, which there is none of.
func finiteFunctions() []Function {
	var all []Function
	for _, p := range []pattern{timestampArg, datetimeArg, dateArg, intervalArg} {
		all = append(all, Function{Name: "isfinite", Doc: "TRUE: there is no infinite moment or interval.", args: []pattern{p}, result: boolType,
			call1: func(*Env, value) (value, error) { return boolean(true) }})
	}
	return all
}

// intervalOf returns an interval whose fields may be too great.
func intervalOf(months, days, micros int64) (value, error) {
	if months != int64(int32(months)) || days != int64(int32(days)) {
		return value{}, fault.New(fault.OutOfRange, "the interval is out of range")
	}
	return datum.NewInterval(int32(months), int32(days), micros), nil
}

func justifyHours(months, days, micros int64) (int64, int64, int64) {
	days += micros / microsPerDay
	micros %= microsPerDay
	switch {
	case days > 0 && micros < 0:
		days, micros = days-1, micros+microsPerDay
	case days < 0 && micros > 0:
		days, micros = days+1, micros-microsPerDay
	}
	return months, days, micros
}

// monthDays is the length of a month where none is named.
const monthDays = 30

func justifyDays(months, days, micros int64) (int64, int64, int64) {
	months += days / monthDays
	days %= monthDays
	switch {
	case months > 0 && days < 0:
		months, days = months-1, days+monthDays
	case months < 0 && days > 0:
		months, days = months+1, days-monthDays
	}
	return months, days, micros
}

// sameSigns borrows until no field has another sign than the months.
func sameSigns(months, days, micros int64) (int64, int64, int64) {
	switch {
	case months > 0 && (days < 0 || days == 0 && micros < 0):
		months, days = months-1, days+monthDays
	case months < 0 && (days > 0 || days == 0 && micros > 0):
		months, days = months+1, days-monthDays
	}
	switch {
	case days > 0 && micros < 0:
		days, micros = days-1, micros+microsPerDay
	case days < 0 && micros > 0:
		days, micros = days+1, micros-microsPerDay
	}
	return months, days, micros
}

// makeInterval adds up years, months, weeks, days, hours, minutes and seconds.
func makeInterval(_ *Env, args []value) (value, error) {
	var n [6]float64
	for i := range min(len(args), 6) {
		n[i] = float64(args[i].Int())
	}
	seconds := 0.0
	if len(args) > 6 {
		seconds = args[6].Float()
	}
	months, days := n[0]*12+n[1], n[2]*7+n[3]
	micros := math.RoundToEven(seconds * 1e6)
	total := (n[4]*60+n[5])*60e6 + micros
	if math.Abs(months) > math.MaxInt32 || math.Abs(days) > math.MaxInt32 || !(math.Abs(total) < 1<<63) {
		return value{}, fault.New(fault.OutOfRange, "the interval is out of range")
	}
	exact := int64(micros)
	if len(args) > 4 {
		exact += args[4].Int() * 3600_000_000
	}
	if len(args) > 5 {
		exact += args[5].Int() * 60_000_000
	}
	return datum.NewInterval(int32(months), int32(days), exact), nil
}
