package duck

import (
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
		w := newWriter(typ)
		w.shape.form = formBlob // keeps the bytes without a vector
		if typ.Kind == datum.Embedding || typ.Kind == datum.Bytes {
			err = w.putBytes(0, v)
		} else {
			w.shape.form = formVarchar
			err = w.putBytes(0, v)
		}
		if err == nil && string(w.bytes) != s {
			t.Errorf("%s %q is written as %q", typ, s, w.bytes)
		}
	})
}
