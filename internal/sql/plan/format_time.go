package plan

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// timeWords are the patterns of TO_CHAR over moments, longer ones before those
// they begin with.
var timeWords = newTimeWords()

func newTimeWords() []string {
	words := []string{"Month", "Mon", "Day", "Dy"}
	for _, w := range strings.Fields("SSSSS SSSS SS HH24 HH12 HH MI MS US FF1 FF2 FF3 FF4 FF5 FF6 A.M. P.M. AM PM B.C. A.D. BC AD Y,YYY YYYY YYY YY Y IYYY IYY IY I MONTH MON MM DAY DY DDD IDDD DD D ID WW W IW CC J Q RM TZH TZM TZ OF") {
		words = append(words, w, strings.ToLower(w))
	}
	slices.SortStableFunc(words, func(a, b string) int { return len(b) - len(a) })
	return words
}

// formatPart is one pattern of a format, or text that stands for itself.
type formatPart struct {
	word    string // the pattern, "" for text
	text    string
	fill    bool // FM: without padding
	ordinal int  // 1 for TH behind it, 2 for th
}

// maxFormat is how many bytes a format may have.
const maxFormat = 1 << 20

// timeFormat splits a format into its parts.
func timeFormat(format string) ([]formatPart, error) {
	if len(format) > maxFormat {
		return nil, fault.New(fault.LimitExceeded, "a format may have at most %d bytes", maxFormat)
	}
	var parts []formatPart
	fill := false
	for format != "" {
		switch {
		case len(format) >= 2 && strings.EqualFold(format[:2], "FM"):
			format, fill = format[2:], true
			continue
		case len(format) >= 2 && (strings.EqualFold(format[:2], "FX") || strings.EqualFold(format[:2], "TM")):
			format = format[2:]
			continue
		case format[0] == '"':
			text, rest := quotedPart(format[1:])
			parts, format = append(parts, formatPart{text: text}), rest
			continue
		}
		i := slices.IndexFunc(timeWords, func(w string) bool { return strings.HasPrefix(format, w) })
		if i < 0 {
			parts, format = append(parts, formatPart{text: format[:1]}), format[1:]
			continue
		}
		p := formatPart{word: timeWords[i], fill: fill}
		fill = false
		format = format[len(p.word):]
		switch {
		case strings.HasPrefix(format, "TH"):
			p.ordinal, format = 1, format[2:]
		case strings.HasPrefix(format, "th"):
			p.ordinal, format = 2, format[2:]
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// quotedPart reads text up to the quote that ends it.
func quotedPart(s string) (text, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

// clockFields is a moment or an interval as TO_CHAR sees it.
type clockFields struct {
	year, month, day     int64
	hour, minute, second int64
	micro                int64
	interval, zoned      bool
	at                   time.Time
}

func fieldsOf(v value) clockFields {
	if v.Kind() == datum.Interval {
		months, days, micros := v.Interval()
		return clockFields{year: int64(months) / 12, month: int64(months) % 12, day: int64(days), hour: micros / 3600_000_000,
			minute: micros / 60_000_000 % 60, second: micros / 1_000_000 % 60, micro: micros % 1_000_000, interval: true}
	}
	at := time.UnixMicro(v.Int()).UTC()
	return clockFields{year: int64(at.Year()), month: int64(at.Month()), day: int64(at.Day()), hour: int64(at.Hour()), minute: int64(at.Minute()),
		second: int64(at.Second()), micro: int64(at.Nanosecond() / 1000), zoned: v.Kind() == datum.DateTime, at: at}
}

func timeToText(_ *Env, v, format value) (value, error) {
	parts, err := timeFormat(format.Text())
	if err != nil || format.Text() == "" {
		return value{}, err
	}
	f := fieldsOf(v)
	var out []byte
	for _, p := range parts {
		if p.word == "" {
			out = append(out, p.text...)
			continue
		}
		text, err := f.part(p)
		if err != nil {
			return value{}, err
		}
		out = append(out, text...)
		if p.ordinal > 0 {
			out = append(out, ordinalEnd(text, p.ordinal)...)
		}
	}
	if err := checkBuilt(len(out)); err != nil {
		return value{}, err
	}
	return textValue(string(out))
}

// ordinalEnd is what makes a number written before it one of an order.
func ordinalEnd(number string, form int) string {
	end := "th"
	if n := len(number); n > 0 && (n < 2 || number[n-2] != '1') {
		switch number[n-1] {
		case '1':
			end = "st"
		case '2':
			end = "nd"
		case '3':
			end = "rd"
		}
	}
	if form == 1 {
		return strings.ToUpper(end)
	}
	return end
}

// padded writes a number with so many digits, or as it is when fill is asked for.
func (p formatPart) padded(n int64, width int) string {
	s := strconv.FormatInt(max(n, -n), 10)
	if !p.fill && len(s) < width {
		s = strings.Repeat("0", width-len(s)) + s
	}
	if n < 0 {
		return "-" + s
	}
	return s
}

// cased writes a name as the pattern is written, and padded to a width.
func (p formatPart) cased(name string, width int) string {
	switch {
	case p.word == strings.ToUpper(p.word):
		name = strings.ToUpper(name)
	case p.word == strings.ToLower(p.word):
		name = strings.ToLower(name)
	}
	if !p.fill && len(name) < width {
		name += strings.Repeat(" ", width-len(name))
	}
	return name
}

var romanMonths = [...]string{"I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"}

// part writes one pattern.
func (f *clockFields) part(p formatPart) (string, error) {
	switch word := strings.ToUpper(p.word); word {
	case "HH24":
		return p.padded(f.hour, 2), nil
	case "HH", "HH12":
		h := f.hour % 12
		if h == 0 {
			h = 12
		}
		return p.padded(h, 2), nil
	case "MI":
		return p.padded(f.minute, 2), nil
	case "SS":
		return p.padded(f.second, 2), nil
	case "SSSS", "SSSSS":
		return strconv.FormatInt(f.hour*3600+f.minute*60+f.second, 10), nil
	case "US", "FF6":
		return formatPart{}.padded(f.micro, 6), nil
	case "MS", "FF3":
		return formatPart{}.padded(f.micro/1000, 3), nil
	case "FF1", "FF2", "FF4", "FF5":
		digits := int(word[2] - '0')
		return formatPart{}.padded(f.micro, 6)[:digits], nil
	case "AM", "PM", "A.M.", "P.M.":
		half := "AM"
		if f.hour%24 >= 12 {
			half = "PM"
		}
		if strings.Contains(word, ".") {
			half = half[:1] + "." + half[1:] + "."
		}
		return formatPart{word: p.word, fill: true}.cased(half, 0), nil
	case "MM":
		return p.padded(f.month, 2), nil
	case "DD":
		if f.day < 0 { // the sign counts as a digit here, and only here
			return p.padded(f.day, 1), nil
		}
		return p.padded(f.day, 2), nil
	case "Q":
		if f.month == 0 {
			return "", nil
		}
		return strconv.FormatInt((f.month-1)/3+1, 10), nil
	case "CC", "Y,YYY", "YYYY", "YYY", "YY", "Y":
		return f.years(p, word), nil
	case "RM":
		if f.month == 0 {
			return "", nil
		}
		return p.cased(romanMonths[(f.month+11)%12], 4), nil
	}
	if f.interval {
		return "", fault.New(fault.InvalidValue, "the pattern %s is of no use for an interval", p.word)
	}
	return f.dayPart(p), nil
}

// years writes the patterns of the year.
func (f *clockFields) years(p formatPart, word string) string {
	y := f.year
	if y <= 0 && !f.interval {
		y = 1 - y
	}
	switch word {
	case "CC":
		switch {
		case f.interval:
			return p.padded(f.year/100, 2)
		case f.year > 0:
			return p.padded((f.year-1)/100+1, 2)
		}
		return p.padded(f.year/100-1, 2)
	case "Y,YYY":
		return strconv.FormatInt(y/1000, 10) + "," + formatPart{}.padded(y%1000, 3)
	case "YYYY":
		return p.padded(y, 4)
	case "YYY":
		return p.padded(y%1000, 3)
	case "YY":
		return p.padded(y%100, 2)
	}
	return strconv.FormatInt(y%10, 10)
}

// dayPart writes the patterns that need a day.
func (f *clockFields) dayPart(p formatPart) string {
	isoYear, isoWeek := f.at.ISOWeek()
	if isoYear <= 0 {
		isoYear = 1 - isoYear
	}
	weekday := int64(f.at.Weekday())
	isoDay := (weekday+6)%7 + 1
	switch strings.ToUpper(p.word) {
	case "MONTH":
		return p.cased(f.at.Month().String(), 9)
	case "MON":
		return p.cased(f.at.Month().String()[:3], 0)
	case "DAY":
		return p.cased(f.at.Weekday().String(), 9)
	case "DY":
		return p.cased(f.at.Weekday().String()[:3], 0)
	case "DDD":
		return p.padded(int64(f.at.YearDay()), 3)
	case "IDDD":
		return p.padded(int64(isoWeek-1)*7+isoDay, 3)
	case "D":
		return strconv.FormatInt(weekday+1, 10)
	case "ID":
		return strconv.FormatInt(isoDay, 10)
	case "WW":
		return p.padded(int64(f.at.YearDay()-1)/7+1, 2)
	case "W":
		return strconv.FormatInt((f.day-1)/7+1, 10)
	case "IW":
		return p.padded(int64(isoWeek), 2)
	case "IYYY":
		return p.padded(int64(isoYear), 4)
	case "IYY":
		return p.padded(int64(isoYear)%1000, 3)
	case "IY":
		return p.padded(int64(isoYear)%100, 2)
	case "I":
		return strconv.Itoa(isoYear % 10)
	case "J":
		const julianOf1970 = 2440588
		days := f.at.Unix() / secondsPerDay
		if f.at.Unix()%secondsPerDay < 0 {
			days--
		}
		return strconv.FormatInt(days+julianOf1970, 10)
	case "TZ":
		if !f.zoned {
			return ""
		}
		return p.cased("UTC", 0)
	case "TZH", "OF":
		return "+00"
	case "TZM":
		return "00"
	}
	return f.era(p)
}

// era writes BC and its kin.
func (f *clockFields) era(p formatPart) string {
	text := "AD"
	if f.year <= 0 {
		text = "BC"
	}
	if strings.Contains(p.word, ".") {
		text = text[:1] + "." + text[1:] + "."
	}
	return formatPart{word: p.word, fill: true}.cased(text, 0)
}
