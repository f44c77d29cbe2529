package torture

import (
	"fmt"
	"strings"
	"testing"

	"kalamdb/test/torture/history"
)

// sumLine prints what a run has done in the form that test/runner sums up.
func sumLine(t *testing.T, run string, cycles, points, rounds int, c history.Counts) {
	t.Helper()
	var line strings.Builder
	fmt.Fprintf(&line, "torture: run=%s cycles=%d points=%d rounds=%d acked=%d", run, cycles, points, rounds, c.Acked)
	for _, class := range history.Classes() {
		fmt.Fprintf(&line, " %s=%d", class, c.Violations[class])
	}
	t.Log(line.String())
}

// faultLine prints what became of a planted fault in the same way; after counts
// crash points or cycles.
func faultLine(t *testing.T, run, name string, classes []string, after string) {
	t.Helper()
	t.Logf("torture: fault=%s run=%s classes=%s after=%s", name, run, strings.Join(classes, "+"), after)
}
