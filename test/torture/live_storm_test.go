package torture

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kalam "kalamdb/sdk/go"
)

// stormSize is how much a storm of reconnects does.
type stormSize struct {
	sockets int
	kills   int
	rows    int // that are written between two kills
	every   time.Duration
}

var (
	stormLong  = stormSize{sockets: 10_000, kills: 3, rows: 40, every: 50 * time.Millisecond}
	stormShort = stormSize{sockets: 300, kills: 2, rows: 60, every: 5 * time.Millisecond}
)

const (
	// stormDials is how many sockets are opened at a time before the first kill.
	stormDials = 32
	// stormBound is how long it may take until everybody has everything.
	stormBound = 3 * time.Minute
)

// storm is a server whose clients all come back at once.
type storm struct {
	t      *testing.T
	size   stormSize
	server *killServer
	client *kalam.Client
	subs   []*stormSub
	last   int64 // row that was written
	all    sync.WaitGroup
	ready  atomic.Int64
	events atomic.Int64
}

// stormSub follows rows that are numbered from 1 without a gap.
type stormSub struct {
	live *kalam.Live
	told atomic.Int64 // the last row
}

// TestLiveReconnects kills the server under sockets that all return at once,
// 10,000 with -live, each with a position to go on from: the server stays up, and
// every one is told each row once and in order.
func TestLiveReconnects(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes")
	}
	s := &storm{t: t, size: stormShort}
	if *flagLive {
		s.size = stormLong
	}
	pace := newPace(t, 1, 1)
	pace.allow(2 * stormBound * time.Duration(s.size.kills+1))
	s.open(pace)
	defer s.close()
	var took []time.Duration
	for range s.size.kills {
		s.write()
		s.server.kill()
		if _, err := s.server.start(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		s.write()
		s.await("rows", func() bool { return s.behind() == 0 })
		took = append(took, time.Since(began).Round(time.Millisecond))
		if t.Failed() {
			break
		}
	}
	t.Logf("torture: run=reconnects sockets=%d kills=%d rows=%d deliveries=%d all had everything after %v", s.size.sockets, s.size.kills, s.last, s.events.Load(), took)
}

// open starts the server and its followers.
func (s *storm) open(pace *pace) {
	s.t.Helper()
	s.server = newKillServer(s.t, buildServer(s.t, ""))
	s.server.environment = append(s.server.environment, "KALAMDB_RATE_LIMIT_MAX_SUBSCRIPTIONS_PER_USER=20000")
	pace.atEnd(s.server.last)
	if _, err := s.server.start(); err != nil {
		s.t.Fatal(err)
	}
	var err error
	s.client, err = kalam.New(kalam.Options{URL: s.server.url, User: "root", Password: killPassword, HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, sql := range []string{"CREATE NAMESPACE storm", "CREATE SHARED TABLE storm.rows (id BIGINT PRIMARY KEY) WITH (ACCESS_LEVEL='public')"} {
		if _, err := s.client.Query(context.Background(), sql); err != nil {
			s.t.Fatalf("%s: %v", sql, err)
		}
	}
	s.subs = make([]*stormSub, s.size.sockets)
	var dials sync.WaitGroup
	for i := range stormDials {
		dials.Go(func() {
			for j := i; j < len(s.subs) && !s.t.Failed(); j += stormDials {
				s.follow(j)
			}
		})
	}
	dials.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
	s.await("subscriptions", func() bool { return s.ready.Load() == int64(len(s.subs)) })
}

// follow opens a socket and listens on it.
func (s *storm) follow(i int) {
	live, err := s.client.Live(context.Background())
	if err != nil {
		s.t.Errorf("socket %d: %v", i, err)
		return
	}
	x := &stormSub{live: live}
	s.subs[i] = x
	sub, err := live.Subscribe("SELECT id FROM storm.rows WHERE id > 0", kalam.SubscribeOptions{Replay: true})
	if err != nil {
		s.t.Errorf("socket %d: %v", i, err)
		return
	}
	s.all.Go(func() {
		for known := false; ; {
			e, err := sub.Next(context.Background())
			switch {
			case errors.Is(err, kalam.ErrClosed):
				return
			case err != nil:
				s.t.Errorf("socket %d ends after row %d: %v", i, x.told.Load(), err)
				return
			case e.Kind == kalam.Ready:
				if !known {
					s.ready.Add(1)
				}
				known = true
			default:
				s.events.Add(1)
				if id := liveNumber(e.Row["id"]); id != x.told.Add(1) {
					s.t.Errorf("socket %d was told of row %d instead of %d", i, id, x.told.Load())
					return
				}
			}
		}
	})
}

// write inserts the next rows, one at a time.
func (s *storm) write() {
	s.t.Helper()
	tick := time.NewTicker(s.size.every)
	defer tick.Stop()
	for range s.size.rows {
		s.last++
		if _, err := s.client.Query(context.Background(), fmt.Sprintf("INSERT INTO storm.rows (id) VALUES (%d)", s.last)); err != nil {
			s.t.Fatalf("row %d: %v", s.last, err)
		}
		<-tick.C
	}
}

// behind is how many lack rows.
func (s *storm) behind() (n int) {
	for _, x := range s.subs {
		if x.told.Load() != s.last {
			n++
		}
	}
	return n
}

func (s *storm) await(what string, is func() bool) {
	s.t.Helper()
	for end := time.Now().Add(stormBound); !is() && !s.t.Failed(); elapse(liveLook) {
		if time.Now().After(end) {
			s.t.Fatalf("%s: %d of %d are ready, %d lack rows up to %d", what, s.ready.Load(), len(s.subs), s.behind(), s.last)
		}
	}
}

func (s *storm) close() {
	var all sync.WaitGroup
	for i := range stormDials {
		all.Go(func() {
			for j := i; j < len(s.subs); j += stormDials {
				if s.subs[j] != nil {
					_ = s.subs[j].live.Close() // always nil
				}
			}
		})
	}
	all.Wait()
	s.all.Wait()
	s.server.kill()
}
