package schema_test

import (
	"slices"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// TestRoles: each role is read back from its own name and from its synonyms, in
// any case; the numbers are stored and stand in the order of power.
func TestRoles(t *testing.T) {
	synonyms := map[schema.Role][]string{
		schema.RoleAnonymous: {"anonymous"},
		schema.RoleUser:      {"user", "viewer", "READONLY"},
		schema.RoleService:   {"Service", "developer", "analyst"},
		schema.RoleDBA:       {"dba", "ADMIN"},
		schema.RoleSystem:    {"system"},
	}
	for number, name := range []string{"anonymous", "user", "service", "dba", "system"} {
		role := schema.Role(number)
		if role.String() != name {
			t.Errorf("role %d is %q, want %q", number, role, name)
		}
		if role.Admin() != (name == "dba" || name == "system") {
			t.Errorf("Admin of %s is %v", role, role.Admin())
		}
		for _, text := range append(synonyms[role], role.String()) {
			if got, err := schema.ParseRole(text); err != nil || got != role {
				t.Errorf("ParseRole(%q) = %s, %v; want %s", text, got, err, role)
			}
		}
	}
	for _, text := range []string{"", "root", " dba", "users", "unknown"} {
		if got, err := schema.ParseRole(text); !fault.Is(err, fault.InvalidDefinition) {
			t.Errorf("ParseRole(%q) = %s, %v", text, got, err)
		}
	}
	if got := schema.Role(5).String(); got != "unknown" {
		t.Errorf("role 5 is %q", got)
	}
}

// TestKinds pins the stored numbers and the names of kinds, and which kinds
// have a partition per user.
func TestKinds(t *testing.T) {
	f := func(number uint8, kind schema.Kind, name string, perUser bool) {
		t.Helper()
		table := schema.Table{Kind: kind}
		if schema.Kind(number) != kind || kind.String() != name || table.PerUser() != perUser {
			t.Errorf("kind %d is %q (%d), per user %v", number, kind, kind, table.PerUser())
		}
	}
	f(1, schema.User, "user", true)
	f(2, schema.Shared, "shared", false)
	f(3, schema.Stream, "stream", true)
	f(4, schema.System, "system", false)
	f(0, 0, "unknown", false)
	if schema.UserScope("alice") != "alice" || schema.SharedScope != "" {
		t.Error("the scopes have changed; they are part of keys")
	}
	for state, number := range map[schema.FileState]uint8{schema.FileReserved: 1, schema.FileLive: 2, schema.FileRemoved: 3} {
		if uint8(state) != number {
			t.Errorf("file state %d was %d; it is stored", state, number)
		}
	}
}

// TestTable: columns are found by folded name and by id, the key by its order,
// and a clone may be changed without the original.
func TestTable(t *testing.T) {
	table := &schema.Table{Namespace: "app", Name: "note", Key: []schema.ColumnID{4, 2}, Columns: []schema.Column{
		{ID: 2, Name: "id", Type: datum.Type{Kind: datum.Int}}, {ID: 9, Name: "body"}, {ID: 4, Name: "day"},
	}}
	if table.QualifiedName() != "app.note" || table.Column("body") != 1 || table.Column("BODY") != -1 || table.ColumnByID(4) != 2 || table.ColumnByID(3) != -1 {
		t.Errorf("names and ids of %s are not found", table.QualifiedName())
	}
	if got := table.KeyPositions(); !slices.Equal(got, []int{2, 0}) {
		t.Errorf("the key stands at %v", got)
	}
	if !table.IsKey(0) || table.IsKey(1) || !table.IsKey(2) {
		t.Error("IsKey does not follow the key")
	}
	row := []datum.Value{datum.NewInt(datum.Int, 1), datum.NewText("x"), datum.NewInt(datum.Int, 2)}
	if got, want := table.KeyOf(nil, row), schema.AppendKeyValues(nil, []datum.Value{row[2], row[0]}); string(got) != string(want) {
		t.Errorf("the key is %x, want %x", got, want)
	}
	copied := table.Clone()
	copied.Columns[0].Name, copied.Key[0], copied.Version = "other", 9, 7
	if table.Columns[0].Name != "id" || table.Key[0] != 4 || table.Version != 0 {
		t.Errorf("the clone shares with the original: %+v", table)
	}
}

// TestSeqParts: a _seq holds its time, its node and its counter, and is
// readable apart by its arithmetic alone.
func TestSeqParts(t *testing.T) {
	seq := schema.NextSeq(0, (schema.SeqEpochMillis+1)*1000+999, schema.MaxNode)
	if seq != 1<<22|1023<<12 {
		t.Errorf("the first _seq of node 1023 is %x", seq)
	}
	if got := schema.SeqMillis(seq); got != schema.SeqEpochMillis+1 {
		t.Errorf("its time is %d", got)
	}
	if got := schema.SeqAt(seq, 4096); got != seq+1<<22 {
		t.Errorf("the row after a full millisecond has %x", got)
	}
	if got := schema.NextSeq(seq+4095, 0, schema.MaxNode); got != seq+1<<22 {
		t.Errorf("what follows a full millisecond is %x", got)
	}
	if got := schema.SeqFloor((schema.SeqEpochMillis + 1) * 1000); got != 1<<22 {
		t.Errorf("the floor of the first millisecond is %x", got)
	}
}
