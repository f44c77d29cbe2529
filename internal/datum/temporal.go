package datum

import (
	"strings"

	"kalamdb/internal/fault"
)

// The days that dates and instants reach: from 4713-11-24 BC, as far back as
// PostgreSQL goes, to its last date and to the last whole day that fits 64 bits
// of microseconds.
const (
	minDay      = -2440588
	maxDateDay  = 2145042905
	maxStampDay = 106751990

	minStamp = minDay * microsPerDay
	maxStamp = maxStampDay*microsPerDay + microsPerDay - 1
)

// ParseDate parses the text of a DATE. A time of day behind it is dropped.
func ParseDate(text string) (Value, error) {
	to := Type{Kind: Date}
	p := parsePoint(text)
	switch {
	case p.state == pointInvalid || !p.hasDate:
		return Value{}, invalid(to, text)
	case p.state == pointRange || p.days < minDay || p.days > maxDateDay:
		return Value{}, outOfRange(to, text)
	}
	return NewInt(Date, p.days), nil
}

// ParseTime parses the text of a TIME; a date before it and a zone behind it
// are dropped.
func ParseTime(text string) (Value, error) {
	to := Type{Kind: Time}
	p := parsePoint(text)
	switch {
	case p.state == pointInvalid || !p.hasClock:
		return Value{}, invalid(to, text)
	case p.state == pointRange || p.clock > microsPerDay:
		return Value{}, outOfRange(to, text)
	}
	return NewInt(Time, p.clock), nil
}

// ParseTimestamp parses the text of a TIMESTAMP. As in PostgreSQL a zone is
// read and dropped.
func ParseTimestamp(text string) (Value, error) { return parseStamp(Timestamp, text) }

// ParseDateTime parses the text of a DATETIME. Without a zone it is UTC.
func ParseDateTime(text string) (Value, error) { return parseStamp(DateTime, text) }

func parseStamp(kind Kind, text string) (Value, error) {
	to := Type{Kind: kind}
	p := parsePoint(text)
	switch {
	case p.state == pointInvalid || !p.hasDate:
		return Value{}, invalid(to, text)
	case p.state == pointRange:
		return Value{}, outOfRange(to, text)
	}
	if kind == Timestamp {
		p.offset = 0
	}
	v, ok := newStamp(kind, p.days, p.clock-p.offset)
	if !ok {
		return Value{}, outOfRange(to, text)
	}
	return v, nil
}

// newStamp returns an instant; ok is false outside of the supported range.
func newStamp(kind Kind, days, micros int64) (v Value, ok bool) {
	more, clock := floorDiv(micros, microsPerDay)
	days += more
	if days < minDay || days > maxStampDay {
		return Value{}, false
	}
	return NewInt(kind, days*microsPerDay+clock), true
}

// rawTemporal returns the value whose raw unit is n.
func rawTemporal(kind Kind, n int64) (Value, error) {
	ok := false
	switch kind {
	case Date:
		ok = n >= minDay && n <= maxDateDay
	case Time:
		ok = n >= 0 && n <= microsPerDay
	default:
		ok = n >= minStamp && n <= maxStamp
	}
	if !ok {
		return Value{}, fault.New(fault.OutOfRange, "value %d is out of range for %s", n, kind)
	}
	return NewInt(kind, n), nil
}

// point is a parsed date, time of day or both.
type point struct {
	days   int64 // since 1970-01-01
	clock  int64 // microseconds since midnight
	offset int64 // microseconds that local time is ahead of UTC

	hasDate, hasClock bool
	state             pointState
}

type pointState uint8

const (
	pointOK      pointState = iota
	pointInvalid            // the text has another form
	pointRange              // a field has a value that it cannot have
)

// parsePoint reads ISO 8601 and the forms PostgreSQL prints:
// [date][T or blanks][hh:mm[:ss[.fraction]]][zone][BC].
func parsePoint(text string) (p point) {
	s := scanner{rest: trim(text)}
	bc := s.suffix(" BC")
	if !bc {
		s.suffix(" AD")
	}
	if s.looksLikeDate() {
		s.date(&p, bc)
		if p.state == pointInvalid || s.rest == "" {
			return p
		}
		if !s.take('T') && !s.take('t') && !s.blanks() {
			p.state = pointInvalid
			return p
		}
	} else if bc {
		p.state = pointInvalid
		return p
	} else if !s.take('T') {
		s.take('t')
	}
	s.clock(&p)
	if p.state == pointInvalid || s.rest == "" {
		return p
	}
	s.blanks()
	s.zone(&p)
	if s.rest != "" {
		p.state = pointInvalid
	}
	return p
}

// scanner reads a text from the left.
type scanner struct{ rest string }

func (s *scanner) take(c byte) bool {
	if s.rest != "" && s.rest[0] == c {
		s.rest = s.rest[1:]
		return true
	}
	return false
}

func (s *scanner) blanks() bool {
	before := len(s.rest)
	s.rest = strings.TrimLeft(s.rest, " \t")
	return len(s.rest) < before
}

func (s *scanner) suffix(word string) bool {
	n := len(s.rest) - len(word)
	if n < 0 || !strings.EqualFold(s.rest[n:], word) {
		return false
	}
	s.rest = trim(s.rest[:n])
	return true
}

// number reads at most max digits; ok is false when there are none or more.
func (s *scanner) number(most int) (n int64, digits int, ok bool) {
	text, rest := takeDigits(s.rest)
	if text == "" || len(text) > most {
		return 0, 0, false
	}
	s.rest = rest
	return parseDigits(text), len(text), true
}

// parseDigits returns the number that at most 18 digits make.
func parseDigits(text string) (n int64) {
	for i := range len(text) {
		n = n*10 + int64(text[i]-'0')
	}
	return n
}

// looksLikeDate reports whether a date comes first: yyyy- or yyyymmdd.
func (s *scanner) looksLikeDate() bool {
	digits, rest := takeDigits(s.rest)
	if len(digits) == 8 {
		return rest == "" || rest[0] != ':' && rest[0] != '.'
	}
	return len(digits) >= 4 && rest != "" && (rest[0] == '-' || rest[0] == '/')
}

func (s *scanner) date(p *point, bc bool) {
	p.hasDate = true
	var year, month, day int64
	if digits, rest := takeDigits(s.rest); len(digits) == 8 && (rest == "" || rest[0] != '-' && rest[0] != '/') {
		n := parseDigits(digits)
		year, month, day = n/10000, n/100%100, n%100
		s.rest = rest
	} else {
		var okYear, okMonth, okDay bool
		year, _, okYear = s.number(7)
		separator := byte('-')
		if s.rest != "" && s.rest[0] == '/' {
			separator = '/'
		}
		s.take(separator)
		month, _, okMonth = s.number(2)
		between := s.take(separator)
		day, _, okDay = s.number(2)
		if !okYear || !okMonth || !between || !okDay {
			p.state = pointInvalid
			return
		}
	}
	if year == 0 {
		p.state = pointRange
		return
	}
	if bc {
		year = 1 - year
	}
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		p.state = pointRange
		return
	}
	p.days = daysFromCivil(year, month, day)
}

// clock reads hh:mm[:ss[.fraction]] or hhmm[ss[.fraction]].
func (s *scanner) clock(p *point) {
	p.hasClock = true
	digits, rest := takeDigits(s.rest)
	var hour, minute, second int64
	switch len(digits) {
	case 1, 2:
		hour = parseDigits(digits)
		s.rest = rest
		var ok bool
		if !s.take(':') {
			p.state = pointInvalid
			return
		}
		if minute, _, ok = s.number(2); !ok {
			p.state = pointInvalid
			return
		}
		if s.take(':') {
			if second, _, ok = s.number(2); !ok {
				p.state = pointInvalid
				return
			}
		}
	case 4:
		n := parseDigits(digits)
		hour, minute = n/100, n%100
		s.rest = rest
	case 6:
		n := parseDigits(digits)
		hour, minute, second = n/10000, n/100%100, n%100
		s.rest = rest
	default:
		p.state = pointInvalid
		return
	}
	micros, ok := s.fraction()
	if !ok {
		p.state = pointInvalid
		return
	}
	// 60 seconds and 24:00 are read as the next minute and the next day.
	p.clock = hour*microsPerHour + minute*microsPerMinute + second*microsPerSecond + micros
	if hour > 24 || minute > 59 || second > 60 || hour == 24 && p.clock > microsPerDay || p.clock > microsPerDay {
		p.state = pointRange
	}
}

// fraction reads .digits as microseconds, rounding what is finer.
func (s *scanner) fraction() (micros int64, ok bool) {
	if !s.take('.') && !s.take(',') {
		return 0, true
	}
	digits, rest := takeDigits(s.rest)
	s.rest = rest
	if digits == "" {
		return 0, false
	}
	for i := range 6 {
		micros *= 10
		if i < len(digits) {
			micros += int64(digits[i] - '0')
		}
	}
	if len(digits) > 6 && digits[6] >= '5' {
		micros++
	}
	return micros, true
}

// zone reads Z, UTC, GMT or ±hh[[:]mm[:ss]], with UTC or GMT before it or not.
func (s *scanner) zone(p *point) {
	if s.take('Z') || s.take('z') {
		return
	}
	if len(s.rest) >= 3 && (strings.EqualFold(s.rest[:3], "UTC") || strings.EqualFold(s.rest[:3], "GMT")) {
		s.rest = s.rest[3:]
		return
	}
	minus := s.take('-')
	if !minus && !s.take('+') {
		p.state = pointInvalid
		return
	}
	digits, rest := takeDigits(s.rest)
	s.rest = rest
	var hour, minute, second int64
	ok := true
	switch len(digits) {
	case 1, 2:
		hour = parseDigits(digits)
		if s.take(':') {
			minute, _, ok = s.number(2)
			if ok && s.take(':') {
				second, _, ok = s.number(2)
			}
		}
	case 4:
		n := parseDigits(digits)
		hour, minute = n/100, n%100
	default:
		ok = false
	}
	switch {
	case !ok:
		p.state = pointInvalid
	case hour > 15 || minute > 59 || second > 59:
		p.state = pointRange
	}
	p.offset = hour*microsPerHour + minute*microsPerMinute + second*microsPerSecond
	if minus {
		p.offset = -p.offset
	}
}
