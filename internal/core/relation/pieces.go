package relation

import (
	"context"
	"sync"

	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
	"kalamdb/internal/store/table"
)

// pieces hands out the hot rows and the windows of a scan in no order.
type pieces struct {
	source *rowSource
	r      source.Request
	parts  *table.Parts // nil when there are no hot rows
	mu     sync.Mutex
	// What follows is guarded by mu.
	begun   bool          // somebody has the hot rows
	closed  bool          // nothing is handed out any more
	windows []*windowScan // that nobody has taken
}

// Pieces starts a shared scan. One within bounds of the key is shared where no
// row is cold: those are found by their places, in order.
func (s *rowSource) Pieces(ctx context.Context, r source.Request, least int64) (source.Pieces, error) {
	if s.def.Kind == schema.Stream || r.Keys != nil || r.Index != nil || r.Order != source.Any {
		return nil, ctx.Err()
	}
	windows, pruned, err := s.windows(r)
	if err != nil || len(windows) > 0 && bounded(r) {
		return nil, err
	}
	p, err := s.pieces(r, windows, len(windows) > 0, least)
	if p == nil || err != nil {
		return nil, err
	}
	s.view.relations.stats.scans.Add(1)
	s.tell(r, len(windows), pruned)
	return p, nil
}

// bounded reports whether a request has bounds of the key.
func bounded(r source.Request) bool { return len(r.Low.Values) > 0 || len(r.High.Values) > 0 }

// pieces shares hot rows and the given windows when they are least rows.
func (s *rowSource) pieces(r source.Request, windows []*windowScan, cold bool, least int64) (*pieces, error) {
	hot, err := table.HotRows(s.view.reader(), s.def, s.scope)
	if err != nil {
		return nil, err
	}
	rows := hot
	for _, w := range windows {
		rows += int64(w.segment.To - w.segment.From)
	}
	if rows < least {
		return nil, nil
	}
	p := &pieces{source: s, r: r, windows: windows}
	if hot > 0 || !cold || r.Deleted {
		p.parts = table.NewParts(s.view.reader(), s.def, s.scope, s.options(r))
	}
	return p, nil
}

// Next hands out the hot rows first, then windows, and then what those who read
// hot rows still have ahead.
func (p *pieces) Next(ctx context.Context) (source.Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	begun, closed := p.begun || p.parts == nil, p.closed
	p.begun = true
	var window *windowScan
	if begun && len(p.windows) > 0 {
		window, p.windows = p.windows[0], p.windows[1:]
	}
	p.mu.Unlock()
	switch {
	case closed:
		return nil, nil
	case window != nil:
		return p.source.anyScan(p.r, nil, []*windowScan{window}), nil
	case p.parts == nil:
		return nil, nil
	}
	part, err := p.parts.Next()
	if part == nil || err != nil {
		return nil, err
	}
	return p.source.anyScan(p.r, part, nil), nil
}

// Close ends the handing out; windows that nobody took hold nothing.
func (p *pieces) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed, p.windows = true, nil
}
