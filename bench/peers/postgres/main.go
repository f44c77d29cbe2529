// Command postgres runs statements against a PostgreSQL server for the benchmark:
// a job on standard input, what it has shown on standard output. A statement
// without parameters goes as its text, as psql sends it; one with parameters is
// prepared once on each connection.
//
// It is a module of its own because its driver is no dependency of KalamDB.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/lib/pq"
)

// statement is one operation.
type statement struct {
	SQL    string
	Params []any
	Reads  bool
}

// job is what is asked: all statements, over so many connections.
type job struct {
	Address    string
	Connection int
	Statements []statement
}

// result is what bench reads.
type result struct {
	Micros  []float64
	Seconds float64
	Rows    string // of the last statement that reads
	Changed int64
}

func main() {
	var j job
	err := json.NewDecoder(os.Stdin).Decode(&j)
	if err == nil {
		var r *result
		if r, err = run(j); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(r)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "postgres:", err)
		os.Exit(1)
	}
}

func run(j job) (*result, error) {
	db, err := sql.Open("postgres", j.Address)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	r := &result{Micros: make([]float64, len(j.Statements))}
	conns := make([]*sql.Conn, j.Connection)
	for i := range conns {
		if conns[i], err = db.Conn(context.Background()); err != nil {
			return nil, err
		}
		defer conns[i].Close()
	}
	var next, changed atomic.Int64
	var rows sync.Mutex
	faults := make([]error, len(conns))
	var all sync.WaitGroup
	begin := time.Now()
	for c, conn := range conns {
		all.Go(func() {
			w := worker{conn: conn, prepared: map[string]*sql.Stmt{}}
			for {
				i := int(next.Add(1)) - 1
				if i >= len(j.Statements) {
					return
				}
				from := time.Now()
				text, n, err := w.do(j.Statements[i])
				r.Micros[i] = float64(time.Since(from)) / float64(time.Microsecond)
				if err != nil {
					faults[c] = fmt.Errorf("%.200s: %w", j.Statements[i].SQL, err)
					return
				}
				changed.Add(n)
				if j.Statements[i].Reads {
					rows.Lock()
					r.Rows = text
					rows.Unlock()
				}
			}
		})
	}
	all.Wait()
	r.Seconds, r.Changed = time.Since(begin).Seconds(), changed.Load()
	return r, errors.Join(faults...)
}

// worker is one connection.
type worker struct {
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
}

func (w *worker) do(s statement) (string, int64, error) {
	ctx := context.Background()
	if !s.Reads {
		r, err := w.conn.ExecContext(ctx, s.SQL, s.Params...)
		if err != nil {
			return "", 0, err
		}
		n, _ := r.RowsAffected() // DDL has none
		return "", n, nil
	}
	var rows *sql.Rows
	var err error
	if len(s.Params) > 0 {
		p := w.prepared[s.SQL]
		if p == nil {
			if p, err = w.conn.PrepareContext(ctx, s.SQL); err != nil {
				return "", 0, err
			}
			w.prepared[s.SQL] = p
		}
		rows, err = p.QueryContext(ctx, s.Params...)
	} else {
		rows, err = w.conn.QueryContext(ctx, s.SQL)
	}
	if err != nil {
		return "", 0, err
	}
	defer rows.Close()
	return scan(rows)
}

// scan returns the rows as bench writes them.
func scan(rows *sql.Rows) (string, int64, error) {
	names, err := rows.Columns()
	if err != nil {
		return "", 0, err
	}
	cells := make([]sql.NullString, len(names))
	into := make([]any, len(names))
	for i := range cells {
		into[i] = &cells[i]
	}
	var out strings.Builder
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return "", 0, err
		}
		for _, c := range cells {
			out.WriteString(c.String + "|")
		}
		out.WriteString("\n")
	}
	return out.String(), 0, rows.Err()
}
