package relation

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
	"kalamdb/internal/store/table"
)

// IndexTable returns the table that has an index of a namespace.
func (v *View) IndexTable(namespace, name string) (*schema.Table, bool) {
	t, _, ok := v.moment.Definitions().Index(namespace, name)
	return t, ok
}

// TablesIn returns the tables of a namespace by name.
func (v *View) TablesIn(namespace string) []*schema.Table {
	return slices.Collect(v.moment.Definitions().Tables(namespace))
}

// EachRow calls each with every live row of a partition, hot and cold, by key,
// with the columns at the given positions. A row is valid until each returns.
func (v *View) EachRow(ctx context.Context, t *schema.Table, scope schema.Scope, columns []int, each func(row []datum.Value) error) error {
	return v.eachRow(ctx, t, scope, source.Request{Columns: columns, Order: source.ByKey}, each)
}

// EachRowBySeq is EachRow with all columns in the order of _seq.
func (v *View) EachRowBySeq(ctx context.Context, t *schema.Table, scope schema.Scope, each func(row []datum.Value) error) error {
	return v.eachRow(ctx, t, scope, source.Request{Order: source.BySeq}, each)
}

func (v *View) eachRow(ctx context.Context, t *schema.Table, scope schema.Scope, r source.Request, each func(row []datum.Value) error) error {
	opened, err := v.Open(t, scope, Caller{})
	if err != nil {
		return err
	}
	rows, err := opened.Scan(ctx, r)
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		batch, err := rows.Next(ctx)
		if err != nil || batch == nil {
			return err
		}
		for _, row := range batch.Rows {
			if err := each(row); err != nil {
				return err
			}
		}
	}
}

// Holder returns the key of the live row that holds values of a unique index,
// given by its position, as the view sees it: what its transaction has staged
// included.
func (v *View) Holder(t *schema.Table, at int, scope schema.Scope, values []byte) (key []byte, found bool, err error) {
	x := &t.Indexes[at]
	p := v.staged.part(t, scope)
	if p != nil {
		if own, ok := p.holders[holderPlace(x.ID, values)]; ok {
			return []byte(own), true, nil
		}
	}
	// No key begins with 0xff, so this ends the entries of the values.
	scan, err := table.NewIndexScan(v.reader(), x, scope, values, append(values[:len(values):len(values)], 0xff))
	if err != nil {
		return nil, false, err
	}
	for scan.Next() {
		if p != nil && p.rows[string(scan.Key())] != nil {
			continue // it has other values, or none, since
		}
		key, found = bytes.Clone(scan.Key()), true
		break
	}
	if err := scan.Err(); err != nil {
		_ = scan.Close() // the first error is the one to report
		return nil, false, err
	}
	return key, found, scan.Close()
}

// holderPlace names values of a unique index.
func holderPlace(id schema.IndexID, values []byte) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(id))) + string(values)
}

// hold notes which values of unique indexes a staged row takes, in the place of
// another that had the same key. While one statement stages its rows two of them
// may claim the same values; the later claim is the one that stays.
func (p *stagedPart) hold(key string, before, next *StagedRow) {
	each := func(r *StagedRow, do func(place string)) {
		if r == nil {
			return
		}
		for i := range r.Write.Index {
			if values := r.Write.Index[i].New; p.table.Indexes[i].Unique && len(values) > 0 && !datum.HoldsNullKey(values) {
				do(holderPlace(p.table.Indexes[i].ID, values))
			}
		}
	}
	each(before, func(place string) {
		if p.holders[place] == key {
			delete(p.holders, place)
		}
	})
	each(next, func(place string) {
		if p.holders == nil {
			p.holders = map[string]string{}
		}
		p.holders[place] = key
	})
}
