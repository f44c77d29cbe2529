package core_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"kalamdb/internal/api"
	"kalamdb/internal/command"
	"kalamdb/internal/core"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// TestDropBesideEverything drops and makes a table and its namespace while
// others write, read, flush and subscribe. Whatever they are told, it is a fault
// that names the reason; nothing is left open, and the last table is whole.
func TestDropBesideEverything(t *testing.T) {
	db := openDB(t, nil)
	length := 2 * time.Second
	if testing.Short() {
		length = 500 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	create := "CREATE NAMESPACE IF NOT EXISTS c; CREATE TABLE IF NOT EXISTS c.t (id BIGINT PRIMARY KEY, v INT) WITH (TYPE='SHARED', ACCESS_LEVEL='PUBLIC')"
	mustRun(t, db, root, create)
	worker, alice := session("w", schema.RoleService), session("alice", schema.RoleUser)
	try := func(what string, err error) {
		switch fault.CodeOf(err) {
		case "", fault.TableNotFound, fault.NamespaceNotFound, fault.AlreadyExists, fault.DuplicateKey, fault.Conflict, fault.ServerBusy,
			fault.Cancelled, fault.Timeout, fault.InvalidOperation, fault.PermissionDenied, fault.ObjectNotFound,
			fault.CursorExpired:
		default:
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	var all sync.WaitGroup
	loop := func(step func(i int)) {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				step(i)
			}
		})
	}
	loop(func(i int) {
		drop := "DROP TABLE IF EXISTS c.t"
		if i%5 == 4 {
			drop = "DROP NAMESPACE IF EXISTS c CASCADE"
		}
		for range 20 {
			_, err := run(db, root, "SELECT COUNT(*) FROM c.t")
			try("count", err)
		}
		_, err := run(db, root, drop)
		try(drop, err)
		_, err = run(db, root, create)
		try(create, err)
	})
	for w := range 3 {
		loop(func(i int) {
			for _, sql := range []string{
				fmt.Sprintf("INSERT INTO c.t VALUES (%d, 1), (%d, 2)", 3*i+w, 1_000_000+3*i+w),
				fmt.Sprintf("UPDATE c.t SET v = v + 1 WHERE id = %d", 3*i+w), fmt.Sprintf("UPDATE c.t SET v = 0 WHERE v > %d", i%7),
				fmt.Sprintf("DELETE FROM c.t WHERE id = %d", 3*(i-5)+w), "SELECT * FROM c.t ORDER BY _seq DESC LIMIT 50",
			} {
				_, err := run(db, worker, sql)
				try(sql, err)
			}
		})
	}
	loop(func(int) {
		// A flush whose table goes away ends with the refusal of its command,
		// which only system.jobs shows.
		if _, err := db.Flush(ctx, "c", "t"); err != nil && ctx.Err() == nil && !errors.Is(err, command.ErrStaleSchema) {
			try("flush", err)
		}
	})
	loop(func(i int) {
		access := []string{"PRIVATE", "PUBLIC"}[i%2]
		_, err := run(db, worker, "ALTER TABLE c.t SET ACCESS LEVEL "+access)
		try("alter", err)
	})
	loop(func(i int) {
		c := db.Hub().Connect(core.LiveConnOptions{ID: fmt.Sprint("c", i), User: "alice", Encoder: api.JSONFrames()})
		defer c.Close()
		for s := range 3 {
			o := &core.LiveSnapshot{BatchSize: 10, HasFrom: s == 1, From: db.Position()}
			try("subscribe", db.Subscribe(ctx, alice, c, core.LiveRequest{ID: fmt.Sprint("s", s), SQL: "SELECT * FROM c.t WHERE v >= 0", Options: o}))
		}
		for range 20 {
			if _, err := c.Take(ctx, nil, 1<<16); err != nil {
				return
			}
		}
	})
	all.Wait()
	mustRun(t, db, root, create)
	rows, counted := mustRun(t, db, root, "SELECT * FROM c.t")[0], one(t, db, "SELECT COUNT(*) FROM c.t")
	if rows != counted {
		t.Errorf("%s rows are counted as %s", rows, counted)
	}
	if s := db.Hub().Stats(); s.Connections != 0 || s.Subscriptions != 0 {
		t.Errorf("the hub keeps %+v", s)
	}
}
