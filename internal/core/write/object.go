package write

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
)

// InsertObjects inserts rows given as JSON objects whose members are columns;
// absent members take their default. Anything but an object is refused, and so
// is a member that names no column. All rows are inserted, or none.
func (w *Writer) InsertObjects(ctx context.Context, t *schema.Table, objects []json.RawMessage, to Target, env *exec.Env) (int64, error) {
	rows := make([][]datum.Value, len(objects))
	absent := make([][]bool, len(objects))
	for i, text := range objects {
		row, missing, err := rowOf(t, text)
		if err != nil {
			return 0, fault.Wrap(fault.CodeOf(err), err, "row %d: %s", i+1, fault.Of(err).Message)
		}
		rows[i], absent[i] = row, missing
	}
	return w.InsertRows(ctx, t, rows, absent, to, env)
}

// rowOf reads one JSON object into values aligned to the table's columns.
func rowOf(t *schema.Table, text json.RawMessage) ([]datum.Value, []bool, error) {
	trimmed := bytes.TrimLeft(text, " \t\r\n")
	if len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, nil, fault.New(fault.InvalidInput, "a row must be a JSON object")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, nil, fault.Wrap(fault.InvalidInput, err, "a row must be a JSON object")
	}
	row := make([]datum.Value, len(t.Columns))
	absent := make([]bool, len(t.Columns))
	for i := range absent {
		absent[i] = true
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		position := t.Column(strings.ToLower(name))
		if position < 0 {
			return nil, nil, fault.New(fault.ColumnNotFound, "column '%s' does not exist in table %s", name, t.QualifiedName())
		}
		column := &t.Columns[position]
		if column.System != schema.NotSystem {
			return nil, nil, fault.New(fault.InvalidOperation, "system column '%s' cannot be set", column.Name)
		}
		if !absent[position] {
			return nil, nil, fault.New(fault.InvalidInput, "column '%s' is given twice", column.Name)
		}
		v, err := datum.FromJSON(members[name], column.Type)
		if err != nil {
			return nil, nil, forColumn(err, column)
		}
		row[position], absent[position] = v, false
	}
	return row, absent, nil
}
