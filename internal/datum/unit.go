package datum

import "strings"

// unit is a field of a point in time or a part of an interval.
type unit uint8

const (
	noUnit unit = iota
	unitMicrosecond
	unitMillisecond
	unitSecond
	unitMinute
	unitHour
	unitDay
	unitWeek
	unitMonth
	unitQuarter
	unitYear
	unitDecade
	unitCentury
	unitMillennium
	unitEpoch
	unitDow
	unitIsoDow
	unitDoy
	unitIsoYear
	unitJulian
	unitZone
	unitZoneHour
	unitZoneMinute
)

// lastLengthUnit ends the units that an interval is made of.
const lastLengthUnit = unitMillennium

// unitNames holds every accepted word, in lower case. It is never written.
var unitNames = map[string]unit{
	"microsecond": unitMicrosecond, "microseconds": unitMicrosecond, "us": unitMicrosecond, "µs": unitMicrosecond,
	"usec": unitMicrosecond, "usecs": unitMicrosecond, "usecond": unitMicrosecond, "useconds": unitMicrosecond,
	"millisecond": unitMillisecond, "milliseconds": unitMillisecond, "ms": unitMillisecond,
	"msec": unitMillisecond, "msecs": unitMillisecond, "msecond": unitMillisecond, "mseconds": unitMillisecond,
	"second": unitSecond, "seconds": unitSecond, "s": unitSecond, "sec": unitSecond, "secs": unitSecond,
	"minute": unitMinute, "minutes": unitMinute, "m": unitMinute, "min": unitMinute, "mins": unitMinute,
	"hour": unitHour, "hours": unitHour, "h": unitHour, "hr": unitHour, "hrs": unitHour,
	"day": unitDay, "days": unitDay, "d": unitDay,
	"week": unitWeek, "weeks": unitWeek, "w": unitWeek,
	"month": unitMonth, "months": unitMonth, "mon": unitMonth, "mons": unitMonth,
	"quarter": unitQuarter, "qtr": unitQuarter,
	"year": unitYear, "years": unitYear, "y": unitYear, "yr": unitYear, "yrs": unitYear,
	"decade": unitDecade, "decades": unitDecade, "dec": unitDecade, "decs": unitDecade,
	"century": unitCentury, "centuries": unitCentury, "c": unitCentury, "cent": unitCentury,
	"millennium": unitMillennium, "millennia": unitMillennium, "mil": unitMillennium, "mils": unitMillennium,
	"epoch": unitEpoch, "dow": unitDow, "isodow": unitIsoDow, "doy": unitDoy,
	"isoyear": unitIsoYear, "julian": unitJulian, "jd": unitJulian,
	"timezone": unitZone, "timezone_hour": unitZoneHour, "timezone_minute": unitZoneMinute,
}

func parseUnit(word string) unit { return unitNames[strings.ToLower(word)] }

// micros returns the length of a unit that has a fixed one below a day.
func (u unit) micros() int64 {
	switch u {
	case unitMicrosecond:
		return 1
	case unitMillisecond:
		return 1000
	case unitSecond:
		return microsPerSecond
	case unitMinute:
		return microsPerMinute
	case unitHour:
		return microsPerHour
	}
	return 0
}

// months returns the length of a unit made of whole months.
func (u unit) months() int64 {
	switch u {
	case unitMonth:
		return 1
	case unitQuarter:
		return 3
	case unitYear:
		return monthsPerYear
	case unitDecade:
		return 10 * monthsPerYear
	case unitCentury:
		return 100 * monthsPerYear
	case unitMillennium:
		return 1000 * monthsPerYear
	}
	return 0
}
