package parse

import (
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// maxOptions bounds the options of one statement.
const maxOptions = 100

// options reads (key = value, …). The = may be left out, as in retention '10s'.
func (p *statementParser) options() ([]Option, error) {
	if err := p.expectPunct('('); err != nil {
		return nil, err
	}
	var out []Option
	for !p.acceptPunct(')') {
		o, err := p.option()
		if err != nil {
			return nil, err
		}
		if out = append(out, o); len(out) > maxOptions {
			return nil, fault.At(fault.LimitExceeded, o.Offset, "a statement takes at most %d options", maxOptions)
		}
		if !p.acceptPunct(',') && !p.punct(')') {
			return nil, p.unexpected()
		}
	}
	return out, nil
}

// option reads key = value.
func (p *statementParser) option() (Option, error) {
	offset := p.offset()
	var name string
	if !p.ended() && p.toks[p.i].kind == tokString {
		name, _ = p.str()
	} else {
		var err error
		if name, err = p.settingName(); err != nil {
			return Option{}, err
		}
	}
	p.acceptPunct('=')
	o, err := p.optionValue(strings.ToUpper(name))
	o.Offset = offset
	return o, err
}

// optionValue reads the value of an option.
func (p *statementParser) optionValue(name string) (Option, error) {
	o := Option{Name: name, Offset: p.offset()}
	if p.ended() {
		return o, p.unexpected()
	}
	sign := ""
	if p.punct('-') && p.i+1 < len(p.toks) && isNumber(p.toks[p.i+1].kind) {
		p.i++
		sign = "-"
	}
	switch t := p.toks[p.i]; {
	case isNumber(t.kind):
		o.Value = sign + p.text(t)
		p.i++
	case t.kind == tokWord:
		p.i++
		switch o.Value = p.text(t); strings.ToUpper(o.Value) {
		case "NULL":
			o.Value, o.Null = "", true
		case "TRUE", "FALSE":
			o.Value = strings.ToLower(o.Value)
		}
	case t.kind == tokQuoted:
		o.Value, o.Quoted = unquoteName(p.text(t)), true
		p.i++
	default:
		var err error
		if o.Value, err = p.str(); err != nil {
			return o, err
		}
		o.Quoted = true
	}
	return o, nil
}

func isNumber(k tokenKind) bool { return k == tokInteger || k == tokDecimal || k == tokFloat }

// flushPolicy reads what follows FLUSH POLICY: ROWS n, INTERVAL '5 minutes' or
// both, and gives it the form of the option FLUSH_POLICY.
func (p *statementParser) flushPolicy() (Option, error) {
	o := Option{Name: "FLUSH_POLICY", Quoted: true, Offset: p.offset()}
	var parts []string
	for {
		switch {
		case p.accept("ROWS") || p.accept("ROW_LIMIT"):
			if p.ended() || p.toks[p.i].kind != tokInteger {
				return o, p.unexpected()
			}
			parts = append(parts, "rows:"+p.text(p.toks[p.i]))
			p.i++
		case p.accept("INTERVAL"):
			offset := p.offset()
			value, err := p.optionValue("INTERVAL")
			if err != nil {
				return o, err
			}
			seconds, err := secondsOf(value.Value, offset)
			if err != nil {
				return o, err
			}
			parts = append(parts, "interval:"+seconds)
		default:
			if len(parts) == 0 {
				return o, p.unexpected()
			}
			o.Value = strings.Join(parts, ",")
			return o, nil
		}
	}
}

// secondsOf returns the whole seconds of a duration such as 10s, 5 minutes or
// 300.
func secondsOf(text string, offset int) (string, error) {
	if n, ok := smallInteger(text); ok && n >= 0 {
		return strconv.FormatInt(n, 10), nil
	}
	v, err := datum.ParseInterval(text)
	if err != nil {
		return "", fault.At(fault.InvalidDefinition, offset, "'%s' is not a duration", shortened(text))
	}
	months, days, micros := v.Interval()
	const second, day = 1_000_000, 86_400
	if months != 0 || days < 0 || micros < 0 || micros%second != 0 {
		return "", fault.At(fault.InvalidDefinition, offset, "'%s' is not a duration of whole seconds", shortened(text))
	}
	return strconv.FormatInt(int64(days)*day+micros/second, 10), nil
}
