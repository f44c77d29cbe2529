package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// set reads the text of a value into the key's field.
func (k *key) set(value string) error {
	if _, isText := k.field.(*string); !isText {
		value = strings.TrimSpace(value)
	}
	if k.choices != nil && !slices.Contains(k.choices, value) {
		return fmt.Errorf("%s is %s; use one of %s", k.name, k.quoted(value), strings.Join(k.choices, ", "))
	}
	switch f := k.field.(type) {
	case *string:
		*f = value
	case *bool:
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%s is %s; use true or false", k.name, k.quoted(value))
		}
		*f = b
	case *int:
		n, err := k.integer(value)
		if err != nil {
			return err
		}
		*f = int(n)
	case *int64:
		n, err := parseSize(value)
		if err != nil {
			return fmt.Errorf("%s is %s; use a size such as 64MiB or a number of bytes", k.name, k.quoted(value))
		}
		if err := k.bound(n, formatSize); err != nil {
			return err
		}
		*f = n
	case *float64:
		x, err := strconv.ParseFloat(value, 64)
		if err != nil || !(x >= float64(k.min) && x <= float64(k.max)) {
			return fmt.Errorf("%s is %s; use a number from %d to %d", k.name, k.quoted(value), k.min, k.max)
		}
		*f = x
	case *time.Duration:
		return k.setDuration(f, value)
	case *[]string:
		*f = splitList(value)
	default:
		return fmt.Errorf("%s has a field of type %T", k.name, f)
	}
	return nil
}

func (k *key) integer(value string) (int64, error) {
	n, err := strconv.ParseInt(strings.ReplaceAll(value, "_", ""), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is %s; use a whole number", k.name, k.quoted(value))
	}
	return n, k.bound(n, func(n int64) string { return strconv.FormatInt(n, 10) })
}

func (k *key) setDuration(f *time.Duration, value string) error {
	if k.unit != 0 {
		n, err := k.integer(value)
		if err != nil {
			return err
		}
		*f = time.Duration(n) * k.unit
		return nil
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		return fmt.Errorf("%s is %s; use a duration such as 90s, 10m or 1h", k.name, k.quoted(value))
	}
	*f = d
	return k.bound(int64(d), func(n int64) string { return time.Duration(n).String() })
}

// bound checks a number against min and max.
func (k *key) bound(n int64, show func(int64) string) error {
	if n < k.min {
		return fmt.Errorf("%s is %s; it must be at least %s", k.name, show(n), show(k.min))
	}
	if k.max != 0 && n > k.max {
		return fmt.Errorf("%s is %s; it must be at most %s", k.name, show(n), show(k.max))
	}
	return nil
}

// quoted shows a wrong value, unless it may be a secret.
func (k *key) quoted(value string) string {
	if k.secret {
		return "not valid"
	}
	return strconv.Quote(value)
}

// mask stands for a secret that is set.
const mask = "***"

// show returns the value in force as TOML.
func (k *key) show() string {
	switch f := k.field.(type) {
	case *string:
		if k.secretSet() {
			return strconv.Quote(mask)
		}
		return quoteTOML(*f)
	case *bool:
		return strconv.FormatBool(*f)
	case *int:
		return strconv.Itoa(*f)
	case *int64:
		if strings.HasSuffix(k.preset, "B") {
			return strconv.Quote(formatSize(*f))
		}
		return strconv.FormatInt(*f, 10)
	case *float64:
		return strconv.FormatFloat(*f, 'g', -1, 64)
	case *time.Duration:
		if k.unit != 0 {
			return strconv.FormatInt(int64(*f/k.unit), 10)
		}
		return strconv.Quote(formatDuration(*f))
	case *[]string:
		quoted := make([]string, len(*f))
		for i, s := range *f {
			quoted[i] = quoteTOML(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return ""
}

// quoteTOML writes a basic string.
func quoteTOML(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func splitList(value string) []string {
	out := []string{}
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// sizeUnits from the largest; it is never written.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

func parseSize(value string) (int64, error) {
	number, factor := value, int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(value, u.name); ok {
			number, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(number, "_", ""), 10, 64)
	if err != nil {
		return 0, err
	}
	if n < 0 || n > math.MaxInt64/factor {
		return 0, errors.New("out of range")
	}
	return n * factor, nil
}

func formatSize(n int64) string {
	for _, u := range sizeUnits[:4] {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// formatDuration is Duration.String without units of zero at the end.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parseRanges reads networks; a single address is a network of itself.
func parseRanges(texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range texts {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p.Masked())
			continue
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("security.trusted_proxy_ranges: %q is not a network", text)
		}
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out, nil
}

// ProxyRanges returns the networks of trusted proxies.
func (s *Security) ProxyRanges() []netip.Prefix {
	ranges, _ := parseRanges(s.TrustedProxyRanges) // validate has reported what is wrong
	return ranges
}
