package logic

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// The sentinel is a table that every account may subscribe to: when the row
// written last has arrived on a connection, so has everything before it.
const (
	sentinelTable = "corpus.sentinel"
	sentinelID    = "corpus-sentinel"
)

// subscription is one live query of a script.
type subscription struct {
	id      string
	who     account
	sql     string
	columns []string
	pending []string // frames that no block has read yet
	lastSeq uint64
	ended   bool // an error frame ended it
	result  bool // of a join, an aggregate, DISTINCT or LIMIT
}

// frame is what the runner reads of a frame.
type frame struct {
	Type           string                       `json:"type"`
	SubscriptionID string                       `json:"subscription_id"`
	ChangeType     string                       `json:"change_type"`
	Rows           []map[string]json.RawMessage `json:"rows"`
	OldValues      []map[string]json.RawMessage `json:"old_values"`
	Schema         []struct {
		Name string `json:"name"`
	} `json:"schema"`
	Control struct {
		HasMore   bool            `json:"has_more"`
		LastSeqID json.RawMessage `json:"last_seq_id"`
	} `json:"batch_control"`
	Code   string `json:"code"`
	Result bool   `json:"result"`
}

// connection returns the open connection of an account, with its sentinel.
func (r *runner) connection(a account) (connection, error) {
	if c, ok := r.conns[a.name]; ok {
		return c, nil
	}
	if out := r.db.execute(root, "default", "CREATE NAMESPACE IF NOT EXISTS corpus"); out.err != nil {
		return nil, fmt.Errorf("%s", out.err.sentence)
	}
	if out := r.db.execute(root, "default", "CREATE TABLE IF NOT EXISTS "+sentinelTable+" (id BIGINT PRIMARY KEY) WITH (TYPE='SHARED', ACCESS_LEVEL='PUBLIC')"); out.err != nil {
		return nil, fmt.Errorf("%s", out.err.sentence)
	}
	c, err := r.db.connect(a)
	if err != nil {
		return nil, err
	}
	r.conns[a.name] = c
	err = c.send(`{"type":"subscribe","subscription":{"id":"` + sentinelID + `","sql":"SELECT id FROM ` + sentinelTable + `"}}`)
	if err != nil {
		return nil, err
	}
	return c, r.until(c, func(f *frame) bool { return f.SubscriptionID == sentinelID && f.Type == "subscription_ack" })
}

func (r *runner) subscribe(b *block, sql string) error {
	id := b.words[1]
	_, options, found := strings.Cut(strings.TrimPrefix(b.head, "subscribe"), id)
	if options = strings.TrimSpace(options); !found || options == "" {
		options = "{}"
	}
	s := &subscription{id: id, who: r.who, sql: sql}
	if err := r.open(s, r.substitute(options)); err != nil {
		return err
	}
	if !s.ended {
		r.subs[id] = s
	}
	lines := s.pending
	s.pending = nil
	return r.compare(b, lines)
}

// open sends a subscribe and reads up to the last batch of the snapshot.
func (r *runner) open(s *subscription, options string) error {
	c, err := r.connection(s.who)
	if err != nil {
		return err
	}
	sql, err := json.Marshal(s.sql)
	if err != nil {
		return err
	}
	r.subs[s.id] = s
	defer func() {
		if s.ended {
			delete(r.subs, s.id)
		}
	}()
	if err := c.send(fmt.Sprintf(`{"type":"subscribe","subscription":{"id":%q,"sql":%s,"options":%s}}`, s.id, sql, options)); err != nil {
		return err
	}
	snapshot := options != "null" && !strings.Contains(options, `"replay"`)
	return r.until(c, func(f *frame) bool {
		if f.SubscriptionID != s.id {
			return false
		}
		switch f.Type {
		case "error":
			return true
		case "subscription_ack":
			return !snapshot
		case "initial_data_batch":
			if f.Control.HasMore {
				_ = c.send(fmt.Sprintf(`{"type":"next_batch","subscription_id":%q,"last_seq_id":%s}`, s.id, f.Control.LastSeqID))
			}
			return !f.Control.HasMore
		}
		return false
	})
}

// resume opens a subscription again after a restart: from its last position it
// must be told nothing, for the runner had read all frames before.
func (r *runner) resume(s *subscription) error {
	kept := s.pending
	s.pending = nil
	if s.result { // it is not resumed by position
		err := r.open(s, "{}")
		s.pending = kept
		return err
	}
	options := fmt.Sprintf(`{"from":"%d","replay":"changes"}`, s.lastSeq)
	if err := r.open(s, options); err != nil {
		return err
	}
	if len(s.pending) > 0 {
		return fmt.Errorf("resuming from %d brought frames that had been read: %q", s.lastSeq, s.pending)
	}
	s.pending = kept
	return nil
}

func (r *runner) unsubscribe(id string) error {
	s, ok := r.subs[id]
	if !ok {
		return fmt.Errorf("no subscription %s", id)
	}
	if err := r.conns[s.who.name].send(fmt.Sprintf(`{"type":"unsubscribe","subscription_id":%q}`, id)); err != nil {
		return err
	}
	// There is no reply: the row of system.live goes when it has been done.
	deadline := time.Now().Add(frameBound)
	for {
		out := r.db.execute(root, "default", fmt.Sprintf("SELECT COUNT(*) FROM system.live WHERE subscription_id = '%s' AND user_id = '%s'", id, s.who.name))
		if out.err != nil {
			return fmt.Errorf("%s", out.err.sentence)
		}
		if out.results[0].rows[0][0] == "0" {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("system.live still shows %s", id)
		}
	}
	delete(r.subs, id)
	return r.settle()
}

func (r *runner) events(b *block) error {
	s, ok := r.subs[b.words[1]]
	if !ok {
		return fmt.Errorf("no subscription %s", b.words[1])
	}
	if err := r.settle(); err != nil {
		return err
	}
	lines := s.pending
	s.pending = nil
	if s.ended {
		delete(r.subs, s.id)
	}
	return r.compare(b, lines)
}

// settle waits until every connection has got all that was committed. A result
// that has been brought to a commit is told before the rows of a later one.
func (r *runner) settle() error {
	if len(r.conns) == 0 {
		return nil
	}
	if err := r.runResults(); err != nil {
		return err
	}
	return r.mark()
}

// mark waits for a commit of its own.
func (r *runner) mark() error {
	r.marks++
	mark := strconv.FormatInt(r.marks, 10)
	if out := r.db.execute(root, "default", "INSERT INTO "+sentinelTable+" VALUES ("+mark+")"); out.err != nil {
		return fmt.Errorf("write the sentinel: %s", out.err.sentence)
	}
	for name, c := range r.conns {
		var last map[string]json.RawMessage
		err := r.until(c, func(f *frame) bool {
			if f.SubscriptionID != sentinelID || len(f.Rows) != 1 || cell(f.Rows[0]["id"]) != mark {
				return false
			}
			last = f.Rows[0]
			return true
		})
		if err != nil {
			return err
		}
		// Everything up to the sentinel has been read.
		for _, s := range r.subs {
			if s.who.name == name {
				s.saw(last)
			}
		}
	}
	return nil
}

// runResults waits until every result has been brought to all that was committed:
// who subscribes to it once more is answered behind that.
func (r *runner) runResults() error {
	ids := make([]string, 0, len(r.subs))
	for id, s := range r.subs {
		if s.result && !s.ended {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		s := r.subs[id]
		c, open := r.conns[s.who.name]
		if !open {
			continue
		}
		sql, err := json.Marshal(s.sql)
		if err != nil {
			return err
		}
		if err := c.send(fmt.Sprintf(`{"type":"subscribe","subscription":{"id":"corpus-barrier","sql":%s}}`, sql)); err != nil {
			return err
		}
		if err := r.until(c, func(f *frame) bool { return f.SubscriptionID == "corpus-barrier" }); err != nil {
			return err
		}
		if err := c.send(`{"type":"unsubscribe","subscription_id":"corpus-barrier"}`); err != nil {
			return err
		}
	}
	return nil
}

// until reads frames of a connection until done says so.
func (r *runner) until(c connection, done func(*frame) bool) error {
	for {
		text, err := c.receive()
		if err != nil {
			return err
		}
		var f frame
		if err := json.Unmarshal(text, &f); err != nil {
			return fmt.Errorf("frame %s: %w", text, err)
		}
		if s, ok := r.subs[f.SubscriptionID]; ok {
			s.read(&f)
		}
		if done(&f) {
			return nil
		}
	}
}

// read turns a frame into lines of the corpus.
func (s *subscription) read(f *frame) {
	switch f.Type {
	case "subscription_ack":
		s.columns, s.result = nil, f.Result
		for _, c := range f.Schema {
			if c.Name != "_seq" {
				s.columns = append(s.columns, c.Name)
			}
		}
	case "initial_data_batch":
		for _, row := range f.Rows {
			s.pending = append(s.pending, s.line("snapshot", row))
			s.saw(row)
		}
	case "change":
		s.change(f)
	case "error":
		s.pending = append(s.pending, "error "+f.Code)
		s.ended = true
	default:
		s.pending = append(s.pending, "frame "+f.Type)
	}
}

func (s *subscription) change(f *frame) {
	if f.ChangeType == "delete" {
		for _, row := range f.OldValues {
			s.pending = append(s.pending, s.line("delete", row))
			s.saw(row)
		}
		return
	}
	for i, row := range f.Rows {
		line := s.line(f.ChangeType, row)
		if f.ChangeType == "update" && i < len(f.OldValues) {
			line += s.was(row, f.OldValues[i])
		}
		s.pending = append(s.pending, line)
		s.saw(row)
	}
}

// saw moves the cursor.
func (s *subscription) saw(row map[string]json.RawMessage) {
	if n, err := strconv.ParseUint(cell(row["_seq"]), 10, 64); err == nil && n > s.lastSeq {
		s.lastSeq = n
	}
}

// line writes the projected columns in order, then members beyond them.
func (s *subscription) line(kind string, row map[string]json.RawMessage) string {
	words := []string{}
	for _, c := range s.columns {
		words = append(words, cell(row[c]))
	}
	for _, name := range names(row) {
		if name != "_seq" && !slices.Contains(s.columns, name) {
			words = append(words, name+"="+cell(row[name]))
		}
	}
	return kind + " " + strings.Join(words, "  ")
}

// was writes the previous values of an update that differ from the new ones.
func (s *subscription) was(row, old map[string]json.RawMessage) string {
	line := " was"
	for _, name := range names(old) {
		if name != "_seq" && cell(old[name]) != cell(row[name]) {
			line += " " + name + "=" + cell(old[name])
		}
	}
	return line
}

func names(row map[string]json.RawMessage) []string {
	all := make([]string, 0, len(row))
	for name := range row {
		all = append(all, name)
	}
	sort.Strings(all)
	return all
}
