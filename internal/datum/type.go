package datum

import (
	"strconv"
	"strings"

	"kalamdb/internal/fault"
)

// Kind says what family of values a Value or a Type belongs to. The numbers
// are on disk: a kind is never renumbered, new ones are added at the end.
type Kind uint8

// The kinds. Interval exists in expressions only, never as a column.
const (
	Null Kind = iota
	Bool
	SmallInt
	Int
	BigInt
	Float
	Double
	Decimal
	Text
	Bytes
	JSON
	UUID
	Date
	Time
	Timestamp
	DateTime
	Embedding
	File
	Interval
	Array

	kindEnd // one above the last kind
)

const (
	// MaxPrecision is the greatest number of digits of a decimal.
	MaxPrecision = 38
	// DefaultScale is the scale of DECIMAL written without arguments.
	DefaultScale = 10
	// MaxDim is the greatest dimension of an embedding.
	MaxDim = 8192
)

// kindNames holds the SQL name and the wire name of each kind.
var kindNames = [kindEnd]struct{ sql, wire string }{
	Null:      {"NULL", "Text"},
	Bool:      {"BOOLEAN", "Boolean"},
	SmallInt:  {"SMALLINT", "SmallInt"},
	Int:       {"INT", "Int"},
	BigInt:    {"BIGINT", "BigInt"},
	Float:     {"FLOAT", "Float"},
	Double:    {"DOUBLE", "Double"},
	Decimal:   {"DECIMAL", "Decimal"},
	Text:      {"TEXT", "Text"},
	Bytes:     {"BYTES", "Bytes"},
	JSON:      {"JSON", "Json"},
	UUID:      {"UUID", "Uuid"},
	Date:      {"DATE", "Date"},
	Time:      {"TIME", "Time"},
	Timestamp: {"TIMESTAMP", "Timestamp"},
	DateTime:  {"DATETIME", "DateTime"},
	Embedding: {"EMBEDDING", "Embedding"},
	File:      {"FILE", "File"},
	Interval:  {"INTERVAL", "Text"},
	Array:     {"ARRAY", "Array"},
}

// String returns the SQL name without arguments.
func (k Kind) String() string {
	if k < kindEnd {
		return kindNames[k].sql
	}
	return "KIND(" + strconv.Itoa(int(k)) + ")"
}

// IsInteger reports whether k is SMALLINT, INT or BIGINT.
func (k Kind) IsInteger() bool { return k >= SmallInt && k <= BigInt }

// IsNumeric reports whether k is an integer, a float or a decimal.
func (k Kind) IsNumeric() bool { return k >= SmallInt && k <= Decimal }

// IsTemporal reports whether k is DATE, TIME, TIMESTAMP or DATETIME.
func (k Kind) IsTemporal() bool { return k >= Date && k <= DateTime }

// IsString reports whether values of k hold text: TEXT, JSON and FILE.
func (k Kind) IsString() bool { return k == Text || k == JSON || k == File }

// isFloat reports whether k is FLOAT or DOUBLE.
func (k Kind) isFloat() bool { return k == Float || k == Double }

// isInstant reports whether k is a point on the time line.
func (k Kind) isInstant() bool { return k == Date || k == Timestamp || k == DateTime }

// Type is a kind with its arguments. Types are compared with ==.
type Type struct {
	Kind Kind
	// Precision and Scale belong to DECIMAL, and to arrays of it, and are 0
	// otherwise.
	Precision, Scale uint8
	// Elem is the kind of the elements of an ARRAY and Null otherwise.
	Elem Kind
	// Dim belongs to EMBEDDING; it is 1 for an ARRAY that VectorType made, and 0
	// otherwise.
	Dim uint16
}

// DecimalType returns DECIMAL(precision,scale).
func DecimalType(precision, scale uint8) Type {
	return Type{Kind: Decimal, Precision: precision, Scale: scale}
}

// typeNames maps every accepted SQL name, in lower case, to its kind. It is
// never written after the program has started.
var typeNames = map[string]Kind{
	"boolean": Bool, "bool": Bool,
	"smallint": SmallInt, "int2": SmallInt, "smallserial": SmallInt, "serial2": SmallInt, "tinyint": SmallInt,
	"int": Int, "integer": Int, "int4": Int, "mediumint": Int, "signed": Int, "serial": Int, "serial4": Int,
	"bigint": BigInt, "int8": BigInt, "int64": BigInt, "bigserial": BigInt, "serial8": BigInt,
	"float": Float, "real": Float, "float4": Float,
	"double": Double, "double precision": Double, "float8": Double, "float64": Double,
	"decimal": Decimal, "numeric": Decimal, "dec": Decimal,
	"text": Text, "varchar": Text, "char": Text, "character": Text, "character varying": Text,
	"char varying": Text, "bpchar": Text, "nvarchar": Text, "nchar": Text, "clob": Text, "string": Text,
	"national character": Text, "national character varying": Text,
	"tinytext": Text, "mediumtext": Text, "longtext": Text,
	"bytes": Bytes, "bytea": Bytes, "binary": Bytes, "varbinary": Bytes, "blob": Bytes,
	"json": JSON, "jsonb": JSON, "uuid": UUID, "date": Date,
	"time": Time, "time without time zone": Time,
	"timestamp": Timestamp, "timestamp without time zone": Timestamp,
	"datetime": DateTime, "timestamptz": DateTime, "timestamp with time zone": DateTime,
	"embedding": Embedding, "file": File, "interval": Interval,
}

// refusedTypes are known names that mean nothing here yet.
var refusedTypes = map[string]string{
	"time with time zone": "use TIME", "timetz": "use TIME",
	"array": "use JSON", "struct": "use JSON", "enum": "use TEXT", "set": "use TEXT", "vector": "use EMBEDDING(n)",
}

// ParseType returns the type that name and the numbers in its parentheses
// stand for. Case and repeated blanks in name do not matter.
func ParseType(name string, args []int) (Type, error) {
	name = strings.ToLower(strings.Join(strings.Fields(name), " "))
	kind, ok := typeNames[name]
	if !ok {
		if advice := refusedTypes[name]; advice != "" {
			return Type{}, fault.New(fault.NotImplemented, "type %s is not supported; %s", strings.ToUpper(name), advice)
		}
		return Type{}, fault.New(fault.InvalidDefinition, "unknown type %s", quote(name))
	}
	switch kind {
	case Decimal:
		return parseDecimalType(args)
	case Embedding:
		if len(args) != 1 || args[0] < 1 || args[0] > MaxDim {
			return Type{}, fault.New(fault.InvalidDefinition, "EMBEDDING needs a dimension from 1 to %d", MaxDim)
		}
		return Type{Kind: Embedding, Dim: uint16(args[0])}, nil
	case Text, Bytes:
		// Lengths are accepted and ignored: no value is ever cut or padded.
		if len(args) > 1 || len(args) == 1 && args[0] < 1 {
			return Type{}, fault.New(fault.InvalidDefinition, "type %s takes one positive length", strings.ToUpper(name))
		}
		return Type{Kind: kind}, nil
	case Time, Timestamp, DateTime, Interval:
		return parseTimeType(kind, args)
	}
	if len(args) == 0 {
		return Type{Kind: kind}, nil
	}
	if name == "float" && len(args) == 1 && args[0] >= 1 && args[0] <= 53 {
		if args[0] > 24 {
			kind = Double
		}
		return Type{Kind: kind}, nil
	}
	return Type{}, fault.New(fault.InvalidDefinition, "type %s does not take these arguments", strings.ToUpper(name))
}

func parseDecimalType(args []int) (Type, error) {
	precision, scale := MaxPrecision, DefaultScale
	switch len(args) {
	case 0:
	case 1:
		precision, scale = args[0], 0
	case 2:
		precision, scale = args[0], args[1]
	default:
		return Type{}, fault.New(fault.InvalidDefinition, "DECIMAL takes a precision and a scale")
	}
	if precision < 1 || precision > MaxPrecision {
		return Type{}, fault.New(fault.InvalidDefinition, "the precision of DECIMAL must be from 1 to %d, not %d", MaxPrecision, precision)
	}
	if scale < 0 || scale > precision {
		return Type{}, fault.New(fault.InvalidDefinition, "the scale of DECIMAL must be from 0 to its precision %d, not %d", precision, scale)
	}
	return DecimalType(uint8(precision), uint8(scale)), nil
}

func parseTimeType(kind Kind, args []int) (Type, error) {
	switch {
	case len(args) == 0 || len(args) == 1 && args[0] == 6:
		return Type{Kind: kind}, nil
	case len(args) == 1 && args[0] >= 0 && args[0] < 6:
		return Type{}, fault.New(fault.NotImplemented, "%s(%d) is not supported; %s always holds microseconds", kind, args[0], kind)
	}
	return Type{}, fault.New(fault.InvalidDefinition, "the precision of %s must be from 0 to 6", kind)
}

// String returns the SQL name with its arguments, such as DECIMAL(10,2).
func (t Type) String() string {
	switch t.Kind {
	case Decimal:
		if t.Precision == 0 {
			return "DECIMAL" // each value has its own scale
		}
		return "DECIMAL(" + strconv.Itoa(int(t.Precision)) + "," + strconv.Itoa(int(t.Scale)) + ")"
	case Embedding:
		return "EMBEDDING(" + strconv.Itoa(int(t.Dim)) + ")"
	case Array:
		if t.IsVector() {
			return vectorNames[t.Elem]
		}
		return t.Element().String() + "[]"
	}
	return t.Kind.String()
}

// AppendWire appends the data_type of result schemas as JSON. Types without a
// name on the wire are labelled Text.
func (t Type) AppendWire(dst []byte) []byte {
	switch t.Kind {
	case Decimal:
		dst = append(dst, `{"Decimal":{"precision":`...)
		dst = strconv.AppendUint(dst, uint64(t.Precision), 10)
		dst = append(dst, `,"scale":`...)
		dst = strconv.AppendUint(dst, uint64(t.Scale), 10)
		return append(dst, "}}"...)
	case Embedding:
		dst = append(dst, `{"Embedding":`...)
		dst = strconv.AppendUint(dst, uint64(t.Dim), 10)
		return append(dst, '}')
	case Array:
		dst = append(dst, `{"Array":`...)
		dst = t.Element().AppendWire(dst)
		return append(dst, '}')
	}
	name := "Text"
	if t.Kind < kindEnd {
		name = kindNames[t.Kind].wire
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"')
}
