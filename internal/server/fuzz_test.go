package server

import (
	"testing"

	"kalamdb/internal/datum"
)

// FuzzLogRow: no line of the log makes system.server_logs panic; a row has the
// columns of that table, as text, and is not much longer than its line.
func FuzzLogRow(f *testing.F) {
	f.Add([]byte(`{"time":"2026-11-23T10:00:00Z","level":"INFO","msg":"started","room":"api","n":7,"err":{"a":[1]}}`))
	f.Add([]byte(`{"msg":null,"room":7}`))
	f.Add([]byte(`{} trailing`))
	f.Add([]byte("\x00\xff"))
	f.Fuzz(func(t *testing.T, line []byte) {
		row, ok := logRow(line)
		if !ok {
			return
		}
		if len(row) != 6 {
			t.Fatalf("%q has %d columns", line, len(row))
		}
		size := 0
		for _, v := range row {
			if !v.IsNull() && v.Kind() != datum.Text {
				t.Fatalf("%q has the cell %s %s", line, v.Kind(), v)
			}
			size += v.Size()
		}
		if size > 100+10*len(line) {
			t.Fatalf("%q becomes %d bytes", line, size)
		}
	})
}
