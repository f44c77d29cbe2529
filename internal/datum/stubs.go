package datum

import (
	"kalamdb/internal/fault"
	"strconv"
)

var errSoon = fault.New(fault.NotImplemented, "soon")

func quote(s string) string       { return strconv.Quote(s) }
func checkJSON(text string) error { return nil }

// NewDecimal parses text into DECIMAL(precision,scale), rounding half away from zero.
func NewDecimal(text string, precision, scale uint8) (Value, error) { return Value{}, errSoon }

// ParseDecimal parses text and keeps the scale it is written with.
func ParseDecimal(text string) (Value, error) { return Value{}, errSoon }

// NewDecimal128 returns a DECIMAL from a 128-bit two's complement coefficient.
func NewDecimal128(hi int64, lo uint64, scale uint8) (Value, error) { return Value{}, errSoon }

// Decimal128 returns the 128-bit two's complement coefficient of a DECIMAL.
func (v Value) Decimal128() (hi int64, lo uint64) { return 0, 0 }

// DecimalString returns a DECIMAL with exactly its scale of fraction digits.
func (v Value) DecimalString() string { return "" }

// String returns the text of v, as CAST to TEXT gives it; NULL for NULL.
func (v Value) String() string { return "" }

// AppendText appends the text form, as CAST to TEXT gives it.
func AppendText(dst []byte, v Value) []byte { return dst }

// Compare orders.
func Compare(a, b Value) int { return 0 }

// Equal reports Compare == 0.
func Equal(a, b Value) bool { return Compare(a, b) == 0 }

// AppendHash appends equal bytes for equal values.
func AppendHash(dst []byte, v Value) []byte { return dst }

// Cast is an explicit CAST.
func Cast(v Value, to Type) (Value, error) { return v, errSoon }

// Assign coerces on write.
func Assign(v Value, to Type) (Value, error) { return v, errSoon }

// AppendJSON appends the cell of v.
func AppendJSON(dst []byte, v Value) ([]byte, error) { return dst, errSoon }

// AppendJSONString appends s as a JSON string.
func AppendJSONString(dst []byte, s string) []byte { return dst }

// FromJSON reads a cell.
func FromJSON(raw []byte, to Type) (Value, error) { return Value{}, errSoon }

// Add returns a + b.
func Add(a, b Value) (Value, error) { return a, errSoon }

// Sub returns a - b.
func Sub(a, b Value) (Value, error) { return a, errSoon }

// Mul returns a * b.
func Mul(a, b Value) (Value, error) { return a, errSoon }

// Div returns a / b.
func Div(a, b Value) (Value, error) { return a, errSoon }

// Mod returns a % b.
func Mod(a, b Value) (Value, error) { return a, errSoon }

// Neg returns -v.
func Neg(v Value) (Value, error) { return v, errSoon }

// Abs returns |v|.
func Abs(v Value) (Value, error) { return v, errSoon }

// Round rounds a number to places fraction digits.
func Round(v Value, places int) (Value, error) { return v, errSoon }

// Truncate cuts a number to places fraction digits.
func Truncate(v Value, places int) (Value, error) { return v, errSoon }

// Floor returns the greatest integral number not above v.
func Floor(v Value) (Value, error) { return v, errSoon }

// Ceil returns the least integral number not below v.
func Ceil(v Value) (Value, error) { return v, errSoon }

// CommonType returns the type that both become.
func CommonType(a, b Type) (Type, bool) { return a, false }

// AppendKey appends order preserving bytes.
func AppendKey(dst []byte, v Value) []byte { return dst }

// DecodeKey reads a key.
func DecodeKey(src []byte, t Type) (v Value, rest []byte, err error) { return v, src, errSoon }

// SkipKey skips a key.
func SkipKey(src []byte) (rest []byte, err error) { return src, errSoon }

// AppendValue appends compact bytes.
func AppendValue(dst []byte, v Value) []byte { return dst }

// DecodeValue reads compact bytes; texts are copied.
func DecodeValue(src []byte) (v Value, rest []byte, err error) { return v, src, errSoon }

// DecodeValueString is DecodeValue over a string that texts go on sharing.
func DecodeValueString(src string) (v Value, rest string, err error) { return v, src, errSoon }

// SkipValue skips one value without building it.
func SkipValue(src []byte) (rest []byte, err error) { return src, errSoon }

// Extract returns EXTRACT(field FROM v) as a DECIMAL.
func Extract(field string, v Value) (Value, error) { return v, errSoon }

// Trunc returns date_trunc(field, v).
func Trunc(field string, v Value) (Value, error) { return v, errSoon }

// ParseDate parses DATE text.
func ParseDate(text string) (Value, error) { return Value{}, errSoon }

// ParseTime parses TIME text.
func ParseTime(text string) (Value, error) { return Value{}, errSoon }

// ParseTimestamp parses TIMESTAMP text; a zone is read and ignored.
func ParseTimestamp(text string) (Value, error) { return Value{}, errSoon }

// ParseDateTime parses DATETIME text; without a zone it is UTC.
func ParseDateTime(text string) (Value, error) { return Value{}, errSoon }

// ParseInterval parses INTERVAL text.
func ParseInterval(text string) (Value, error) { return Value{}, errSoon }

// ParseUUID parses UUID text.
func ParseUUID(text string) (Value, error) { return Value{}, errSoon }

// ParseBytesHex parses the digits of X'0AFF'.
func ParseBytesHex(digits string) (Value, error) { return Value{}, errSoon }
