package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"kalamdb/bench/proc"
	"kalamdb/bench/stat"
)

const (
	secret     = "a secret of the benchmark, 40 characters"
	startLimit = 200 // ms, the aim
)

// runStart measures the time from the spawn of the process to its first
// answered query.
func runStart(ctx context.Context, b *bench) error {
	stopped, killed := filepath.Join(b.data, "start-stopped"), filepath.Join(b.data, "start-killed")
	if err := errors.Join(b.prepareStart(ctx, stopped, "", false), b.prepareStart(ctx, killed, "", true)); err != nil {
		return err
	}
	const middle = readKeys + heldRows/2
	row := fmt.Sprintf("SELECT v FROM %s WHERE id = %d", heldTable, int64(middle))
	cases := []startCase{
		{name: "kalamdb, empty", query: "SELECT 1"},
		{name: "kalamdb, empty, with a password of root to hash (bcrypt, cost 12)", query: "SELECT 1", hash: true},
		{name: fmt.Sprintf("kalamdb, %d rows, after a stop", heldRows), from: stopped, query: row},
		{name: fmt.Sprintf("kalamdb, %d rows, after SIGKILL: their log is replayed", heldRows), from: killed, query: row},
	}
	if program := b.peerProgram(ctx); program != "" {
		held := filepath.Join(b.data, "start-peer")
		if err := b.prepareStart(ctx, held, program, false); err != nil {
			return err
		}
		cases = append(cases,
			startCase{name: "pocketbase, empty", program: program},
			startCase{name: fmt.Sprintf("pocketbase, %d rows, after a stop", heldRows), program: program, from: held, key: middle})
	}
	for range b.rounds {
		for i := range cases {
			took, err := b.timeStart(ctx, cases[i])
			if err != nil {
				return fmt.Errorf("start, %s: %w", cases[i].name, err)
			}
			cases[i].took = append(cases[i].took, took)
		}
	}
	b.report.Section("Start, milliseconds from spawn to the first answered query")
	var rows [][]string
	for _, c := range cases {
		rows = append(rows, []string{c.name, interval(stat.Of(c.took))})
	}
	b.report.Table([]string{"directory", "median [95 %]"}, rows)
	b.report.AimAtMost("start, empty directory", stat.Of(cases[0].took), startLimit, " ms")
	b.report.AimAtMost(fmt.Sprintf("start, %d rows, after a stop", heldRows), stat.Of(cases[2].took), startLimit, " ms")
	return nil
}

// startCase is a way to start.
type startCase struct {
	name  string
	from  string // directory that is copied; "" begins with none
	query string
	hash  bool // whether root gets a password
	// program of a peer, and the key that is asked for; 0 asks for a list.
	program string
	key     int64
	took    []float64 // milliseconds
}

// prepareStart makes a directory with rows, left by a stop or by SIGKILL.
func (b *bench) prepareStart(ctx context.Context, dir, program string, kill bool) error {
	l, err := b.startEmpty(ctx, dir, program)
	if err != nil {
		return err
	}
	if _, err := b.fill(ctx, l, l.table, readKeys, heldRows); err != nil {
		return err
	}
	if kill {
		return l.process.Kill()
	}
	return l.process.Stop()
}

// timeStart starts a server on a directory of its own, asks one query and stops
// it again; the time is in milliseconds.
func (b *bench) timeStart(ctx context.Context, c startCase) (took float64, err error) {
	dir := filepath.Join(b.data, "start")
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if c.from != "" {
		if err := os.CopyFS(dir, os.DirFS(c.from)); err != nil {
			return 0, err
		}
	}
	syscall.Sync() // what was copied is not to be written while the server starts
	p, err := b.startAndAsk(ctx, c, dir)
	if p == nil {
		return 0, err
	}
	took = float64(time.Since(p.Started)) / float64(time.Millisecond)
	return took, errors.Join(err, p.Stop())
}

// startAndAsk returns when the query is answered. The token is made here,
// because a login would hash a password.
func (b *bench) startAndAsk(ctx context.Context, c startCase, dir string) (*proc.Process, error) {
	if c.program != "" {
		p, err := b.startPeer(ctx, c.program, peers()[0], dir)
		if err != nil {
			return nil, err
		}
		filter, want := "", int64(0)
		if c.key > 0 {
			filter, want = fmt.Sprintf("id='%015d'", c.key), 1
		}
		n, err := askTotal(ctx, p.Addr, filter)
		if err == nil && n != want {
			err = fmt.Errorf("%d records, want %d", n, want)
		}
		return p, err
	}
	command := b.kalamCommand(dir, "auth.jwt_secret="+secret)
	if !c.hash {
		command.Env = append(command.Env, "KALAMDB_AUTH_ROOT_PASSWORD=")
	}
	p, err := b.start(ctx, "kalamdb", command, listening)
	if err != nil {
		return nil, err
	}
	s := &server{Process: p, Dir: dir, Token: rootToken(time.Now())}
	rows, err := s.sql(ctx, c.query)
	if err == nil && len(rows) != 1 {
		err = fmt.Errorf("%q answers %d rows", c.query, len(rows))
	}
	return p, err
}

// rootToken signs a token of root with the secret that the server was given.
func rootToken(now time.Time) string {
	part := func(v any) string {
		text, _ := json.Marshal(v) // maps of strings and numbers always can
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(map[string]string{"alg": "HS256", "typ": "JWT"}) + "." + part(map[string]any{
		"sub": "root", "iss": "kalamdb", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"email": "root@localhost", "role": "system", "token_type": "access",
	})
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
