package plan

import (
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

// The forms of vectors of pg_catalog: numbers with blanks between them.
var (
	smallVector = vectorReader("_int2vector", datum.SmallInt, 16)
	bigVector   = vectorReader("_oidvector", datum.BigInt, 64)
	vectorText  = &Function{Name: "_vector_text", Doc: "A vector as text.", args: []pattern{keysArg}, result: textType,
		call1: func(_ *Env, a value) (value, error) {
			words := make([]string, 0, a.Len())
			for _, item := range a.Elements() {
				words = append(words, item.String())
			}
			return textValue(strings.Join(words, " "))
		}}
)

func vectorReader(name string, element datum.Kind, bits int) *Function {
	return &Function{Name: name, Doc: "A vector, from text.", args: []pattern{textArg}, result: datum.VectorType(element),
		call1: func(_ *Env, text value) (value, error) {
			var items []value
			for word := range strings.FieldsSeq(text.Text()) {
				n, err := strconv.ParseInt(word, 10, bits)
				if err != nil {
					return value{}, fault.New(fault.InvalidValue, "invalid value for %s: '%s'", datum.VectorType(element), word)
				}
				items = append(items, datum.NewInt(element, n))
			}
			return newArray(element, items)
		}}
}

// vectorCast binds a cast of a text to a vector.
func (b *binder) vectorCast(x Expr, e *parse.Cast) (Expr, error) {
	if t := x.Type().Kind; t != datum.Null && t != datum.Text {
		return nil, fault.At(fault.TypeMismatch, e.Offset, "cannot cast %s to %s", described(x), e.To)
	}
	text, err := b.coerce(x, textType, e.X.Pos())
	if err != nil {
		return nil, err
	}
	fn := smallVector
	if e.To.Elem == datum.BigInt {
		fn = bigVector
	}
	return fold(&Call{fn, []Expr{text}, e.To}), nil
}
