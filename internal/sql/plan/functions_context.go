package plan

import (
	"math"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// Database is the name of the one database, as PostgreSQL's clients ask for it.
const Database = "kalam"

func contextFunctions() []Function {
	about := func(name, doc string, f func(*Env) string, aliases ...string) Function {
		return Function{Name: name, Aliases: aliases, Doc: doc, Volatility: Stable, result: textType,
			call0: func(env *Env) (value, error) { return textValue(f(env)) }}
	}
	return []Function{
		about("current_user", "The user in effect, under EXECUTE AS the target.", func(e *Env) string { return string(e.User) },
			"current_user_id", "kdb_current_user", "session_user", "user"),
		about("current_role", "The role in effect.", func(e *Env) string { return e.Role.String() }, "kdb_current_role"),
		about("current_schema", "The namespace of unqualified names.", func(e *Env) string { return e.Namespace }, "kdb_current_schema"),
		{Name: "current_schemas", Doc: "The namespaces in which unqualified names are looked up, in order; with TRUE pg_catalog, which comes first, too.", Volatility: Stable,
			args: []pattern{boolArg}, result: datum.ArrayType(textType),
			call1: func(env *Env, implicit value) (value, error) {
				var items []value
				if implicit.Bool() {
					items = append(items, datum.NewText("pg_catalog"))
				}
				for _, namespace := range env.path() {
					items = append(items, datum.NewText(namespace))
				}
				return newArray(datum.Text, items)
			}},
		about("current_database", "The name of the database.", func(*Env) string { return Database }, "kdb_current_database", "current_catalog"),
		about("version", "The name and version of the server, and of the PostgreSQL whose dialect it speaks.", func(e *Env) string {
			name := "KalamDB"
			if e.Version != "" {
				name += " " + e.Version
			}
			return name + " (PostgreSQL " + ServerVersion + " compatible)"
		}),
		{Name: "pg_typeof", Aliases: []string{"typeof"}, Doc: "The name of the value's type; NULL for NULL.", args: []pattern{anyArg}, result: textType,
			call1: func(_ *Env, v value) (value, error) { return textValue(v.Kind().String()) }},
		{Name: "_updated", Doc: "The moment of a row version, from its _seq; the column _updated stands for it.", args: []pattern{intArg}, result: timestampType,
			call1: func(_ *Env, seq value) (value, error) {
				return datum.NewInt(datum.Timestamp, (seq.Int()>>seqBits+seqEpoch)*1000), nil
			}},
	}
}

const (
	// seqBits are the bits of _seq below its milliseconds.
	seqBits = 22
	// seqEpoch is 2024-01-01 in milliseconds since 1970.
	seqEpoch = 1_704_067_200_000
)

func vectorFunctions() []Function {
	measure := func(name, doc string, f func(a, b []float32) float64) Function {
		return Function{Name: name, Doc: doc, args: []pattern{vectorArg, vectorArg}, result: floatType,
			call2: func(_ *Env, a, b value) (value, error) {
				if a.Dim() != b.Dim() {
					return value{}, differentDims(a, b)
				}
				return datum.NewFloat(float32(f(a.Embedding(), b.Embedding()))), nil
			}}
	}
	return []Function{
		measure("cosine_distance", "1 minus the cosine of the angle between two embeddings.", cosineDistance),
		measure("l2_distance", "The straight distance between two embeddings.", straightDistance),
		measure("inner_product", "The sum of the products of the numbers of two embeddings.", func(a, b []float32) float64 {
			dot, _, _ := products(a, b)
			return dot
		}),
		vectorOperator("<=>", cosineDistance, "The cosine distance."),
		vectorOperator("<->", straightDistance, "The straight distance."),
		vectorOperator("<#>", func(a, b []float32) float64 {
			dot, _, _ := products(a, b)
			return -dot
		}, "The negative inner product, so that the least is the nearest."),
	}
}

// vectorOperator is a distance with a sign of its own.
func vectorOperator(name string, f func(a, b []float32) float64, doc string) Function {
	return Function{Name: name, Operator: true, Doc: doc, args: []pattern{vectorArg, vectorArg}, result: floatType,
		call2: func(_ *Env, a, b value) (value, error) {
			if a.Dim() != b.Dim() {
				return value{}, differentDims(a, b)
			}
			return datum.NewFloat(float32(f(a.Embedding(), b.Embedding()))), nil
		}}
}

func differentDims(a, b value) error {
	return fault.New(fault.InvalidValue, "embeddings of %d and %d numbers cannot be compared", a.Dim(), b.Dim())
}

func straightDistance(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
	}
	return math.Sqrt(sum)
}

func products(a, b []float32) (dot, aa, bb float64) {
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot += x * y
		aa += x * x
		bb += y * y
	}
	return dot, aa, bb
}

// cosineDistance is 1 when an embedding has no direction.
func cosineDistance(a, b []float32) float64 {
	dot, aa, bb := products(a, b)
	if aa == 0 || bb == 0 {
		return 1
	}
	return 1 - min(max(dot/(math.Sqrt(aa)*math.Sqrt(bb)), -1), 1)
}
