package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// row is a row as JSON cells by column name.
type row map[string]json.RawMessage

// follower is a process that follows a live query, and what it has told.
type follower struct {
	user, table, sql string
	key              []string
	cmd              *exec.Cmd
	stderr           *lockedBuffer
	done             chan struct{} // closed when the process's output has ended
	mu               sync.Mutex
	rows             map[string]row
	events           map[string]int
	ready            int
	changed          chan struct{} // closed and replaced at each event
	err              error
}

func startFollower(ctx context.Context, path, url, user, table, sql string, key []string) (*follower, error) {
	f := &follower{user: user, table: table, sql: sql, key: key, stderr: &lockedBuffer{}, done: make(chan struct{}),
		rows: map[string]row{}, events: map[string]int{}, changed: make(chan struct{})}
	f.cmd = exec.CommandContext(ctx, path, "live", "--json", "--url", url, "--user", user, sql)
	f.cmd.Env = append(os.Environ(), "KALAM_PASSWORD="+password)
	f.cmd.Stderr = f.stderr
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := f.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w; run make build first", path, err)
	}
	go f.read(out)
	return f, nil
}

// read applies the events that the process prints.
func (f *follower) read(out io.Reader) {
	defer close(f.done)
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var e struct {
			Event string `json:"event"`
			Row   row    `json:"row"`
		}
		err := json.Unmarshal(scanner.Bytes(), &e)
		f.mu.Lock()
		if err != nil && f.err == nil {
			f.err = fmt.Errorf("follower of %s printed %q: %w", f.table, scanner.Text(), err)
		}
		f.apply(e.Event, e.Row)
		close(f.changed)
		f.changed = make(chan struct{})
		f.mu.Unlock()
	}
}

// apply keeps the rows as the events say.
func (f *follower) apply(event string, r row) {
	f.events[event]++
	switch event {
	case "ready":
		f.ready++
	case "snapshot", "insert", "update":
		clean := row{}
		for name, cell := range r {
			if !strings.HasPrefix(name, "_") && string(cell) != "null" {
				clean[name] = cell
			}
		}
		f.rows[keyOf(r, f.key)] = clean
	case "delete":
		delete(f.rows, keyOf(r, f.key))
	}
}

func keyOf(r row, key []string) string {
	cells := make([]string, len(key))
	for i, name := range key {
		cells[i] = string(r[name])
	}
	return strings.Join(cells, " ")
}

// waitReady waits until the snapshot is complete.
func (f *follower) waitReady(ctx context.Context) error {
	return f.until(ctx, func() (bool, string) { return f.ready > 0, "no snapshot yet" })
}

// until waits, within a bound, for something to hold of what has been told.
func (f *follower) until(ctx context.Context, holds func() (bool, string)) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for {
		f.mu.Lock()
		ok, why := holds()
		changed, err := f.changed, f.err
		f.mu.Unlock()
		switch {
		case err != nil:
			return err
		case ok:
			return nil
		}
		select {
		case <-changed:
		case <-f.done:
			return fmt.Errorf("follower %s of %q ended: %s", f.user, f.sql, f.stderr)
		case <-ctx.Done():
			return fmt.Errorf("follower %s of %q: %s", f.user, f.sql, why)
		}
	}
}

// matches waits until the follower holds exactly the given rows.
func (f *follower) matches(ctx context.Context, want map[string]row) error {
	return f.until(ctx, func() (bool, string) {
		if len(f.rows) != len(want) {
			return false, fmt.Sprintf("holds %d rows, the table has %d", len(f.rows), len(want))
		}
		for key, w := range want {
			if got, ok := f.rows[key]; !ok || !sameRow(got, w) {
				return false, fmt.Sprintf("row %s is %s, the table has %s", key, text(got), text(w))
			}
		}
		return true, ""
	})
}

func sameRow(a, b row) bool {
	if len(a) != len(b) {
		return false
	}
	for name, cell := range a {
		if string(b[name]) != string(cell) {
			return false
		}
	}
	return true
}

func text(r row) string {
	out, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// count returns how many events of each kind have come.
func (f *follower) count() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprintf("%d rows; events: %d snapshot, %d insert, %d update, %d delete",
		len(f.rows), f.events["snapshot"], f.events["insert"], f.events["update"], f.events["delete"])
}

func (f *follower) stop() {
	_ = f.cmd.Process.Signal(syscall.SIGTERM)
	<-f.done
	_ = f.cmd.Wait()
}
