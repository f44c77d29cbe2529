package plan

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"kalamdb/internal/datum"
)

// TestLikeIsRegexp compares LIKE with the regular expression that says the same.
func TestLikeIsRegexp(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	word := func(letters string, most int) string {
		var b strings.Builder
		runes := []rune(letters)
		for range r.IntN(most) {
			b.WriteRune(runes[r.IntN(len(runes))])
		}
		return b.String()
	}
	for range 20000 {
		text, pattern := word("abAé", 8), word("abAé%%_", 6)
		expression := regexp.QuoteMeta(pattern)
		expression = "^" + strings.NewReplacer("%", ".*", "_", ".").Replace(expression) + "$"
		for _, fold := range []bool{false, true} {
			flags := "(?s)"
			if fold {
				flags = "(?is)"
			}
			v, err := like(&Env{}, datum.NewText(text), likeKey{pattern, `\`, fold})
			if want := regexp.MustCompile(flags + expression).MatchString(text); err != nil || v.Bool() != want {
				t.Fatalf("%q LIKE %q (fold %t) = %t, %v; want %t", text, pattern, fold, v.Bool(), err, want)
			}
		}
	}
}

// FuzzJSON walks over any text; nothing may panic or run on.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,{"b":"x"}]}`, `[`, `{"a`, `{"a":`, `"\`, `[1,,2]`, `}`, `{"a":1,"a":2}`, "", `[[[`, `{"\u0061":1}`} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		for _, step := range []value{datum.NewText("a"), datum.NewInt(datum.Int, 0), datum.NewInt(datum.Int, -1)} {
			if v, ok := jsonStep(text, step); ok && len(v) > len(text) {
				panic("a part is longer than the whole")
			}
		}
		jsonLength(text)
		jsonContains(text, text, true)
		if parts, ok := jsonPath(text); ok {
			jsonFollow(text, parts)
		}
	})
}
