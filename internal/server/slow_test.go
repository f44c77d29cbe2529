package server

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/config"
	"kalamdb/internal/core"
	"kalamdb/internal/core/relation"
)

// TestSlowLog: system.slow_queries shows the newest lines of the file; lines that
// are none are passed over.
func TestSlowLog(t *testing.T) {
	dir := t.TempDir()
	l := newLogs(config.Logging{}, os.Stderr)
	s := &Server{slow: newSlowLog(dir, l.logger())}
	defer s.slow.close()
	if rows, err := s.slowRows(t.Context(), relation.Caller{}); err != nil || len(rows) != 0 {
		t.Fatalf("without a file: %v, %v", rows, err)
	}
	for i := range maxSlowRows + 50 {
		s.slow.write(core.SlowStatement{
			End: time.UnixMilli(int64(i)), Took: 1500 * time.Microsecond, User: "alice", Kind: "select", Path: "row",
			TableType: "shared", Table: "a.t", Rows: 7, Query: "SELECT " + strconv.Itoa(i) + " \n'",
		})
	}
	s.slow.write(core.SlowStatement{End: time.UnixMilli(1), Query: "SELECT ?"})
	f, err := os.OpenFile(filepath.Join(dir, slowFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("no line\n{\"timestamp\":"); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	rows, err := s.slowRows(t.Context(), relation.Caller{})
	if err != nil || len(rows) != maxSlowRows {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	var cells []string
	for _, v := range rows[len(rows)-2] {
		cells = append(cells, v.String())
	}
	if got := strings.Join(cells, "|"); got != "1970-01-01T00:00:00.249Z|249|1.5|alice|shared|a.t|7|SELECT 249 \n'" {
		t.Errorf("%q", got)
	}
	if last := rows[len(rows)-1]; !last[5].IsNull() || last[4].String() != "unknown" {
		t.Errorf("%v", last)
	}
}
