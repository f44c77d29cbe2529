package schema

import (
	"math"
	"testing"

	"kalamdb/internal/datum"
)

// TestCondition: a stretch of rows is ruled out only when no value between its
// bounds can meet the condition.
func TestCondition(t *testing.T) {
	n := func(v int64) datum.Value { return datum.NewInt(datum.Int, v) }
	between := Span{Low: n(10), High: n(20), Nulls: true, Others: true}
	negativeZero := datum.NewDouble(math.Copysign(0, -1))
	for _, test := range []struct {
		name  string
		is    Comparison
		value []datum.Value
		span  Span
		want  bool
	}{
		{"equal below", Equals, []datum.Value{n(9)}, between, false},
		{"equal to a bound", Equals, []datum.Value{n(9), n(20)}, between, true},
		{"equal to nothing", Equals, nil, between, false},
		{"less than the least", Less, []datum.Value{n(10)}, between, false},
		{"at most the least", LessEqual, []datum.Value{n(10)}, between, true},
		{"more than the greatest", Greater, []datum.Value{n(20)}, between, false},
		{"at least the greatest", GreaterEqual, []datum.Value{n(20)}, between, true},
		{"a number of another kind", Greater, []datum.Value{datum.NewDouble(19.5)}, between, true},
		{"NaN", GreaterEqual, []datum.Value{datum.NewDouble(math.NaN())}, between, false},
		{"a value that cannot be compared", Equals, []datum.Value{datum.NewText("x")}, between, true},
		{"no bounds", Equals, []datum.Value{n(1)}, Span{Nulls: true, Others: true}, true},
		{"only NULL", Equals, []datum.Value{n(1)}, Span{Nulls: true}, false},
		{"NULL among others", IsNull, nil, between, true},
		{"no NULL", IsNull, nil, Span{Others: true}, false},
		{"not NULL", NotNull, nil, Span{Nulls: true}, false},
		{"negative zero", Equals, []datum.Value{datum.NewDouble(0)}, Span{Low: negativeZero, High: negativeZero, Others: true}, true},
	} {
		c := Condition{Is: test.is, Values: test.value}
		if got := c.May(test.span); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
