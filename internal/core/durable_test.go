package core_test

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"kalamdb/internal/auth"
	"kalamdb/internal/cold"
	"kalamdb/internal/core"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/store"
	"kalamdb/internal/testkit"
)

// held is a disk whose log is not synced while it is held.
type held struct {
	mu sync.Mutex
}

func (h *held) hook(op disk.Op) error {
	if op.Kind == disk.OpSync && strings.HasSuffix(op.Path, ".log") {
		h.mu.Lock()
		defer h.mu.Unlock()
	}
	return nil
}

// openOn opens a database on any disk and closes it when the test ends.
func openOn(t *testing.T, fs disk.FS, change func(*core.Options)) *core.DB {
	t.Helper()
	clock, logger := testkit.NewClock(), slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := store.Open(store.Options{FS: fs, Dir: "data", Now: clock.Now, Logger: logger, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	passwords, err := auth.NewPasswords(auth.PasswordOptions{Cost: 4})
	if err != nil {
		t.Fatal(err)
	}
	tier := cold.New(cold.Options{FS: fs, DataDir: "data"})
	o := core.Options{Store: s, Cold: tier, Passwords: passwords, Now: clock.Now, Logger: logger}
	if change != nil {
		change(&o)
	}
	db, err := core.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- db.Run(ctx) }()
	<-db.Ready()
	t.Cleanup(func() {
		cancel()
		for _, err := range []error{<-done, tier.Close(), s.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return db
}

// TestNoAnswerTellsOfWhatIsNotDurable: who changes nothing, because another has
// just done it, is answered after the other's commit is on disk.
func TestNoAnswerTellsOfWhatIsNotDurable(t *testing.T) {
	h := &held{}
	db := openOn(t, disk.Inject(disk.NewMem(), h.hook), nil)
	within := func(limit time.Duration, sql string) error {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, err := db.Execute(ctx, root, core.Request{SQL: sql})
		return err
	}
	if err := within(time.Minute, "CREATE NAMESPACE n; CREATE SHARED TABLE n.t (id BIGINT PRIMARY KEY, v INT); INSERT INTO n.t VALUES (1, 0), (2, 0)"); err != nil {
		t.Fatal(err)
	}
	steps := [][2]string{
		{"DELETE FROM n.t WHERE id = 1", "DELETE FROM n.t WHERE id = 1"},
		{"UPDATE n.t SET v = 1 WHERE id = 2", "UPDATE n.t SET v = 10 / (v - 1) WHERE id = 2"},
		{"CREATE NAMESPACE m", "CREATE NAMESPACE IF NOT EXISTS m"},
		{"CREATE SHARED TABLE m.t (id BIGINT PRIMARY KEY)", "CREATE SHARED TABLE IF NOT EXISTS m.t (id BIGINT PRIMARY KEY)"},
		{"DROP TABLE n.t", "DROP TABLE IF EXISTS n.t"},
	}
	for _, step := range steps {
		h.mu.Lock()
		before := db.Stats().Apply.Commits
		answered := make(chan error, 1)
		go func() { answered <- within(time.Minute, step[0]) }()
		for db.Stats().Apply.Commits == before {
			select {
			case err := <-answered:
				t.Fatalf("%s is answered before it is durable: %v", step[0], err)
			default:
			}
		}
		if err := within(50*time.Millisecond, step[1]); !fault.Is(err, fault.Timeout) {
			t.Errorf("%s is answered before what it saw is durable: %v", step[1], err)
		}
		h.mu.Unlock()
		if err := <-answered; err != nil {
			t.Errorf("%s: %v", step[0], err)
		}
	}
}
