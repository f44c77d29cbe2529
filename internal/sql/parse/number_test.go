package parse

import (
	"testing"

	"kalamdb/internal/datum"
)

// TestSmallNumbers shows that the quick path for short numbers gives what the
// general one gives.
func TestSmallNumbers(t *testing.T) {
	for _, text := range []string{"0.0", "-0.0", "1.5", "-1.50", "19.90", "0.000000000000001", "99999999999999.999", "-99999999999999.999"} {
		got, err := numberValue(text)
		if err != nil {
			t.Fatal(err)
		}
		want, err := datum.ParseDecimal(text)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != want.String() || got.Type() != want.Type() || !datum.Equal(got, want) {
			t.Errorf("%s is %s %s; want %s %s", text, got.Type(), got, want.Type(), want)
		}
	}
}
