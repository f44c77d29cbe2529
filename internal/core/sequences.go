package core

import (
	"context"
	"strings"
	"sync"

	"kalamdb/internal/auth"
	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// Numbers are drawn from a sequence in blocks, each by a synced commit, and
// given out from memory: a crash leaves a gap and repeats nothing. Blocks grow
// with use.
const (
	leastBlock = 8
	mostBlock  = 256
)

// sequences holds the blocks of all sequences that are in use. Locks: mu, held
// for a look, and block.mu, held over the commit that draws the next block.
type sequences struct {
	mu     sync.Mutex
	blocks map[string]*block
}

// block is what is left of the numbers drawn last.
type block struct {
	mu   sync.Mutex
	of   *schema.Sequence // another definition makes the numbers void
	next int64
	left int64
	size int64
}

func (q *sequences) of(name string) *block {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.blocks[name]
	if b == nil {
		if q.blocks == nil {
			q.blocks = map[string]*block{}
		}
		b = &block{size: leastBlock}
		q.blocks[name] = b
	}
	return b
}

// forget drops the block of a sequence that is gone.
func (q *sequences) forget(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.blocks, name)
}

// alterSequence runs ALTER SEQUENCE. Nobody draws from the sequence meanwhile, so
// that what is left of its block goes back.
func (db *DB) alterSequence(ctx context.Context, s *auth.Session, stmt *parse.AlterSequence, namespace string) (string, error) {
	name := namespace + "." + stmt.Sequence.Name
	b := db.sequences.of(name)
	b.mu.Lock()
	defer b.mu.Unlock()
	message, err := db.definer.AlterSequence(ctx, s.UserID, namespace, stmt, func(q *schema.Sequence) (schema.SequenceState, error) {
		if b.of == q && b.left > 0 {
			return schema.SequenceState{Next: b.next, Drawn: true}, nil
		}
		view := db.relations.Applied()
		defer view.Release()
		return view.SequenceState(q)
	})
	if stmt.NewName.Name != "" && err == nil {
		db.sequences.forget(name)
	}
	return message, err
}

// drawn is what a conversation has drawn from sequences. Several goroutines may
// evaluate one statement.
type drawn struct {
	mu     sync.Mutex
	values map[string]int64
	last   string
}

// sequencer is what the functions of one statement see of sequences.
type sequencer struct {
	db      *DB
	session *auth.Session
	path    path
	drawn   *drawn
}

// find resolves the text that names a sequence.
func (q *sequencer) find(text string) (*schema.Sequence, error) {
	namespace, name, qualified := strings.Cut(strings.ToLower(strings.ReplaceAll(text, `"`, "")), ".")
	d := q.db.apply.Definitions()
	if !qualified {
		name, namespace = namespace, q.path.first()
		for in := range q.path.names() {
			if _, ok := d.Sequence(in, name); ok {
				namespace = in
				break
			}
		}
	}
	s, ok := d.Sequence(namespace, name)
	if !ok {
		return nil, fault.New(fault.ObjectNotFound, "sequence %.128s.%.128s does not exist", namespace, name)
	}
	return s, nil
}

// Next draws a number.
func (q *sequencer) Next(text string) (int64, error) {
	if q.session.Role == schema.RoleAnonymous {
		return 0, fault.New(fault.PermissionDenied, "Anonymous users can only SELECT from public tables; drawing from a sequence is a write")
	}
	s, err := q.find(text)
	if err != nil {
		return 0, err
	}
	b := q.db.sequences.of(s.QualifiedName())
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of != s {
		b.of, b.left, b.size = s, 0, leastBlock
	}
	if b.left == 0 {
		receipt, err := q.commit(&command.AdvanceSequence{Namespace: s.Namespace, Name: s.Name, Count: b.size})
		if err != nil {
			return 0, err
		}
		b.next, b.left, b.size = receipt.First, receipt.Rows, min(2*b.size, mostBlock)
	}
	v := b.next
	b.left--
	if b.left > 0 {
		b.next += s.Increment
	}
	q.note(s, v)
	return v, nil
}

func (q *sequencer) note(s *schema.Sequence, v int64) {
	q.drawn.mu.Lock()
	defer q.drawn.mu.Unlock()
	if q.drawn.values == nil {
		q.drawn.values = map[string]int64{}
	}
	q.drawn.last = s.QualifiedName()
	q.drawn.values[q.drawn.last] = v
}

// Current returns the number that the conversation has drawn last from a
// sequence, or from any when text is "".
func (q *sequencer) Current(text string) (int64, error) {
	name := ""
	if text != "" {
		s, err := q.find(text)
		if err != nil {
			return 0, err
		}
		name = s.QualifiedName()
	}
	q.drawn.mu.Lock()
	defer q.drawn.mu.Unlock()
	if name == "" {
		name = q.drawn.last
	}
	v, ok := q.drawn.values[name]
	if !ok {
		return 0, fault.New(fault.InvalidOperation, "no number has been drawn from sequence %s in this request", name)
	}
	return v, nil
}

// Set moves a sequence: the next number is v, or the one behind it when called.
func (q *sequencer) Set(text string, v int64, called bool) error {
	if q.session.Role < schema.RoleService {
		return fault.New(fault.PermissionDenied, "System, DBA, or Service role required to set a sequence")
	}
	s, err := q.find(text)
	if err != nil {
		return err
	}
	b := q.db.sequences.of(s.QualifiedName())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = 0
	_, err = q.commit(&command.SetSequence{Namespace: s.Namespace, Name: s.Name, Value: v, Called: called})
	if err == nil && called {
		q.note(s, v)
	}
	return err
}

// Owned names the sequence of a column, or returns "".
func (q *sequencer) Owned(table, column string) (string, error) {
	namespace, name, qualified := strings.Cut(strings.ToLower(strings.ReplaceAll(table, `"`, "")), ".")
	d := q.db.apply.Definitions()
	if !qualified {
		name, namespace = namespace, q.path.first()
		for in := range q.path.names() {
			if _, ok := d.Table(in, name); ok {
				namespace = in
				break
			}
		}
	}
	t, ok := d.Table(namespace, name)
	if !ok {
		return "", fault.New(fault.TableNotFound, "%.128s.%.128s", namespace, name)
	}
	at := t.Column(strings.ToLower(column))
	if at < 0 {
		return "", fault.New(fault.ColumnNotFound, "column '%.128s' does not exist in %s", column, t.QualifiedName())
	}
	if d := t.Columns[at].Default; d != nil && d.Sequence != nil {
		return d.Sequence.QualifiedName(), nil
	}
	return "", nil
}

// commit waits for a synced commit, whatever becomes of the statement: numbers
// that were drawn are never given again.
func (q *sequencer) commit(body command.Body) (command.Receipt, error) {
	return q.db.apply.Commit(context.Background(), &command.Command{
		Time: q.db.o.Now().UnixMicro(), Durability: schema.Sync, Actor: q.session.UserID, Body: body,
	})
}
