package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	kalam "kalamdb/sdk/go"
)

// FuzzPrint: whatever a server sends in rows and events, what is printed has no
// character that moves the cursor, and as many lines as there are rows.
func FuzzPrint(f *testing.F) {
	f.Add([]byte(`"a\u001b[2Jb\nc"`), "name\r", "_deleted")
	f.Add([]byte(`{"a":"\t"}`), "", "id")
	f.Add([]byte("null"), "\x9b", "b")
	f.Add([]byte("[1,\n2]"), "|", "a")
	f.Fuzz(func(t *testing.T, raw []byte, name, other string) {
		if !json.Valid(raw) {
			return
		}
		text := cell(raw)
		if i := strings.IndexFunc(text, unicode.IsControl); i >= 0 {
			t.Fatalf("%q is printed as %q", raw, text)
		}
		line := members(map[string]json.RawMessage{name: raw, other: raw})
		if i := strings.IndexFunc(line, unicode.IsControl); i >= 0 {
			t.Fatalf("%q under %q is printed as %q", raw, name, line)
		}
		var out bytes.Buffer
		s := &shell{out: &out}
		result := kalam.Result{Columns: []kalam.Column{{Name: name}, {Name: other}}, Rows: [][]json.RawMessage{{raw, raw}, {raw}}, Message: name}
		if err := s.printResult(&result); err != nil {
			t.Fatal(err)
		}
		for _, r := range strings.ReplaceAll(out.String(), "\n", "") {
			if unicode.IsControl(r) {
				t.Fatalf("%q and %q are printed as %q", raw, name, out.String())
			}
		}
	})
}
