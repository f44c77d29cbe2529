package table

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// Dump prints every key and value of a state, one a line, as
// docs/format/rows.md names them. lookup finds the definitions that keys and
// rows are printed with; where it has none, or is nil, they are printed as
// quoted bytes. It is for tests and for operators.
func Dump(r store.Reader, out io.Writer, lookup func(schema.TableID) (*schema.Table, bool)) error {
	it, err := engine.NewIter(r, nil, nil)
	if err != nil {
		return err
	}
	d := dumper{lookup: lookup}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.Value()
		if err == nil {
			_, err = fmt.Fprintln(out, d.line(it.Key(), it.Seq(), value))
		}
		if err != nil {
			_ = it.Close() // the first error is the one to report
			return err
		}
	}
	return it.Close()
}

type dumper struct {
	lookup func(schema.TableID) (*schema.Table, bool)
}

// line prints one entry; what cannot be read is printed as bytes.
func (d *dumper) line(key []byte, seq uint64, value []byte) string {
	var text string
	var ok bool
	switch key[0] {
	case engine.KeyspaceRow:
		text, ok = d.row(key, seq, value)
	case engine.KeyspaceChg:
		text, ok = d.chg(key, value)
	case engine.KeyspaceOld:
		text, ok = d.old(key, value)
	case engine.KeyspaceStr:
		text, ok = d.str(key, value)
	case engine.KeyspaceCnt:
		text, ok = d.cnt(key, value)
	case engine.KeyspaceIdx:
		text, ok = d.idx(key, value)
	case engine.KeyspaceLoc, engine.KeyspaceSeg, engine.KeyspaceFile, engine.KeyspaceDel:
		text, ok = d.coldLine(key, value)
	}
	if !ok {
		return fmt.Sprintf("%q = %q", key, value)
	}
	return text
}

func (d *dumper) table(id schema.TableID) *schema.Table {
	if d.lookup == nil {
		return nil
	}
	t, _ := d.lookup(id)
	return t
}

// partition reads keyspace, table and scope.
func (d *dumper) partition(key []byte) (t *schema.Table, name string, rest []byte, ok bool) {
	id, ok := cutTable(key)
	if !ok {
		return nil, "", nil, false
	}
	scope, rest, ok := cutScope(key[5:])
	return d.table(id), fmt.Sprintf("%d/%s", id, scope), rest, ok
}

func (d *dumper) row(key []byte, seq uint64, value []byte) (string, bool) {
	t, name, pk, ok := d.partition(key)
	kind, body, err := cutRowValue(value)
	if !ok || err != nil {
		return "", false
	}
	text := fmt.Sprintf("row %s/%s @%s", name, d.key(t, pk), position(seq))
	switch kind {
	case rowDead:
		return text + " = tombstone " + d.body(t, body), true
	case rowMoved:
		return text + " = moved", true
	}
	return text + " = " + d.body(t, body), true
}

func (d *dumper) chg(key, value []byte) (string, bool) {
	t, name, rest, ok := d.partition(key)
	if !ok || len(rest) != 8 {
		return "", false
	}
	seq := binary.BigEndian.Uint64(rest)
	e, err := decodeChg(seq, value)
	if err != nil {
		return "", false
	}
	text := fmt.Sprintf("chg %s @%s = %s %s", name, position(seq), e.op, d.key(t, e.key))
	if e.prev != 0 {
		text += " over " + position(e.prev)
	}
	if e.position != seq {
		text += " of " + position(e.position)
	}
	return text, true
}

func (d *dumper) old(key, value []byte) (string, bool) {
	if len(key) == 5 {
		numbers, err := engine.DecodeCounters(value)
		return fmt.Sprintf("old w%d = %v", binary.BigEndian.Uint32(key[1:]), numbers), err == nil
	}
	e, ok := cutOld(key)
	if !ok {
		return "", false
	}
	return fmt.Sprintf("old w%d/%d/%s @%s = %s", e.window, e.table, e.scope, position(e.seq),
		d.key(d.table(e.table), value)), true
}

func (d *dumper) str(key, value []byte) (string, bool) {
	id, ok := cutTable(key)
	if !ok || len(key) < 9 {
		return "", false
	}
	scope, rest, ok := cutScope(key[9:])
	if !ok || len(rest) != 8 {
		return "", false
	}
	seq := binary.BigEndian.Uint64(rest)
	e, err := decodeEvent(seq, value)
	if err != nil {
		return "", false
	}
	text := fmt.Sprintf("str %d/w%d/%s @%s =", id, binary.BigEndian.Uint32(key[5:]), scope, position(seq))
	switch e.kind {
	case eventDelete:
		text += " deletes " + position(e.other)
	case eventHidden:
		text += " hidden by " + position(e.other)
	}
	text += " " + d.body(d.table(id), e.body)
	if e.position != seq {
		text += " of " + position(e.position)
	}
	return text, true
}

func (d *dumper) cnt(key, value []byte) (string, bool) {
	_, name, rest, ok := d.partition(key)
	numbers, err := engine.DecodeCounters(value)
	if !ok || len(rest) > 0 || err != nil || len(numbers) != 4 {
		return "", false
	}
	return fmt.Sprintf("cnt %s = hot %d cold %d bytes %d dead %d", name, numbers[0], numbers[1], numbers[2], numbers[3]), true
}

func (d *dumper) coldLine(key, value []byte) (string, bool) {
	switch {
	case key[0] == engine.KeyspaceFile && len(key) == 9:
		var f schema.File
		err := decodeFile(value, &f)
		return fmt.Sprintf("file %d = %s state %d rows %d removed %s", binary.BigEndian.Uint64(key[1:]), f.Path, f.State,
			f.Rows, position(f.RemovedAt)), err == nil
	case key[0] == engine.KeyspaceDel && len(key) == 17:
		n, _, ok := cutNumbers(value, 1)
		return fmt.Sprintf("del %d/%d = %s", binary.BigEndian.Uint64(key[1:]), binary.BigEndian.Uint64(key[9:]), position(n[0])), ok
	}
	t, name, rest, ok := d.partition(key)
	if !ok {
		return "", false
	}
	if key[0] == engine.KeyspaceLoc {
		l, err := decodeLoc(value)
		return fmt.Sprintf("loc %s/%s = file %d row %d @%s", name, d.key(t, rest), l.File, l.Row, position(l.Seq)), err == nil
	}
	var s schema.Segment
	if err := decodeSeg(value, &s); err != nil || len(rest) != 8 {
		return "", false
	}
	return fmt.Sprintf("seg %s/%d = rows %d-%d seq %s-%s keys %s-%s version %d", name, binary.BigEndian.Uint64(rest),
		s.From, s.To, position(s.MinSeq), position(s.MaxSeq), d.key(t, s.MinKey), d.key(t, s.MaxKey), s.SchemaVersion), true
}

// key prints an encoded primary key.
func (d *dumper) key(t *schema.Table, key []byte) string {
	if t == nil || len(key) == 0 {
		return fmt.Sprintf("%q", key)
	}
	values, err := KeyValues(t, key)
	if err != nil {
		return fmt.Sprintf("%q", key)
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.String()
	}
	return strings.Join(texts, ",")
}

// body prints the bytes of a row.
func (d *dumper) body(t *schema.Table, body []byte) string {
	if t == nil {
		return fmt.Sprintf("%q", body)
	}
	row := make([]datum.Value, len(t.Columns))
	if err := t.DecodeRow(body, row); err != nil {
		return fmt.Sprintf("%q", body)
	}
	var texts []string
	for i, v := range row {
		if t.Columns[i].System == schema.NotSystem {
			texts = append(texts, v.String())
		}
	}
	return fmt.Sprintf("(%s) v%d", strings.Join(texts, ", "), bodySchemaVersion(body))
}

// position prints milliseconds since the epoch of _seq, node and counter.
func position(seq uint64) string {
	if seq == 0 {
		return "0"
	}
	return fmt.Sprintf("%d.%d.%d", schema.SeqMillis(seq)-schema.SeqEpochMillis, seq>>12&schema.MaxNode, seq&0xfff)
}

// KeyValues decodes a primary key of a table into values in key order.
func KeyValues(t *schema.Table, key []byte) ([]datum.Value, error) {
	values := make([]datum.Value, len(t.Key))
	for i, id := range t.Key {
		at := t.ColumnByID(id)
		if at < 0 {
			return nil, fmt.Errorf("decode key of table %s: %w", t.QualifiedName(), errValue)
		}
		v, rest, err := datum.DecodeKey(key, t.Columns[at].Type)
		if err != nil {
			return nil, fmt.Errorf("decode key of table %s: %w", t.QualifiedName(), err)
		}
		values[i], key = v, rest
	}
	if len(key) > 0 {
		return nil, fmt.Errorf("decode key of table %s: %w", t.QualifiedName(), errValue)
	}
	return values, nil
}
