package duck_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/exec/internal/duck"
)

// typed is a type with values at its edges.
type typed struct {
	t      datum.Type
	values []datum.Value
}

func decimals(t *testing.T, texts ...string) []datum.Value {
	t.Helper()
	var values []datum.Value
	for _, text := range texts {
		v, err := datum.ParseDecimal(text)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	return values
}

func integers(kind datum.Kind, numbers ...int64) []datum.Value {
	var values []datum.Value
	for _, n := range numbers {
		values = append(values, datum.NewInt(kind, n))
	}
	return values
}

// everyType returns every type that a column or an expression can have.
func everyType(t *testing.T) []typed {
	t.Helper()
	json, err := datum.NewJSON(`{"ключ": [1, null, "x"]}`)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("долгий ", 1000)
	widest := strings.Repeat("9", 38)
	return []typed{
		{datum.Type{Kind: datum.Bool}, []datum.Value{datum.NewBool(true), datum.NewBool(false)}},
		{datum.Type{Kind: datum.SmallInt}, integers(datum.SmallInt, 0, math.MinInt16, math.MaxInt16)},
		{datum.Type{Kind: datum.Int}, integers(datum.Int, 0, math.MinInt32, math.MaxInt32)},
		{datum.Type{Kind: datum.BigInt}, integers(datum.BigInt, 0, math.MinInt64, math.MaxInt64)},
		{datum.Type{Kind: datum.Float}, []datum.Value{datum.NewFloat(1.5), datum.NewFloat(float32(math.Inf(-1))), datum.NewFloat(math.MaxFloat32), datum.NewFloat(float32(math.NaN()))}},
		{datum.Type{Kind: datum.Double}, []datum.Value{datum.NewDouble(-0.1), datum.NewDouble(math.Inf(1)), datum.NewDouble(math.SmallestNonzeroFloat64), datum.NewDouble(math.NaN()), datum.NewDouble(math.Copysign(0, -1))}},
		{datum.DecimalType(4, 1), decimals(t, "999.9", "-999.9", "0.0")},
		{datum.DecimalType(9, 2), decimals(t, "9999999.99", "-9999999.99", "1.00")},
		{datum.DecimalType(18, 0), decimals(t, "999999999999999999", "-999999999999999999", "7")},
		{datum.DecimalType(19, 3), decimals(t, "9999999999999999.999", "-9999999999999999.999", "0.001")},
		{datum.DecimalType(38, 0), decimals(t, widest, "-"+widest, "18446744073709551616")},
		{datum.DecimalType(38, 38), decimals(t, "0."+widest, "-0."+widest)},
		{datum.Type{Kind: datum.Decimal}, decimals(t, "1.50", "-2", widest, "0.00")},
		{datum.Type{Kind: datum.Text}, []datum.Value{datum.NewText(""), datum.NewText("12 bytes are"), datum.NewText("13 bytes are "), datum.NewText("nul\x00in"), datum.NewText(long)}},
		{datum.Type{Kind: datum.Bytes}, []datum.Value{datum.NewBytes(nil), datum.NewBytes([]byte("\x00\xff\xfe")), datum.NewBytes([]byte(long[1:]))}},
		{datum.Type{Kind: datum.JSON}, []datum.Value{json}},
		{datum.Type{Kind: datum.UUID}, []datum.Value{datum.NewUUID([16]byte{}), datum.NewUUID([16]byte{0xff, 15: 1}), datum.NewUUID([16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9})}},
		{datum.Type{Kind: datum.Date}, integers(datum.Date, 0, -719162, 2932896, 20780)},
		{datum.Type{Kind: datum.Time}, integers(datum.Time, 0, 86_399_999_999, 86_400_000_000)},
		{datum.Type{Kind: datum.Timestamp}, integers(datum.Timestamp, 0, -62135596800000000, 253402300799999999)},
		{datum.Type{Kind: datum.DateTime}, integers(datum.DateTime, 0, -1, 1800000000000000)},
		{datum.Type{Kind: datum.Embedding, Dim: 3}, []datum.Value{datum.NewEmbedding([]float32{1, -2.5, 0})}},
		{datum.Type{Kind: datum.File}, []datum.Value{datum.NewFile(`{"id":"x"}`)}},
		{datum.Type{Kind: datum.Interval}, []datum.Value{datum.NewInterval(-14, 3, 5), datum.NewInterval(math.MaxInt32, math.MinInt32, math.MaxInt64), datum.NewInterval(0, 0, 0)}},
	}
}

// same compares bit by bit, so that a lost scale or sign shows.
func same(a, b datum.Value) bool {
	return string(datum.AppendValue(nil, a)) == string(datum.AppendValue(nil, b))
}

// TestEveryType: a value of every type comes back as it was, out of a scan,
// through a called function and as a parameter, and so does NULL.
func TestEveryType(t *testing.T) {
	e := duck.New(duck.Options{})
	defer e.Close()
	for _, c := range everyType(t) {
		t.Run(c.t.String(), func(t *testing.T) {
			values := append([]datum.Value{datum.NullValue}, c.values...)
			in := &table{types: []datum.Type{{Kind: datum.Int}, c.t}}
			for i := range 2100 {
				in.rows = append(in.rows, []datum.Value{datum.NewInt(datum.Int, int64(i)), values[i%len(values)]})
			}
			seen := 0
			echo := duck.Call{Result: c.t, Args: []datum.Type{c.t, c.t}, New: func() func([]datum.Value) (datum.Value, error) {
				return func(args []datum.Value) (datum.Value, error) {
					if !same(args[0], args[1]) {
						return datum.Value{}, fmt.Errorf("arguments %v and %v", args[0], args[1])
					}
					seen++
					return args[0], nil
				}
			}}
			for _, param := range values {
				s := &duck.Statement{
					Text: fmt.Sprintf("SELECT c0, c1, kfn_%s(0, c1, c1), $1::%s, NULL FROM kscan(0)", duck.Suffix(c.t), duck.Physical(c.t)),
					// A bare NULL comes as another type, and may be read as any.
					Columns: []datum.Type{{Kind: datum.Int}, c.t, c.t, c.t, c.t},
					Scans:   []duck.Scan{in.scan()}, Calls: []duck.Call{echo}, Params: []datum.Value{param},
				}
				if c.t.Kind == datum.Decimal && c.t.Precision == 0 && !param.IsNull() {
					s.Params[0] = datum.NewText(param.DecimalString())
				}
				got, err := query(t.Context(), e, s)
				if err != nil {
					t.Fatal(err)
				}
				if len(got) != len(in.rows) {
					t.Fatalf("%d rows", len(got))
				}
				for i, row := range got {
					want := values[i%len(values)]
					if row[0].Int() != int64(i) || !same(row[1], want) || !same(row[2], want) || !same(row[3], param) || !row[4].IsNull() {
						t.Fatalf("row %d is %v, want %v and parameter %v", i, row, want, param)
					}
				}
			}
			if seen != len(in.rows)*len(values) {
				t.Errorf("the function was called for %d rows", seen)
			}
		})
	}
	if s := e.Stats(); s.Opened != 1 || s.GivenUp != 0 {
		t.Errorf("%+v", s)
	}
}

// TestWidened: rows from before a column was widened hold values of its old kind.
func TestWidened(t *testing.T) {
	e := duck.New(duck.Options{})
	defer e.Close()
	types := []datum.Type{{Kind: datum.BigInt}, {Kind: datum.Double}, datum.DecimalType(20, 4), {Kind: datum.Text}}
	in := &table{types: types, rows: [][]datum.Value{{
		datum.NewInt(datum.SmallInt, -7), datum.NewFloat(0.5), decimals(t, "1.25")[0], datum.NewInt(datum.Int, 12),
	}}}
	got, err := query(t.Context(), e, &duck.Statement{Text: "SELECT * FROM kscan(0)", Scans: []duck.Scan{in.scan()}, Columns: types})
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(got[0]); text != "[-7 0.5 1.2500 12]" {
		t.Errorf("got %s", text)
	}
}
