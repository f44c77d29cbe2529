package plan

import (
	"math"
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// numberFormat is a format of TO_CHAR over numbers, taken apart.
type numberFormat struct {
	parts               []string // 9 0 . , D G S MI PL SG PR TH th RN rn EEEE V L, or text as "\"…"
	before, after       int      // digits before and behind the point
	shift               int      // digits behind V
	zeroStart, zeroEnd  int      // the places of the first and last 0, counted from 1
	fill, point, zero   bool
	sign, minus, plus   bool // S, MI or SG, PL or SG
	signLast, signAfter bool // S stands behind the digits
	brackets, roman     bool
	exponent, shifted   bool
}

var numberWords = []string{"EEEE", "SG", "MI", "PL", "PR", "RN", "TH", "FM", "9", "0", ".", ",", "D", "G", "S", "L", "V", "B"}

// parseNumberFormat takes a format apart.
func parseNumberFormat(text string) (*numberFormat, error) {
	const most = 4000
	if len(text) > most {
		return nil, fault.New(fault.LimitExceeded, "a format of numbers may have at most %d bytes", most)
	}
	f := &numberFormat{}
	signAt := -1
	for text != "" {
		if text[0] == '"' {
			var literal string
			literal, text = quotedPart(text[1:])
			f.parts = append(f.parts, `"`+literal)
			continue
		}
		word := ""
		for _, w := range numberWords {
			if len(text) >= len(w) && strings.EqualFold(text[:len(w)], w) {
				word = w
				break
			}
		}
		if word == "" {
			f.parts, text = append(f.parts, `"`+text[:1]), text[1:]
			continue
		}
		part := word
		if (word == "TH" || word == "RN") && text[:2] == strings.ToLower(word) {
			part = strings.ToLower(word)
		}
		text = text[len(word):]
		switch word {
		case "9", "0":
			f.digit(word)
		case ".", "D":
			if f.point || f.shifted {
				return nil, fault.New(fault.InvalidValue, "a format of numbers has one decimal point, and none beside V")
			}
			f.point = true
		case "FM":
			f.fill = true
			continue
		case "S":
			f.sign = true
			if f.point || f.before > 0 {
				f.signAfter = true
			} else {
				signAt = f.before
			}
		case "MI":
			f.minus = true
		case "PL":
			f.plus = true
		case "SG":
			f.minus, f.plus = true, true
		case "PR":
			f.brackets = true
		case "RN":
			f.roman = true
		case "EEEE":
			f.exponent = true
		case "V":
			if f.point {
				return nil, fault.New(fault.InvalidValue, "a format of numbers has no V beside a decimal point")
			}
			f.shifted = true
		}
		f.parts = append(f.parts, part)
	}
	f.signLast = f.sign && (f.signAfter || signAt == f.before)
	return f, nil
}

func (f *numberFormat) digit(word string) {
	if word == "0" && !f.zero && !f.point {
		f.zero, f.zeroStart = true, f.before+1
	}
	switch {
	case f.point:
		f.after++
	default:
		f.before++
		if f.shifted {
			f.shift++
		}
	}
	if word == "0" {
		f.zeroEnd = f.before + f.after
	}
}

// numberWriter fills a format with the digits of a number.
type numberWriter struct {
	*numberFormat
	digits   string // with the point
	at       int    // what comes next of them
	relevant int    // with FM the last one that is shown, else -1
	blanks   int    // places before the first digit
	place    int
	count    int
	negative bool
	signed   bool // the sign is written
	started  bool // a digit is written
	out      []byte
}

func numberToText(_ *Env, v, format value) (value, error) {
	f, err := parseNumberFormat(format.Text())
	if err != nil {
		return value{}, err
	}
	switch {
	case format.Text() == "":
		return textValue("")
	case f.roman:
		return f.romanText(v)
	case f.exponent:
		return f.exponentText(v)
	}
	digits, negative, err := f.digitsOf(v)
	if err != nil {
		return value{}, err
	}
	w := numberWriter{numberFormat: f, digits: digits, negative: negative, relevant: -1}
	whole, _, _ := strings.Cut(digits, ".")
	switch {
	case len(whole) < f.before:
		w.blanks = f.before - len(whole)
	case len(whole) > f.before:
		w.digits = strings.Repeat("#", f.before)
		if f.point {
			w.digits += "." + strings.Repeat("#", f.after)
		}
	}
	return textValue(w.write())
}

// digitsOf rounds a number to the digits of the format.
func (f *numberFormat) digitsOf(v value) (digits string, negative bool, err error) {
	if isFloat(v.Kind()) {
		x := v.Float()
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return strings.Repeat("#", f.before+1), x < 0, nil
		}
		if f.shift > 0 {
			x *= math.Pow10(f.shift)
		}
		// A double has fifteen digits that are sure.
		places := f.after
		whole := len(strconv.FormatFloat(math.Abs(math.Trunc(x)), 'f', 0, 64))
		digits = strconv.FormatFloat(math.Abs(x), 'f', max(min(places, 15-whole), 0), 64)
		return pointed(digits, places), math.Signbit(x) && x != 0, nil
	}
	if f.shift > 0 {
		if v, err = datum.Mul(v, datum.NewInt(datum.BigInt, int64(math.Pow10(min(f.shift, 18))))); err != nil {
			return "", false, err
		}
	}
	if v.Kind() == datum.Decimal {
		if v, err = datum.Round(v, f.after); err != nil {
			return "", false, err
		}
	}
	digits = v.String()
	digits, negative = strings.CutPrefix(digits, "-")
	return pointed(digits, f.after), negative, nil
}

// pointed fills the fraction up to so many digits.
func pointed(digits string, after int) string {
	whole, fraction, _ := strings.Cut(digits, ".")
	if after == 0 {
		return whole
	}
	if len(fraction) < after {
		fraction += strings.Repeat("0", after-len(fraction))
	}
	return whole + "." + fraction[:after]
}

// write goes through the format.
func (w *numberWriter) write() string {
	if w.minus || w.plus {
		w.signed = !w.plus || w.minus
	} else {
		if !w.negative && w.fill {
			w.brackets = false
		}
		w.signed = !w.negative && w.fill && !w.sign
	}
	w.count = w.after + w.before - 1
	if w.fill && w.point {
		w.lastRelevant()
	}
	if !w.signed && w.blanks == 0 {
		w.count++
	}
	for _, part := range w.parts {
		w.part(part)
	}
	return string(w.out)
}

// lastRelevant finds the last digit that FM leaves.
func (w *numberWriter) lastRelevant() {
	point := strings.IndexByte(w.digits, '.')
	if point < 0 {
		return
	}
	w.relevant = len(strings.TrimRight(w.digits, "0")) - 1
	if w.relevant < point {
		w.relevant = point
	}
	if w.zeroEnd > w.blanks {
		w.relevant = max(w.relevant, min(len(w.digits)-1, w.zeroEnd-w.blanks))
	}
}

func (w *numberWriter) part(part string) {
	switch part {
	case "9", "0", ".", "D":
		w.digitPlace(part)
	case ",", "G":
		switch {
		case w.started:
			w.out = append(w.out, ',')
		case !w.fill:
			w.out = append(w.out, ' ')
		}
	case "MI":
		w.signOf('-', w.negative)
	case "PL":
		w.signOf('+', !w.negative)
	case "SG":
		w.out = append(w.out, w.signByte())
	case "TH", "th":
		if !w.negative && !w.point && w.digits[0] != '#' {
			form := 1
			if part == "th" {
				form = 2
			}
			w.out = append(w.out, ordinalEnd(w.digits, form)...)
		}
	case "L":
		w.out = append(w.out, ' ')
	case "S", "PR", "V", "B", "EEEE":
	default:
		w.out = append(w.out, part[1:]...)
	}
}

func (w *numberWriter) signByte() byte {
	if w.negative {
		return '-'
	}
	return '+'
}

// signOf writes a sign where it holds, else a blank.
func (w *numberWriter) signOf(sign byte, holds bool) {
	switch {
	case holds:
		w.out = append(w.out, sign)
	case !w.fill:
		w.out = append(w.out, ' ')
	}
}

// leadingZero reports whether the digit at hand is the 0 before a point that the
// format leaves out.
func (w *numberWriter) leadingZero() bool {
	return !w.zero && w.at == 0 && w.digits[0] == '0' && w.after != 0
}

func (w *numberWriter) onlyPoint() bool { return w.relevant >= 0 && w.digits[w.relevant] == '.' }

// digitPlace writes one place of the format, and the sign before the first.
func (w *numberWriter) digitPlace(part string) {
	if !w.signed && (w.place >= w.blanks || w.zero && w.zeroStart-1 == w.place) && (!w.leadingZero() || w.onlyPoint()) {
		w.leadingSign()
	}
	switch {
	case w.place < w.blanks && (!w.zero || w.zeroStart-1 > w.place):
		if !w.fill {
			w.out = append(w.out, ' ')
		}
	case w.zero && w.place < w.blanks:
		w.out = append(w.out, '0')
		w.started = true
	default:
		w.nextDigit(part)
	}
	end := w.count
	if w.blanks > 0 {
		end++
	}
	if w.point {
		end++
	}
	if w.relevant >= 0 && w.relevant == w.at {
		end = w.place
	}
	if w.place+1 == end {
		w.trailingSign()
	}
	w.place++
}

func (w *numberWriter) leadingSign() {
	switch {
	case w.sign:
		if !w.signLast {
			w.out = append(w.out, w.signByte())
			w.signed = true
		}
		return
	case w.brackets && w.negative:
		w.out = append(w.out, '<')
	case w.brackets:
		w.out = append(w.out, ' ')
	case w.negative:
		w.out = append(w.out, '-')
	case !w.fill:
		w.out = append(w.out, ' ')
	}
	w.signed = true
}

func (w *numberWriter) trailingSign() {
	switch {
	case w.signed && w.brackets && w.negative:
		w.out = append(w.out, '>')
	case w.signed && w.brackets:
		w.out = append(w.out, ' ')
	case w.sign && w.signLast:
		w.out = append(w.out, w.signByte())
	}
}

// nextDigit writes the digit, or the point, that comes next.
func (w *numberWriter) nextDigit(part string) {
	switch {
	case w.at >= len(w.digits):
	case w.digits[w.at] == '.':
		if !w.onlyPoint() || w.fill {
			w.out = append(w.out, '.')
		}
	case w.relevant >= 0 && w.at > w.relevant && part != "0":
	case w.leadingZero():
		switch {
		case !w.fill:
			w.out = append(w.out, ' ')
		case w.onlyPoint():
			w.out = append(w.out, '0')
		}
	default:
		w.out = append(w.out, w.digits[w.at])
		w.started = true
	}
	if w.at < len(w.digits) {
		w.at++
	}
}

// romanText writes a number from 1 to 3999 in Roman digits.
func (f *numberFormat) romanText(v value) (value, error) {
	const width = 15
	text := strings.Repeat("#", width)
	if d, err := datum.Cast(v, bigintType); err == nil && d.Int() >= 1 && d.Int() <= 3999 {
		n := d.Int()
		var b strings.Builder
		for i, letters := range []string{"M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I"} {
			for size := []int64{1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1}[i]; n >= size; n -= size {
				b.WriteString(letters)
			}
		}
		text = b.String()
	}
	for _, part := range f.parts {
		if part == "rn" {
			text = strings.ToLower(text)
		}
	}
	if !f.fill && len(text) < width {
		text = strings.Repeat(" ", width-len(text)) + text
	}
	return textValue(text)
}

// exponentText writes a number with a power of ten.
func (f *numberFormat) exponentText(v value) (value, error) {
	if f.fill || f.sign || f.brackets || f.minus || f.plus || f.zero && f.before == 0 {
		return value{}, fault.New(fault.InvalidValue, "EEEE only goes with digits and a point")
	}
	x, err := toFloat(v)
	if err != nil {
		return value{}, err
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		text := " " + strings.Repeat("#", f.before)
		if f.point {
			text += "."
		}
		return textValue(text + strings.Repeat("#", f.after+4))
	}
	text := strconv.FormatFloat(x, 'e', f.after, 64)
	if x >= 0 {
		text = " " + text
	}
	return textValue(text)
}
