package apply_test

import (
	"testing"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/table"
)

// Inserts of many rows are judged by ranges of keys, single ones by their key:
// both find a row that is hot, a tombstone, a row that is cold, and one that the
// same group or command has inserted.
func TestManyInsertsAreJudgedAsSingleOnes(t *testing.T) {
	n := openNode(t, options{})
	defer n.close()
	note := n.create("note", schema.User)
	const many = 6000 // more than the versions that are written at once
	inserts := func(first int64) *command.Write {
		list := make([]command.RowWrite, many)
		for i := range list {
			id := first + int64(i)
			list[i] = command.RowWrite{Op: command.Insert, Scope: "al", Key: keyOf(id), Row: rowOf(note, id, "many")}
		}
		return write(note, list...)
	}
	n.must(insert(note, "bo", 5, "another scope"))
	n.must(inserts(0))
	view := n.local.View()
	got := rows(t, view, note, "al")
	view.Release()
	if len(got) != many || got[0] != "0 many" || got[many-1] != "5999 many" {
		t.Fatalf("%d rows are there, %q to %q", len(got), got[0], got[len(got)-1])
	}

	hot := n.must(insert(note, "al", 13_500, "alone")).FirstSeq
	if _, err := n.commit(inserts(10_000)); !fault.Is(err, fault.DuplicateKey) {
		t.Errorf("over a row that is hot: %v", err)
	}
	n.must(remove(note, "al", 13_500, hot, "alone"))
	n.must(inserts(10_000))
	view = n.local.View()
	counts, err := table.Counts(view.Reader(), note, "al")
	view.Release()
	if err != nil || counts.HotRows != 2*many || counts.Tombstones != 0 {
		t.Errorf("after an insert over a tombstone: %+v, %v", counts, err)
	}

	cold := n.must(insert(note, "al", 23_500, "to be cold")).FirstSeq
	file := n.must(command.FileBegin{File: schema.File{Table: note.ID, StorageID: "local", Path: "app/note"}}).File
	file.Rows = 1
	n.must(command.Adopt{File: file, Scope: "al", Rows: []command.AdoptedRow{{Key: keyOf(23_500), Seq: cold}}, Window: schema.Segment{To: 1}})
	n.must(command.ForgetHistory{Window: table.HistoryWindow(n.local.Position()) + 1}) // and the marker with it
	if _, err := n.commit(inserts(20_000)); !fault.Is(err, fault.DuplicateKey) {
		t.Errorf("over a row that is cold: %v", err)
	}
	n.must(inserts(30_000))

	twice := inserts(40_000)
	twice.Tables[0].Rows[4000] = twice.Tables[0].Rows[3]
	if _, err := n.commit(twice); !fault.Is(err, fault.DuplicateKey) {
		t.Errorf("a key twice in one command: %v", err)
	}
	n.must(inserts(40_000))
}
