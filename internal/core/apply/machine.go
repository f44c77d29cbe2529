package apply

import (
	"errors"
	"fmt"
	"slices"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// lostRangesMax bounds the lost ranges that are kept; beyond it the two oldest
// become one that covers both.
const lostRangesMax = 1024

// Machine applies commands to a state. The same commands in the same order,
// grouped in any way, make the same state: it asks no clock, no chance, no
// file and no order of a map.
//
// Commands come in groups: Begin, Apply for each, Finish. Commands that write
// rows or the audit log may share a group; any other has a group of its own, see Alone.
type Machine struct {
	node        uint16
	definitions *catalog.Definitions
	history     catalog.History
	position    uint64 // of the last command applied
	ceiling     uint64 // below it relaxed commits may be published
	rows        *table.Writer
	audit       trail
	blobs       map[schema.BlobKey]*counted // whose references the group has changed
	blobFault   error                       // of reading one of them

	reader   store.Reader // the state that the group is checked against
	batch    *store.Batch
	accepted int             // commands of the group so far
	tables   []*schema.Table // definitions of the present Write
}

// Outcome is what a command that was applied has done.
type Outcome struct {
	Receipt command.Receipt
	Commit  command.Commit
	// User is the user whose row changed, if any.
	User schema.UserID
}

// NewMachine returns a machine in the state of r. The node's number is part of
// every seq that it gives.
func NewMachine(r store.Reader, node uint16) (*Machine, error) {
	if node > schema.MaxNode {
		return nil, fmt.Errorf("node %d is greater than %d", node, schema.MaxNode)
	}
	m := &Machine{node: node}
	var err error
	if m.definitions, err = catalog.Load(r); err != nil {
		return nil, fmt.Errorf("load the catalog: %w", err)
	}
	if m.rows, err = table.NewWriter(r); err != nil {
		return nil, fmt.Errorf("load the row store: %w", err)
	}
	if m.position, err = store.Position(r); err != nil {
		return nil, err
	}
	if m.ceiling, err = store.Ceiling(r); err != nil {
		return nil, err
	}
	if m.history.Floor, err = store.HistoryFloor(r); err != nil {
		return nil, err
	}
	if m.history.Lost, err = store.LostRanges(r); err != nil {
		return nil, err
	}
	if m.audit, err = loadTrail(r); err != nil {
		return nil, err
	}
	return m, nil
}

// Position returns the position of the last command applied.
func (m *Machine) Position() uint64 { return m.position }

// Ceiling returns the position below which relaxed commits may be published.
func (m *Machine) Ceiling() uint64 { return m.ceiling }

// History returns which positions can be replayed.
func (m *Machine) History() catalog.History { return m.history }

// Definitions returns the definitions after the last command applied.
func (m *Machine) Definitions() *catalog.Definitions { return m.definitions }

// Alone reports whether a command needs a group of its own: all but writes of
// rows, and of the audit log, read the state of the engine, which lacks what
// their group has done.
func Alone(c *command.Command) bool {
	switch c.Body.(type) {
	case *command.Write, command.Write, *command.PutAudit, command.PutAudit:
		return false
	}
	return true
}

// Begin starts a group over the newest applied state.
func (m *Machine) Begin(r store.Reader, b *store.Batch) {
	m.reader, m.batch, m.accepted = r, b, 0
	m.blobs, m.blobFault = nil, nil
	m.rows.Begin(r, b)
}

// Finish ends the group and returns how many of its commands have changed the
// state.
func (m *Machine) Finish() (accepted int, err error) {
	if m.accepted > 0 {
		store.SetPosition(m.batch, m.position)
	}
	m.reader, m.batch = nil, nil
	return m.accepted, m.rows.Finish()
}

// Apply judges a command and makes its changes. An error for which Refusal is
// true has changed nothing; after any other the machine must not be used.
func (m *Machine) Apply(c *command.Command) (Outcome, error) {
	body := command.Plain(c.Body)
	write, isWrite := body.(*command.Write)
	fault.Assert(m.batch != nil && (m.accepted == 0 || !Alone(c)), "command %T in a group with others", body)
	var o Outcome
	var err error
	if isWrite {
		o, err = m.write(c, write)
	} else {
		o, err = m.alone(c, body)
	}
	if err == nil && c.Trail != nil {
		err = m.audit.write(m.batch, c)
	}
	if err != nil {
		return Outcome{}, err
	}
	m.accepted++
	m.position = o.Receipt.Position
	o.Commit.Position = o.Receipt.Position
	return o, nil
}

// Refusal reports whether an error of Apply is an answer for the proposer.
func Refusal(err error) bool {
	return errors.Is(err, command.ErrStaleRow) || errors.Is(err, command.ErrStaleSchema) || errors.Is(err, command.ErrNotEmpty) ||
		!fault.Is(err, fault.Internal)
}

// next returns the position of a command without rows.
func (m *Machine) next(c *command.Command) uint64 {
	return schema.NextSeq(m.position, c.Time, m.node)
}

// alone applies a command that has its group for itself.
func (m *Machine) alone(c *command.Command, body command.Body) (Outcome, error) {
	edit := &catalog.Edit{Reader: m.reader, Batch: m.batch, Definitions: m.definitions, Position: m.next(c)}
	o := Outcome{Receipt: command.Receipt{Position: edit.Position}}
	if !watchful(body) {
		m.rows.Unwatch()
	}
	var err error
	switch b := body.(type) {
	case command.PutNamespace:
		err = putNamespace(edit, &b)
	case command.DropNamespace:
		err = m.dropNamespace(edit, b.Name, &o)
	case command.CreateTable:
		err = m.createTable(edit, &b, &o)
	case command.AlterTable:
		err = m.alterTable(edit, &b, &o)
	case command.AmendTable:
		err = m.amendTable(edit, &b, &o)
	case command.DropTable:
		err = m.dropTable(edit, b.Table, &o)
	case command.SettleIndex:
		err = m.settleIndex(edit, &b, &o)
	case command.CreateSequence:
		err = edit.InsertSequence(&b.Sequence)
	case command.DropSequence:
		err = edit.DeleteSequence(b.Namespace, b.Name)
	case command.AdvanceSequence:
		err = m.advanceSequence(&b, &o)
	case command.SetSequence:
		err = m.setSequence(&b)
	case command.Redefine:
		err = redefineAll(edit, &b, &o)
	case command.PutView:
		err = edit.PutView(&b.View, b.Replace)
	case command.DropView:
		err = edit.DeleteView(b.Namespace, b.Name)
	case command.PutUser:
		o.User = b.User.ID
		err = m.putUser(&b)
	case command.PutStorage:
		err = putStorage(edit, &b)
	case command.DropStorage:
		o.Receipt.Rows, err = m.dropStorage(edit, b.ID)
	case command.PutJob:
		err = m.putJob(&b)
	case command.DropJobs:
		o.Receipt.Rows, err = m.dropJobs(b.IDs)
	case command.PutAudit:
	default:
		err = m.maintain(c, body, &o)
	}
	if err != nil {
		return Outcome{}, err
	}
	m.definitions = edit.Definitions
	return o, nil
}

// maintain applies what jobs and the loop itself propose.
func (m *Machine) maintain(c *command.Command, body command.Body, o *Outcome) (err error) {
	switch b := body.(type) {
	case command.FileBegin:
		o.Receipt.File, err = m.beginFile(c, b.File)
	case command.Adopt:
		err = m.adopt(c, &b, o)
	case command.Move:
		err = m.move(&b, o)
	case command.AdoptPacked:
		err = m.adoptPacked(c, &b, o)
	case command.BeginBlobs:
		err = m.beginBlobs(c, &b, o)
	case command.DropBlobs:
		err = m.dropBlobs(&b, o)
	case command.FillIndex:
		err = m.fillIndex(&b, o)
	case command.EraseScope:
		err = m.erase(&b, o)
	case command.SwapBytes:
		err = m.rows.SwapBytes(b.File, b.By, o.Receipt.Position)
	case command.DropFiles:
		err = m.rows.DropFiles(b.Numbers)
		o.Receipt.Rows = int64(len(b.Numbers))
	case command.ForgetHistory:
		err = m.forget(&b, o)
	case command.PurgeRows:
		err = m.purge(&b, o)
	case command.ExpireStream:
		err = m.expire(&b)
	case command.CutStream:
		err = m.cutStream(&b, o)
	case command.DropWindows:
		err = m.dropWindows(&b, o)
	case command.RaiseCeiling:
		m.ceiling = max(m.ceiling, b.To)
		store.SetCeiling(m.batch, m.ceiling)
	case command.LosePositions:
		m.lose(c, &b, o)
	default:
		err = fault.New(fault.NotImplemented, "command %T", body)
	}
	return err
}

// lose notes positions that a crash took back and draws its own above them.
func (m *Machine) lose(c *command.Command, b *command.LosePositions, o *Outcome) {
	lost := append(slices.Clone(m.history.Lost), store.Range{From: b.From, To: b.To})
	if len(lost) > lostRangesMax {
		lost[1].From = lost[0].From
		lost = lost[1:]
	}
	m.setLost(lost)
	m.position = max(m.position, b.To)
	o.Receipt.Position = m.next(c)
}

func (m *Machine) setLost(lost []store.Range) {
	m.history.Lost = lost
	store.SetLostRanges(m.batch, lost)
}

// forget raises the history floor, but never above the last position: who has
// seen everything can always go on.
func (m *Machine) forget(b *command.ForgetHistory, o *Outcome) error {
	removed, more, err := m.rows.Forget(b.Window, command.SliceRows)
	if err != nil {
		return err
	}
	o.Receipt.Rows, o.Receipt.More = int64(removed), more
	floor := min(max(b.Floor, table.HistoryFloor(b.Window)), m.position)
	if floor <= m.history.Floor {
		return nil
	}
	m.history.Floor = floor
	store.SetHistoryFloor(m.batch, floor)
	reachable := slices.DeleteFunc(slices.Clone(m.history.Lost), func(r store.Range) bool { return r.To < floor })
	if len(reachable) < len(m.history.Lost) {
		m.setLost(reachable)
	}
	return nil
}
