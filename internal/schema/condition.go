package schema

import "kalamdb/internal/datum"

// Comparison is what a Condition asks of a column.
type Comparison uint8

// The comparisons. NULL meets IsNull only.
const (
	Equals       Comparison = iota // to one of Values; none meets an empty list
	Less                           // than Values[0]
	LessEqual                      // than Values[0]
	Greater                        // than Values[0]
	GreaterEqual                   // than Values[0]
	IsNull
	NotNull
)

// Condition is a part of a WHERE clause that bounds of a column can answer for
// many rows at once: rows for which it is not true are not wanted.
type Condition struct {
	Column int // position in the definition
	Is     Comparison
	Values []datum.Value // none is NULL
}

// Span is what is known of a column in a stretch of rows.
type Span struct {
	// Low and High bound the values other than NULL; NULL when nothing does.
	Low, High datum.Value
	// Nulls says that a value may be NULL, Others that one may be something else.
	Nulls, Others bool
}

// May reports whether a row of a stretch may meet the condition.
func (c *Condition) May(s Span) bool {
	if c.Is == IsNull {
		return s.Nulls
	}
	if !s.Others {
		return false
	}
	if c.Is == NotNull {
		return true
	}
	for _, v := range c.Values {
		if c.mayBe(v, s) {
			return true
		}
	}
	return false
}

func (c *Condition) mayBe(v datum.Value, s Span) bool {
	if s.Low.IsNull() || s.High.IsNull() || !datum.Comparable(v.Kind(), s.Low.Kind()) || !datum.Comparable(v.Kind(), s.High.Kind()) {
		return true
	}
	switch c.Is {
	case Less:
		return datum.Compare(s.Low, v) < 0
	case LessEqual:
		return datum.Compare(s.Low, v) <= 0
	case Greater:
		return datum.Compare(s.High, v) > 0
	case GreaterEqual:
		return datum.Compare(s.High, v) >= 0
	}
	return datum.Compare(s.Low, v) <= 0 && datum.Compare(s.High, v) >= 0
}
