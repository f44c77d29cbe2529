package plan

import (
	"strings"
	"unicode/utf8"

	"kalamdb/internal/fault"
)

// formatText is FORMAT.
func formatText(args []value) (value, error) {
	if args[0].IsNull() {
		return value{}, nil
	}
	f := textFormat{rest: args[0].Text(), args: args[1:]}
	for f.rest != "" {
		percent := strings.IndexByte(f.rest, '%')
		if percent < 0 {
			f.out = append(f.out, f.rest...)
			break
		}
		f.out = append(f.out, f.rest[:percent]...)
		f.rest = f.rest[percent+1:]
		if err := f.directive(); err != nil {
			return value{}, err
		}
		if err := checkBuilt(len(f.out)); err != nil {
			return value{}, err
		}
	}
	if err := checkBuilt(len(f.out)); err != nil {
		return value{}, err
	}
	return textValue(string(f.out))
}

type textFormat struct {
	rest string
	args []value
	next int
	out  []byte
}

func (f *textFormat) bad(why string) error {
	return fault.New(fault.InvalidValue, "the format is wrong: %s", why)
}

// number reads digits; ok is false when there are none.
func (f *textFormat) number() (n int64, ok bool) {
	for f.rest != "" && f.rest[0] >= '0' && f.rest[0] <= '9' {
		n, ok = min(n*10+int64(f.rest[0]-'0'), 1<<40), true
		f.rest = f.rest[1:]
	}
	return n, ok
}

func (f *textFormat) take(c byte) bool {
	if f.rest == "" || f.rest[0] != c {
		return false
	}
	f.rest = f.rest[1:]
	return true
}

// arg returns an argument by its number, or the next one for 0.
func (f *textFormat) arg(n int64) (value, error) {
	if n > 0 {
		f.next = int(min(n, int64(len(f.args))+1)) - 1
	}
	f.next++
	if f.next > len(f.args) {
		return value{}, f.bad("it names more values than there are")
	}
	return f.args[f.next-1], nil
}

// directive reads what follows a percent sign and writes it.
func (f *textFormat) directive() error {
	if f.take('%') {
		f.out = append(f.out, '%')
		return nil
	}
	position, width := int64(0), int64(0)
	before := f.rest
	if n, ok := f.number(); ok {
		if f.take('$') {
			if position = n; n == 0 {
				return f.bad("values are counted from 1")
			}
		} else {
			f.rest = before
		}
	}
	left := false
	for f.take('-') {
		left = true
	}
	if f.take('*') {
		at := int64(0)
		if n, ok := f.number(); ok {
			if at = n; !f.take('$') || n == 0 {
				return f.bad("a width taken from a value is written *n$ or *")
			}
		}
		v, err := f.arg(at)
		if err != nil {
			return err
		}
		if !v.IsNull() && !v.Kind().IsInteger() {
			return f.bad("a width is an integer")
		}
		if width = v.Int(); width < 0 {
			left, width = true, -max(width, -1<<40)
		}
	} else if n, ok := f.number(); ok {
		width = n
	}
	if f.rest == "" {
		return f.bad("it ends behind %")
	}
	letter := f.rest[0]
	f.rest = f.rest[1:]
	if letter != 's' && letter != 'I' && letter != 'L' {
		return f.bad("there are %s, %I, %L and %%, but no %" + shorten(string(letter)))
	}
	v, err := f.arg(position)
	if err != nil {
		return err
	}
	return f.write(letter, v, width, left)
}

func (f *textFormat) write(letter byte, v value, width int64, left bool) error {
	text := ""
	switch {
	case v.IsNull() && letter == 'I':
		return fault.New(fault.InvalidValue, "NULL cannot be written as a name")
	case v.IsNull() && letter == 'L':
		text = "NULL"
	case v.IsNull():
	case letter == 'I':
		text = quoteName(concatText(v))
	case letter == 'L':
		text = quoteText(concatText(v))
	default:
		text = concatText(v)
	}
	missing := int(min(width, MaxBuilt+1)) - utf8.RuneCountInString(text)
	if missing <= 0 {
		f.out = append(f.out, text...)
		return nil
	}
	if err := checkBuilt(len(f.out) + len(text) + missing); err != nil {
		return err
	}
	if !left {
		f.out = append(f.out, strings.Repeat(" ", missing)...)
	}
	f.out = append(f.out, text...)
	if left {
		f.out = append(f.out, strings.Repeat(" ", missing)...)
	}
	return nil
}
