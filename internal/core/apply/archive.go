package apply

import (
	"context"
	"errors"
	"fmt"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
)

// keep leaves a command that was applied to the archive, in the same batch.
func (l *Local) keep(g *group, c *command.Command, prior, position uint64) {
	kept := command.Archived(c)
	if kept == nil {
		return
	}
	if err := l.archive.Keep(g.batch, prior, position, func(dst []byte) ([]byte, error) { return command.Append(dst, kept) }); err != nil {
		l.fatal(err)
	}
}

// Groups of a replay.
const (
	replayCommands = 1024
	replayBytes    = 8 << 20
)

// Replayed is what a replay has done.
type Replayed struct {
	Commands int64
	// Position is that of the last command applied, or of the state before.
	Position uint64
}

// Replay applies archived commands, which next returns in order until it returns
// false, to a store that nobody else uses. Each gets the position that it had: a
// command that does not, or is refused, belongs to another history, and ends the
// replay with an error.
func Replay(ctx context.Context, s *store.Store, next func() (store.LogEntry, bool, error)) (Replayed, error) {
	m, err := NewMachine(s.Reader(), 0)
	if err != nil {
		return Replayed{}, err
	}
	p := replay{store: s, machine: m}
	defer p.close()
	for {
		if err := ctx.Err(); err != nil {
			return p.done, err
		}
		e, some, err := next()
		if err != nil {
			return p.done, err
		}
		if !some {
			break
		}
		if err := p.apply(e); err != nil {
			return p.done, fmt.Errorf("apply the archived command at position %d: %w", e.Position, err)
		}
	}
	err = p.commit()
	p.done.Position = m.Position()
	return p.done, err
}

// replay is a replay on its way.
type replay struct {
	store   *store.Store
	machine *Machine
	batch   *store.Batch // nil between groups
	count   int
	done    Replayed
}

// errHistory says that a command does not follow the state it is applied to.
var errHistory = errors.New("it does not follow the backup: the archive is of another history")

func (p *replay) apply(e store.LogEntry) error {
	c, err := command.Decode(e.Command)
	if err != nil {
		return err
	}
	if Alone(c) || p.count >= replayCommands || p.batch != nil && p.batch.Len() > replayBytes {
		if err := p.commit(); err != nil {
			return err
		}
	}
	if e.Prior < p.machine.position {
		return errHistory
	}
	p.machine.position = e.Prior // of maintenance that the archive leaves out
	p.machine.node = schema.SeqNode(e.Position)
	if p.batch == nil {
		p.begin()
	}
	o, err := p.machine.Apply(c)
	if _, drops := c.Body.(command.DropStorage); drops && fault.Is(err, fault.InvalidOperation) {
		// Files that compaction had moved away stand in it again: it stays.
		o, err = p.machine.Apply(&command.Command{Time: c.Time, Actor: c.Actor, Body: command.PutAudit{}, Trail: c.Trail})
	}
	if err != nil {
		return err
	}
	if o.Receipt.Position != e.Position {
		return errHistory
	}
	p.count++
	p.done.Commands++
	if Alone(c) {
		return p.commit()
	}
	return nil
}

func (p *replay) begin() {
	p.batch = p.store.NewBlindBatch(0)
	p.machine.Begin(p.store.Reader(), p.batch)
}

// commit ends the present group. It need not be durable: who closes the store
// makes all of it so.
func (p *replay) commit() error {
	if p.batch == nil {
		return nil
	}
	b := p.batch
	p.batch, p.count = nil, 0
	defer b.Close()
	if _, err := p.machine.Finish(); err != nil {
		return err
	}
	return b.Commit(false)
}

// close gives up a group that an error has cut off.
func (p *replay) close() {
	if p.batch != nil {
		_, _ = p.machine.Finish() // for its iterators
		p.batch.Close()
		p.batch = nil
	}
}
