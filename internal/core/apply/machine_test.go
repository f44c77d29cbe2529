package apply_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"kalamdb/internal/command"
	"kalamdb/internal/core/apply"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/table"
)

// TestMachineIsDeterministic applies the same random commands on two machines
// in groups of different sizes and compares every byte of the result.
func TestMachineIsDeterministic(t *testing.T) {
	for seed := range uint64(5) {
		commands := randomCommands(seed, 600)
		one := replay(t, commands, func(*rand.Rand) int { return 1 })
		many := replay(t, commands, func(chance *rand.Rand) int { return 1 + chance.IntN(9) })
		if one != many {
			t.Fatalf("seed %d: the states differ:\n%s", seed, firstDifference(one, many))
		}
		if !strings.Contains(one, "moved") || !strings.Contains(one, "tombstone") || !strings.Contains(one, "loc ") {
			t.Errorf("seed %d: the commands leave no marker, tombstone or cold row:\n%s", seed, one)
		}
	}
}

func firstDifference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return as[i] + "\n" + bs[i]
		}
	}
	return fmt.Sprintf("%d and %d lines", len(as), len(bs))
}

// replay applies commands through their bytes and returns the state.
func replay(t *testing.T, commands []*command.Command, size func(*rand.Rand) int) string {
	t.Helper()
	s, err := store.Open(store.Options{FS: disk.NewMem(), Dir: "data"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := apply.NewMachine(s.Reader(), 7)
	if err != nil {
		t.Fatal(err)
	}
	chance := rand.New(rand.NewPCG(1, 1))
	for len(commands) > 0 {
		n := 1
		if !apply.Alone(commands[0]) {
			for n < min(size(chance), len(commands)) && !apply.Alone(commands[n]) {
				n++
			}
		}
		applyGroup(t, s, m, commands[:n])
		commands = commands[n:]
	}
	var out strings.Builder
	if err := table.Dump(s.Reader(), &out, m.Definitions().TableByID); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func applyGroup(t *testing.T, s *store.Store, m *apply.Machine, commands []*command.Command) {
	t.Helper()
	b := s.NewBatch()
	defer b.Close()
	m.Begin(s.Reader(), b)
	for _, c := range commands {
		bytes, err := command.Append(nil, c)
		if err != nil {
			t.Fatal(err)
		}
		c, err := command.Decode(bytes)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Apply(c); err != nil && !apply.Refusal(err) {
			t.Fatal(err)
		}
	}
	accepted, err := m.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if accepted > 0 {
		if err := b.Commit(false); err != nil {
			t.Fatal(err)
		}
	}
}

// randomCommands makes commands of nearly all kinds, many of them refused. The
// seqs that writers would have read are guessed by a model of the rows.
func randomCommands(seed uint64, n int) []*command.Command {
	chance := rand.New(rand.NewPCG(seed, 9))
	g := &generator{chance: chance, time: moment0, rows: map[int64]uint64{}}
	g.add(command.PutNamespace{Create: true, Namespace: schema.Namespace{Name: "app"}})
	g.add(command.PutStorage{Create: true, Storage: schema.Storage{ID: "local"}})
	g.add(command.CreateTable{Table: definition("note", schema.User)})
	g.add(command.CreateTable{Table: definition("event", schema.Stream)})
	g.note, g.event = definition("note", schema.User), definition("event", schema.Stream)
	g.note.ID, g.event.ID = 1, 2
	for len(g.out) < n {
		g.step()
	}
	return g.out
}

// generator follows the positions that a machine of node 7 gives to accepted
// commands, to name versions that exist.
type generator struct {
	chance      *rand.Rand
	time        int64
	last        uint64
	rows        map[int64]uint64 // newest version of the live rows of alice
	dead        []int64
	events      []uint64
	files       uint64
	note, event schema.Table
	out         []*command.Command
}

// add appends an accepted command and returns the seq of its first row.
func (g *generator) add(body command.Body) uint64 {
	g.out = append(g.out, &command.Command{Time: g.time, Body: body})
	first := schema.NextSeq(g.last, g.time, 7)
	g.last = first
	switch b := body.(type) {
	case *command.Write:
		g.last = schema.SeqAt(first, len(b.Tables[0].Rows)-1)
	case command.Adopt:
		g.last = schema.SeqAt(first, len(b.Rows)-1)
	}
	return first
}

// refused appends a command that is refused.
func (g *generator) refused(body command.Body) {
	g.out = append(g.out, &command.Command{Time: g.time, Body: body})
}

func (g *generator) step() {
	g.time += int64(g.chance.IntN(2_000_000))
	id := int64(g.chance.IntN(40))
	read, exists := g.rows[id]
	switch kind := g.chance.IntN(20); {
	case kind < 9 && !exists:
		g.rows[id] = g.add(insert(&g.note, "alice", id, fmt.Sprint("text ", g.time)))
	case kind < 2:
		g.refused(insert(&g.note, "alice", id, "twice"))
	case kind < 8 && exists:
		w := update(&g.note, "alice", id, read, fmt.Sprint("again ", g.time))
		w.Tables[0].Rows[0].Old = rowOf(&g.note, id, "old")
		g.rows[id] = g.add(w)
	case kind < 10 && exists:
		g.add(remove(&g.note, "alice", id, read, "gone"))
		delete(g.rows, id)
		g.dead = append(g.dead, id)
	case kind < 11:
		g.refused(update(&g.note, "alice", id, 12345, "stale"))
	case kind < 14:
		g.events = append(g.events, g.add(insert(&g.event, "bob", id, "event")))
	case kind < 15 && len(g.events) > 0:
		g.add(remove(&g.event, "bob", 0, g.events[0], "event"))
		g.events = g.events[1:]
	case kind < 17:
		g.adopt()
	case kind < 18:
		g.add(command.ForgetHistory{Window: table.HistoryWindow(g.last) - 3})
	case kind < 19 && len(g.dead) > 0:
		g.add(command.PurgeRows{Table: 1, Scope: "alice", Keys: [][]byte{keyOf(g.dead[0])}, Before: g.last >> 22 << 22})
		g.dead = g.dead[1:]
	default:
		g.add(command.PutUser{Create: true, User: schema.UserRecord{ID: schema.UserID(fmt.Sprint("u", g.last))}})
	}
}

// adopt moves all live rows, hot or cold, to a new file: the cold ones are
// marked there.
func (g *generator) adopt() {
	if len(g.rows) == 0 {
		return
	}
	f := schema.File{StorageID: "local", Path: "app/note", Table: 1}
	g.add(command.FileBegin{File: f})
	g.files++
	f.Number, f.Path, f.Rows = g.files, fmt.Sprintf("app/note/batch-%d.parquet", g.files-1), uint64(len(g.rows))
	a := command.Adopt{File: f, Scope: "alice", Window: schema.Segment{To: f.Rows}}
	for id, seq := range g.rows {
		a.Rows = append(a.Rows, command.AdoptedRow{Key: keyOf(id), Seq: seq})
	}
	slices.SortFunc(a.Rows, func(x, y command.AdoptedRow) int { return int(int64(x.Seq) - int64(y.Seq)) })
	g.add(a)
}

// TestRefusals lists what users and proposers are told.
func TestRefusals(t *testing.T) {
	n := openNode(t, options{})
	defer n.close()
	note := n.create("note", schema.User)
	pair := definition("pair", schema.Shared)
	pair.Columns[1].Type = datum.Type{Kind: datum.BigInt}
	pair.Key = []schema.ColumnID{1, 2}
	both := n.must(command.CreateTable{Table: pair}).Table
	n.must(command.PutStorage{Create: true, Storage: schema.Storage{ID: "s3"}})
	onS3 := definition("far", schema.Shared)
	onS3.Options.StorageID = "s3"
	n.must(command.CreateTable{Table: onS3})
	n.must(command.PutUser{Create: true, User: schema.UserRecord{ID: "al", UpdatedAt: 5}})
	n.must(command.PutJob{Create: true, Job: schema.Job{ID: "FL-1"}})
	row := n.must(insert(note, "al", 7, "tea"))
	doublet := write(both, command.RowWrite{Op: command.Insert, Key: keyOf(1, 2), Row: rowOf(note, 1, "x")})
	n.must(doublet)
	other := *note
	other.Version = 9

	f := func(body command.Body, code fault.Code, sentence string) {
		t.Helper()
		_, err := n.commit(body)
		if got := fault.Of(err); err == nil || got.Code != code || got.Sentence() != sentence {
			t.Errorf("%T: %v: %v\nwant %s: %s", body, got.Code, err, code, sentence)
		}
	}
	is := func(body command.Body, want error) {
		t.Helper()
		if _, err := n.commit(body); !errors.Is(err, want) {
			t.Errorf("%T: %v, want %v", body, err, want)
		}
	}
	f(insert(note, "al", 7, "again"), fault.DuplicateKey, "Primary key violation: value '7' already exists in column 'id'")
	f(doublet, fault.DuplicateKey, "Primary key violation: value '1, 2' already exists in column 'id, body'")
	f(command.CreateTable{Table: definition("note", schema.User)}, fault.AlreadyExists, "Already exists: Table app.note already exists")
	nowhere := definition("note", schema.User)
	nowhere.Namespace = "gone"
	f(command.CreateTable{Table: nowhere}, fault.NamespaceNotFound, "Namespace 'gone' does not exist. Create it first with CREATE NAMESPACE gone")
	unstored := definition("x", schema.User)
	unstored.Options.StorageID = "tape"
	f(command.CreateTable{Table: unstored}, fault.ObjectNotFound, "Not found: Storage 'tape' not found")
	f(command.PutNamespace{Create: true, Namespace: schema.Namespace{Name: "app"}}, fault.AlreadyExists, "Already exists: Namespace 'app' already exists")
	f(command.PutNamespace{Namespace: schema.Namespace{Name: "gone"}}, fault.NamespaceNotFound, "Namespace 'gone' does not exist")
	f(command.DropNamespace{Name: "gone"}, fault.NamespaceNotFound, "Namespace 'gone' does not exist")
	f(command.PutUser{Create: true, User: schema.UserRecord{ID: "al"}}, fault.AlreadyExists, "Already exists: User 'al' already exists")
	f(command.PutUser{User: schema.UserRecord{ID: "bo"}}, fault.ObjectNotFound, "Not found: User 'bo' not found")
	f(command.PutStorage{Create: true, Storage: schema.Storage{ID: "s3"}}, fault.AlreadyExists, "Already exists: Storage 's3' already exists")
	f(command.PutStorage{Storage: schema.Storage{ID: "tape"}}, fault.ObjectNotFound, "Not found: Storage 'tape' not found")
	f(command.DropStorage{ID: "s3"}, fault.InvalidOperation, "Invalid operation: Cannot drop storage 's3': 1 table(s) still using it")
	f(command.DropStorage{ID: "tape"}, fault.ObjectNotFound, "Not found: Storage 'tape' not found")
	f(command.PutJob{Create: true, Job: schema.Job{ID: "FL-1"}}, fault.AlreadyExists, "Already exists: Job 'FL-1' already exists")
	f(command.PutJob{Job: schema.Job{ID: "FL-2"}}, fault.ObjectNotFound, "Not found: Job 'FL-2' not found")
	f(command.DropFiles{Numbers: []uint64{4}}, fault.ObjectNotFound, "Not found: File 4 not found")
	f(command.ExpireStream{Table: note.ID}, fault.InvalidOperation, "Invalid operation: app.note is not a STREAM table")
	is(update(note, "al", 7, 1, "x"), command.ErrStaleRow)
	is(remove(note, "al", 8, row.FirstSeq, "x"), command.ErrStaleRow)
	is(insert(&other, "al", 9, "x"), command.ErrStaleSchema)
	is(command.AlterTable{Table: *note, FromVersion: 2}, command.ErrStaleSchema)
	is(command.DropTable{Table: 99}, command.ErrStaleSchema)
	is(command.PurgeRows{Table: 99}, command.ErrStaleSchema)
	is(command.FileBegin{File: schema.File{Table: 99}}, command.ErrStaleSchema)
	is(command.PutUser{User: schema.UserRecord{ID: "al"}, FromUpdatedAt: 4}, command.ErrStaleRow)

	before := n.dump()
	f(insert(note, "al", 7, "again"), fault.DuplicateKey, "Primary key violation: value '7' already exists in column 'id'")
	if after := n.dump(); after != before {
		t.Errorf("a refused command changed the state:\n%s", firstDifference(before, after))
	}
}
