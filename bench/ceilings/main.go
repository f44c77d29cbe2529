// Command ceilings measures what the engine below KalamDB gives when nothing is
// above it: the iteration of as many keys as a table has rows, with the same
// bytes, on one goroutine. It prints one line of JSON.
//
// It is a module of its own because the engine may be imported by no other room
// of KalamDB than its home.
package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

const (
	keyBytes   = 24 // table and scope, key, position
	valueBytes = 100
	batchRows  = 1000
)

// result is what bench reads.
type result struct {
	Operations    int64
	Seconds       float64
	PerSecond     float64
	P50, P90, P99 float64 // microseconds of one iteration over all keys
	P999, Max     float64
}

func main() {
	dir := flag.String("dir", "", "directory of the data; required")
	rows := flag.Int("rows", 10_000, "keys")
	d := flag.Duration("time", time.Second, "how long")
	flush := flag.Bool("flush", false, "read from a table file, not from memory")
	flag.Parse()
	if err := run(*dir, *rows, *d, *flush, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ceilings:", err)
		os.Exit(1)
	}
}

func run(dir string, rows int, d time.Duration, flush bool, out io.Writer) error {
	if dir == "" || rows < 1 {
		return errors.New("-dir and -rows are required")
	}
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}, MemTableSize: 64 << 20, CacheSize: 64 << 20})
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer db.Close()
	want, err := fill(db, rows)
	if err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	if flush {
		if err := db.Flush(); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
	}
	var took []float64
	begin := time.Now()
	for len(took) == 0 || time.Since(begin) < d {
		from := time.Now()
		n, sum, err := iterate(db)
		if err != nil {
			return fmt.Errorf("iterate: %w", err)
		}
		if n != rows || sum != want {
			return fmt.Errorf("iteration gave %d rows with sum %d; %d and %d were written", n, sum, rows, want)
		}
		took = append(took, float64(time.Since(from))/float64(time.Microsecond))
	}
	seconds := time.Since(begin).Seconds()
	slices.Sort(took)
	at := func(q float64) float64 { return took[min(int(q*float64(len(took))), len(took)-1)] }
	return json.NewEncoder(out).Encode(result{
		Operations: int64(len(took)), Seconds: seconds, PerSecond: float64(len(took)) / seconds,
		P50: at(0.50), P90: at(0.90), P99: at(0.99), P999: at(0.999), Max: took[len(took)-1],
	})
}

// fill writes the rows and returns the sum of their numbers, which stand in the
// last eight bytes of the values.
func fill(db *pebble.DB, rows int) (sum uint64, err error) {
	var key [keyBytes]byte
	var value [valueBytes]byte
	for i := 0; i < rows; {
		batch := db.NewBatch()
		for end := min(i+batchRows, rows); i < end; i++ {
			n := uint64(100 + i%900)
			sum += n
			binary.BigEndian.PutUint64(key[8:], uint64(i))
			binary.LittleEndian.PutUint64(value[valueBytes-8:], n)
			if err := batch.Set(key[:], value[:], nil); err != nil {
				return 0, err
			}
		}
		if err := batch.Commit(pebble.NoSync); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// iterate visits every key and adds up the numbers.
func iterate(db *pebble.DB) (n int, sum uint64, err error) {
	it, err := db.NewIter(nil)
	if err != nil {
		return 0, 0, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		v := it.Value()
		sum += binary.LittleEndian.Uint64(v[len(v)-8:])
		n++
	}
	return n, sum, it.Close()
}

// quiet logs nothing but what ends the process.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}
