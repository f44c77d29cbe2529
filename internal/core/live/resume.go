package live

import (
	"context"
	"errors"

	"kalamdb/internal/command"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
)

// reach refuses a position from which a subscription cannot be resumed without
// a gap. Position 0 has seen nothing, so its difference is the whole result.
func (h *Hub) reach(v *relation.View, q *Query, o *Snapshot) error {
	t, from := q.table, o.From
	if from == 0 && !o.Replay {
		return nil
	}
	if last := v.Position(); from > last {
		return fault.New(fault.CursorExpired, "position %d lies beyond the last one, %d", from, last)
	}
	for _, lost := range v.LostRanges() {
		if from > lost[0] && from <= lost[1] {
			return expired(from, lost[1], "the server lost it in a crash")
		}
	}
	if from < t.CreatedSeq {
		return expired(from, t.CreatedSeq, "the table is younger")
	}
	if o.Replay {
		return h.replayable(v, t, q.o.Scope, from)
	}
	return deletesKnown(v, t, q.o.Scope, from)
}

// deletesKnown refuses a position above which a tombstone of the table had been
// purged, or an event removed before its time, by the moment of a view.
func deletesKnown(v *relation.View, t *schema.Table, scope schema.Scope, from uint64) error {
	purged, err := v.PurgedTo(t)
	if err == nil && (t.Kind == schema.Stream || t.Present()) {
		purged, err = v.StreamFloor(t, scope)
	}
	if err == nil && from < purged {
		err = expired(from, purged, "deletes before that are no longer known")
	}
	return err
}

// gap is what the end of a difference still owes for keys that changed again
// while its deletes were sent. Those were found in chunks, each in a view of
// its own; a key that left the result in (from, upTo] and changed once more
// before its chunk was read stands behind the chunk by then. The change that
// moved it there tells. Without chunks it owes no deletes, but the mark behind
// the changes that the pages of a snapshot are without.
type gap struct {
	from, upTo uint64
	until      uint64 // position of the youngest of the views
	chunks     []chunk
	reader     reader
}

// chunk is a stretch of _seq values that was read in a view.
type chunk struct{ to, position uint64 }

// reported reports whether the version seq, which a change at position next
// superseded, was still the newest of its key when its chunk was read.
func (g *gap) reported(seq, next uint64) bool {
	for _, c := range g.chunks {
		if seq <= c.to {
			return next > c.position
		}
	}
	return false
}

// owes returns left or removed when an event that does not concern the result
// as it stands is the last chance to say that its row left it before.
func (g *gap) owes(ctx context.Context, v *relation.View, q *Query, e *event) (verdict, error) {
	ch := e.change
	if ch.Seq > g.until || len(g.chunks) == 0 {
		return untouched, nil
	}
	prev := ch.PrevSeq
	if ch.Op == command.Insert {
		// An insert does not name the tombstone that it stands above.
		_, seq, _, _, err := v.ValueAt(ctx, q.table, q.o.Scope, ch.Key, ch.Seq-1)
		if err != nil {
			return untouched, err
		}
		prev = seq
	}
	if prev <= g.from || prev > g.upTo || g.reported(prev, ch.Seq) {
		return untouched, nil
	}
	row, known, err := g.before(ctx, v, q, ch.Key)
	if err != nil || known && row == nil {
		return untouched, err
	}
	if known {
		e.was = append(e.was[:0], row...)
		e.hasWas, e.hasGone = true, false
	}
	if ch.Op == command.Delete && !known {
		return removed, nil
	}
	return left, nil
}

// before returns the version of a key at the position the difference began at,
// nil when it was not part of the result. It reports false when nobody knows.
func (g *gap) before(ctx context.Context, v *relation.View, q *Query, key []byte) ([]datum.Value, bool, error) {
	if g.from < v.HistoryFloor() {
		return nil, false, nil
	}
	body, seq, deleted, found, err := v.ValueAt(ctx, q.table, q.o.Scope, key, g.from)
	if err != nil || !found || deleted {
		return nil, true, err
	}
	row := resize(g.reader.event.was, len(q.table.Columns))
	g.reader.event.was = row
	if err := q.table.DecodeRow(body, row); err != nil {
		return nil, true, err
	}
	q.table.Stamp(row, seq, false)
	is, err := q.match.matches(row, &g.reader.env)
	if err != nil || !is {
		return nil, true, err
	}
	return row, true, nil
}

// chunkBytes and chunkRows bound what is found, and looked at, for the deletes
// of a difference before the view is released and they are sent.
const (
	chunkBytes = 256 << 10
	chunkRows  = 64 << 10
)

// removal finds the deletes of a difference: one for each key that changed
// after the position it began at, belonged to the result then, and does not at
// S. Below the history floor nobody knows what belonged to it: there every key
// that does not now gets one.
type removal struct {
	c      *Conn
	sub    *subscription
	q      *Query
	gap    *gap
	last   uint64 // where the next chunk begins
	frames []Frame
	bytes  int
	pair   pair
	key    []byte
}

func newRemoval(c *Conn, sub *subscription, q *Query) *removal {
	g := &gap{from: sub.page.from, upTo: sub.page.upTo}
	return &removal{c: c, sub: sub, q: q, gap: g, last: g.from}
}

// next finds some deletes, and reports whether there may be more.
func (r *removal) next(ctx context.Context) (more bool, err error) {
	r.frames, r.bytes = r.frames[:0], 0
	r.gap.reader.env = r.q.match.env()
	r.gap.reader.env.Now = r.c.hub.o.Now().UnixMicro()
	v := r.c.hub.o.Relations.View()
	defer v.Release()
	if r.q.table.Kind == schema.Stream {
		return r.stream(ctx, v)
	}
	// Pages may have taken long, and a purge may have been faster.
	if err := deletesKnown(v, r.q.table, r.q.o.Scope, r.gap.from); err != nil {
		return false, err
	}
	return r.chunk(ctx, v)
}

// rest returns what the changes after S still owe, nil for nothing.
func (r *removal) rest() *gap {
	if r.gap.until <= r.gap.upTo {
		return nil
	}
	return r.gap
}

// chunk collects deletes until it is full, and reports whether there is more.
func (r *removal) chunk(ctx context.Context, v *relation.View) (more bool, err error) {
	r.gap.until = v.Position()
	t, err := v.Open(r.q.table, r.q.o.Scope, r.q.o.Caller)
	if err != nil {
		return false, err
	}
	rows, err := t.Scan(ctx, source.Request{Order: source.BySeq, AfterSeq: r.last, UpToSeq: r.gap.upTo, Deleted: true, Keys: r.q.keys})
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for seen := 0; !more; {
		b, err := rows.Next(ctx)
		if err != nil {
			return false, err
		}
		if b == nil {
			break
		}
		for _, row := range b.Rows {
			if more = r.bytes > chunkBytes || seen == chunkRows; more {
				break
			}
			seen++
			if err := r.row(ctx, v, row); err != nil {
				return false, err
			}
			r.last = uint64(row[r.q.shape.seq].Int())
		}
	}
	end := r.last
	if !more {
		end = r.gap.upTo
	}
	r.gap.chunks = append(r.gap.chunks, chunk{end, r.gap.until})
	return more, nil
}

// row adds the delete of one changed key, if it is due.
func (r *removal) row(ctx context.Context, v *relation.View, row []datum.Value) error {
	q := r.q
	if !deletedRow(q.table, row) {
		if is, err := q.match.matches(row, &r.gap.reader.env); err != nil || is {
			return err
		}
	}
	r.key = q.table.KeyOf(r.key[:0], row)
	was, known, err := r.gap.before(ctx, v, q, r.key)
	if err != nil || known && was == nil {
		return err
	}
	if !known {
		was = row
	}
	shown := append([]datum.Value(nil), was...)
	q.table.Stamp(shown, uint64(row[q.shape.seq].Int()), true)
	return r.add(shown, "")
}

// add appends the frame of a delete.
func (r *removal) add(row []datum.Value, id string) error {
	r.pair.old.reset()
	if err := r.q.shape.deleted(&r.pair.old, row, id, &r.gap.reader.env); err != nil {
		return err
	}
	body, err := r.c.o.Encoder.AppendBody(nil, &Change{Kind: KindDelete, Old: &r.pair.old})
	if err != nil {
		return err
	}
	f := Frame{Kind: ChangeFrame, Head: r.sub.head, Body: body, sub: r.sub}
	r.frames = append(r.frames, f)
	r.bytes += f.Len()
	r.sub.count(r.c.hub.o.Now())
	return nil
}

// stream collects the deletes of events that a client may have: those hidden
// after the position he has seen, which were there before it.
func (r *removal) stream(ctx context.Context, v *relation.View) (more bool, err error) {
	e := &r.gap.reader.event
	err = v.Changes(ctx, r.q.table, r.q.o.Scope, r.last, r.gap.upTo, func(ch *command.Change) error {
		if ch.Seq <= r.last {
			return nil
		}
		if r.bytes > chunkBytes {
			return errSlice
		}
		r.last = ch.Seq
		if ch.Op != command.Delete || ch.PrevSeq > r.gap.from {
			return nil
		}
		if err := e.decode(r.q.table, ch); err != nil {
			return err
		}
		if is, err := e.judge(r.q.match, &r.gap.reader.env); err != nil || is == untouched {
			return err
		}
		return r.add(e.row, e.rowID())
	})
	if errors.Is(err, errSlice) {
		return true, nil
	}
	return false, err
}

// deletedRow reports whether a scanned row is a tombstone.
func deletedRow(t *schema.Table, row []datum.Value) bool {
	at := t.SystemPosition(schema.DeletedColumn)
	return at >= 0 && row[at].Bool()
}
