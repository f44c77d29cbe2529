package schema_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// history is a table with all the versions it has had.
type history struct {
	t        *testing.T
	versions []*schema.Table
}

func (h *history) now() *schema.Table { return h.versions[len(h.versions)-1] }

// TestRows runs testdata/rows: a table that is altered, rows that its versions
// write, and what its versions read.
func TestRows(t *testing.T) {
	datadriven.Walk(t, "testdata/rows", func(t *testing.T, path string) {
		h := &history{t: t}
		datadriven.RunTest(t, path, h.run)
	})
}

func (h *history) run(t *testing.T, d *datadriven.TestData) string {
	h.t = t
	switch d.Cmd {
	case "create": // a line per column: name type [key]
		h.create(d.Input)
		return ""
	case "alter": // add name type [value of older rows] | drop name | rename name name | modify name type
		for line := range strings.Lines(d.Input) {
			h.alter(strings.TrimSpace(line))
		}
		return fmt.Sprintf("version %d\n", h.now().Version)
	}
	table := h.now()
	if d.HasArg("version") {
		var n int
		d.ScanArgs(t, "version", &n)
		table = h.versions[n-1]
	}
	var out strings.Builder
	for line := range strings.Lines(d.Input) {
		line = strings.TrimSpace(line)
		switch d.Cmd {
		case "write": // bytes, and what the newest version reads of them
			body := table.AppendRow(nil, h.rowOf(table, line))
			row := make([]datum.Value, len(h.now().Columns))
			if err := h.now().DecodeRow(body, row); err == nil {
				if err := readSingly(h.now(), body, row); err != nil {
					t.Error(err)
				}
			}
			fmt.Fprintf(&out, "%x\n%s\n", body, h.read(h.now(), body))
		case "read": // hex
			body, err := hex.DecodeString(strings.ReplaceAll(line, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&out, h.read(table, body))
		case "key":
			fmt.Fprintf(&out, "%x\n", h.key(table, line))
		default:
			t.Fatalf("unknown command %s", d.Cmd)
		}
	}
	return out.String()
}

func (h *history) create(text string) {
	next := &schema.Table{ID: 9, Namespace: "app", Name: "note", Version: 1, NextColumnID: 1}
	h.versions = []*schema.Table{next}
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		typ, key := strings.CutSuffix(rest, " key")
		if key {
			next.Key = append(next.Key, next.NextColumnID)
		}
		h.add(next, schema.Column{Name: name, Type: h.typeOf(typ)})
	}
	h.add(next, schema.Column{Name: schema.SeqName, Type: datum.Type{Kind: datum.BigInt}, System: schema.SeqColumn})
	h.add(next, schema.Column{Name: schema.DeletedName, Type: datum.Type{Kind: datum.Bool}, System: schema.DeletedColumn})
}

func (h *history) add(table *schema.Table, c schema.Column) {
	c.ID = table.NextColumnID
	table.NextColumnID++
	table.Columns = append(table.Columns, c)
}

func (h *history) alter(line string) {
	old := h.now()
	next := old.Clone()
	next.Version++
	verb, rest, _ := strings.Cut(line, " ")
	name, rest, _ := strings.Cut(rest, " ")
	at := next.Column(name)
	switch verb {
	case "add":
		typ, missing, _ := strings.Cut(rest, " ")
		c := schema.Column{Name: name, Type: h.typeOf(typ), Since: next.Version}
		if missing != "" {
			c.Missing = datum.AppendValue(nil, h.valueOf(c.Type, missing))
		}
		h.add(next, c)
	case "drop":
		next.Columns = append(next.Columns[:at], next.Columns[at+1:]...)
	case "rename":
		next.Columns[at].Name = rest
	case "modify":
		next.Columns[at].Type = h.typeOf(rest)
	default:
		h.t.Fatalf("unknown change %s", line)
	}
	h.versions = append(h.versions, next)
}

func (h *history) typeOf(text string) datum.Type {
	name, args, _ := strings.Cut(strings.TrimSuffix(text, ")"), "(")
	var numbers []int
	for a := range strings.SplitSeq(args, ",") {
		var n int
		if _, err := fmt.Sscan(a, &n); err == nil {
			numbers = append(numbers, n)
		}
	}
	typ, err := datum.ParseType(name, numbers)
	if err != nil {
		h.t.Fatal(err)
	}
	return typ
}

func (h *history) valueOf(typ datum.Type, text string) datum.Value {
	if text == "NULL" {
		return datum.NullValue
	}
	v, err := datum.Cast(datum.NewText(text), typ)
	if err != nil {
		h.t.Fatal(err)
	}
	return v
}

// rowOf reads values of the user columns, with bars between them.
func (h *history) rowOf(table *schema.Table, line string) []datum.Value {
	row := make([]datum.Value, len(table.Columns))
	texts := strings.Split(line, " | ")
	for i := range row {
		if table.Columns[i].System == schema.NotSystem {
			row[i], texts = h.valueOf(table.Columns[i].Type, texts[0]), texts[1:]
		}
	}
	return row
}

// read shows a row as a version of the table sees it, or why it cannot.
func (h *history) read(table *schema.Table, body []byte) string {
	row := make([]datum.Value, len(table.Columns))
	stamp := datum.NewText("untouched")
	for i := range row {
		if row[i] = datum.NewText("of the row before"); table.Columns[i].System != schema.NotSystem {
			row[i] = stamp
		}
	}
	if err := table.DecodeRow(body, row); err != nil {
		if !fault.Is(err, fault.Internal) {
			h.t.Errorf("damage is told as %s: %v", fault.CodeOf(err), err)
		}
		return "error: " + err.Error()
	}
	var cells []string
	for i, v := range row {
		c := table.Columns[i]
		switch {
		case c.System != schema.NotSystem:
			if !datum.Equal(v, stamp) {
				h.t.Errorf("the system column %s was set to %s", c.Name, v)
			}
		case v.IsNull():
			cells = append(cells, c.Name+"=NULL")
		default:
			cells = append(cells, fmt.Sprintf("%s=%s %s", c.Name, v.Kind(), v))
		}
	}
	return strings.Join(cells, ", ")
}

// readSingly holds what a RowReader gives of every column, and of every second
// one, against a row.
func readSingly(table *schema.Table, body []byte, row []datum.Value) error {
	for step := 1; step <= 2; step++ {
		var positions []int
		for i := step - 1; i < len(row); i += step {
			positions = append(positions, i)
		}
		seen := make([]int, len(positions))
		err := table.NewRowReader(positions).Read(body, 7, true, func(i int, v datum.Value) error {
			want := row[positions[i]]
			switch table.Columns[positions[i]].System {
			case schema.SeqColumn:
				want = datum.NewInt(datum.BigInt, 7)
			case schema.DeletedColumn:
				want = datum.NewBool(true)
			}
			if seen[i]++; v.IsNull() != want.IsNull() || !v.IsNull() && (v.Kind() != want.Kind() || !datum.Equal(v, want)) {
				return fmt.Errorf("column %d of %x read alone is %s, not %s", positions[i], body, v, want)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i, n := range seen {
			if n == 0 {
				return fmt.Errorf("column %d of %x is not read alone", positions[i], body)
			}
		}
	}
	return nil
}

// key returns the key of a row after checking it against that of its values.
func (h *history) key(table *schema.Table, line string) []byte {
	row := h.rowOf(table, line)
	key := table.KeyOf([]byte{}, row)
	var values []datum.Value
	for i, position := range table.KeyPositions() {
		if !table.IsKey(position) || table.Columns[position].ID != table.Key[i] {
			h.t.Errorf("position %d is not that of key column %d", position, i)
		}
		values = append(values, row[position])
	}
	if got := schema.AppendKeyValues(nil, values); string(got) != string(key) {
		h.t.Errorf("the key of %s is %x, that of its values %x", line, key, got)
	}
	return key
}

// wide is a table with a column of every kind that a column may have.
func wide() *schema.Table {
	t := &schema.Table{Namespace: "app", Name: "wide", Version: 3, NextColumnID: 40}
	for kind := datum.Bool; kind < datum.Interval; kind++ {
		typ := datum.Type{Kind: kind}
		switch kind {
		case datum.Decimal:
			typ = datum.DecimalType(datum.MaxPrecision, 4)
		case datum.Embedding:
			typ.Dim = 2
		}
		t.Columns = append(t.Columns, schema.Column{ID: schema.ColumnID(kind), Name: strings.ToLower(kind.String()), Type: typ})
	}
	t.Columns = append(t.Columns,
		schema.Column{ID: 30, Name: schema.SeqName, Type: datum.Type{Kind: datum.BigInt}, System: schema.SeqColumn},
		schema.Column{ID: 31, Name: "later", Type: datum.Type{Kind: datum.BigInt}, Since: 2, Missing: datum.AppendValue(nil, datum.NewInt(datum.Int, 5))})
	return t
}

// FuzzRow: no bytes make the codec panic; what it reads has the kinds of the
// columns, and is read again when it has been written.
func FuzzRow(f *testing.F) {
	table := wide()
	row := make([]datum.Value, len(table.Columns))
	for i, text := range []string{"true", "1", "-2", "9223372036854775807", "1.5", "-0.0", "12.5000", "tea", `\x00ff`,
		`{"a":1}`, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "2026-11-23", "10:00", "2026-11-23 10:00", "2026-11-23 10:00Z", "[1,2]", `{"id":"1"}`} {
		v, err := datum.Cast(datum.NewText(text), table.Columns[i].Type)
		if err != nil {
			f.Fatal(err)
		}
		row[i] = v
	}
	body := table.AppendRow(nil, row)
	f.Add(body)
	for i := range body {
		if i%7 == 0 {
			f.Add(body[:i])
		}
	}
	f.Add([]byte{1, 1, 4, 2, 5})                            // an INT in a BIGINT column
	f.Add([]byte{1, 1, 7, 7, 2, 25})                        // a DECIMAL of a smaller scale
	f.Add([]byte{1, 1, 30, 4, 2})                           // a system column
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, 1}) // a version beyond 32 bits
	f.Fuzz(func(t *testing.T, body []byte) {
		row := make([]datum.Value, len(table.Columns))
		if err := table.DecodeRow(body, row); err != nil {
			if !fault.Is(err, fault.Internal) {
				t.Fatalf("%x: %v", body, err)
			}
			return
		}
		for i, v := range row {
			if v.Kind() != table.Columns[i].Type.Kind && !v.IsNull() {
				t.Fatalf("%x: column %s holds %s %s", body, table.Columns[i].Name, v.Kind(), v)
			}
		}
		again := table.AppendRow(nil, row)
		back := make([]datum.Value, len(row))
		if err := table.DecodeRow(again, back); err != nil {
			t.Fatalf("%x was read and written as %x: %v", body, again, err)
		}
		if third := table.AppendRow(nil, back); string(third) != string(again) {
			t.Fatalf("%x became %x and then %x", body, again, third)
		}
		if err := readSingly(table, again, back); err != nil {
			t.Fatal(err)
		}
		for i := range row { // one column alone reads as it does among all
			wanted := make([]bool, i+1)
			wanted[i] = true
			one := make([]datum.Value, len(row))
			if err := table.DecodeColumns(again, one, wanted); err != nil {
				t.Fatalf("%x: column %d alone: %v", again, i, err)
			}
			if one[i].Kind() != back[i].Kind() || one[i].String() != back[i].String() {
				t.Fatalf("%x: column %d alone is %s, among all %s", again, i, one[i], back[i])
			}
		}
	})
}
