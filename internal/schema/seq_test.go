package schema_test

import (
	"testing"

	"kalamdb/internal/schema"
)

func TestNextSeqGrowsAndBorrows(t *testing.T) {
	const micros = (schema.SeqEpochMillis + 5_000) * 1000
	last := uint64(0)
	first := schema.NextSeq(0, micros, 7)
	for i := range 10_000 {
		next := schema.NextSeq(last, micros, 7)
		if next <= last {
			t.Fatalf("row %d: %d does not follow %d", i, next, last)
		}
		if at := schema.SeqAt(first, i); at != next {
			t.Fatalf("row %d: SeqAt gives %d, NextSeq %d", i, at, next)
		}
		last = next
	}
	if got := schema.SeqMillis(last); got != schema.SeqEpochMillis+5_002 {
		t.Errorf("10,000 rows in one millisecond end at %d ms", got-schema.SeqEpochMillis)
	}
	if back := schema.NextSeq(last, micros-60_000_000, 3); back <= last {
		t.Errorf("another node with a clock behind repeats: %d after %d", back, last)
	}
	if got := schema.SeqFloor(-1); got != 0 {
		t.Errorf("SeqFloor before the epoch = %d", got)
	}
	if got := schema.SeqTime(schema.SeqFloor(micros + 999)); got != micros {
		t.Errorf("SeqTime(SeqFloor(t)) = %d, want %d", got, micros)
	}
}
