package plan

import (
	"strconv"
	"strings"
	"time"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// momentReader collects the fields that TO_TIMESTAMP reads.
type momentReader struct {
	text, rest  string
	n           map[string]int64
	pm, am, bc  bool
	offset      int64
	hasOffset   bool
	halfOfClock bool
}

func badMoment(text, format string) error {
	return fault.New(fault.InvalidValue, "'%s' does not fit the format '%s'", shorten(text), shorten(format))
}

// readMoment reads a text by a format.
func readMoment(text, format string) (*momentReader, error) {
	parts, err := timeFormat(format)
	if err != nil {
		return nil, err
	}
	r := &momentReader{text: text, rest: strings.TrimLeft(text, " "), n: map[string]int64{}}
	for i, p := range parts {
		if p.word == "" {
			r.literal(p.text)
			continue
		}
		r.rest = strings.TrimLeft(r.rest, " ")
		next := i+1 < len(parts) && parts[i+1].word != "" && !p.fill
		if r.rest == "" {
			break
		}
		if !r.field(p, next) {
			return nil, badMoment(text, format)
		}
		if p.ordinal > 0 && len(r.rest) >= 2 {
			r.rest = r.rest[2:]
		}
	}
	return r, nil
}

// literal steps over a character of the format: a separator takes any separator
// or none, a letter takes any character.
func (r *momentReader) literal(text string) {
	for _, c := range []byte(text) {
		separator := !isWordByte(c)
		switch {
		case r.rest == "":
		case !separator, !isWordByte(r.rest[0]) && r.rest[0] != '+' && !(r.rest[0] == '-' && c == ' '):
			r.rest = r.rest[1:]
		}
	}
}

func isWordByte(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

// widths are how many digits a pattern takes where another one follows at once.
var widths = map[string]int{
	"HH24": 2, "HH12": 2, "HH": 2, "MI": 2, "SS": 2, "MS": 3, "US": 6, "FF1": 1, "FF2": 2, "FF3": 3, "FF4": 4, "FF5": 5, "FF6": 6, "SSSS": 5, "SSSSS": 5,
	"YYYY": 4, "YYY": 3, "YY": 2, "Y": 1, "IYYY": 4, "IYY": 3, "IY": 2, "I": 1, "MM": 2, "DDD": 3, "IDDD": 3, "DD": 2, "D": 1, "ID": 1, "WW": 2, "IW": 2, "W": 1, "CC": 2, "J": 9, "Q": 1,
	"TZH": 2, "TZM": 2, "Y,YYY": 5,
}

// field reads one pattern.
func (r *momentReader) field(p formatPart, next bool) bool {
	word := strings.ToUpper(p.word)
	switch word {
	case "AM", "PM", "A.M.", "P.M.", "BC", "AD", "B.C.", "A.D.":
		return r.half(len(word) > 2)
	case "MONTH", "MON":
		return r.name(func(i int) (string, bool) { return time.Month(i).String(), i <= 12 }, true)
	case "DAY", "DY":
		return r.name(func(i int) (string, bool) { return time.Weekday(i - 1).String(), i <= 7 }, false)
	case "RM":
		return r.roman()
	case "TZ", "OF":
		return r.zone()
	case "TZH":
		sign := int64(1)
		if r.rest[0] == '-' || r.rest[0] == '+' {
			if r.rest[0] == '-' {
				sign = -1
			}
			r.rest = r.rest[1:]
		}
		n, _, ok := r.digits(2)
		r.hasOffset, r.offset = true, sign*n*3600
		return ok
	case "Y,YYY":
		thousands, _, ok := r.digits(9)
		if !ok || r.rest == "" || r.rest[0] != ',' {
			return false
		}
		r.rest = r.rest[1:]
		rest, _, ok := r.digits(3)
		r.n["YYYY"] = thousands*1000 + rest
		return ok
	}
	return r.number(word, next)
}

// number reads a pattern of digits.
func (r *momentReader) number(word string, next bool) bool {
	width := widths[word]
	iso := strings.HasPrefix(word, "IY") || word == "I"
	fraction := strings.HasPrefix(word, "FF") || word == "MS" || word == "US"
	limit := width
	if !next && !fraction {
		limit = 18
	}
	negative := word == "YYYY" && strings.HasPrefix(r.rest, "-")
	if negative {
		r.rest = r.rest[1:]
	}
	n, digits, ok := r.digits(limit)
	if !ok {
		return false
	}
	if negative {
		r.n["BC"] = 1
	}
	switch {
	case word == "TZM":
		if r.offset < 0 {
			n = -n
		}
		r.offset, r.hasOffset = r.offset+n*60, true
		return true
	case fraction:
		for ; digits < 6 && digits > 0; digits++ {
			n *= 10
		}
		word = "US"
	case strings.HasPrefix(word, "Y") || iso:
		if digits < 4 && width < 4 {
			n = nearYear(n, digits)
		}
		word = "YYYY"
		if iso {
			word = "IYYY"
		}
	case word == "HH" || word == "HH12":
		word, r.halfOfClock = "HH24", true
	}
	r.n[word] = n
	return true
}

// nearYear adds the century to a year of less than four digits.
func nearYear(n int64, digits int) int64 {
	switch {
	case digits >= 4:
		return n
	case n < 70:
		return n + 2000
	case n < 100:
		return n + 1900
	case n < 520:
		return n + 2000
	case n < 1000:
		return n + 1000
	}
	return n
}

// digits reads at most so many digits.
func (r *momentReader) digits(most int) (n int64, count int, ok bool) {
	for count < len(r.rest) && count < most && r.rest[count] >= '0' && r.rest[count] <= '9' {
		count++
	}
	if count == 0 {
		return 0, 0, false
	}
	n, err := strconv.ParseInt(r.rest[:count], 10, 64)
	r.rest = r.rest[count:]
	return n, count, err == nil
}

// half reads AM, PM, BC or AD.
func (r *momentReader) half(dotted bool) bool {
	length := 2
	if dotted {
		length = 4
	}
	if len(r.rest) < length {
		return false
	}
	word := strings.ToUpper(strings.ReplaceAll(r.rest[:length], ".", ""))
	r.rest = r.rest[length:]
	switch word {
	case "AM":
		r.am = true
	case "PM":
		r.pm = true
	case "BC":
		r.bc = true
	case "AD":
	default:
		return false
	}
	return true
}

// name reads the name of a month or a day, in full or its first three letters.
func (r *momentReader) name(names func(int) (string, bool), month bool) bool {
	for i := 1; ; i++ {
		name, ok := names(i)
		if !ok {
			return false
		}
		for _, s := range []string{name, name[:3]} {
			if len(r.rest) >= len(s) && strings.EqualFold(r.rest[:len(s)], s) {
				r.rest = r.rest[len(s):]
				if month {
					r.n["MM"] = int64(i)
				}
				return true
			}
		}
	}
}

func (r *momentReader) roman() bool {
	best := 0
	for i, s := range romanMonths {
		if len(r.rest) >= len(s) && strings.EqualFold(r.rest[:len(s)], s) && (best == 0 || len(s) > len(romanMonths[best-1])) {
			best = i + 1
		}
	}
	if best == 0 {
		return false
	}
	r.rest = r.rest[len(romanMonths[best-1]):]
	r.n["MM"] = int64(best)
	return true
}

// zone reads a distance from UTC; names of zones need AT TIME ZONE.
func (r *momentReader) zone() bool {
	end := 0
	for end < len(r.rest) && r.rest[end] != ' ' {
		end++
	}
	place, err := location(r.rest[:end])
	if err != nil {
		return false
	}
	r.rest = r.rest[end:]
	_, seconds := time.Unix(0, 0).In(place).Zone()
	r.offset, r.hasOffset = int64(seconds), true
	return true
}

// moment puts the fields together. What is not named is the year 1 BC in
// PostgreSQL's manner, the first month, day and hour.
func (r *momentReader) moment(format string) (date, clock value, err error) {
	get := func(name string, otherwise int64) int64 {
		if n, ok := r.n[name]; ok {
			return n
		}
		return otherwise
	}
	year := get("YYYY", 0)
	if cc, ok := r.n["CC"]; ok {
		if _, named := r.n["YYYY"]; named {
			year = (cc-1)*100 + year%100
		} else {
			year = (cc-1)*100 + 1
		}
	}
	bc := r.bc || r.n["BC"] == 1
	if bc {
		year = -year
	} else if year == 0 {
		year = -1
	}
	month, day := get("MM", 1), get("DD", 1)
	if j, ok := r.n["J"]; ok {
		const julianOf1970 = 2440588
		date, err = datum.Assign(datum.NewInt(datum.BigInt, j-julianOf1970), dateType)
	} else {
		date, err = datum.ParseDate(dateText(year, month, day))
	}
	if err == nil {
		date, err = r.counted(date, year)
	}
	if err != nil {
		return value{}, value{}, fault.New(fault.CodeOf(err), "'%s' is no date by the format '%s'", shorten(r.text), shorten(format))
	}
	hour := get("HH24", 0)
	if r.halfOfClock && (r.am || r.pm || hour > 12 || hour < 1) {
		if _, named := r.n["HH24"]; named && (hour < 1 || hour > 12) {
			return value{}, value{}, fault.New(fault.InvalidValue, "hour %d is none of a clock of 12 hours", hour)
		}
	}
	switch {
	case r.pm && hour < 12:
		hour += 12
	case r.am && hour == 12:
		hour = 0
	}
	minute, second, micro := get("MI", 0), get("SS", 0), get("US", 0)
	if s, ok := r.n["SSSS"]; ok {
		hour, minute, second = s/3600, s/60%60, s%60
	} else if s, ok := r.n["SSSSS"]; ok {
		hour, minute, second = s/3600, s/60%60, s%60
	}
	if hour > 23 || minute > 59 || second > 59 {
		return value{}, value{}, fault.New(fault.OutOfRange, "'%s' is no time of day by the format '%s'", shorten(r.text), shorten(format))
	}
	return date, datum.NewInt(datum.Time, (hour*3600+minute*60+second)*1_000_000+micro), nil
}

// counted moves a date to the day of the year or the week that is named.
func (r *momentReader) counted(date value, year int64) (value, error) {
	move := func(v value, err error, days int64) (value, error) {
		if err != nil {
			return v, err
		}
		return datum.Add(v, datum.NewInt(datum.Int, int64(int32(days))))
	}
	_, hasDay := r.n["DD"]
	if n, ok := r.n["DDD"]; ok && !hasDay {
		if n < 1 || n > 366 {
			return value{}, fault.New(fault.OutOfRange, "there is no day %d of a year", n)
		}
		v, err := datum.ParseDate(dateText(year, 1, 1))
		return move(v, err, n-1)
	}
	if n, ok := r.n["WW"]; ok && !hasDay {
		v, err := datum.ParseDate(dateText(year, 1, 1))
		return move(v, err, (n-1)*7)
	}
	if isoYear, ok := r.n["IYYY"]; ok {
		week, day := r.n["IW"], r.n["ID"]
		if n, ok := r.n["IDDD"]; ok {
			week, day = (n-1)/7+1, (n-1)%7+1
		}
		v, err := datum.ParseDate(dateText(isoYear, 1, 4))
		if err != nil {
			return v, err
		}
		weekday := (v.Int()+3)%7 + 1 // 1970-01-01 was a Thursday
		if weekday < 1 {
			weekday += 7
		}
		return move(v, nil, (max(week, 1)-1)*7+max(day, 1)-weekday)
	}
	return date, nil
}

func toDate(_ *Env, text, format value) (value, error) {
	r, err := readMoment(text.Text(), format.Text())
	if err != nil {
		return value{}, err
	}
	date, _, err := r.moment(format.Text())
	return date, err
}

func toTimestamp(_ *Env, text, format value) (value, error) {
	r, err := readMoment(text.Text(), format.Text())
	if err != nil {
		return value{}, err
	}
	date, clock, err := r.moment(format.Text())
	if err != nil {
		return value{}, err
	}
	at, err := datum.Add(date, clock)
	if err != nil {
		return at, err
	}
	return instantOf(datum.DateTime, at.Int()-r.offset*1_000_000)
}

// toNumber reads a number by a format: digits as many as there are places, a
// sign and a point; all else is stepped over.
func toNumber(_ *Env, text, format value) (value, error) {
	f, err := parseNumberFormat(format.Text())
	if err != nil || format.Text() == "" {
		return value{}, err
	}
	if f.exponent || f.roman {
		return value{}, fault.New(fault.NotImplemented, "TO_NUMBER does not read this format")
	}
	rest := strings.TrimLeft(text.Text(), " ")
	var out []byte
	negative, point := false, false
	for _, part := range f.parts {
		for rest != "" && (rest[0] == '-' || rest[0] == '+' || rest[0] == '<') && len(out) == 0 {
			negative = rest[0] != '+'
			rest = rest[1:]
		}
		if rest == "" {
			break
		}
		switch {
		case part == "9" || part == "0":
			rest = strings.TrimLeft(rest, " ")
			if rest != "" && rest[0] == '.' && !point && f.point {
				point, out, rest = true, append(out, '.'), rest[1:]
			}
			if rest != "" && rest[0] >= '0' && rest[0] <= '9' {
				out, rest = append(out, rest[0]), rest[1:]
			}
		case part == "." || part == "D":
			if rest[0] == '.' && !point {
				point, out, rest = true, append(out, '.'), rest[1:]
			}
		case part == "," || part == "G":
			if rest[0] == ',' {
				rest = rest[1:]
			}
		case part == "S" || part == "MI" || part == "SG" || part == "PL" || part == "PR":
			if rest[0] == '-' || rest[0] == '+' || rest[0] == '>' {
				negative, rest = negative || rest[0] == '-', rest[1:]
			}
		case part == "L" || part[0] == '"':
			if rest[0] < '0' || rest[0] > '9' {
				rest = rest[1:]
			}
		case part == "TH" || part == "th":
			rest = rest[min(2, len(rest)):]
		}
	}
	if strings.HasPrefix(rest, "-") && (f.sign || f.minus) {
		negative = true
	}
	if negative {
		out = append([]byte{'-'}, out...)
	}
	v, err := datum.ParseDecimal(string(out))
	if err != nil {
		return value{}, fault.New(fault.InvalidValue, "'%s' holds no number by the format '%s'", shorten(text.Text()), shorten(format.Text()))
	}
	if f.shift > 0 {
		return datum.Div(v, datum.NewInt(datum.BigInt, int64(pow10(f.shift))))
	}
	return v, nil
}

func pow10(n int) (p int64) {
	for p = 1; n > 0 && p < 1e18; n-- {
		p *= 10
	}
	return p
}

// formatFunctions turn values into texts by a format, and back.
func formatFunctions() []Function {
	var all []Function
	const doc = "The moment by a format: YYYY, MM, DD, HH24, MI, SS, MS, US, Month, Mon, Day, Dy, AM, Q, IW and others of PostgreSQL; FM leaves out padding."
	for _, p := range []pattern{timestampArg, datetimeArg, intervalArg} {
		all = append(all, Function{Name: "to_char", Doc: doc, args: []pattern{p, textArg}, result: textType, call2: timeToText})
	}
	all = append(all,
		Function{Name: "to_char", Doc: "The number by a format: 9, 0, point, comma, D, G, S, MI, PL, SG, PR, RN, TH, V, EEEE, FM.", args: []pattern{numberArg, textArg}, result: textType, call2: numberToText},
		Function{Name: "to_date", Doc: "The date that a text names by a format.", args: []pattern{textArg, textArg}, result: dateType, call2: toDate},
		Function{Name: "to_timestamp", Doc: "The moment that a text names by a format.", args: []pattern{textArg, textArg}, result: datetimeType, call2: toTimestamp},
		Function{Name: "to_number", Doc: "The number that a text names by a format.", args: []pattern{textArg, textArg}, result: datum.Type{Kind: datum.Decimal}, call2: toNumber},
		Function{Name: "format", Doc: "The first text with %s for a value, %I for a name, %L for a literal and %% for %; %2$s takes the second one, %-9s fills up to nine characters.", NullOK: true, args: []pattern{textArg}, result: textType,
			call1: func(env *Env, v value) (value, error) { return formatText([]value{v}) }},
		Function{Name: "format", Doc: "The first text with %s for a value, %I for a name, %L for a literal and %% for %.", NullOK: true, args: []pattern{textArg, anyArg}, variadic: true, result: textType,
			calls: func(_ *Env, args []value) (value, error) { return formatText(args) }},
	)
	return all
}
