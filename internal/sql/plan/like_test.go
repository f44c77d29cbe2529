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

// TestDegrees: simple angles have simple values.
func TestDegrees(t *testing.T) {
	for x, want := range map[float64]float64{0: 0, 30: 0.5, 90: 1, 150: 0.5, 180: 0, 210: -0.5, 270: -1, -30: -0.5, 390: 0.5} {
		if got := sind(x); got != want {
			t.Errorf("sind(%v) = %v, want %v", x, got, want)
		}
	}
	if sind(60+90) != 0.5 || tand(45) != 1 || asind(0.5) != 30 || atand(1) != 45 {
		t.Error(sind(150), tand(45), asind(0.5), atand(1))
	}
}
