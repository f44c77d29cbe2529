package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"kalamdb/bench/load"
	"kalamdb/bench/stat"
	"kalamdb/bench/target"
)

// The files that scans read.
const (
	coldFiles = 20
	coldRows  = 10_000 // each
	duckdb    = "duckdb==1.5.6"
)

// coldQueries are asked of KalamDB, whose rows are all in files, and of DuckDB on
// the same files.
var coldQueries = []struct{ name, ours, theirs string }{
	{"COUNT(*)", "SELECT COUNT(*) FROM bench.cold", "SELECT COUNT(*) FROM %s"},
	{"scan, three columns", "SELECT SUM(id), SUM(n), SUM(LENGTH(v)) FROM bench.cold", "SELECT SUM(id), SUM(n), SUM(LENGTH(v)) FROM %s"},
	{"filter, 1 of 1000 rows", "SELECT COUNT(*), SUM(id) FROM bench.cold WHERE n = 77", "SELECT COUNT(*), SUM(id) FROM %s WHERE n = 77"},
	{"filter that one file meets", "SELECT COUNT(*), SUM(n) FROM bench.cold WHERE stamp >= 150000 AND stamp < 150500", "SELECT COUNT(*), SUM(n) FROM %s WHERE stamp >= 150000 AND stamp < 150500"},
	{"GROUP BY, 1000 groups", "SELECT n, COUNT(*), SUM(id) FROM bench.cold GROUP BY n ORDER BY n", "SELECT n, COUNT(*), SUM(id) FROM %s GROUP BY n ORDER BY n"},
}

// runCold measures flushes beside DuckDB's COPY, statements over cold rows beside
// DuckDB on the same files, point reads of cold rows beside those of hot ones, and
// others while rows are flushed and files compacted.
func runCold(ctx context.Context, b *bench) error {
	s, err := b.startKalam(ctx, filepath.Join(b.data, "cold-data"))
	if err != nil {
		return err
	}
	d, err := b.startDuckDB(ctx)
	if err != nil {
		return err
	}
	defer d.stop()
	if _, err := s.sql(ctx, "CREATE NAMESPACE bench"); err != nil {
		return err
	}
	for _, part := range []func(context.Context, *server, *duck) error{b.coldFlush, b.coldScans, b.coldPoints, b.coldBeside} {
		if err := part(ctx, s, d); err != nil {
			return err
		}
	}
	return s.Stop()
}

// coldFlush makes the files, one flush each.
func (b *bench) coldFlush(ctx context.Context, s *server, d *duck) error {
	files, rows := int64(coldFiles), int64(coldRows)
	if b.short {
		files, rows = 3, 500
	}
	if _, err := s.sql(ctx, "CREATE SHARED TABLE bench.cold (id BIGINT PRIMARY KEY, v TEXT NOT NULL, n INT NOT NULL, stamp BIGINT NOT NULL)"); err != nil {
		return err
	}
	var walls, cores, ends, copies []float64
	for i := range files {
		if _, err := s.sql(ctx, coldInsert("bench.cold", i*rows, rows)); err != nil {
			return err
		}
		wall, cpu, err := s.job(ctx, "STORAGE FLUSH TABLE bench.cold")
		if err != nil {
			return err
		}
		walls, cores = append(walls, float64(rows)/wall), append(cores, float64(rows)/cpu)
		ms, _, err := d.ask(fmt.Sprintf("COPY (SELECT %s AS id, repeat('some text ', 5) || s.n AS v, CAST(s.n %% 1000 AS INT) AS n, s.n AS stamp FROM generate_series(%d, %d) AS s (n)) TO '%s' (FORMAT parquet, COMPRESSION snappy)",
			"s.n * 7919 % 1000003", i*rows, (i+1)*rows-1, filepath.Join(b.data, "copy.parquet")))
		if err != nil {
			return err
		}
		copies, ends = append(copies, float64(rows)/ms*1000), append(ends, float64(rows)/wall/(float64(rows)/ms*1000))
	}
	b.report.Section(fmt.Sprintf("Flush of %d rows at a time, beside COPY of as many rows by DuckDB on one thread", rows))
	b.report.Linef("A flush reads hot rows, writes and syncs the file, adopts it in slices that are synced, and writes the manifest; COPY makes its rows and writes them. Encoding alone: go test -bench BenchmarkWrite ./internal/cold.")
	b.report.Table([]string{"", "rows per second [95 % interval]"}, [][]string{
		{"flush, end to end", interval(stat.Of(walls))}, {"flush, per second of the job's CPU", interval(stat.Of(cores))}, {"DuckDB COPY", interval(stat.Of(copies))},
	})
	b.report.AimAtLeast("row 15: flush end to end, rows per second of DuckDB's COPY", stat.Of(ends), 0.5, "x")
	return nil
}

// coldInsert writes rows with ids in no order.
func coldInsert(table string, first, rows int64) string {
	return fmt.Sprintf("INSERT INTO %s SELECT CAST(s.n AS BIGINT) * 7919 %% 1000003, repeat('some text ', 5) || CAST(s.n AS TEXT), CAST(s.n %% 1000 AS INT), s.n FROM generate_series(%d, %d) AS s (n)",
		table, first, first+rows-1)
}

// coldScans asks the queries of both; the answers must be equal.
func (b *bench) coldScans(ctx context.Context, s *server, d *duck) error {
	files, err := parquetFiles(filepath.Join(s.Dir, "storage"))
	if err != nil {
		return err
	}
	list, err := json.Marshal(files)
	if err != nil {
		return err
	}
	from := "read_parquet(" + string(jsonQuotes(list)) + ")"
	times := 5 * b.rounds
	b.report.Section(fmt.Sprintf("Statements over %d cold files, beside DuckDB on one thread with the same files", len(files)))
	b.report.Linef("Milliseconds: KalamDB over HTTP, DuckDB inside of its process; %d of each, in turns. Every answer of both is the same.", times)
	var table [][]string
	for _, q := range coldQueries {
		var ours, theirs, ratios []float64
		for range times {
			begin := time.Now()
			rows, err := s.sql(ctx, q.ours)
			if err != nil {
				return err
			}
			took := float64(time.Since(begin)) / float64(time.Millisecond)
			ms, want, err := d.ask(fmt.Sprintf(q.theirs, from))
			if err != nil {
				return err
			}
			if got := fmt.Sprint(rows); got != fmt.Sprint(want) {
				return fmt.Errorf("%s: KalamDB answers %.200s, DuckDB %.200s", q.name, got, fmt.Sprint(want))
			}
			ours, theirs, ratios = append(ours, took), append(theirs, ms), append(ratios, took/ms)
		}
		table = append(table, []string{q.name, interval(stat.Of(ours)), interval(stat.Of(theirs)), interval(stat.Of(ratios)) + "x"})
		if q.name != "COUNT(*)" {
			b.report.AimAtMost("row 16: "+q.name+", time beside DuckDB's", stat.Of(ratios), 2, "x")
		}
	}
	b.report.Table([]string{"", "kalamdb", "duckdb", "kalamdb of duckdb"}, table)
	return nil
}

// jsonQuotes turns a JSON array of plain strings into a list of DuckDB.
func jsonQuotes(list []byte) []byte {
	out := slices.Clone(list)
	for i, c := range out {
		if c == '"' {
			out[i] = '\''
		}
	}
	return out
}

// coldPoints reads rows by key while they are hot, and when they are cold.
func (b *bench) coldPoints(ctx context.Context, s *server, _ *duck) error {
	keys := b.rows - b.rows%load.RowsPerInsert
	if err := s.createTable(ctx, "bench.points", "relaxed"); err != nil {
		return err
	}
	job := load.Job{Target: target.KalamDB, Addr: s.Addr, Token: s.Token, Table: "bench.points", First: readKeys, ServerPID: s.PID}
	fill := job
	fill.Verb, fill.Conns, fill.Requests = load.InsertRows, 4, keys/load.RowsPerInsert
	if _, err := b.drive(ctx, fill); err != nil {
		return err
	}
	job.Verb, job.Keys, job.Conns, job.Warm, job.Measure = load.Select, keys, 1, b.warm(), b.window()
	var hot, cold sample
	for _, out := range []*sample{&hot, &cold} {
		if out == &cold {
			if _, _, err := s.job(ctx, "STORAGE FLUSH TABLE bench.points"); err != nil {
				return err
			}
		}
		for range b.rounds {
			r, err := b.drive(ctx, job)
			if err != nil {
				return err
			}
			out.results = append(out.results, r)
		}
	}
	b.report.Section(fmt.Sprintf("Point selects over %d rows, one in flight, microseconds", keys))
	b.report.Table([]string{"", "p50", "p90", "p99", "p99.9", "max"}, [][]string{append([]string{"hot"}, hot.quantiles()...), append([]string{"cold"}, cold.quantiles()...)})
	p50 := func(r load.Result) float64 { return r.P50 }
	b.report.AimAtMost("row 16: point select of a cold row, p50 of that of a hot row", stat.Of(stat.Ratios(cold.values(p50), hot.values(p50))), 5, "x")
	return nil
}

// coldBeside measures others while rows are flushed, and while files are
// compacted.
func (b *bench) coldBeside(ctx context.Context, s *server, _ *duck) error {
	n := int64(200_000)
	if b.short {
		n = 2000
	}
	if err := s.createTable(ctx, "bench.beside", "sync"); err != nil {
		return err
	}
	if _, err := s.sql(ctx, "CREATE SHARED TABLE bench.moved (id BIGINT PRIMARY KEY, v TEXT NOT NULL, n INT NOT NULL, stamp BIGINT NOT NULL)"); err != nil {
		return err
	}
	job := load.Job{Target: target.KalamDB, Addr: s.Addr, Token: s.Token, Table: "bench.beside", ServerPID: s.PID, First: readKeys}
	fill := job
	fill.Verb, fill.Conns, fill.Requests = load.InsertRows, 4, 200
	if _, err := b.drive(ctx, fill); err != nil {
		return err
	}
	names := []string{"quiet", "beside a flush", "beside a compaction"}
	var reads, inserts [3]sample
	next, first := int64(insertKeys), int64(0)
	for range b.rounds {
		for i := range names {
			work := func() (float64, error) { return 0, nil }
			switch i {
			case 1:
				for range 4 { // one commit has a bound
					if _, err := s.sql(ctx, coldInsert("bench.moved", first, n/4)); err != nil {
						return err
					}
					first += n / 4
				}
				work = func() (float64, error) {
					_, _, err := s.job(ctx, "STORAGE FLUSH TABLE bench.moved")
					return 0, err
				}
			case 2:
				work = func() (float64, error) {
					_, _, err := s.job(ctx, "STORAGE COMPACT TABLE bench.cold")
					return 0, err
				}
			}
			r, w, _, err := b.besides(ctx, job, next, work)
			if err != nil {
				return err
			}
			next += w.Acked
			reads[i].results, inserts[i].results = append(reads[i].results, r), append(inserts[i].results, w)
		}
	}
	b.report.Section(fmt.Sprintf("Others while %d rows are flushed, and while the %d files are compacted (first round; there is less to do in later ones)", n, coldFiles))
	b.report.Linef("Microseconds; open loop, %d point selects and %d single synced inserts per second.", besideReads, besideWrites)
	var rows [][]string
	p99 := func(r load.Result) float64 { return r.P99 }
	for i, name := range names {
		rows = append(rows, append([]string{"select", name}, reads[i].quantiles()...), append([]string{"insert", name}, inserts[i].quantiles()...))
		if i > 0 {
			b.report.AimAtMost("p99 of selects "+name+", of that while it is quiet", stat.Of(stat.Ratios(reads[i].values(p99), reads[0].values(p99))), 2, "x")
			b.report.AimAtMost("p99 of inserts "+name+", of that while it is quiet", stat.Of(stat.Ratios(inserts[i].values(p99), inserts[0].values(p99))), 2, "x")
		}
	}
	b.report.Table([]string{"operation", "", "p50", "p90", "p99", "p99.9", "max"}, rows)
	return nil
}

// job runs a statement that starts a job, waits for the end of all jobs, and
// returns the seconds and seconds of CPU of the newest one.
func (s *server) job(ctx context.Context, text string) (wall, cpu float64, err error) {
	if _, err := s.sql(ctx, text); err != nil {
		return 0, 0, err
	}
	for {
		n, err := s.number(ctx, "SELECT COUNT(*) FROM system.jobs WHERE finished_at IS NULL")
		if err != nil {
			return 0, 0, err
		}
		if n == 0 {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond): // seldom, for a flush gives way to statements
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
	}
	var micros, used int64
	rows, err := s.sql(ctx, "SELECT CAST(EXTRACT(EPOCH FROM finished_at) * 1000000 - EXTRACT(EPOCH FROM started_at) * 1000000 AS BIGINT), cpu_used, status, COALESCE(message, '') FROM system.jobs ORDER BY created_at DESC LIMIT 1")
	if err != nil {
		return 0, 0, err
	}
	if len(rows) != 1 || fmt.Sprint(rows[0][2]) != "completed" {
		return 0, 0, fmt.Errorf("%s: its job says %v", text, rows)
	}
	_, errWall := fmt.Sscan(fmt.Sprint(rows[0][0]), &micros)
	_, errUsed := fmt.Sscan(fmt.Sprint(rows[0][1]), &used)
	return float64(max(micros, 1)) / 1e6, float64(max(used, 1)) / 1e3, errors.Join(errWall, errUsed)
}

// parquetFiles returns the absolute paths of the files below a folder.
func parquetFiles(folder string) (files []string, err error) {
	err = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".parquet" {
			path, err = filepath.Abs(path)
			files = append(files, path)
		}
		return err
	})
	return files, err
}

// duck is DuckDB alone on one thread, in a process of its own.
type duck struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// startDuckDB starts the reference of bench/tpch, which comes from PyPI.
func (b *bench) startDuckDB(ctx context.Context) (*duck, error) {
	venv := filepath.Join(b.data, "python")
	for _, step := range [][]string{{"python3", "-m", "venv", venv}, {filepath.Join(venv, "bin/pip"), "install", "-q", "--disable-pip-version-check", duckdb}} {
		if text, err := exec.CommandContext(ctx, step[0], step[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("install %s: %w: %.500s", duckdb, err, text)
		}
	}
	d := &duck{command: exec.CommandContext(ctx, filepath.Join(venv, "bin/python"), filepath.Join("bench", "tpch", "reference.py"), b.data, os.DevNull, "1")}
	d.command.Stderr = os.Stderr
	in, err := d.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := d.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	d.in, d.out = in, bufio.NewReaderSize(out, 1<<20)
	if err := d.command.Start(); err != nil {
		return nil, err
	}
	_, _, err = d.read() // it is ready
	return d, err
}

func (d *duck) stop() {
	_ = d.in.Close()
	_ = d.command.Wait() // it only answered
}

func (d *duck) ask(sql string) (ms float64, rows [][]any, err error) {
	line, err := json.Marshal(map[string]string{"sql": sql})
	if err != nil {
		return 0, nil, err
	}
	if _, err := d.in.Write(append(line, '\n')); err != nil {
		return 0, nil, err
	}
	return d.read()
}

func (d *duck) read() (ms float64, rows [][]any, err error) {
	line, err := d.out.ReadBytes('\n')
	if err != nil {
		return 0, nil, fmt.Errorf("DuckDB has ended: %w", err)
	}
	var reply struct {
		Error string
		MS    float64
		Rows  [][]any
	}
	if err := json.Unmarshal(line, &reply); err != nil {
		return 0, nil, err
	}
	if reply.Error != "" {
		return 0, nil, errors.New(reply.Error)
	}
	for _, row := range reply.Rows {
		for i, v := range row {
			if f, ok := v.(float64); ok && f == float64(int64(f)) {
				row[i] = int64(f)
			}
		}
	}
	return reply.MS, reply.Rows, nil
}
