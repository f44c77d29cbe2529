package live

import (
	"context"
	"slices"

	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// firstBatch reads the first page of a snapshot.
func (c *Conn) firstBatch(ctx context.Context, v *relation.View, sub *subscription, q *Query) (*Batch, error) {
	o := q.request.Options
	if o.HasFrom || !o.HasLastRows {
		return c.batch(ctx, v, sub, q, sub.page.last)
	}
	p := paging{c: c, q: q, most: o.LastRows, batch: &Batch{ID: sub.id}}
	if o.LastRows > 0 {
		if err := p.read(ctx, v, source.Request{Order: source.BySeqDesc, UpToSeq: sub.page.upTo}); err != nil {
			return nil, err
		}
	}
	if p.cut {
		return nil, fault.New(fault.LimitExceeded, "the last %d rows exceed %d bytes (websocket.max_frame_bytes); ask for fewer", o.LastRows, c.hub.o.BatchBytes)
	}
	p.reverse()
	b := p.batch
	b.Control = BatchControl{Status: StatusReady, HasLast: p.rows > 0, LastSeq: p.newest}
	return b, nil
}

// batch reads one page: rows with after < _seq <= S, by _seq.
func (c *Conn) batch(ctx context.Context, v *relation.View, sub *subscription, q *Query, after uint64) (*Batch, error) {
	p := paging{c: c, q: q, most: sub.page.size, batch: &Batch{ID: sub.id}}
	r := source.Request{Order: source.BySeq, AfterSeq: after, UpToSeq: sub.page.upTo}
	if err := p.read(ctx, v, r); err != nil {
		return nil, err
	}
	b := p.batch
	b.Control = BatchControl{Number: sub.page.number, HasMore: p.more, HasLast: p.rows > 0, LastSeq: p.newest}
	switch {
	case !p.more:
		b.Control.Status = StatusReady
	case sub.page.number == 0:
		b.Control.Status = StatusLoading
	default:
		b.Control.Status = StatusLoadingBatch
	}
	return b, nil
}

// paging collects one page.
type paging struct {
	c      *Conn
	q      *Query
	most   int // rows
	batch  *Batch
	rows   int
	more   bool
	cut    bool   // it is full in bytes, not in rows
	newest uint64 // greatest _seq of the page
	row    Row
	env    plan.Env
}

// read fills the page with the rows of a scan that match, until it is full; then
// one more row says that there is more.
func (p *paging) read(ctx context.Context, v *relation.View, r source.Request) error {
	if r.AfterSeq >= r.UpToSeq {
		return nil
	}
	limit := p.c.hub.o.ReadTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fault.New(fault.Timeout, "Handler execution timeout: exceeded %s", limit))
	defer cancel()
	if err := p.scan(ctx, v, r); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	return nil
}

func (p *paging) scan(ctx context.Context, v *relation.View, r source.Request) error {
	o := &p.q.o
	t, err := v.Open(p.q.table, o.Scope, o.Caller)
	if err != nil {
		return err
	}
	r.Columns, r.Keys = p.q.columns, p.q.keys
	if p.q.match.eval == nil {
		r.Limit = p.most + 1
	}
	rows, err := t.Scan(ctx, r)
	if err != nil {
		return err
	}
	defer rows.Close()
	p.env = p.q.match.env()
	p.env.Now = p.c.hub.o.Now().UnixMicro()
	for !p.more {
		b, err := rows.Next(ctx)
		if err != nil || b == nil {
			return err
		}
		for _, row := range b.Rows {
			if err := p.add(row); err != nil {
				return err
			}
			if p.more {
				break
			}
		}
	}
	return nil
}

// add takes a row of the scan into the page.
func (p *paging) add(row []datum.Value) error {
	is, err := p.q.match.matches(row, &p.env)
	if err != nil || !is {
		return err
	}
	if p.rows == p.most {
		p.more = true
		return nil
	}
	if p.rows > 0 && len(p.batch.Rows) >= p.c.hub.o.BatchBytes {
		p.more, p.cut = true, true
		return nil
	}
	p.row.reset()
	if err := p.q.shape.full(&p.row, row, &p.env); err != nil {
		return err
	}
	if p.batch.Rows, err = p.c.o.Encoder.AppendRow(p.batch.Rows, &p.row); err != nil {
		return err
	}
	p.batch.Ends = append(p.batch.Ends, len(p.batch.Rows))
	p.rows++
	p.newest = max(p.newest, uint64(row[p.q.shape.seq].Int()))
	return nil
}

// reverse turns the order of the rows round.
func (p *paging) reverse() {
	b := p.batch
	rows := make([]byte, 0, len(b.Rows))
	ends := make([]int, 0, len(b.Ends))
	for i := range slices.Backward(b.Ends) {
		start := 0
		if i > 0 {
			start = b.Ends[i-1]
		}
		rows = append(rows, b.Rows[start:b.Ends[i]]...)
		ends = append(ends, len(rows))
	}
	b.Rows, b.Ends = rows, ends
}
