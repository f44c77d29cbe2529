package apply

import (
	"context"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// Announce gives changes that are in memory only their place among the commits.
// make is called once by the builder, at its turn, with the next _seq of the
// clock. What it returns, consecutive from there and in partitions that no
// command writes, is published as one commit behind those before it, in a view
// of that position; nothing is written. It returns when that is published.
// The changes may take at most command.SliceRows, and like a relaxed commit a
// crash takes them back: their positions lie below the synced ceiling.
func (l *Local) Announce(_ context.Context, make func(first uint64) []command.Change) error {
	if l.readOnly != "" {
		return fault.New(fault.ReadOnly, "the server is read-only: %s", l.readOnly)
	}
	r, err := l.queue.enqueue(&command.Command{Time: l.o.Now().UnixMicro(), Durability: schema.Relaxed}, commandOverhead, make)
	if err != nil {
		return err
	}
	select {
	case <-r.done:
	case <-l.stopped:
		select {
		case <-r.done:
		default:
			return fault.Wrap(fault.ShuttingDown, errStopped, "the server is stopping")
		}
	}
	err = r.err
	l.queue.recycle(r)
	return err
}

// announce passes a group of one announcement on to the publisher.
func (l *Local) announce(r *request) {
	g := &group{requests: []*request{r}}
	if changes := r.announced(schema.NextSeq(l.machine.Position(), r.command.Time, l.machine.node)); len(changes) > 0 {
		fault.Assert(len(changes) <= command.SliceRows, "%d changes are announced at once", len(changes))
		position := changes[len(changes)-1].Seq
		l.machine.position = position
		l.unwritten = true
		g.commits = []command.Commit{{Position: position, Changes: changes}}
		l.touched.note(&g.commits[0])
		g.view = l.openView()
		l.applied.Swap(g.view.Retain()).Release()
	}
	select {
	case l.pending <- g:
	case <-l.dead: // nobody is answered any more
	}
}

// settleClock leaves the position of the last announcement to the next start: a
// stop that is clean takes no position back.
func (l *Local) settleClock() {
	if !l.unwritten || l.readOnly != "" {
		return
	}
	l.group([]*request{{done: make(chan struct{}, 1), command: &command.Command{Time: l.o.Now().UnixMicro(), Body: command.PutAudit{}}}}, false)
}
