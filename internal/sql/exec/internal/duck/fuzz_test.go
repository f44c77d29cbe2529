package duck

import (
	"strings"
	"testing"

	"kalamdb/internal/datum"
)

// FuzzDecodeBytes: what is carried as a text or a byte string is refused or read
// as a value that is carried by the same bytes.
func FuzzDecodeBytes(f *testing.F) {
	types := []datum.Type{{Kind: datum.Text}, {Kind: datum.Bytes}, {Kind: datum.JSON}, {Kind: datum.File}, {Kind: datum.Decimal}, {Kind: datum.Embedding, Dim: 2}}
	f.Add(0, "text")
	f.Add(2, `{"a": 1}`)
	f.Add(4, "-12.50")
	f.Add(5, string(datum.AppendValue(nil, datum.NewEmbedding([]float32{1, 2}))))
	f.Fuzz(func(t *testing.T, n int, s string) {
		typ := types[uint(n)%uint(len(types))]
		v, err := decodeBytes(typ, s)
		if err != nil || typ.Kind == datum.Decimal && v.DecimalString() != s {
			return // a decimal may be written in other ways
		}
		w := newWriter(typ) // keeps the bytes until they are flushed to a vector
		err = w.putBytes(0, v)
		if err == nil && string(w.bytes) != s {
			t.Errorf("%s %q is written as %q", typ, s, w.bytes)
		}
	})
}

// FuzzCheckText: any text is refused or let through, and one that is let through
// does not call a forbidden function in plain sight.
func FuzzCheckText(f *testing.F) {
	f.Add("SELECT c0 FROM kscan(0) WHERE c1 = 'it''s' AND \"c\"\"0\" IN (SELECT $1)")
	f.Add("SELECT 1 FROM query('SELECT 1')")
	f.Add("((()))) (select (with '")
	f.Fuzz(func(t *testing.T, s string) {
		if err := checkText(s); err != nil || strings.ContainsAny(s, `'"`) {
			return
		}
		for _, name := range []string{"query(", "glob (", "read_text("} {
			if i := strings.Index(s, name); i == 0 || i > 0 && !isWord(s[i-1]) {
				t.Errorf("%q is let through", s)
			}
		}
	})
}
