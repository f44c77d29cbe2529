package logic

import (
	"bufio"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Scripts whose names end in .test are in the form of SQLite's sqllogictest
// (https://www.sqlite.org/sqllogictest), in which other projects publish theirs:
//
//	statement ok | statement error | statement count N
//	query TYPES [nosort|rowsort|valuesort] [label]
//	hash-threshold N, halt, skipif NAME, onlyif NAME
//
// Results stand one value a line, or one row a line divided by tabs or blanks,
// or as "N values hashing to MD5". Names that apply are kalamdb and postgresql.

// foreignNames are the engines for whose records onlyif and skipif are meant.
var foreignNames = []string{"kalamdb", "postgresql"}

// record is one record of a foreign script.
type record struct {
	line   int
	words  []string
	sql    string
	expect []string
	judged bool              // there is a "----"
	labels map[string]string // shared by the records of a script: label to result
}

// errHalt ends a script before its end.
var errHalt = errors.New("halt")

// runForeign runs a foreign script to its end, says which records fail, and
// returns how many hold.
func runForeign(t *testing.T, config, path string, s3 *s3Server) int {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	db, err := open(t, config, s3)
	if err != nil {
		t.Fatal(err)
	}
	defer db.close()
	r := newRunner(t, config, &script{path: path}, db, false)
	good, bad := 0, 0
	for _, rec := range foreignRecords(string(text)) {
		err := r.foreign(rec)
		if errors.Is(err, errHalt) {
			break
		}
		if err != nil {
			bad++
			if bad <= 20 {
				t.Errorf("%s:%d: %s: %v", path, rec.line, strings.Join(rec.words, " "), err)
			}
			continue
		}
		good++
	}
	if bad > 0 {
		t.Errorf("%s: %d records hold, %d do not", path, good, bad)
	}
	return good
}

// foreignRecords parses the records that are meant for us.
func foreignRecords(text string) []record {
	var out []record
	labels := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 16<<20)
	applies, number := true, 0
	for lines.Scan() {
		number++
		words := strings.Fields(lines.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		switch {
		case words[0] == "skipif" && len(words) > 1:
			applies = applies && !slices.Contains(foreignNames, words[1])
			continue
		case words[0] == "onlyif" && len(words) > 1:
			applies = applies && slices.Contains(foreignNames, words[1])
			continue
		}
		rec := record{line: number, words: words, labels: labels}
		if words[0] == "statement" || words[0] == "query" {
			var sql []string
			for lines.Scan() {
				number++
				switch line := strings.TrimRight(lines.Text(), "\r"); {
				case line == "" || rec.judged && strings.TrimSpace(line) == "":
					goto whole
				case line == "----":
					rec.judged = true
				case rec.judged:
					rec.expect = append(rec.expect, line)
				default:
					sql = append(sql, line)
				}
			}
		whole:
			rec.sql = strings.Join(sql, "\n")
		}
		if applies {
			out = append(out, rec)
		}
		applies = true
	}
	return out
}

// foreign runs one record.
func (r *runner) foreign(rec record) error {
	switch rec.words[0] {
	case "halt":
		return errHalt
	case "hash-threshold":
		return nil // it is for those who write expectations
	case "statement":
		out := r.db.execute(r.who, r.namespace, rec.sql)
		failed, wanted := out.err != nil, len(rec.words) > 1 && rec.words[1] == "error"
		switch {
		case failed && !wanted:
			return fmt.Errorf("%s %s", out.err.code, out.err.sentence)
		case wanted && !failed:
			return errors.New("no error")
		}
		return r.afterWrite()
	case "query":
		if len(rec.words) < 2 {
			return errors.New("a query needs the types of its columns")
		}
		out := r.db.execute(r.who, r.namespace, rec.sql)
		if out.err != nil {
			return fmt.Errorf("%s %s", out.err.code, out.err.sentence)
		}
		if len(out.results) != 1 {
			return fmt.Errorf("%d results", len(out.results))
		}
		return rec.check(out.results[0].rows)
	}
	return errors.New("unknown directive")
}

// check holds rows against the expectation.
func (rec record) check(rows [][]string) error {
	types, order, label := rec.words[1], "nosort", ""
	if len(rec.words) > 2 {
		order = rec.words[2]
	}
	if len(rec.words) > 3 {
		label = rec.words[3]
	}
	values := make([]string, 0, len(rows)*len(types))
	table := make([][]string, len(rows))
	for i, row := range rows {
		if len(row) != len(types) {
			return fmt.Errorf("%d columns where %s has %d", len(row), types, len(types))
		}
		for j, cell := range row {
			table[i] = append(table[i], foreignCell(cell, types[j]))
		}
	}
	if order == "rowsort" {
		slices.SortFunc(table, func(a, b []string) int { return slices.Compare(a, b) })
	}
	for _, row := range table {
		values = append(values, row...)
	}
	if order == "valuesort" {
		slices.Sort(values)
	}
	sum := md5.Sum([]byte(strings.Join(append(slices.Clone(values), ""), "\n")))
	hash := hex.EncodeToString(sum[:])
	if before, met := rec.labels[label]; met && label != "" && before != hash {
		return fmt.Errorf("the result differs from that of the same label %s before", label)
	}
	if label != "" {
		rec.labels[label] = hash
	}
	if !rec.judged {
		return nil // it is held against its label only
	}
	return rec.compare(values, len(types), hash)
}

// compare takes each of the three ways in which expectations are written.
func (rec record) compare(values []string, width int, hash string) error {
	if len(rec.expect) == 1 && strings.Contains(rec.expect[0], " values hashing to ") {
		if want := fmt.Sprintf("%d values hashing to %s", len(values), hash); rec.expect[0] != want {
			return fmt.Errorf("got %s, want %s", want, rec.expect[0])
		}
		return nil
	}
	want := rec.expect
	if width > 1 && len(want)*width == len(values) {
		want = nil
		for _, line := range rec.expect {
			cells := strings.Split(line, "\t")
			if len(cells) != width {
				cells = strings.Fields(line)
			}
			want = append(want, cells...)
		}
	}
	if !slices.Equal(values, want) {
		return fmt.Errorf("got\n%s\nwant\n%s", strings.Join(values, "\n"), strings.Join(want, "\n"))
	}
	return nil
}

// foreignCell writes a cell of ours as the form wants it for a type letter.
func foreignCell(text string, letter byte) string {
	if text == "NULL" || text == "(empty)" {
		return text
	}
	switch letter {
	case 'I':
		if f, err := strconv.ParseFloat(text, 64); err == nil && strings.ContainsAny(text, ".eE") {
			return strconv.FormatInt(int64(f), 10)
		}
	case 'R':
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return strconv.FormatFloat(f, 'f', 3, 64)
		}
	default:
		return strings.Map(func(c rune) rune {
			if c < ' ' || c == 0x7f {
				return '@'
			}
			return c
		}, text)
	}
	return text
}

// TestForeignForm runs a script that uses each part of the form.
func TestForeignForm(t *testing.T) {
	if n := runForeign(t, "hot", "testdata/foreign.test", nil); n != 15 {
		t.Errorf("%d records hold, not 15", n)
	}
}

// TestForeignFaults shows that a record that does not hold is found.
func TestForeignFaults(t *testing.T) {
	for _, c := range []struct{ words, expect, fault string }{
		{"query I nosort", "2", "got"},
		{"query II nosort", "1", "columns"},
		{"query I nosort", "1 values hashing to 0", "hashing"},
		{"query I nosort seen", "1", "same label"},
	} {
		rec := record{words: strings.Fields(c.words), expect: []string{c.expect}, judged: true, labels: map[string]string{"seen": "other"}}
		if err := rec.check([][]string{{"1"}}); err == nil || !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s against %q: %v", c.words, c.expect, err)
		}
	}
}
