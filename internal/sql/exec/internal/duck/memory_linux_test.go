package duck_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/exec/internal/duck"
)

// resident is the memory of this process in bytes.
func resident(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var all, pages int
	if _, err := fmt.Sscan(string(text), &all, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// TestGiveBack: what a statement held, the process does not keep.
func TestGiveBack(t *testing.T) {
	e := duck.New(duck.Options{Memory: 256 << 20})
	defer e.Close()
	in := sequence(1, func(int) string { return "" })
	before := resident(t)
	_, err := query(context.Background(), e, &duck.Statement{
		Text:  "SELECT len(list(i)) + count(DISTINCT i) FROM (SELECT unnest(generate_series(c0, 2000000)) AS i FROM kscan(0))",
		Scans: []duck.Scan{in.scan()}, Columns: []datum.Type{bigint},
	})
	if err != nil {
		t.Fatal(err)
	}
	kept := resident(t) - before
	e.GiveBack()
	if after := resident(t) - before; after > kept/2 && after > 32<<20 {
		t.Errorf("of %d MiB that a statement left, the process keeps %d", kept>>20, after>>20)
	} else {
		t.Logf("a statement left %d MiB, of which the process keeps %d", kept>>20, after>>20)
	}
}
