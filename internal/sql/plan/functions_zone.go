package plan

import (
	"time"

	"kalamdb/internal/datum"
)

// zonedFunctions are those of moments in a time zone.
func zonedFunctions() []Function {
	make6 := []pattern{intArg, intArg, intArg, intArg, intArg, doubleArg}
	return []Function{
		{Name: "date_trunc", Doc: "The moment cut to a unit as clocks in a zone show it.", Volatility: Stable, args: []pattern{textArg, datetimeArg, textArg}, result: datetimeType,
			call3: func(env *Env, field, v, zone value) (value, error) {
				place, err := env.location(zone.Text())
				if err != nil {
					return value{}, err
				}
				_, offset := time.UnixMicro(v.Int()).In(place).Zone()
				shown, err := datum.Trunc(field.Text(), datum.NewInt(datum.Timestamp, v.Int()+int64(offset)*1_000_000))
				if err != nil {
					return value{}, err
				}
				return instantIn(place, shown.Int())
			}},
		{Name: "make_timestamptz", Doc: "The moment of a year, a month, a day, an hour, a minute and seconds in UTC.", args: make6, result: datetimeType,
			calls: func(env *Env, a []value) (value, error) { return zonedMoment(env, a, "UTC") }},
		{Name: "make_timestamptz", Doc: "The moment of a year, a month, a day, an hour, a minute and seconds in a zone.", Volatility: Stable, args: append(make6[:6:6], textArg), result: datetimeType,
			calls: func(env *Env, a []value) (value, error) { return zonedMoment(env, a[:6], a[6].Text()) }},
	}
}

func zonedMoment(env *Env, a []value, zone string) (value, error) {
	place, err := env.location(zone)
	if err != nil {
		return value{}, err
	}
	date, err := datum.ParseDate(dateText(a[0].Int(), a[1].Int(), a[2].Int()))
	if err != nil {
		return date, err
	}
	clock, err := datum.ParseTime(timeText(a[3].Int(), a[4].Int(), a[5].Float()))
	if err != nil {
		return clock, err
	}
	shown, err := datum.Add(date, clock)
	if err != nil {
		return shown, err
	}
	return instantIn(place, shown.Int())
}

// instantIn is the moment at which clocks of a place show a time.
func instantIn(place *time.Location, micros int64) (value, error) {
	t := time.UnixMicro(micros).UTC()
	there := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), place)
	return instantOf(datum.DateTime, there.UnixMicro())
}
