package parse

import (
	"slices"
	"strings"

	"kalamdb/internal/fault"
)

// explainOptions reads the options of EXPLAIN in brackets. Those that ask for
// figures which there are none of change nothing.
func (p *statementParser) explainOptions(e *Explain) error {
	p.i++
	for {
		at, name := p.offset(), p.word()
		p.i++
		switch name {
		case "ANALYZE", "ANALYSE", "VERBOSE", "COSTS", "SETTINGS", "BUFFERS", "WAL", "TIMING", "SUMMARY":
			on, err := p.explainSwitch()
			if err != nil {
				return err
			}
			switch name {
			case "ANALYZE", "ANALYSE":
				e.Analyze = on
			case "VERBOSE":
				e.Verbose = on
			}
		case "FORMAT":
			format, err := p.explainFormat()
			if err != nil {
				return err
			}
			e.Format = format
		case "":
			p.i--
			return p.unexpected()
		default:
			return fault.At(fault.Syntax, at, "unrecognized EXPLAIN option \"%s\"", strings.ToLower(shortened(name)))
		}
		if p.acceptPunct(')') {
			return nil
		}
		if !p.acceptPunct(',') {
			return p.unexpected()
		}
	}
}

// explainSwitch reads the value of an option that is on or off; none is on.
func (p *statementParser) explainSwitch() (bool, error) {
	if p.punct(')') || p.punct(',') {
		return true, nil
	}
	at, value := p.offset(), p.value()
	switch strings.ToLower(value) {
	case "true", "on", "1":
		return true, nil
	case "false", "off", "0":
		return false, nil
	}
	return false, fault.At(fault.Syntax, at, "an option of EXPLAIN is on or off, not %s", shortened(value))
}

func (p *statementParser) explainFormat() (string, error) {
	at, value := p.offset(), strings.ToLower(p.value())
	switch {
	case value == "text" || value == "json":
		return value, nil
	case slices.Contains([]string{"xml", "yaml"}, value):
		return "", fault.At(fault.NotImplemented, at, "EXPLAIN gives TEXT or JSON; FORMAT %s is not supported", strings.ToUpper(value))
	}
	return "", fault.At(fault.Syntax, at, "unrecognized value for EXPLAIN option \"format\": \"%s\"", shortened(value))
}

// value passes one token and returns it, a string without its quotes.
func (p *statementParser) value() string {
	if p.ended() {
		return ""
	}
	if text, err := p.str(); err == nil {
		return text
	}
	text := p.text(p.toks[p.i])
	p.i++
	return text
}
