package cold

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"kalamdb/internal/cold/internal/parquet"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// statisticsMost bounds how many files' statistics are kept in memory.
const statisticsMost = 4096

// columnBounds is what the statistics of a file say of one column.
type columnBounds struct {
	Min   json.RawMessage `json:"min"`
	Max   json.RawMessage `json:"max"`
	Nulls uint64          `json:"null_count"`
}

// statistics are those of files, read once: a file never changes.
type statistics struct {
	mu struct {
		sync.Mutex
		files map[uint64]map[string]columnBounds
	}
}

// of returns the statistics of a file by column id; nil when it has none.
func (s *statistics) of(f *schema.File) map[string]columnBounds {
	s.mu.Lock()
	columns, ok := s.mu.files[f.Bytes()]
	s.mu.Unlock()
	if ok {
		return columns
	}
	if json.Unmarshal([]byte(f.Statistics), &columns) != nil {
		columns = nil // they only spare work
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.files == nil || len(s.mu.files) >= statisticsMost {
		s.mu.files = map[uint64]map[string]columnBounds{}
	}
	s.mu.files[f.Bytes()] = columns
	return columns
}

// forget drops the statistics of a file.
func (s *statistics) forget(number uint64) {
	s.mu.Lock()
	delete(s.mu.files, number)
	s.mu.Unlock()
}

// May reports whether a file may hold a row that meets all conditions, as far as
// its statistics tell. version is the one of the table that the file was written
// under.
func (t *Tier) May(f *schema.File, def *schema.Table, version uint32, where []schema.Condition) bool {
	if len(where) == 0 || f.Statistics == "" {
		return true
	}
	columns := t.statistics.of(f)
	for i := range where {
		c := &def.Columns[where[i].Column]
		if c.Type.Kind == datum.Text && version != def.Version && c.System == schema.NotSystem {
			continue // it may have been of another type, with another order
		}
		if s, ok := spanOf(columns, c, f.Rows); ok && !where[i].May(s) {
			return false
		}
	}
	return true
}

// spanOf reads the statistics of a column; ok is false when there are none.
func spanOf(columns map[string]columnBounds, c *schema.Column, rows uint64) (s schema.Span, ok bool) {
	b, ok := columns[columnName(c.ID)]
	if !ok || b.Nulls > rows {
		return s, false
	}
	s.Nulls, s.Others = b.Nulls > 0, b.Nulls < rows
	low, errLow := datum.FromJSON(b.Min, c.Type)
	high, errHigh := datum.FromJSON(b.Max, c.Type)
	if errLow == nil && errHigh == nil && faithful(low) && faithful(high) {
		s.Low, s.High = low, high
	}
	return s, true
}

// faithful reports whether a value stands in JSON as it is: bytes that are not
// UTF-8 become U+FFFD.
func faithful(v datum.Value) bool {
	return v.Kind() != datum.Text || !strings.ContainsRune(v.Text(), '�')
}

func columnName(id schema.ColumnID) string { return fmt.Sprint(uint16(id)) }

// Stretch is the rows [From, To) of a file, by number.
type Stretch = parquet.Stretch

// Stretches returns the parts of rows [from, to) whose row groups may hold rows
// that meet all conditions, in order, and how many row groups they are of how
// many.
func (r *Reader) Stretches(def *schema.Table, where []schema.Condition, from, to uint64) (parts []Stretch, some, all int, err error) {
	to = min(to, r.file.Rows())
	if from >= to {
		return nil, 0, 0, nil
	}
	g, err := r.file.GroupOf(from)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("cold file %s: %w", r.path, err)
	}
	tests := r.testable(def, where)
	for ; g < r.file.RowGroups(); g++ {
		in := r.file.Group(g)
		if in.From >= to {
			break
		}
		all++
		may, err := r.groupMay(tests, g)
		if err != nil {
			return nil, 0, 0, fmt.Errorf("cold file %s: %w", r.path, err)
		}
		if !may {
			continue
		}
		some++
		part := Stretch{From: max(in.From, from), To: min(in.To, to)}
		if n := len(parts); n > 0 && parts[n-1].To == part.From {
			parts[n-1].To = part.To
		} else {
			parts = append(parts, part)
		}
	}
	r.tier.stats.groupsPruned.Add(int64(all - some))
	return parts, some, all, nil
}

// test is a condition on a column of the file.
type test struct {
	schema.Condition
	in    int
	bloom []datum.Value // of Equals: the values as the file holds them
}

// testable returns the conditions that the file's own statistics can answer:
// those on columns that it has, in a type that is ordered like that of the
// definition.
func (r *Reader) testable(def *schema.Table, where []schema.Condition) []test {
	var tests []test
	for _, c := range where {
		column := &def.Columns[c.Column]
		in := r.file.Column(column.ID)
		if in < 0 {
			continue
		}
		stored := r.file.Type(in)
		if stored.Kind != column.Type.Kind && !(stored.Kind.IsNumeric() && column.Type.Kind.IsNumeric()) {
			continue
		}
		t := test{Condition: c, in: in}
		if c.Is == schema.Equals {
			t.bloom = make([]datum.Value, 0, len(c.Values))
			for _, v := range c.Values {
				w, err := datum.Cast(v, stored)
				if err != nil || !datum.Comparable(w.Kind(), v.Kind()) || !datum.Equal(w, v) {
					t.bloom = nil // bounds know better what such a value is equal to
					break
				}
				t.bloom = append(t.bloom, w)
			}
		}
		tests = append(tests, t)
	}
	return tests
}

// groupMay reports whether a row group may hold a row that passes all tests.
func (r *Reader) groupMay(tests []test, g int) (bool, error) {
	for i := range tests {
		t := &tests[i]
		if !t.May(r.file.Span(t.in, g)) {
			return false, nil
		}
	}
	for i := range tests {
		t := &tests[i]
		if len(t.bloom) == 0 || len(t.bloom) > bloomValues {
			continue
		}
		may := false
		for _, v := range t.bloom {
			held, err := r.file.MayHold(t.in, g, v)
			if err != nil {
				return false, err
			}
			may = may || held
		}
		if !may {
			return false, nil
		}
	}
	return true, nil
}

// bloomValues is for how many values of a list a bloom filter is asked.
const bloomValues = 16

// Groups returns how many row groups hold the rows with some numbers.
func (r *Reader) Groups(numbers []uint64) int {
	seen := map[int]struct{}{}
	for _, n := range numbers {
		if g, err := r.file.GroupOf(n); err == nil {
			seen[g] = struct{}{}
		}
	}
	return len(seen)
}
