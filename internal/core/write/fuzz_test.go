package write

import (
	"encoding/json"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// FuzzObject: any text for a row is refused in documented words, or gives each
// column that it names a value of its type and leaves the others and the system
// columns absent.
func FuzzObject(f *testing.F) {
	table := &schema.Table{Namespace: "app", Name: "t", Columns: []schema.Column{
		{ID: 1, Name: "id", Type: datum.Type{Kind: datum.BigInt}},
		{ID: 2, Name: "v", Type: datum.Type{Kind: datum.Text}},
		{ID: 3, Name: "d", Type: datum.DecimalType(10, 2)},
		{ID: 4, Name: "at", Type: datum.Type{Kind: datum.DateTime}},
		{ID: 5, Name: "e", Type: datum.Type{Kind: datum.Embedding, Dim: 2}},
		{ID: 6, Name: schema.SeqName, Type: datum.Type{Kind: datum.BigInt}, System: schema.SeqColumn},
	}}
	for _, text := range []string{`{"id":1,"v":"x","d":"1.50","at":"2026-11-23T10:00:00Z","e":[1,2]}`, `{}`, ` {"ID":null}`, `{"id":1,"Id":2}`,
		`{"_seq":1}`, `[]`, `{"id":9223372036854775808}`, `{"v":{"a":[]}}`, `{"x":1}`, `{"id":1`, "{}{}", `{"v":"\ud800"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		row, absent, err := rowOf(table, text)
		if err != nil {
			if fault.CodeOf(err) == fault.Internal {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatalf("%q was taken: %v", text, err)
		}
		given := 0
		for i := range table.Columns {
			c := &table.Columns[i]
			if !absent[i] {
				given++
			}
			if absent[i] && !row[i].IsNull() || !absent[i] && c.System != schema.NotSystem || !row[i].IsNull() && row[i].Kind() != c.Type.Kind {
				t.Fatalf("%q gives column %s %s %s", text, c.Name, row[i].Kind(), row[i])
			}
		}
		if given != len(members) {
			t.Fatalf("%q gives %d columns out of %d members", text, given, len(members))
		}
	})
}
