package kalam

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	resultAck = `{"type":"subscription_ack","subscription_id":"s1","result":true,"schema":[{"name":"id","flags":["pk","uq"]},{"name":"n"}],"batch_control":{"batch_num":0,"has_more":false,"status":"ready","last_seq_id":5}}`
	equalAck  = `{"type":"subscription_ack","subscription_id":"s1","result":true,"schema":[{"name":"id"},{"name":"n"}],"batch_control":{"batch_num":0,"has_more":false,"status":"ready","last_seq_id":5}}`
)

func pair(id, n, seq int) string { return fmt.Sprintf(`{"id":"%d","n":%d,"_seq":"%d"}`, id, n, seq) }

// TestResult: after a break a result is asked for as a whole, and the subscriber
// is told what differs from what he has.
func TestResult(t *testing.T) {
	p := newPeer(t)
	_, l := p.connect(Options{})
	s := subscribe(t, l, SubscribeOptions{})
	p.expect(subscribeWhole)
	p.send(resultAck)
	p.send(page(false, "5", pair(1, 1, 5), pair(2, 2, 5), pair(3, 3, 5)))
	p.send(mark(5))
	p.send(change("update", pair(2, 20, 6), `{"id":"2","n":2}`))
	p.send(change("delete", "", pair(3, 3, 7)))
	expectEvents(t, s, `snapshot "1" @5 →0`, `snapshot "2" @5 →0`, `snapshot "3" @5 →0`, `ready  @0 →0`,
		`update "2" @6 →0 was 2`, `delete "3" @7 →0`)
	p.cut()

	p.accept()
	p.expect(subscribeWhole)
	p.send(resultAck)
	p.send(page(true, "9", pair(2, 20, 9)))
	p.expect(`{"type":"next_batch","subscription_id":"s1","last_seq_id":9}`)
	p.cut() // within the pages

	p.accept()
	p.expect(subscribeWhole)
	p.send(resultAck)
	p.send(page(false, "9", pair(2, 21, 9), pair(4, 4, 9)))
	p.send(mark(9))
	p.send(change("insert", pair(5, 5, 10), ""))
	expectEvents(t, s, `snapshot "2" @9 →0`, `snapshot "4" @9 →0`, `delete "1" @5 →0`, `ready  @0 →0`, `insert "5" @10 →0`)
}

// TestResultOfEqualRows: rows without a key are told as often as they come.
func TestResultOfEqualRows(t *testing.T) {
	p := newPeer(t)
	_, l := p.connect(Options{})
	s := subscribe(t, l, SubscribeOptions{})
	p.expect(subscribeWhole)
	p.send(equalAck)
	p.send(page(false, "5", pair(1, 1, 5), pair(1, 1, 5), pair(2, 2, 5)))
	p.send(mark(5))
	expectEvents(t, s, `snapshot "1" @5 →0`, `snapshot "1" @5 →0`, `snapshot "2" @5 →0`, `ready  @0 →0`)
	p.cut()
	p.accept()
	p.expect(subscribeWhole)
	p.send(equalAck)
	p.send(page(false, "9", pair(1, 1, 9), pair(2, 2, 9), pair(2, 2, 9)))
	p.send(mark(9))
	expectEvents(t, s, `snapshot "2" @9 →0`, `delete "1" @5 →0`, `ready  @0 →0`)
}

// TestResultTakenBack: what a group has not been given is not held either.
func TestResultTakenBack(t *testing.T) {
	h := heldOf(&frame{})
	row := func(text string) map[string]json.RawMessage {
		var m map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	state := func() string {
		var all []string
		for _, r := range h.rows {
			all = append(all, fmt.Sprintf("%s×%d", r.text, r.times))
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	h.tell(&Event{Kind: Snapshot, Row: row(`{"c":1,"x":null,"_seq":"4"}`)}, true)
	h.kept()
	before := state()
	h.tell(&Event{Kind: Update, Row: row(`{"c":2}`)}, true)
	h.tell(&Event{Kind: Insert, Row: row(`{"c":2}`)}, true)
	h.tell(&Event{Kind: Delete, Row: row(`{"c":2,"x":null}`)}, true)
	if got := state(); got != `{"c":2}×1` {
		t.Errorf("held are %s", got)
	}
	h.takeBack()
	if got := state(); got != before || got != `{"c":1}×1` {
		t.Errorf("taken back to %s, not %s", got, before)
	}
}
