package datum

import (
	"math"
	"strconv"
	"strings"
)

// ParseInterval parses the text of an INTERVAL: amounts with units and clock
// times (1 day 02:30, 2 hours 30 minutes, 7d, -1h, 3 days ago), a year-month
// pair (1-2), a bare number of seconds, or ISO 8601 (P1DT2H).
func ParseInterval(text string) (Value, error) {
	to := Type{Kind: Interval}
	p := intervalParser{scanner: scanner{rest: trim(text)}}
	var ok bool
	if strings.HasPrefix(p.rest, "P") || strings.HasPrefix(p.rest, "p") {
		ok = p.iso()
	} else {
		ok = p.words()
	}
	if !ok {
		return Value{}, invalid(to, text)
	}
	v, ok := p.span.value()
	if !ok || p.overflow {
		return Value{}, outOfRange(to, text)
	}
	return v, nil
}

// span is an interval in the making.
type span struct{ months, days, micros int64 }

// value returns the interval; ok is false when months or days leave 32 bits.
func (s span) value() (v Value, ok bool) {
	if s.months != int64(int32(s.months)) || s.days != int64(int32(s.days)) {
		return Value{}, false
	}
	return NewInterval(int32(s.months), int32(s.days), s.micros), true
}

type intervalParser struct {
	scanner
	span     span
	overflow bool
}

// amount is a signed decimal number: whole part and fraction, both with the sign.
type amount struct {
	whole    int64
	fraction float64
}

// amount reads [+-]digits[.digits].
func (p *intervalParser) amount() (a amount, ok bool) {
	minus := p.take('-')
	if !minus {
		p.take('+')
	}
	whole, rest := takeDigits(p.rest)
	p.rest = rest
	fraction := ""
	if p.take('.') {
		fraction, p.rest = takeDigits(p.rest)
	}
	if whole == "" && fraction == "" {
		return a, false
	}
	if whole != "" {
		n, err := strconv.ParseInt(whole, 10, 64)
		if err != nil {
			p.overflow = true
		}
		a.whole = n
	}
	if fraction != "" {
		a.fraction, _ = strconv.ParseFloat("0."+fraction, 64)
	}
	if minus {
		a.whole, a.fraction = -a.whole, -a.fraction
	}
	return a, true
}

// add adds an amount of a unit. The fraction of a unit goes to smaller ones.
func (p *intervalParser) add(a amount, u unit) {
	switch {
	case u.micros() > 0:
		p.addTo(&p.span.micros, a.whole, u.micros())
		p.addTo(&p.span.micros, int64(math.RoundToEven(a.fraction*float64(u.micros()))), 1)
	case u == unitDay:
		p.addTo(&p.span.days, a.whole, 1)
		p.addDays(a.fraction)
	case u == unitWeek:
		p.addTo(&p.span.days, a.whole, 7)
		p.addDays(a.fraction * 7)
	case u == unitMonth:
		p.addTo(&p.span.months, a.whole, 1)
		p.addDays(a.fraction * daysPerMonth)
	default:
		p.addTo(&p.span.months, a.whole, u.months())
		p.addTo(&p.span.months, int64(math.RoundToEven(a.fraction*float64(u.months()))), 1)
	}
}

// addDays adds less than a month of days with a fraction.
func (p *intervalParser) addDays(days float64) {
	whole := math.Trunc(days)
	p.span.days += int64(whole)
	p.addTo(&p.span.micros, int64(math.RoundToEven((days-whole)*microsPerDay)), 1)
}

func (p *intervalParser) addTo(sum *int64, n, factor int64) {
	product, ok := mul64(n, factor)
	total, ok2 := add64(*sum, product)
	if !ok || !ok2 {
		p.overflow = true
		return
	}
	*sum = total
}

// words reads amounts with units, clock times and year-month pairs.
func (p *intervalParser) words() bool {
	if p.take('@') {
		p.blanks()
	}
	any := false
	for p.rest != "" {
		if any && p.suffixWord("ago") {
			break
		}
		minus := p.rest[0] == '-'
		before := *p
		a, ok := p.amount()
		if !ok {
			return false
		}
		switch {
		case p.rest != "" && p.rest[0] == ':':
			*p = before
			if !p.clock() {
				return false
			}
		case p.rest != "" && p.rest[0] == '-' && a.fraction == 0 && p.pair(a, minus):
		default:
			gap := p.blanks()
			word := p.word()
			switch u := parseUnit(word); {
			case word == "" && p.rest == "":
				p.add(a, unitSecond)
			case word == "" && gap && p.clockAhead():
				p.add(a, unitDay)
			case u == noUnit || u > lastLengthUnit:
				return false
			default:
				p.add(a, u)
			}
		}
		p.blanks()
		any = true
	}
	return any
}

// suffixWord reads the last word when it is ago and turns all signs.
func (p *intervalParser) suffixWord(word string) bool {
	if !strings.EqualFold(p.rest, word) {
		return false
	}
	p.rest = ""
	if p.span.micros == math.MinInt64 {
		p.overflow = true
	}
	p.span = span{-p.span.months, -p.span.days, -p.span.micros}
	return true
}

// word reads letters.
func (p *intervalParser) word() string {
	i := 0
	for i < len(p.rest) && (p.rest[i]|0x20 >= 'a' && p.rest[i]|0x20 <= 'z' || p.rest[i] >= 0x80) {
		i++
	}
	word := p.rest[:i]
	p.rest = p.rest[i:]
	return word
}

// clockAhead reports whether [+-]hh: comes next.
func (p *intervalParser) clockAhead() bool {
	s := strings.TrimLeft(p.rest, "+-")
	digits, rest := takeDigits(s)
	return digits != "" && strings.HasPrefix(rest, ":")
}

// clock reads [+-]hh:mm[:ss[.fraction]].
func (p *intervalParser) clock() bool {
	minus := p.take('-')
	if !minus {
		p.take('+')
	}
	hour, _, okHour := p.number(12)
	p.take(':')
	minute, _, okMinute := p.number(2)
	if !okHour || !okMinute || minute > 59 {
		return false
	}
	var second int64
	if p.take(':') {
		var ok bool
		if second, _, ok = p.number(2); !ok || second > 60 {
			return false
		}
	}
	micros, ok := p.fraction()
	if !ok {
		return false
	}
	sign := int64(1)
	if minus {
		sign = -1
	}
	p.addTo(&p.span.micros, sign*hour, microsPerHour)
	p.addTo(&p.span.micros, sign*(minute*microsPerMinute+second*microsPerSecond+micros), 1)
	return true
}

// pair reads the -months of years-months.
func (p *intervalParser) pair(years amount, minus bool) bool {
	before := p.rest
	p.take('-')
	months, _, ok := p.number(2)
	if !ok || months >= monthsPerYear {
		p.rest = before
		return false
	}
	if minus {
		months = -months
	}
	p.add(years, unitYear)
	p.add(amount{whole: months}, unitMonth)
	return true
}

// iso reads PnYnMnWnDTnHnMnS. Amounts may be negative and have fractions.
func (p *intervalParser) iso() bool {
	p.rest = p.rest[1:]
	inTime, any := false, false
	for p.rest != "" {
		if !inTime && (p.take('T') || p.take('t')) {
			inTime, any = true, false
			continue
		}
		a, ok := p.amount()
		if !ok || p.rest == "" {
			return false
		}
		letter := p.rest[0] &^ 0x20
		p.rest = p.rest[1:]
		u := isoUnit(letter, inTime)
		if u == noUnit {
			return false
		}
		p.add(a, u)
		any = true
	}
	return any
}

func isoUnit(letter byte, inTime bool) unit {
	if inTime {
		switch letter {
		case 'H':
			return unitHour
		case 'M':
			return unitMinute
		case 'S':
			return unitSecond
		}
		return noUnit
	}
	switch letter {
	case 'Y':
		return unitYear
	case 'M':
		return unitMonth
	case 'W':
		return unitWeek
	case 'D':
		return unitDay
	}
	return noUnit
}
