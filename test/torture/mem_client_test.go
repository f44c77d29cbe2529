package torture

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kalamdb/internal/core"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/test/torture/history"
)

// memPatience is how long a subscriber waits for what must come, and
// memPlantedPatience where a planted fault may keep it back.
const memPatience, memPlantedPatience = 30 * time.Second, 10 * time.Second

// patience is the one or the other.
func patience() time.Duration {
	if *flagPlanted {
		return memPlantedPatience
	}
	return memPatience
}

// memClient is a subscriber: a connection with one live query of a place, and
// the copy that the checker keeps for it.
type memClient struct {
	name    string
	place   history.Place
	commits bool // it has asked for commit marks
	n       *node
	conn    *core.LiveConn
	ready   chan struct{} // holds a token when there may be frames
	sub     *history.Subscription
	ended   fault.Code // of the frame that has ended the subscription
	more    bool       // the next page is to be asked for
}

// errEnded says that the server has ended a subscription.
var errEnded = errors.New("the subscription was ended")

// open begins on a node: where the subscription stands, or anew.
func (c *memClient) open(n *node, h *history.History, o core.LiveSnapshot) error {
	var from uint64
	known := false
	if c.sub = h.Subscription(c.name); c.sub != nil {
		from, known = c.sub.Position()
	}
	if known = known && from > 0; known {
		o.HasFrom, o.From = true, from
		err := c.begin(n, o)
		if err == nil {
			return nil
		}
		if !fault.Is(err, fault.CursorExpired) {
			return fmt.Errorf("resume %s at %d: %w", c.name, from, err)
		}
		c.sub.Expired()
		if err := c.close(); err != nil {
			return err
		}
	}
	return c.anew(n, h, o)
}

// anew begins with a snapshot, wherever the subscription stood.
func (c *memClient) anew(n *node, h *history.History, o core.LiveSnapshot) error {
	c.sub = h.Subscribe(c.name, c.place)
	o.HasFrom, o.Replay = false, false
	if err := c.begin(n, o); err != nil {
		return fmt.Errorf("subscribe %s: %w", c.name, err)
	}
	return nil
}

// begin sends the subscription and takes frames until its snapshot or difference
// is complete.
func (c *memClient) begin(n *node, o core.LiveSnapshot) error {
	c.n, c.ended, c.more = n, "", false
	ready := make(chan struct{}, 1)
	c.ready = ready
	c.conn = c.n.Hub().Connect(core.LiveConnOptions{
		ID: c.name, User: schema.UserID(c.place.Scope), Encoder: memFrames{}, Commits: c.commits, Lagging: c.commits,
		Ready: func() {
			select {
			case ready <- struct{}{}:
			default:
			}
		},
	})
	conn, sql := c.conn, "SELECT id, op, owner FROM "+c.place.Table
	accepted := false
	calls := make(chan error, 1)
	go func() {
		defer c.n.outlive()
		calls <- c.n.Subscribe(c.n.ctx, memSession(c.place.Scope), conn, core.LiveRequest{ID: "q", SQL: sql, Options: &o})
	}()
	// Frames may have to be taken before the call returns; whether it was
	// accepted, the acknowledgement tells first.
	var pending []core.LiveFrame
	end := time.NewTimer(patience())
	defer end.Stop()
	running := true
	for {
		select {
		case err := <-calls:
			if err != nil {
				return err
			}
			calls, running = nil, false
		case <-ready:
			frames, err := c.frames(1 << 20)
			if err != nil {
				return err
			}
			pending = append(pending, frames...)
		case <-end.C:
			return fmt.Errorf("the snapshot did not come within %s", patience())
		case <-c.n.doom:
			return errDoomed
		}
		if !accepted && len(pending) > 0 {
			accepted = true
			if o.HasFrom {
				c.sub.Resume(o.Replay)
			}
		}
		if accepted {
			for _, f := range pending {
				c.apply(f)
			}
			pending = pending[:0]
		}
		if c.ended != "" {
			return fault.New(c.ended, "the subscription was ended")
		}
		if c.more && !running {
			c.more, running = false, true
			calls = make(chan error, 1)
			go func(calls chan error) {
				defer c.n.outlive()
				calls <- conn.NextBatch(c.n.ctx, "q", 0, false)
			}(calls)
		}
		if _, complete := c.sub.Position(); complete && accepted && !running {
			return nil
		}
	}
}

// frames returns what is due, about most bytes of it.
func (c *memClient) frames(most int) ([]core.LiveFrame, error) {
	conn := c.conn
	return ask(c.n, "what is due to "+c.name, func() ([]core.LiveFrame, error) { return conn.Take(c.n.ctx, nil, most) })
}

// take applies what is due, about most bytes of it.
func (c *memClient) take(most int) error {
	frames, err := c.frames(most)
	if err != nil {
		return err
	}
	for _, f := range frames {
		c.apply(f)
	}
	if c.ended != "" {
		return errEnded
	}
	return nil
}

// await takes frames until the copy has an operation. It reports false when
// that did not come in time.
func (c *memClient) await(op history.Op) bool {
	end := time.NewTimer(patience())
	defer end.Stop()
	for !c.sub.Reached(op) {
		select {
		case <-c.ready:
			if c.take(1<<20) != nil {
				return false
			}
		case <-end.C:
			return false
		case <-c.n.doom:
			return false
		}
	}
	// The frames of one commit come together, and its mark behind them.
	return c.take(1<<20) == nil
}

// close cuts the connection; what it has not taken is gone.
func (c *memClient) close() error {
	conn := c.conn
	if c.conn = nil; conn == nil {
		return nil
	}
	_, err := ask(c.n, "the end of the connection of "+c.name, func() (struct{}, error) {
		conn.Close()
		return struct{}{}, nil
	})
	return err
}

// apply tells the checker of one frame.
func (c *memClient) apply(f core.LiveFrame) {
	text := string(f.Head) + string(f.Body)
	kind, rest, _ := strings.Cut(text, " ")
	switch kind {
	case "batch":
		first, lines, _ := strings.Cut(rest, "\n")
		var rows []history.Row
		for line := range strings.Lines(lines) {
			rows = append(rows, memRow(line))
		}
		more := first == "more"
		c.sub.Snapshot(rows, more)
		c.more = more
	case history.Insert.String():
		c.sub.Event(history.Event{Kind: history.Insert, Row: memRow(rest)})
	case history.Update.String():
		c.sub.Event(history.Event{Kind: history.Update, Row: memRow(rest)})
	case history.Delete.String():
		c.sub.Event(history.Event{Kind: history.Delete, Row: memRow(rest)})
	case "commit":
		position, _ := strconv.ParseUint(strings.TrimSpace(rest), 10, 64)
		c.sub.Mark(position)
	case "error":
		c.ended = fault.Code(strings.TrimSpace(rest))
	}
}

// memRow reads what AppendRow has written.
func memRow(line string) history.Row {
	var r history.Row
	for cell := range strings.FieldsSeq(line) {
		name, value, _ := strings.Cut(cell, "=")
		switch name {
		case "id":
			r.ID, _ = strconv.ParseInt(value, 10, 64)
		case "op":
			r.Op, _ = strconv.ParseInt(value, 10, 64)
		case "owner":
			r.Owner = value
		case "_seq":
			r.Seq, _ = strconv.ParseUint(value, 10, 64)
		}
	}
	return r
}

// memFrames writes frames as lines.
type memFrames struct{}

func (memFrames) AppendAck(dst []byte, _ *core.LiveAck) []byte { return append(dst, "ack "...) }

func (memFrames) AppendRow(dst []byte, r *core.LiveRow) ([]byte, error) {
	for i, name := range r.Names {
		dst = fmt.Appendf(dst, " %s=%s", name, r.Values[i].String())
	}
	return dst, nil
}

func (memFrames) AppendBatch(dst []byte, b *core.LiveBatch) []byte {
	dst = append(dst, "batch "...)
	if b.Control.HasMore {
		dst = append(dst, "more"...)
	}
	start := 0
	for _, end := range b.Ends {
		dst = append(append(dst, '\n'), bytes.TrimSpace(b.Rows[start:end])...)
		start = end
	}
	return append(dst, '\n')
}

func (memFrames) AppendHead(dst []byte, _ string) []byte { return dst }

func (e memFrames) AppendBody(dst []byte, c *core.LiveChange) ([]byte, error) {
	dst = append(dst, c.Kind...)
	row := c.Row
	if row == nil {
		row = c.Old
	}
	return e.AppendRow(dst, row)
}

func (memFrames) AppendError(dst []byte, _ string, err error) []byte {
	return fmt.Appendf(dst, "error %s", fault.CodeOf(err))
}

func (memFrames) AppendNotice(dst []byte, n *core.LiveNotice) []byte {
	return fmt.Appendf(dst, "%s %d", n.Kind, n.Position)
}
