package kalam

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// unit reads the next unit as text: its position, then events by subscription.
func unit(t *testing.T, g *Group) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	u, err := g.Next(ctx)
	if err != nil {
		return "error " + err.Error()
	}
	if u.Ended != nil {
		return "ended " + u.Ended.id + ": " + u.Err.Error()
	}
	var words []string
	for _, e := range u.Events {
		words = append(words, e.Subscription.id+" "+string(e.Kind)+" "+strings.Trim(string(e.Row["id"]), `"`))
	}
	text := "@" + seqText(u.Position) + " " + strings.Join(words, ", ")
	if u.More {
		text += " more"
	}
	return text
}

func seqText(n uint64) string {
	if n == 0 {
		return "-"
	}
	return strings.Repeat("i", int(n/10))
}

func expectUnits(t *testing.T, g *Group, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := unit(t, g); got != w {
			t.Fatalf("the group is told %q, want %q", got, w)
		}
	}
}

func other(text string) string { return strings.ReplaceAll(text, `"s1"`, `"s2"`) }

// TestGroup: what one commit does to several subscriptions comes as one unit, at
// its mark; a subscription that lags has units of its own.
func TestGroup(t *testing.T) {
	p := newPeer(t)
	_, l := p.connect(Options{})
	g := l.Group(0)
	for _, id := range []string{"s1", "s2"} {
		if _, err := g.Subscribe("SELECT * FROM a.b", SubscribeOptions{}); err != nil {
			t.Fatal(err)
		}
		p.expect(strings.ReplaceAll(subscribeWhole, "s1", id))
	}
	for _, frame := range []string{ack, page(false, `10`, row(1, 10)), mark(10)} {
		p.send(frame)
		p.send(other(frame))
	}
	expectUnits(t, g, "@- s1 snapshot 1", "@- s2 snapshot 1", "@i s1 ready ", "@i s2 ready ")
	p.send(change("insert", row(2, 20), ""))
	p.send(other(change("insert", row(2, 20), "")))
	p.send(change("delete", "", row(1, 21)))
	p.send(`{"type":"commit","position":"20"}`)
	expectUnits(t, g, "@ii s1 insert 2, s2 insert 2, s1 delete 1")
	p.send(change("insert", row(3, 30), ""))
	p.send(other(change("insert", row(3, 30), "")))
	p.send(other(mark(30)))
	p.send(`{"type":"commit","position":"30"}`)
	expectUnits(t, g, "@iii s2 insert 3", "@iii s1 insert 3")
	// One that the server ends is told, and the others go on.
	p.send(`{"type":"error","subscription_id":"s1","code":"NOT_FOUND","message":"gone"}`)
	p.send(other(change("insert", row(4, 40), "")))
	p.send(`{"type":"commit","position":"40"}`)
	expectUnits(t, g, "ended s1: NOT_FOUND: gone", "@iiii s2 insert 4")
	g.Close()
	p.expect(`{"subscription_id":"s2","type":"unsubscribe"}`)
	if _, err := g.Next(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := g.Subscribe("SELECT 1", SubscribeOptions{}); !errors.Is(err, ErrClosed) {
		t.Errorf("subscribe after Close: %v", err)
	}
}

// TestGroupIsNeverHalf: a connection that breaks within a commit leaves nothing
// of it, and the subscription resumes before it.
func TestGroupIsNeverHalf(t *testing.T) {
	p := newPeer(t)
	_, l := p.connect(Options{})
	g := l.Group(0)
	if _, err := g.Subscribe("SELECT * FROM a.b", SubscribeOptions{Replay: true}); err != nil {
		t.Fatal(err)
	}
	p.expect(subscribeWhole)
	for _, frame := range []string{ack, page(false, `10`, row(1, 10)), mark(10), change("insert", row(2, 20), "")} {
		p.send(frame)
	}
	expectUnits(t, g, "@- s1 snapshot 1", "@i s1 ready ")
	p.cut()
	p.accept()
	p.expect(`{"type":"subscribe","subscription":{"id":"s1","sql":"SELECT * FROM a.b","options":{"from":"10","replay":"changes"}}}`)
	for _, frame := range []string{ack, mark(10), change("insert", row(2, 20), ""), change("insert", row(3, 21), ""), mark(20)} {
		p.send(frame)
	}
	expectUnits(t, g, "@i s1 ready ", "@ii s1 insert 2, s1 insert 3")
}

// TestGroupWithoutMarks: a server that does not mark commits gives a unit for
// each frame.
func TestGroupWithoutMarks(t *testing.T) {
	p := newPeer(t)
	c, err := New(Options{URL: p.url, Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	made := make(chan *Live, 1)
	go func() {
		l, _ := c.Live(context.Background())
		made <- l
	}()
	p.acceptWith(`{"type":"auth_success","user":"ann","role":"user","protocol":{}}`)
	l := <-made
	g := l.Group(1)
	if _, err := g.Subscribe("SELECT * FROM a.b", SubscribeOptions{}); err != nil {
		t.Fatal(err)
	}
	p.expect(subscribeWhole)
	for _, frame := range []string{ack, page(false, `10`, row(1, 10)), change("insert", row(2, 20), ""), change("insert", row(3, 21), "")} {
		p.send(frame)
	}
	expectUnits(t, g, "@- s1 snapshot 1, s1 ready ", "@- s1 insert 2", "@- s1 insert 3")
	_ = l.Close()
	c.Close()
	if got := unit(t, g); got != "error "+ErrClosed.Error() {
		t.Errorf("after the end of the Live: %s", got)
	}
}
