package datum

import (
	"cmp"
	"encoding/binary"
	"iter"
	"strings"

	"kalamdb/internal/fault"
)

// arrayForm is the version of the bytes of an array.
const arrayForm = 1

// CanBeElement reports whether arrays of a kind exist: there are none of arrays
// and of embeddings.
func (k Kind) CanBeElement() bool {
	return k > Null && k < kindEnd && k != Array && k != Embedding
}

// ArrayType returns the type of one-dimensional arrays of a type.
func ArrayType(element Type) Type {
	return Type{Kind: Array, Precision: element.Precision, Scale: element.Scale, Elem: element.Kind}
}

// vectorNames are the names of the types that VectorType makes.
var vectorNames = map[Kind]string{SmallInt: "INT2VECTOR", BigInt: "OIDVECTOR"}

// VectorType returns PostgreSQL's int2vector, of SMALLINT, or oidvector, of
// BIGINT: arrays that count from 0 and are printed with blanks between their
// elements. Only columns of pg_catalog have them.
func VectorType(element Kind) Type { return Type{Kind: Array, Elem: element, Dim: 1} }

// IsVector reports whether VectorType made t.
func (t Type) IsVector() bool { return t.Kind == Array && t.Dim == 1 }

// Element returns the type of the elements of an array type.
func (t Type) Element() Type { return Type{Kind: t.Elem, Precision: t.Precision, Scale: t.Scale} }

// NewArray returns an ARRAY of values of one kind, any of which may be NULL. An
// array of decimals may hold decimals of several scales.
func NewArray(element Kind, items []Value) Value {
	size := 0
	for _, v := range items {
		size += 12 + len(v.s)
	}
	b := make([]byte, 0, size)
	for _, v := range items {
		b = AppendValue(b, v)
	}
	return Value{kind: Array, scale: uint8(element), n: int64(len(items)), s: string(b)}
}

// Len returns the number of elements of an ARRAY.
func (v Value) Len() int { return int(v.n) }

// ElementKind returns the kind of the elements of an ARRAY.
func (v Value) ElementKind() Kind { return Kind(v.scale) }

// Elements walks through the elements of an ARRAY, counted from 0. They share
// its memory.
func (v Value) Elements() iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		rest := v.s
		for i := range int(v.n) {
			var item Value
			var err error
			if item, rest, err = decodeValue(rest); err != nil || !yield(i, item) {
				return
			}
		}
	}
}

// Items returns the elements of an ARRAY.
func (v Value) Items() []Value {
	items := make([]Value, 0, v.n)
	for _, item := range v.Elements() {
		items = append(items, item)
	}
	return items
}

func appendArrayValue(dst []byte, tag byte, v Value) []byte {
	dst = binary.AppendUvarint(append(dst, tag, arrayForm, v.scale), uint64(v.n))
	dst = binary.AppendUvarint(dst, uint64(len(v.s)))
	return append(dst, v.s...)
}

// arrayLength returns how many bytes an array takes behind its first byte; ok is
// false when they end early.
func arrayLength[S []byte | string](src S) (length int, ok bool) {
	if len(src) < 2 {
		return 0, false
	}
	_, n := takeUvarint(src[2:])
	size, m := takeUvarint(src[2+n:])
	if n == 0 || m == 0 || size > uint64(len(src)-2-n-m) {
		return 0, false
	}
	return 2 + n + m + int(size), true
}

// decodeArray reads what arrayLength measured, and every element of it.
func decodeArray[S []byte | string](src S) (Value, error) {
	form, kind := src[0], Kind(src[1])
	count, n := takeUvarint(src[2:])
	_, m := takeUvarint(src[2+n:])
	body := string(src[2+n+m:])
	if form != arrayForm || !kind.CanBeElement() || count > uint64(len(body)) {
		return Value{}, corrupt("an array of form %d of %d of kind %d", form, count, kind)
	}
	rest := body
	for range count {
		if rest != "" && Kind(rest[0]&kindMask) == Array {
			return Value{}, corrupt("an array in an array")
		}
		item, after, err := decodeValue(rest)
		if err != nil {
			return Value{}, err
		}
		if item.kind != kind && item.kind != Null {
			return Value{}, corrupt("a %s in an array of %s", item.kind, kind)
		}
		rest = after
	}
	if rest != "" {
		return Value{}, corrupt("%d bytes too many in an array", len(rest))
	}
	return Value{kind: Array, scale: uint8(kind), n: int64(count), s: body}, nil
}

// Inside the key of an array a byte says whether another element follows.
const (
	keyArrayEnd  byte = 0
	keyArrayMore byte = 1
)

func appendKeyArray(dst []byte, v Value) []byte {
	dst = append(dst, keyArray)
	for _, item := range v.Elements() {
		dst = AppendKey(append(dst, keyArrayMore), item)
	}
	return append(dst, keyArrayEnd)
}

// decodeKeyArray reads what follows the tag.
func decodeKeyArray(src []byte, t Type) (Value, []byte, error) {
	if !t.Elem.CanBeElement() {
		return Value{}, nil, corrupt("an array of kind %d", t.Elem)
	}
	var items []Value
	for len(src) > 0 && src[0] == keyArrayMore {
		item, rest, err := DecodeKey(src[1:], t.Element())
		if err != nil {
			return Value{}, nil, err
		}
		items, src = append(items, item), rest
	}
	switch {
	case len(src) == 0:
		return Value{}, nil, errShortKey
	case src[0] != keyArrayEnd:
		return Value{}, nil, corrupt("malformed array key")
	}
	return NewArray(t.Elem, items), src[1:], nil
}

func skipKeyArray(src []byte) ([]byte, error) {
	for len(src) > 0 && src[0] == keyArrayMore {
		src = src[1:]
		if len(src) > 0 && src[0] == keyArray {
			return nil, corrupt("an array key in another")
		}
		rest, err := SkipKey(src)
		if err != nil {
			return nil, err
		}
		src = rest
	}
	switch {
	case len(src) == 0:
		return nil, errShortKey
	case src[0] != keyArrayEnd:
		return nil, corrupt("malformed array key")
	}
	return src[1:], nil
}

func appendHashArray(dst []byte, v Value) []byte {
	dst = binary.AppendUvarint(append(dst, hashArray), uint64(v.n))
	for _, item := range v.Elements() {
		dst = AppendHash(dst, item)
	}
	return dst
}

// compareArrays compares element by element; of an array and a longer one that
// begins alike the shorter one is less.
func compareArrays(a, b Value) int {
	left, right := a.s, b.s
	for left != "" && right != "" {
		var x, y Value
		x, left, _ = decodeValue(left) // arrays hold nothing that does not decode
		y, right, _ = decodeValue(right)
		if c := Compare(x, y); c != 0 {
			return c
		}
	}
	return cmp.Compare(a.n, b.n)
}

// appendArrayText writes {1,NULL,"a b"} as PostgreSQL does.
func appendArrayText(dst []byte, v Value) []byte {
	dst = append(dst, '{')
	for i, item := range v.Elements() {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch item.kind {
		case Null:
			dst = append(dst, "NULL"...)
		case Bool:
			dst = append(dst, "ft"[item.n])
		default:
			dst = appendArrayItem(dst, item)
		}
	}
	return append(dst, '}')
}

func appendArrayItem(dst []byte, item Value) []byte {
	start := len(dst)
	dst = AppendText(dst, item)
	text := string(dst[start:])
	if text != "" && !strings.ContainsAny(text, "{}\",\\ \t\n\r\v\f") && !strings.EqualFold(text, "null") {
		return dst
	}
	dst = append(dst[:start], '"')
	for i := range len(text) {
		if text[i] == '"' || text[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, text[i])
	}
	return append(dst, '"')
}

// parseArray reads {1,NULL,"a b"}, or a JSON array, which is what clients have.
func parseArray(text string, to Type) (Value, error) {
	if !to.Elem.CanBeElement() {
		return Value{}, noCast(Type{Kind: Text}, to)
	}
	p := arrayParser{rest: trim(text)}
	if strings.HasPrefix(p.rest, "[") {
		return arrayFromJSON(p.rest, to)
	}
	if !p.take('{') {
		return Value{}, invalid(to, text)
	}
	element := to.Element()
	var items []Value
	p.blanks()
	for more := !p.take('}'); more; {
		item, null, ok := p.item()
		if p.nested {
			return Value{}, fault.New(fault.NotImplemented, "arrays have one dimension only: %s", quote(text))
		}
		if !ok {
			return Value{}, invalid(to, text)
		}
		v := Value{}
		if !null {
			var err error
			if v, err = parseText(item, element); err != nil {
				return Value{}, err
			}
		}
		items = append(items, v)
		switch {
		case p.take(','):
		case p.take('}'):
			more = false
		default:
			return Value{}, invalid(to, text)
		}
	}
	if p.rest != "" {
		return Value{}, invalid(to, text)
	}
	return NewArray(to.Elem, items), nil
}

type arrayParser struct {
	rest   string
	nested bool
}

func (p *arrayParser) blanks() { p.rest = strings.TrimLeft(p.rest, " \t\n\r\v\f") }

func (p *arrayParser) take(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// item reads an element up to the comma or bracket behind it.
func (p *arrayParser) item() (text string, null, ok bool) {
	p.blanks()
	if p.take('"') {
		return p.quoted()
	}
	p.nested = strings.HasPrefix(p.rest, "{")
	var b strings.Builder
	kept, escaped := 0, false // kept is the length without blanks at the end
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case ',', '}':
			p.rest = p.rest[i:]
			text = b.String()[:kept]
			return text, !escaped && strings.EqualFold(text, "null"), text != ""
		case '{', '"':
			return "", false, false
		case '\\':
			if i++; i == len(p.rest) {
				return "", false, false
			}
			escaped = true
			b.WriteByte(p.rest[i])
			kept = b.Len()
		case ' ', '\t', '\n', '\r', '\v', '\f':
			b.WriteByte(c)
		default:
			b.WriteByte(c)
			kept = b.Len()
		}
	}
	return "", false, false
}

func (p *arrayParser) quoted() (text string, null, ok bool) {
	var b strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '"':
			p.rest = p.rest[i+1:]
			p.blanks()
			return b.String(), false, true
		case '\\':
			if i++; i == len(p.rest) {
				return "", false, false
			}
			b.WriteByte(p.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false, false
}

// castArray gives the elements of an array another type.
func castArray(v Value, to Type, cast func(Value, Type) (Value, error)) (Value, error) {
	if v.ElementKind() == to.Elem && to.Elem != Decimal {
		return v, nil
	}
	items := v.Items()
	for i, item := range items {
		out, err := cast(item, to.Element())
		if err != nil {
			return Value{}, err
		}
		items[i] = out
	}
	return NewArray(to.Elem, items), nil
}

func appendArrayJSON(dst []byte, v Value) ([]byte, error) {
	dst = append(dst, '[')
	for i, item := range v.Elements() {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = AppendJSON(dst, item); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

// arrayFromJSON reads an array of cells of the element's type.
func arrayFromJSON(text string, to Type) (Value, error) {
	if !to.Elem.CanBeElement() {
		return Value{}, badCell(text, to)
	}
	var items []Value
	c := jsonChecker{text: text, at: 1}
	c.blanks()
	for more := !c.take(']'); more; {
		c.blanks()
		start := c.at
		if !c.value(1) {
			return Value{}, badCell(text, to)
		}
		v, err := FromJSON([]byte(text[start:c.at]), to.Element())
		if err != nil {
			return Value{}, err
		}
		items = append(items, v)
		c.blanks()
		more = c.take(',')
		if !more && !c.take(']') {
			return Value{}, badCell(text, to)
		}
	}
	if c.at != len(text) {
		return Value{}, badCell(text, to)
	}
	return NewArray(to.Elem, items), nil
}
