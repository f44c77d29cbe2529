package write

import (
	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// entryOverhead is what an entry of an index counts for beside its bytes.
const entryOverhead = 48

// entries are what a change of a row means for the indexes of its table.
func entries(t *schema.Table, op command.Op, old, row []datum.Value) ([]schema.IndexEntry, error) {
	if len(t.Indexes) == 0 {
		return nil, nil
	}
	list := make([]schema.IndexEntry, len(t.Indexes))
	for i := range t.Indexes {
		x := &t.Indexes[i]
		if op != command.Insert {
			list[i].Old, _ = t.AppendIndexValues(nil, x, old)
		}
		if op == command.Delete {
			continue
		}
		if list[i].New, _ = t.AppendIndexValues(nil, x, row); len(list[i].New) > schema.MaxIndexBytes {
			return nil, fault.New(fault.LimitExceeded, "the values of index '%s' take %d bytes, at most %d fit an entry", x.Name, len(list[i].New), schema.MaxIndexBytes)
		}
	}
	return list, nil
}

// entryBytes is about what entries take in memory.
func entryBytes(list []schema.IndexEntry) (n int64) {
	for i := range list {
		n += int64(entryOverhead + len(list[i].Old) + len(list[i].New))
	}
	return n
}

// mergedEntries returns what two changes of a row after one another mean.
func mergedEntries(first, second []schema.IndexEntry) []schema.IndexEntry {
	if len(first) == 0 {
		return nil
	}
	list := make([]schema.IndexEntry, len(first))
	for i := range list {
		list[i] = schema.IndexEntry{Old: first[i].Old, New: second[i].New}
	}
	return list
}
