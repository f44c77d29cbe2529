package plan

import (
	"kalamdb/internal/datum"
)

// pattern says what a function takes as one argument.
type pattern uint8

const (
	anyArg       pattern = iota // any type, as it is
	sameArg                     // any type; all such arguments get a common one
	textArg                     // TEXT, JSON or FILE
	bytesArg                    // BYTES
	blobArg                     // BYTES, or TEXT as its UTF-8 bytes
	boolArg                     // BOOLEAN
	intArg                      // any integer
	decimalArg                  // DECIMAL, integers are converted
	doubleArg                   // DOUBLE, every number is converted
	numberArg                   // any number, as it is
	dateArg                     // DATE
	timeArg                     // TIME
	timestampArg                // TIMESTAMP, a DATE is converted
	datetimeArg                 // DATETIME
	intervalArg                 // INTERVAL
	jsonArg                     // JSON, or TEXT that holds JSON
	stepArg                     // a key as TEXT or an index as integer
	uuidArg                     // UUID
	vectorArg                   // EMBEDDING
	docArg                      // JSON; TEXT only when it is untyped
	pathArg                     // a JSON path as TEXT, or as an array of TEXT
	arrayArg                    // an array; all such arguments get a common type
	elementArg                  // an element of it
	textsArg                    // an array of TEXT
	countsArg                   // an array of integers
	fillArg                     // any type but arrays
	exactArg                    // an integer or DECIMAL, as it is
	keysArg                     // an int2vector or oidvector of pg_catalog
	patternEnd
)

var patternNames = [patternEnd]string{
	anyArg: "any", sameArg: "same", textArg: "TEXT", bytesArg: "BYTES", blobArg: "BYTES|TEXT", boolArg: "BOOLEAN",
	intArg: "integer", decimalArg: "DECIMAL", doubleArg: "DOUBLE", numberArg: "number", dateArg: "DATE", timeArg: "TIME",
	timestampArg: "TIMESTAMP", datetimeArg: "DATETIME", intervalArg: "INTERVAL", jsonArg: "JSON|TEXT",
	stepArg: "TEXT|integer", uuidArg: "UUID", vectorArg: "EMBEDDING", docArg: "JSON", pathArg: "path",
	arrayArg: "array", elementArg: "element", textsArg: "TEXT[]", countsArg: "INT[]", fillArg: "element", keysArg: "vector",
	exactArg: "integer|DECIMAL",
}

// String names the pattern in documentation and sentences.
func (p pattern) String() string { return patternNames[p] }

const noMatch = -1

// cost says how far a type is from the pattern: 0 for an exact match, noMatch
// when it cannot be converted implicitly. An untyped string or parameter goes
// anywhere, to text most willingly, then to the preferred types of PostgreSQL.
func (p pattern) cost(t datum.Type) int {
	if t.Kind == datum.Null {
		return p.costOfUntyped()
	}
	kind := t.Kind
	switch p {
	case anyArg, sameArg:
		return 8
	case textArg:
		return costIf(kind == datum.Text, 0, kind.IsString(), 1)
	case bytesArg:
		return costIf(kind == datum.Bytes, 0, false, 0)
	case blobArg:
		return costIf(kind == datum.Bytes, 0, kind.IsString(), 1)
	case boolArg:
		return costIf(kind == datum.Bool, 0, false, 0)
	case intArg:
		return costIf(kind.IsInteger(), 0, false, 0)
	case decimalArg:
		return costIf(kind == datum.Decimal, 0, kind.IsInteger(), 3)
	case exactArg:
		return costIf(kind.IsInteger() || kind == datum.Decimal, 0, false, 0)
	case doubleArg:
		return costIf(kind == datum.Double, 0, kind.IsNumeric(), 2)
	case numberArg:
		return costIf(kind.IsNumeric(), 1, false, 0)
	case dateArg:
		return costIf(kind == datum.Date, 0, false, 0)
	case timeArg:
		return costIf(kind == datum.Time, 0, false, 0)
	case timestampArg:
		return costIf(kind == datum.Timestamp, 0, kind == datum.Date, 1)
	case datetimeArg:
		return costIf(kind == datum.DateTime, 0, kind == datum.Date || kind == datum.Timestamp, 2)
	case intervalArg:
		return costIf(kind == datum.Interval, 0, false, 0)
	case jsonArg:
		return costIf(kind == datum.JSON, 0, kind.IsString(), 1)
	case stepArg:
		return costIf(kind.IsString() || kind.IsInteger(), 0, false, 0)
	case uuidArg:
		return costIf(kind == datum.UUID, 0, false, 0)
	case vectorArg:
		return costIf(kind == datum.Embedding, 0, kind == datum.Array && t.Elem.IsNumeric(), 1)
	case docArg:
		return costIf(kind == datum.JSON, 0, false, 0)
	case pathArg:
		return costIf(kind == datum.Text || kind == datum.Array && t.Elem.IsString(), 0, false, 0)
	case arrayArg:
		return costIf(kind == datum.Array, 1, false, 0)
	case elementArg, fillArg:
		return costIf(kind.CanBeElement(), 3, false, 0)
	case keysArg:
		return costIf(t.IsVector(), 0, false, 0)
	case textsArg:
		return costIf(kind == datum.Array && t.Elem.IsString(), 0, false, 0)
	case countsArg:
		return costIf(kind == datum.Array && t.Elem.IsInteger(), 0, false, 0)
	}
	return noMatch
}

func costIf(exact bool, cost int, near bool, nearCost int) int {
	switch {
	case exact:
		return cost
	case near:
		return nearCost
	}
	return noMatch
}

func (p pattern) costOfUntyped() int {
	switch p {
	case textArg, jsonArg, stepArg, blobArg, pathArg:
		return 1
	case anyArg, sameArg, textsArg:
		return 2
	case doubleArg, numberArg, datetimeArg, timestampArg, boolArg:
		return 3
	case intervalArg:
		return 5
	case keysArg:
		return noMatch
	case arrayArg:
		return 20 // 'a' || 7 joins texts
	}
	return 4
}

// target returns the type that an argument of type t is converted to before
// the call; ok is false when it is passed as it is.
func (p pattern) target(t datum.Type) (to datum.Type, ok bool) {
	untyped := t.Kind == datum.Null
	switch p {
	case textArg, jsonArg, blobArg:
		return textType, untyped
	case stepArg, anyArg:
		return datum.Type{}, false
	case bytesArg:
		return datum.Type{Kind: datum.Bytes}, untyped
	case boolArg:
		return boolType, untyped
	case intArg:
		return bigintType, untyped
	case numberArg:
		return doubleType, untyped
	case decimalArg:
		return wholeType, t.Kind != datum.Decimal
	case doubleArg:
		return doubleType, t.Kind != datum.Double
	case dateArg:
		return dateType, untyped
	case timeArg:
		return timeType, untyped
	case timestampArg:
		return timestampType, t.Kind != datum.Timestamp
	case datetimeArg:
		return datetimeType, t.Kind != datum.DateTime
	case intervalArg:
		return intervalType, untyped
	case uuidArg:
		return uuidType, untyped
	case vectorArg:
		return datum.Type{Kind: datum.Embedding}, untyped || t.Kind == datum.Array
	case docArg:
		return jsonType, untyped
	case pathArg, fillArg:
		return textType, untyped
	case textsArg:
		return datum.ArrayType(textType), untyped || t.Elem != datum.Text
	case countsArg:
		return datum.ArrayType(bigintType), untyped
	}
	return datum.Type{}, false
}

var (
	textType      = datum.Type{Kind: datum.Text}
	bytesType     = datum.Type{Kind: datum.Bytes}
	intType       = datum.Type{Kind: datum.Int}
	bigintType    = datum.Type{Kind: datum.BigInt}
	floatType     = datum.Type{Kind: datum.Float}
	doubleType    = datum.Type{Kind: datum.Double}
	wholeType     = datum.DecimalType(datum.MaxPrecision, 0)
	dateType      = datum.Type{Kind: datum.Date}
	timeType      = datum.Type{Kind: datum.Time}
	timestampType = datum.Type{Kind: datum.Timestamp}
	datetimeType  = datum.Type{Kind: datum.DateTime}
	intervalType  = datum.Type{Kind: datum.Interval}
	jsonType      = datum.Type{Kind: datum.JSON}
	uuidType      = datum.Type{Kind: datum.UUID}
)

// family groups the kinds whose values can be compared with each other.
type family uint8

const (
	noFamily family = iota
	boolFamily
	numberFamily
	textFamily
	bytesFamily
	uuidFamily
	instantFamily
	timeFamily
	intervalFamily
	vectorFamily
	arrayFamily
)

func familyOf(k datum.Kind) family {
	switch {
	case k == datum.Bool:
		return boolFamily
	case k.IsNumeric():
		return numberFamily
	case k.IsString():
		return textFamily
	case k == datum.Bytes:
		return bytesFamily
	case k == datum.UUID:
		return uuidFamily
	case k == datum.Time:
		return timeFamily
	case k.IsTemporal():
		return instantFamily
	case k == datum.Interval:
		return intervalFamily
	case k == datum.Embedding:
		return vectorFamily
	case k == datum.Array:
		return arrayFamily
	}
	return noFamily
}

// typeName names a type in a sentence; the value NULL and untyped strings have
// none.
func typeName(t datum.Type) string {
	if t.Kind == datum.Null {
		return "an untyped value"
	}
	if t.Kind == datum.Decimal {
		return "DECIMAL"
	}
	if t.Kind == datum.Array {
		return typeName(t.Element()) + "[]"
	}
	return t.String()
}
