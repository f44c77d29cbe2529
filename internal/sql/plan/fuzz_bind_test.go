package plan

import (
	"strings"
	"testing"

	"kalamdb/internal/fault"
)

// FuzzBind: a statement is bound or refused with a code that users may see, its
// plan can be printed, and its tree reads only what is given. The seeds are the
// statements of testdata/plan.
func FuzzBind(f *testing.F) {
	for _, text := range statements(f) {
		f.Add(text, strings.Contains(text, "$1"))
	}
	f.Fuzz(func(t *testing.T, text string, normalized bool) {
		if len(text) > 500 {
			return
		}
		p, _, err := bind(testTables(t), text, normalized)
		if err != nil {
			if fault.CodeOf(err) == fault.Internal && !strings.Contains(err.Error(), "has no plan") {
				t.Fatalf("%s: %v", text, err)
			}
			return
		}
		_ = p.String()
		for _, wrong := range checkPlan(p) {
			t.Fatalf("%s: %s", text, wrong)
		}
	})
}
