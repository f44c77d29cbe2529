package server

import (
	"testing"
	"time"

	"kalamdb/internal/datum"
	"kalamdb/internal/store"
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

// FuzzUntil reads any text as the moment of a restore: it is taken or refused,
// and a time means the millisecond that it lies in.
func FuzzUntil(f *testing.F) {
	for _, text := range []string{"", "17", "2026-11-23T21:05:00Z", "2026-11-23T21:05:00.123456789+01:00", "1900-01-01T00:00:00Z", "9999-12-31T23:59:59Z"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseUntil(text)
		if err != nil || u.Exact || text == "" {
			return
		}
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatalf("%q is taken", text)
		}
		if got := store.PositionTime(u.Position); at.Sub(got) < 0 || at.Sub(got) >= time.Millisecond {
			t.Errorf("%q means %s", text, got)
		}
	})
}
