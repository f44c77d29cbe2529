package core_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"kalamdb/internal/core"
	"kalamdb/internal/disk"
)

// rationed is a disk whose log is synced as often as it is allowed to be; who
// wants more waits for release.
type rationed struct {
	mu      sync.Mutex
	freed   *sync.Cond
	bounded bool
	left    int
}

func (r *rationed) hook(op disk.Op) error {
	if op.Kind != disk.OpSync || !strings.HasSuffix(op.Path, ".log") {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.bounded && r.left == 0 {
		r.freed.Wait()
	}
	r.left--
	return nil
}

func (r *rationed) allow(bounded bool, n int) {
	r.mu.Lock()
	r.bounded, r.left = bounded, n
	r.mu.Unlock()
	r.freed.Broadcast()
}

// TestDefinitionsWaitForOneFsync: a statement that changes a definition is
// answered after one fsync of the log, with the job that DROP starts.
func TestDefinitionsWaitForOneFsync(t *testing.T) {
	r := &rationed{}
	r.freed = sync.NewCond(&r.mu)
	db := openOn(t, disk.Inject(disk.NewMem(), r.hook), nil)
	run := func(sql string) <-chan error {
		answered := make(chan error, 1)
		go func() {
			_, err := db.Execute(context.Background(), root, core.Request{SQL: sql})
			answered <- err
		}()
		return answered
	}
	// The first job raises the ceiling of relaxed positions, which the clock of the
	// test never reaches again.
	if err := <-run("CREATE NAMESPACE n; CREATE SHARED TABLE n.first (id BIGINT PRIMARY KEY); DROP TABLE n.first"); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"CREATE SHARED TABLE n.t (id BIGINT PRIMARY KEY, v INT UNIQUE)",
		"ALTER TABLE n.t ADD COLUMN w TEXT DEFAULT 'x'",
		"DROP TABLE n.t",
		"CREATE NAMESPACE m",
		"CREATE USER TABLE m.t (id BIGINT PRIMARY KEY)",
		"CREATE SHARED TABLE m.u (id BIGINT PRIMARY KEY)",
		"DROP NAMESPACE m",
	} {
		r.allow(true, 1)
		answered := run(sql)
		select {
		case err := <-answered:
			if err != nil {
				t.Errorf("%s: %v", sql, err)
			}
			r.allow(false, 0)
		case <-time.After(20 * time.Second):
			t.Errorf("%s is not answered after one fsync", sql)
			r.allow(false, 0)
			<-answered
		}
	}
}
