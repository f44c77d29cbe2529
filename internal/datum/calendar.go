package datum

// The units of temporal values.
const (
	microsPerSecond = 1_000_000
	microsPerMinute = 60 * microsPerSecond
	microsPerHour   = 60 * microsPerMinute
	microsPerDay    = 24 * microsPerHour

	daysPerMonth  = 30 // what an interval's month counts when it must be compared
	monthsPerYear = 12
)

// floorDiv returns the quotient rounded down and the rest, which is never
// negative. b is positive.
func floorDiv(a, b int64) (q, r int64) {
	q, r = a/b, a%b
	if r < 0 {
		return q - 1, r + b
	}
	return q, r
}

// daysFromCivil counts the days from 1970-01-01 to a date of the proleptic
// Gregorian calendar. Year 0 is 1 BC; month is 1 to 12; day may be any number.
func daysFromCivil(year, month, day int64) int64 {
	// The year begins in March, so that the leap day is its last one.
	if month <= 2 {
		year--
		month += 12
	}
	era, y := floorDiv(year, 400)
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	return era*146097 + y*365 + y/4 - y/100 + dayOfYear - 719468
}

// civilFromDays is the inverse of daysFromCivil.
func civilFromDays(days int64) (year, month, day int64) {
	era, d := floorDiv(days+719468, 146097)
	y := (d - d/1460 + d/36524 - d/146096) / 365
	dayOfYear := d - (365*y + y/4 - y/100)
	m := (5*dayOfYear + 2) / 153
	day = dayOfYear - (153*m+2)/5 + 1
	year = era*400 + y
	if m < 10 {
		return year, m + 3, day
	}
	return year + 1, m - 9, day
}

// daysIn returns the number of days of a month.
func daysIn(year, month int64) int64 {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// weekday returns 0 for Sunday to 6 for Saturday.
func weekday(days int64) int64 {
	_, r := floorDiv(days+4, 7)
	return r
}

// isoWeek returns the year and the number of the ISO 8601 week of a day.
func isoWeek(days int64) (year, week int64) {
	// A week belongs to the year of its Thursday.
	thursday := days - (weekday(days)+6)%7 + 3
	year, _, _ = civilFromDays(thursday)
	return year, (thursday-daysFromCivil(year, 1, 1))/7 + 1
}

// addMonths moves a day by months and stays in the month it arrives at.
func addMonths(days, months int64) int64 {
	year, month, day := civilFromDays(days)
	years, m := floorDiv(month-1+months, monthsPerYear)
	year, month = year+years, m+1
	return daysFromCivil(year, month, min(day, daysIn(year, month)))
}
