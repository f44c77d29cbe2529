package command_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/command"
	"kalamdb/internal/schema"
)

// samples returns one command of every kind by the name of its body.
func samples() map[string]*command.Command {
	table := schema.Table{ID: 7, Namespace: "app", Name: "note", Kind: schema.User, Version: 2,
		Columns: []schema.Column{{ID: 1, Name: "id"}}, Key: []schema.ColumnID{1}, NextColumnID: 2,
		CreatedAt: 5, UpdatedAt: 6, CreatedSeq: 8}
	file := schema.File{Number: 3, StorageID: "local", Path: "app/note", Table: 7, Scope: "al", State: schema.FileReserved, CreatedAt: 9}
	bodies := []command.Body{
		&command.Write{Tables: []command.TableWrite{{Table: 7, SchemaVersion: 2, Rows: []command.RowWrite{
			{Op: command.Insert, Scope: "al", Key: []byte{1, 2}, Fresh: true, Row: []byte("row")},
			{Op: command.Update, Scope: "al", Key: []byte{3}, ReadSeq: 300, Row: []byte("new"), Old: []byte("old")},
			{Op: command.Delete, Scope: "bo", Key: []byte{4}, ReadSeq: 1, Row: []byte("gone")},
		}}}},
		command.PutNamespace{Namespace: schema.Namespace{Name: "app", CreatedAt: 1, UpdatedAt: 1}, Create: true},
		command.DropNamespace{Name: "app"},
		command.CreateTable{Table: table},
		command.AlterTable{Table: table, FromVersion: 1},
		command.DropTable{Table: 7},
		command.PutUser{User: schema.UserRecord{ID: "al", Role: schema.RoleUser, AuthType: schema.AuthPassword}, FromUpdatedAt: 4},
		command.PutStorage{Storage: schema.Storage{ID: "local", Type: "filesystem"}, Create: true},
		command.DropStorage{ID: "s3"},
		command.PutJob{Job: schema.Job{ID: "FL-1", Type: "flush", Status: schema.JobQueued}, Create: true},
		command.DropJobs{IDs: []string{"FL-1", "FL-2"}},
		command.FileBegin{File: file},
		command.Adopt{File: file, Scope: "al", From: 2048, Rows: []command.AdoptedRow{{Key: []byte{1}, Seq: 9}},
			Window: schema.Segment{Table: 7, Scope: "al", File: 3, To: 4096, MinSeq: 1, MaxSeq: 9, SchemaVersion: 2}},
		command.DropFiles{Numbers: []uint64{3, 300}},
		command.ForgetHistory{Window: 12, Floor: 99},
		command.PurgeRows{Table: 7, Scope: "al", Keys: [][]byte{{1}, {2, 3}}, Before: 50},
		command.ExpireStream{Table: 7, Before: 77},
		command.RaiseCeiling{To: 1 << 40},
		command.LosePositions{From: 5, To: 1 << 40},
		command.DropWindows{Table: 7, Scope: "al"},
		command.PutAudit{},
		command.FillIndex{Table: 7, Index: 2, Scope: "al", Rows: []command.IndexedRow{{Key: []byte{1}, Seq: 300, Values: []byte{0x1a, 5}}}},
		command.SettleIndex{Table: 7, Index: 2},
		command.AmendTable{Table: table, FromVersion: 2},
		command.PutView{View: schema.View{Namespace: "app", Name: "v", Version: 1, Text: "SELECT id FROM note", Default: "app",
			Columns: []string{"n"}, Reads: []schema.ObjectName{{Namespace: "app", Name: "note"}}, Outputs: []schema.ViewColumn{{Name: "n"}},
			CreatedAt: 5, UpdatedAt: 6}, Replace: true},
		command.DropView{Namespace: "app", Name: "v"},
		command.CreateSequence{Sequence: schema.Sequence{Namespace: "app", Name: "s", Start: 1, Increment: -2, Min: -9, Max: 9, Cycle: true, Table: 7, Column: 1, CreatedAt: 5}},
		command.DropSequence{Namespace: "app", Name: "s"},
		command.AdvanceSequence{Namespace: "app", Name: "s", Count: 8},
		command.SetSequence{Namespace: "app", Name: "s", Value: -3, Called: true},
		command.Redefine{Digest: 1 << 60, From: "old", Namespace: schema.Namespace{Name: "app", CreatedAt: 1, UpdatedAt: 2}, Tables: []schema.Table{table},
			Views:     []command.RedefinedView{{From: schema.ObjectName{Namespace: "old", Name: "v"}, View: schema.View{Namespace: "app", Name: "v", Version: 2}}},
			Sequences: []command.RedefinedSequence{{From: schema.ObjectName{Namespace: "old", Name: "s"}, Sequence: schema.Sequence{Namespace: "app", Name: "s"}, Restart: true}}},
		command.Move{Table: 7, Scope: "al", File: file, From: 2048, Window: schema.Segment{Table: 7, Scope: "al", File: 3, To: 4096, MinSeq: 1, MaxSeq: 9, SchemaVersion: 2},
			Sources: []command.MoveSource{{File: 1, From: 5, To: 300, Rows: []command.MovedRow{{Row: 7, Key: []byte{1}, Seq: 300}, {Row: 299, Key: []byte{2, 3}, Seq: 301}}}, {File: 2, To: 1, Rows: []command.MovedRow{}}}},
		command.AdoptPacked{File: file, Parts: []command.AdoptedPart{
			{Scope: "al", Rows: []command.AdoptedRow{{Key: []byte{1}, Seq: 9}}, Window: schema.Segment{Table: 7, Scope: "al", File: 3, To: 1, MinSeq: 9, MaxSeq: 9, SchemaVersion: 2}},
			{Scope: "bo", From: 1, Rows: []command.AdoptedRow{{Key: []byte{1}, Seq: 300}, {Key: []byte{2}, Seq: 301}}, Window: schema.Segment{Table: 7, Scope: "bo", File: 3, From: 1, To: 9, SchemaVersion: 2}},
		}},
		command.BeginBlobs{Blobs: []schema.Blob{{BlobKey: schema.BlobKey{Table: 7, Scope: "al"}, Name: "Report Q1.pdf", Size: 9, MIME: "application/pdf", SHA256: "00ff", StorageID: "local", Path: "app/notes/al", CreatedAt: 1}}},
		command.DropBlobs{Keys: []schema.BlobKey{{Table: 7, Scope: "al", ID: 1 << 40}, {Table: 7, ID: 9}}, Deleted: true},
		command.EraseScope{Table: 7, Scope: "al"},
		command.SwapBytes{File: file, By: 9},
		command.CutStream{Table: 7, Scope: "al", Before: 77},
	}
	all := map[string]*command.Command{}
	for i, body := range bodies {
		name := strings.TrimPrefix(strings.TrimPrefix(fmt.Sprintf("%T", body), "*"), "command.")
		durability := []schema.Durability{schema.DurabilityDefault, schema.Sync, schema.Relaxed}[i%3]
		all[name] = &command.Command{Time: 1_000_000, Durability: durability, Actor: "root", Body: body}
	}
	all["WriteIndexed"] = &command.Command{Time: 1_000_000, Actor: "root", Body: &command.Write{Tables: []command.TableWrite{{
		Table: 7, SchemaVersion: 2, Rows: []command.RowWrite{
			{Op: command.Insert, Scope: "al", Key: []byte{1}, Row: []byte("row"), Index: []schema.IndexEntry{{New: []byte{0x1a, 5}}, {New: []byte{0xf8}}}},
			{Op: command.Update, Scope: "al", Key: []byte{3}, ReadSeq: 300, Row: []byte("new"),
				Index: []schema.IndexEntry{{Old: []byte{0x1a, 5}, New: []byte{0x1a, 6}}, {Old: []byte{0xf8}, New: []byte{0xf8}}}},
			{Op: command.Delete, Scope: "bo", Key: []byte{4}, ReadSeq: 1, Row: []byte("gone"), Index: []schema.IndexEntry{{Old: []byte{0x1a, 7}}, {Old: []byte{0xf8}}}},
		}}}}}
	all["AlterEmptyTable"] = &command.Command{Time: 1, Actor: "root", Body: command.AlterTable{Table: table, FromVersion: 1, Empty: true}}
	all["PutAudit"].Trail = &command.Trail{Keep: 300, Entries: []schema.AuditEntry{
		{Time: 1_000_000, Actor: "root", Subject: "al", Action: "EXECUTE_AS_USER_DENIED", Target: "al", Details: "role_not_allowed", IP: "::1"},
		{Time: 1_000_001, Actor: "root", Action: "LOGIN", Target: "root"},
	}}
	return all
}

// TestGoldenBytes pins the bytes of every kind: a change that this test shows
// needs a new version of the codec.
func TestGoldenBytes(t *testing.T) {
	all := samples()
	seen := 0
	datadriven.RunTest(t, "testdata/golden", func(t *testing.T, d *datadriven.TestData) string {
		c, ok := all[d.Cmd]
		if !ok {
			t.Fatalf("no sample of %s", d.Cmd)
		}
		seen++
		b, err := command.Append(nil, c)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(hex.Dump(b), "\n") + "\n"
	})
	if seen != len(all) {
		t.Errorf("testdata/golden pins %d of %d kinds", seen, len(all))
	}
}

func TestDecodeReturnsWhatWasAppended(t *testing.T) {
	for name, c := range samples() {
		b, err := command.Append([]byte("before"), c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := command.Decode(b[len("before"):])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, c) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, c)
		}
	}
}

func TestDecodeRefusesEveryCut(t *testing.T) {
	for name, c := range samples() {
		b, err := command.Append(nil, c)
		if err != nil {
			t.Fatal(err)
		}
		for n := range b {
			if _, err := command.Decode(b[:n]); !errors.Is(err, command.ErrMalformed) {
				t.Fatalf("%s cut at %d of %d: error %v", name, n, len(b), err)
			}
		}
		if _, err := command.Decode(append(b, 0)); !errors.Is(err, command.ErrMalformed) {
			t.Errorf("%s with a byte behind it: error %v", name, err)
		}
	}
}

func TestAppendRefusesWhatItCannotName(t *testing.T) {
	f := func(c command.Command) {
		t.Helper()
		before := []byte{42}
		b, err := command.Append(before, &c)
		if err == nil || len(b) != 1 {
			t.Errorf("Append(%+v) = %d bytes, %v", c, len(b), err)
		}
	}
	f(command.Command{})
	f(command.Command{Durability: "maybe", Body: command.DropNamespace{}})
}

func TestPlain(t *testing.T) {
	if _, ok := command.Plain(command.Write{}).(*command.Write); !ok {
		t.Error("a Write by value is not returned as a pointer")
	}
	for name, c := range samples() {
		pointer := reflect.New(reflect.TypeOf(command.Plain(c.Body)))
		if strings.HasPrefix(name, "Write") {
			continue
		}
		pointer.Elem().Set(reflect.ValueOf(c.Body))
		if got := command.Plain(pointer.Interface().(command.Body)); !reflect.DeepEqual(got, c.Body) {
			t.Errorf("Plain of *%s = %#v", name, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range samples() {
		b, err := command.Append(nil, c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := command.Decode(b)
		if err != nil {
			if !errors.Is(err, command.ErrMalformed) {
				t.Fatalf("error %v is not ErrMalformed", err)
			}
			return
		}
		again, err := command.Append(nil, c)
		if err != nil {
			t.Fatalf("encode what was decoded: %v", err)
		}
		back, err := command.Decode(again)
		if err != nil {
			t.Fatalf("decode what was encoded: %v", err)
		}
		third, err := command.Append(nil, back)
		if err != nil || string(third) != string(again) {
			t.Fatalf("%x became %x (%v)", again, third, err)
		}
	})
}
