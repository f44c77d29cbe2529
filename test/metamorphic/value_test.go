package metamorphic

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// keyTypes are the types that a key may have; columnTypes adds the others.
var keyTypes = []string{
	"bool", "smallint", "int", "bigint", "float", "double", "decimal", "text", "bytes", "uuid", "date", "time", "timestamp", "datetime",
}

var columnTypes = append([]string{"json", "embedding", "file"}, keyTypes...)

// wider names the types that a column may become.
var wider = map[datum.Kind]datum.Type{
	datum.SmallInt: {Kind: datum.Int}, datum.Int: {Kind: datum.BigInt}, datum.Float: {Kind: datum.Double},
}

// typeOf returns the type of a name.
func typeOf(name string) datum.Type {
	switch name {
	case "decimal":
		return datum.DecimalType(20, 4)
	case "embedding":
		return datum.Type{Kind: datum.Embedding, Dim: 3}
	}
	t, err := datum.ParseType(name, nil)
	if err != nil {
		return datum.Type{Kind: datum.Int} // any text is a program
	}
	return t
}

// keyValue returns the value of a key column for a key number: edges first,
// then numbers in no order. Some numbers mean the same value.
func keyValue(t datum.Type, n int) datum.Value {
	if v, ok := edge(t.Kind, n); ok {
		return v
	}
	return ordinary(t, n)
}

// edge returns the values of a kind that are easily got wrong.
func edge(kind datum.Kind, n int) (datum.Value, bool) {
	pick := func(values ...datum.Value) (datum.Value, bool) {
		if n >= len(values) {
			return datum.Value{}, false
		}
		return values[n], true
	}
	number := func(values ...int64) (datum.Value, bool) {
		if n >= len(values) {
			return datum.Value{}, false
		}
		return datum.NewInt(kind, values[n]), true
	}
	text := func(kind datum.Kind) (datum.Value, bool) {
		values := []string{"", "a", "a\x00", "a\x00b", "ab", "\xff\xff", "é", strings.Repeat("long ", 60), "\x00", "\x01"}
		if n >= len(values) {
			return datum.Value{}, false
		}
		if kind == datum.Bytes {
			return datum.NewBytesString(values[n]), true
		}
		return datum.NewText(strings.ToValidUTF8(values[n], "?")), true
	}
	switch kind {
	case datum.SmallInt:
		return number(0, -1, 1, math.MaxInt16, math.MinInt16, 255, 256, -256, -257)
	case datum.Int:
		return number(0, -1, 1, math.MaxInt32, math.MinInt32, 65535, 65536)
	case datum.BigInt:
		return number(0, -1, 1, math.MaxInt64, math.MinInt64, 1<<32, 1<<53+1)
	case datum.Date:
		return number(0, -1, 1, -719162, 2932896)
	case datum.Time:
		return number(0, 1, 86_399_999_999)
	case datum.Timestamp, datum.DateTime:
		return number(0, -1, 1, -62_135_596_800_000_000, 253_402_300_799_999_999)
	case datum.Float:
		return pick(datum.NewFloat(0), datum.NewFloat(float32(math.Copysign(0, -1))), datum.NewFloat(float32(math.Inf(1))),
			datum.NewFloat(float32(math.Inf(-1))), datum.NewFloat(float32(math.NaN())), datum.NewFloat(math.SmallestNonzeroFloat32), datum.NewFloat(-1.5))
	case datum.Double:
		return pick(datum.NewDouble(0), datum.NewDouble(math.Copysign(0, -1)), datum.NewDouble(math.Inf(1)),
			datum.NewDouble(math.Inf(-1)), datum.NewDouble(math.NaN()), datum.NewDouble(math.MaxFloat64), datum.NewDouble(-1.5))
	case datum.Text, datum.Bytes:
		return text(kind)
	}
	return datum.Value{}, false
}

// ordinary returns a value of a type that n determines. Different numbers give
// different values where the type has so many.
func ordinary(t datum.Type, n int) datum.Value {
	mixed := int64(n)*7919%100_003 - 50_000 // a permutation of the first 100,003
	switch t.Kind {
	case datum.Bool:
		return datum.NewBool(n%2 == 1)
	case datum.SmallInt:
		return datum.NewInt(t.Kind, mixed%32_000)
	case datum.Int, datum.BigInt, datum.Date:
		return datum.NewInt(t.Kind, mixed)
	case datum.Time:
		return datum.NewInt(t.Kind, (mixed+50_000)*800_000+int64(n%3))
	case datum.Timestamp, datum.DateTime:
		return datum.NewInt(t.Kind, mixed*3_600_000_001)
	case datum.Float:
		return datum.NewFloat(float32(mixed) / 8)
	case datum.Double:
		return datum.NewDouble(float64(mixed) / 3)
	case datum.Decimal:
		v, err := datum.NewDecimal(fmt.Sprintf("%d.%04d", mixed, n%7), t.Precision, t.Scale)
		if err != nil {
			return datum.Value{}
		}
		return v
	case datum.Bytes:
		return datum.NewBytesString(fmt.Sprintf("%x", mixed))
	case datum.JSON:
		v, err := datum.NewJSON(fmt.Sprintf(`{"n": %d, "list":[true,null,%d.50]}`, mixed, n))
		if err != nil {
			return datum.Value{}
		}
		return v
	case datum.UUID:
		var u [16]byte
		for i := range 8 {
			u[i], u[15-i] = byte(mixed>>(8*i)), byte(n>>(8*i))
		}
		return datum.NewUUID(u)
	case datum.Embedding:
		return datum.NewEmbedding([]float32{float32(n), -float32(n) / 3, 1e-9})
	case datum.File:
		return datum.NewFile(fmt.Sprintf(`{"id":"f%d"}`, n))
	}
	return datum.NewText(fmt.Sprintf("k%d", mixed))
}

// columnValue returns what a seed puts into a column: NULL, an edge, something
// ordinary, or now and then something large.
func columnValue(t datum.Type, id schema.ColumnID, seed int) datum.Value {
	r := rand.New(rand.NewPCG(uint64(seed), uint64(id)))
	switch r.IntN(8) {
	case 0, 1:
		return datum.Value{}
	case 2, 3:
		if v, ok := edge(t.Kind, r.IntN(10)); ok {
			return v
		}
	case 4:
		if large := 200 << r.IntN(8); t.Kind == datum.Text && r.IntN(8) == 0 {
			return datum.NewText(strings.Repeat("x", large) + fmt.Sprint(seed))
		}
	}
	return ordinary(t, r.IntN(100_003))
}
