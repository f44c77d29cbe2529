package plan

import (
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// TestIndexChoice asks by which index a filter is answered, if any.
func TestIndexChoice(t *testing.T) {
	number := datum.Type{Kind: datum.Int}
	table := &schema.Table{ID: 1, Namespace: "app", Name: "t", Kind: schema.Shared, Version: 1, Key: []schema.ColumnID{1, 2}, NextColumnID: 7,
		Columns: []schema.Column{{ID: 1, Name: "k1", Type: number, NotNull: true}, {ID: 2, Name: "k2", Type: number, NotNull: true},
			{ID: 3, Name: "a", Type: number}, {ID: 4, Name: "b", Type: number}, {ID: 5, Name: "c", Type: number},
			{ID: 6, Name: schema.DeletedName, Type: datum.Type{Kind: datum.Bool}, System: schema.DeletedColumn}},
		Indexes: []schema.Index{{ID: 1, Name: "ab", Columns: []schema.ColumnID{3, 4}}, {ID: 2, Name: "b", Columns: []schema.ColumnID{4}},
			{ID: 3, Name: "uc", Columns: []schema.ColumnID{5}, Unique: true}, {ID: 4, Name: "half", Columns: []schema.ColumnID{3, 4, 5}, Building: true}}}
	f := func(where, want string) {
		t.Helper()
		b := newBinder(Options{})
		b.table = table
		s, err := parse.Parse("SELECT 1 FROM app.t WHERE " + where)
		if err != nil {
			t.Fatal(err)
		}
		q := &Query{Table: table}
		if err := b.where(q, s.(*parse.Select).Where); err != nil {
			t.Fatal(err)
		}
		if got := q.Reads(); got != want {
			t.Errorf("%s: %s, want %s", where, got, want)
		}
	}
	f("a = 1", "scan app.t by index ab(1)")
	f("a = 1 AND b = 2", "scan app.t by index ab(1, 2)")
	f("b = 2", "scan app.t by index b(2)")
	f("a = 1 AND b > 2 AND b <= 9", "scan app.t by index ab(1) > 2 <= 9")
	f("a > 1", "scan app.t by index ab() > 1")
	f("a = 1 AND b IN (2, 3)", "scan app.t by index ab(1) in (2, 3)")
	f("a = 1 AND b = 2 AND c = 3", "scan app.t by index uc(3)")
	f("k1 = 1 AND k2 = 2 AND c = 3", "get app.t keys (1, 2)")
	f("k1 = 1 AND a = 2", "scan app.t from (1) to (1)")
	f("k1 = 1 AND a = 2 AND b = 3", "scan app.t from (1) to (1) by index ab(2, 3)")
	f("k1 > 1 AND a = 2", "scan app.t from after (1) by index ab(2)")
	f("k1 > 1 AND a > 2", "scan app.t from after (1)")
	f("a = 1 AND _deleted = TRUE", "scan app.t with deleted")
	f("a IS NULL", "scan app.t")
	f("a = b", "scan app.t")
	f("a = 1 OR a = 2", "scan app.t by index ab() in (1, 2)")
}
