// Package sql is the client that runs whole statements against KalamDB and takes
// their times: a Job in, a Result out, in a process of its own (see load.Remote).
// The peer program bench/peers/postgres takes the same jobs.
//
// Goroutines: one per connection, which Run waits for. Locks: none.
package sql

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Statement is one operation: a text, which may hold several statements.
type Statement struct {
	SQL    string
	Params []any
	// Reads says that its rows are the result, not a number of changes.
	Reads bool
}

// Job is all statements, over so many connections.
type Job struct {
	Address    string // URL of the SQL interface; of PostgreSQL how it is reached
	Token      string
	Connection int
	Statements []Statement
}

// Result is what a job has shown.
type Result struct {
	Micros  []float64 // of each statement, by its place
	Seconds float64   // of all
	Rows    string    // of the last statement that reads
	Changed int64     // rows, by all
}

// answer is what KalamDB says.
type answer struct {
	Status  string
	Error   *struct{ Message string }
	Results []struct {
		Rows     [][]any
		RowCount int64 `json:"row_count"`
	}
}

// Serve reads a Job and writes its Result: the inside of the client process.
func Serve(in io.Reader, out io.Writer) error {
	var job Job
	if err := json.NewDecoder(in).Decode(&job); err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	r, err := Run(job)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}

// Run runs all statements. The first that fails ends its connection and the run
// with an error.
func Run(job Job) (*Result, error) {
	r := &Result{Micros: make([]float64, len(job.Statements))}
	bodies := make([][]byte, len(job.Statements))
	for i, s := range job.Statements {
		var err error
		if bodies[i], err = json.Marshal(map[string]any{"sql": s.SQL, "params": s.Params}); err != nil {
			return nil, err
		}
	}
	faults := make([]error, job.Connection)
	rows := make([]string, len(job.Statements))
	var next, changed atomic.Int64
	var all sync.WaitGroup
	begin := time.Now()
	for c := range job.Connection {
		all.Go(func() {
			client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, DisableCompression: true}}
			defer client.CloseIdleConnections()
			for i := int(next.Add(1)) - 1; i < len(bodies); i = int(next.Add(1)) - 1 {
				from := time.Now()
				a, err := ask(client, job, bodies[i])
				r.Micros[i] = float64(time.Since(from)) / float64(time.Microsecond)
				if err != nil {
					faults[c] = fmt.Errorf("%.200s: %w", job.Statements[i].SQL, err)
					return
				}
				if job.Statements[i].Reads {
					rows[i] = a.text()
					continue
				}
				for _, done := range a.Results {
					changed.Add(done.RowCount)
				}
			}
		})
	}
	all.Wait()
	r.Seconds, r.Changed = time.Since(begin).Seconds(), changed.Load()
	for i, s := range job.Statements {
		if s.Reads {
			r.Rows = rows[i]
		}
	}
	return r, errors.Join(faults...)
}

func ask(client *http.Client, job Job, body []byte) (*answer, error) {
	request, err := http.NewRequest(http.MethodPost, job.Address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+job.Token)
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	var a answer
	exact := json.NewDecoder(bytes.NewReader(text))
	exact.UseNumber()
	if err := exact.Decode(&a); err != nil {
		return nil, fmt.Errorf("status %d: %w: %.200s", response.StatusCode, err, text)
	}
	if a.Status != "success" || len(a.Results) == 0 {
		return nil, fmt.Errorf("status %d: %.300s", response.StatusCode, text)
	}
	return &a, nil
}

// text returns the rows of the last result as the peer writes them.
func (a *answer) text() string {
	var out strings.Builder
	for _, row := range a.Results[len(a.Results)-1].Rows {
		for _, cell := range row {
			fmt.Fprintf(&out, "%v|", cell)
		}
		out.WriteString("\n")
	}
	return out.String()
}
