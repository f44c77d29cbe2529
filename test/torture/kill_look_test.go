package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"kalamdb/internal/testkit"
	"kalamdb/test/torture/history"
)

// look reads every place in every way, while nobody writes.
func (r *killRun) look() []history.Look {
	r.t.Helper()
	var looks []history.Look
	for i := range r.places {
		p := &r.places[i]
		must := func(more string) []history.Row {
			rows, err := r.rows(context.Background(), p.user, "SELECT "+killColumns+", _seq FROM "+p.Table+more)
			if err != nil {
				r.fatal("read %s%s: %v", p.Place, more, err)
			}
			return rows
		}
		l := history.Look{Place: p.Place, Scan: must(" ORDER BY id"), Others: map[string][]history.Row{}}
		var byKey []history.Row
		for _, key := range p.keys() {
			byKey = append(byKey, must(" WHERE id = "+strconv.FormatInt(key, 10))...)
		}
		l.Others["a read of each key"] = byKey
		l.Others["a scan by _seq"] = must(" WHERE _seq > 0 ORDER BY _seq DESC")
		l.Others["a scan of one owner"] = must(" WHERE owner = '" + p.Scope + "'")
		fresh, err := r.snapshot(p)
		if err != nil {
			r.fatal("a new subscription of %s: %v", p.Place, err)
		}
		l.Others["a new subscription"] = fresh
		l.Count = r.count(p)
		looks = append(looks, l)
	}
	return looks
}

// keys are all keys that may be in a place.
func (p *killPlace) keys() (keys []int64) {
	for _, units := range p.units {
		for _, u := range units {
			keys = append(keys, u.Keys()...)
		}
	}
	return keys
}

// count asks for COUNT(*), which is not counted row by row.
func (r *killRun) count(p *killPlace) int64 {
	r.t.Helper()
	result := r.must(p.user, "SELECT COUNT(*) FROM "+p.Table)
	if len(result.Rows) != 1 || len(result.Rows[0]) != 1 {
		r.fatal("COUNT(*) of %s answers %v", p.Place, result.Rows)
	}
	n, err := strconv.ParseInt(strings.Trim(string(result.Rows[0][0]), `"`), 10, 64)
	if err != nil {
		r.fatal("COUNT(*) of %s: %v", p.Place, err)
	}
	return n
}

// snapshot is what a new subscription begins with.
func (r *killRun) snapshot(p *killPlace) ([]history.Row, error) {
	token, err := r.clients[p.user].Token(context.Background())
	if err != nil {
		return nil, err
	}
	socket, _, err := testkit.DialSocket(r.server.url+"/v1/ws", http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	if err := socket.Conn.SetDeadline(time.Now().Add(killRequestBound)); err != nil {
		return nil, err
	}
	if err := socket.Text(`{"type":"subscribe","subscription":{"id":"look","sql":"SELECT ` + killColumns + " FROM " + p.Table + `","options":{"batch_size":20}}}`); err != nil {
		return nil, err
	}
	var rows []history.Row
	for {
		received, err := socket.Receive()
		if err != nil {
			return nil, err
		}
		var m rawFrame
		if err := json.Unmarshal(received.Payload, &m); err != nil {
			return nil, fmt.Errorf("%.200q: %w", received.Payload, err)
		}
		switch m.Type {
		case "error":
			return nil, fmt.Errorf("%s: %s", m.Code, m.Message)
		case "initial_data_batch":
			rows = append(rows, rawRows(m.Rows)...)
			if !m.Control.HasMore {
				return rows, nil
			}
			if err := socket.Text(fmt.Sprintf(`{"type":"next_batch","subscription_id":"look","last_seq_id":%s}`, m.Control.LastSeq)); err != nil {
				return nil, err
			}
		}
	}
}

// compare waits until every follower has what is there, and lets the history
// compare it row by row.
func (r *killRun) compare(looks []history.Look) {
	r.t.Helper()
	bound := killToldBound
	if r.faulty && len(r.history.Violations()) > 0 {
		bound = killSeenBound
	}
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	for _, f := range r.followers {
		at := slices.IndexFunc(looks, func(l history.Look) bool { return l.Place == f.base().place.Place })
		want := map[int64]int64{}
		for _, row := range looks[at].Scan {
			want[row.ID] = row.Op
		}
		for waiting := true; waiting; {
			equal, changed := f.has(want)
			if equal {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				waiting = false
			}
		}
		f.quiet(looks[at].Scan)
	}
}

// report prints what a run has done and fails when a promise was broken.
func (r *killRun) report(took time.Duration) {
	r.t.Helper()
	c, g := r.history.Counts(), &r.figures
	for _, v := range r.history.Violations() {
		r.t.Errorf("%s", v)
	}
	lagged, expired := 0, 0
	for _, f := range r.followers {
		f.base().mu.Lock()
		lagged, expired = lagged+f.base().lagged, expired+f.base().expired
		f.base().mu.Unlock()
	}
	var broken []string
	for _, class := range history.Classes() {
		broken = append(broken, fmt.Sprintf("%s %d", class, c.Violations[class]))
	}
	r.t.Logf("kill run: seed %d: %d cycles in %s: %d kills, %d of them during a start, %d clean ends, %d freezes, %d starts, the slowest %s",
		r.seed, r.cycle.Load(), took.Round(time.Second), g.kills, g.early, g.stops, g.freezes, g.starts, g.slowestStart.Round(time.Millisecond))
	r.t.Logf("kill run: %d statements sent, %d acknowledged, %d refused, %d without an answer, the slowest answer %s; %d flushes; %d reads",
		c.Sent, c.Acked, c.Refused, c.Unknown, time.Duration(g.slowestAnswer.Load()).Round(time.Millisecond), g.flushes, c.Reads)
	r.t.Logf("kill run: %d subscribers told %d changes, resumed %d times, expired %d times, slept %d times, fell behind %d times",
		len(r.followers), c.Events, c.Resumes, expired, g.stalls, lagged)
	r.t.Logf("kill run: %s", strings.Join(broken, ", "))
	sumLine(r.t, "kill", int(r.cycle.Load()), 0, 0, c)
	if out := r.server.output.String(); strings.Contains(out, "DATA RACE") { // with GOFLAGS=-race
		r.t.Errorf("the server has a race\n%s", out)
	}
	if slowest := time.Duration(g.slowestAnswer.Load()); slowest > killSlowest {
		r.t.Errorf("a statement took %s", slowest)
	}
}

// describe names all violated classes, for runs that must fail.
func (r *killRun) describe() string {
	c := r.history.Counts()
	var broken []string
	for _, class := range slices.Sorted(maps.Keys(c.Violations)) {
		broken = append(broken, fmt.Sprintf("%s %d", class, c.Violations[class]))
	}
	return strings.Join(broken, ", ")
}
