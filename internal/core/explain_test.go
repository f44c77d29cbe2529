package core_test

import (
	"encoding/json"
	"regexp"
	"testing"
)

// TestExplainAnalyzeTimes: each step of the row path and each scan of the
// analytic path has its rows and its time.
func TestExplainAnalyzeTimes(t *testing.T) {
	db := openAccounts(t, nil)
	c := converse(t, db)
	const span = `[0-9.]+(ns|µs|ms|s)`
	for _, test := range []struct{ text, want string }{
		{"EXPLAIN ANALYZE SELECT v, count(*) FROM x.t WHERE id > 1 GROUP BY v ORDER BY v LIMIT 1",
			`read: \d+.*execution rows: 1; time: ` + span + `\nscan and filter; rows: 2; time: ` + span + `\ngroup; rows: 2; time: ` + span + `\noutput and sort; rows: \d; time: ` + span + `\nlimit; rows: 1; time: ` + span},
		{"EXPLAIN (ANALYZE) SELECT 1", `execution rows: 1; time: ` + span + `\none row; rows: 1; time: ` + span + `\noutput; rows: 1; time: `},
		{"EXPLAIN (ANALYZE, VERBOSE) SELECT a.v FROM x.t AS a JOIN x.u AS b ON a.id = b.id",
			`duckdb SELECT .*rows estimated: 3, read: 3; time: ` + span + `\n.*read: 1; time: ` + span + `.*execution rows: 1; time: ` + span},
	} {
		got, err := say(t, c, test.text)
		if err != nil {
			t.Fatalf("%s: %v", test.text, err)
		}
		if !regexp.MustCompile(`(?s)` + test.want).MatchString(got) {
			t.Errorf("%s:\n%s\nwant %s", test.text, got, test.want)
		}
	}
	got, err := say(t, c, "EXPLAIN (ANALYZE, FORMAT JSON) SELECT v FROM x.t")
	if err != nil {
		t.Fatal(err)
	}
	var doc []map[string]any
	if err := json.Unmarshal([]byte(got[len("json "):]), &doc); err != nil || len(doc) != 1 || doc[0]["path"] == nil || doc[0]["execution"] == nil {
		t.Errorf("%s: %v", got, err)
	}
}
