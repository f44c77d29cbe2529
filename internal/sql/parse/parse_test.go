package parse

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/fault"
)

// TestData runs the files of testdata:
//
//	parse       one statement -> its tree
//	each        one statement per line -> their trees
//	expr        one expression per line -> their trees
//	split       a batch -> its pieces
//	normalize   one statement -> its key, its literals and its tree
func TestData(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "fuzz") {
			return
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out []string
			switch d.Cmd {
			case "parse":
				return parsed(d.Input)
			case "each":
				for line := range strings.Lines(d.Input) {
					out = append(out, parsed(strings.TrimRight(line, "\n")))
				}
			case "expr":
				for line := range strings.Lines(d.Input) {
					x, err := ParseExpr(strings.TrimRight(line, "\n"))
					if err != nil {
						out = append(out, faultText(err))
						continue
					}
					out = append(out, PrintExpr(x))
				}
			case "split":
				pieces, err := Split(d.Input)
				for _, p := range pieces {
					out = append(out, fmt.Sprintf("%d %q", p.Offset, p.Text))
				}
				if err != nil {
					out = append(out, faultText(err))
				}
			case "normalize":
				return normalized(d.Input)
			default:
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
			return strings.Join(out, "\n")
		})
	})
}

func parsed(text string) string {
	st, err := Parse(text)
	if err != nil {
		return faultText(err)
	}
	return Print(st)
}

func faultText(err error) string {
	f := (*fault.Error)(nil)
	if !errors.As(err, &f) {
		return "not a fault: " + err.Error()
	}
	return fmt.Sprintf("%s at %d: %s", f.Code, f.Offset, f.Message)
}

func normalized(text string) string {
	n, err := Normalize(text)
	if err != nil {
		return faultText(err)
	}
	var out []string
	key := strings.ReplaceAll(n.Key, "\x00", "§")
	if key == text {
		key = "the text"
	}
	out = append(out, "key "+key)
	for i, l := range n.Literals {
		word := ""
		if n.Untyped[i] {
			word = " untyped"
		}
		out = append(out, fmt.Sprintf("literal %s %s%s", l.Type(), l, word))
	}
	for _, flag := range []struct {
		on   bool
		text string
	}{{n.Params > 0, fmt.Sprintf("params %d", n.Params)}, {n.Several, "several"}, {n.Unterminated, "unterminated"}} {
		if flag.on {
			out = append(out, flag.text)
		}
	}
	before := len(n.Literals)
	st, err := ParseNormalized(n)
	if len(n.Literals) != before {
		out = append(out, "kept whole after parsing")
	}
	if err != nil {
		return strings.Join(append(out, faultText(err)), "\n")
	}
	return strings.Join(append(out, Print(st)), "\n")
}

// TestConcurrent shows that parsers do not meet: the grammar's state belongs to
// the thread that runs it.
func TestConcurrent(t *testing.T) {
	const text = "SELECT a, 'x' FROM t WHERE b IN (1, 2) AND c = = 1"
	want := parsed(text)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 200 {
				if got := parsed(text); got != want {
					t.Errorf("got %s", got)
				}
				if got := parsed("SELECT 1"); !strings.HasPrefix(got, "Select") {
					t.Errorf("got %s", got)
				}
			}
		})
	}
	group.Wait()
}
