package maint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"kalamdb/internal/command"
	"kalamdb/internal/core/job"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// scopesAtOnce is how many partitions of a table are listed at a time.
const scopesAtOnce = 1000

// BuildIndex completes an index that writers maintain already, as a job, and
// waits for it. An index that cannot be completed is dropped again: because of
// duplicates, or because the job or whoever waits for it was cancelled. A
// deadline of ctx ends the waiting only; the job goes on. A crash leaves the
// index building; the next start drops it.
func (m *Maintainer) BuildIndex(ctx context.Context, actor schema.UserID, id schema.TableID, index schema.IndexID) error {
	var failed error // written before the job is done
	j, _, err := m.o.Jobs.Submit(ctx, job.Spec{
		Type: "index_build", Prefix: "IB", Key: fmt.Sprintf("IB:%d", index), Actor: actor,
		Parameters: fmt.Sprintf(`{"table_id":%d,"index_id":%d}`, id, index),
		Run: func(ctx context.Context) (string, error) {
			rows, err := m.buildIndex(ctx, id, index)
			if err != nil {
				failed = err
				m.abandonIndex(context.WithoutCancel(ctx), id, index)
				return "", err
			}
			return fmt.Sprintf("Index built over %d rows", rows), nil
		},
		Unrun: func(ctx context.Context) { m.abandonIndex(ctx, id, index) },
	})
	if err != nil {
		m.abandonIndex(context.WithoutCancel(ctx), id, index)
		return err
	}
	done, err := m.o.Jobs.Wait(ctx, j.ID)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Timeout, "the index is still being built, by job %s, and can be used when that has ended", j.ID)
	case err != nil:
		_, _ = m.o.Jobs.Cancel(context.WithoutCancel(ctx), j.ID) // it may have ended by itself
		return err
	case done.Status == schema.JobCompleted:
		return nil
	}
	if failed == nil || errors.Is(failed, context.Canceled) {
		return fault.New(fault.InvalidOperation, "the index was not built: job %s is %s: %s", j.ID, done.Status, done.Message)
	}
	return failed
}

// buildIndex proposes the entries of every row of a moment, and lets readers use
// the index.
func (m *Maintainer) buildIndex(ctx context.Context, id schema.TableID, index schema.IndexID) (rows int64, err error) {
	view := m.o.View()
	defer view.Release()
	b := &builder{m: m, id: id, index: index}
	if b.table, b.at, err = indexOf(view.Definitions(), id, index); err != nil {
		return 0, err
	}
	counts, err := table.TotalCounts(view.Reader(), b.table)
	if err != nil {
		return 0, err
	}
	ctx = metered(ctx, counts.HotRows+counts.ColdRows)
	if err := b.eachScope(ctx, view, b.fill); err != nil {
		return 0, err
	}
	if b.table.Indexes[b.at].Unique {
		if err := b.distinct(ctx); err != nil {
			return 0, err
		}
	}
	_, err = m.commit(ctx, command.SettleIndex{Table: id, Index: index})
	return b.rows, gone(err)
}

// indexOf finds an index by the numbers of its table and its own.
func indexOf(d *catalog.Definitions, id schema.TableID, index schema.IndexID) (*schema.Table, int, error) {
	t, ok := d.TableByID(id)
	if ok {
		if at := t.IndexByID(index); at >= 0 {
			return t, at, nil
		}
	}
	return nil, 0, gone(command.ErrStaleSchema)
}

// gone words the refusal of a command for an index that is not there any more.
func gone(err error) error {
	if errors.Is(err, command.ErrStaleSchema) {
		return fault.New(fault.InvalidOperation, "the index was dropped while it was being built")
	}
	return err
}

// builder completes one index.
type builder struct {
	m     *Maintainer
	id    schema.TableID
	index schema.IndexID
	table *schema.Table
	at    int
	rows  int64
}

// eachScope visits every partition of the table.
func (b *builder) eachScope(ctx context.Context, view *catalog.View, visit func(context.Context, schema.Scope) error) error {
	for last := schema.Scope(""); ; {
		scopes, err := table.Scopes(view.Reader(), b.table, last, scopesAtOnce)
		if err != nil {
			return err
		}
		for _, scope := range scopes {
			if err := visit(ctx, scope); err != nil {
				return err
			}
		}
		if len(scopes) < scopesAtOnce {
			return nil
		}
		last = scopes[len(scopes)-1]
	}
}

// fill proposes the entries of a partition.
func (b *builder) fill(ctx context.Context, scope schema.Scope) error {
	view := b.m.o.Relations.View()
	defer view.Release()
	slice := make([]command.IndexedRow, 0, sliceRows)
	err := view.EachRow(ctx, b.table, scope, b.columns(), func(row []datum.Value) error {
		entry, err := b.entry(row)
		if err != nil {
			return err
		}
		if slice = append(slice, entry); len(slice) < sliceRows {
			return nil
		}
		err = b.propose(ctx, scope, slice)
		slice = make([]command.IndexedRow, 0, sliceRows) // the command keeps the other
		return err
	})
	if err != nil {
		return err
	}
	return b.propose(ctx, scope, slice)
}

// columns are the positions that entries are made of.
func (b *builder) columns() []int {
	columns := append(b.table.KeyPositions(), b.table.Column(schema.SeqName))
	columns = append(columns, b.table.IndexPositions(&b.table.Indexes[b.at])...)
	slices.Sort(columns)
	return slices.Compact(columns)
}

func (b *builder) entry(row []datum.Value) (command.IndexedRow, error) {
	x := &b.table.Indexes[b.at]
	values, _ := b.table.AppendIndexValues(nil, x, row)
	if len(values) > schema.MaxIndexBytes {
		return command.IndexedRow{}, fault.New(fault.LimitExceeded, "the values of a row take %d bytes, at most %d fit an entry of index '%s'", len(values), schema.MaxIndexBytes, x.Name)
	}
	seq := row[b.table.Column(schema.SeqName)].Int()
	return command.IndexedRow{Key: b.table.KeyOf(nil, row), Seq: uint64(seq), Values: values}, nil
}

func (b *builder) propose(ctx context.Context, scope schema.Scope, slice []command.IndexedRow) error {
	if len(slice) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	receipt, err := b.m.commit(ctx, command.FillIndex{Table: b.id, Index: b.index, Scope: scope, Rows: slice})
	b.rows += receipt.Rows
	advance(ctx, int64(len(slice)))
	return gone(err)
}

// distinct looks for values that two rows have. Each slice has looked for those
// of its own rows; a row that was written without a change of its values, before
// its slice came, has not been compared with the others.
func (b *builder) distinct(ctx context.Context) error {
	view := b.m.o.View()
	defer view.Release()
	return b.eachScope(ctx, view, func(ctx context.Context, scope schema.Scope) error {
		x := &b.table.Indexes[b.at]
		scan, err := table.NewIndexScan(view.Reader(), x, scope, nil, nil)
		if err != nil {
			return err
		}
		defer scan.Close()
		var last []byte
		for n := 1; scan.Next(); n++ {
			if n%sliceRows == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if bytes.Equal(last, scan.Values()) && !datum.HoldsNullKey(last) {
				return b.table.DuplicateRows(x)
			}
			last = append(last[:0], scan.Values()...)
		}
		return scan.Err()
	})
}

// abandonIndex drops an index that is still being built.
func (m *Maintainer) abandonIndex(ctx context.Context, id schema.TableID, index schema.IndexID) {
	for {
		view := m.o.View()
		t, at, err := indexOf(view.Definitions(), id, index)
		view.Release()
		if err != nil || !t.Indexes[at].Building {
			return
		}
		next := t.Clone()
		next.Indexes = slices.Delete(next.Indexes, at, at+1)
		next.UpdatedAt = m.o.Now().UnixMicro()
		_, err = m.commit(ctx, command.AlterTable{Table: *next, FromVersion: t.Version})
		if err == nil {
			return
		}
		if !errors.Is(err, command.ErrStaleSchema) {
			m.o.Logger.Error("an index that was not completed could not be dropped", "table", id, "index", index, "error", err)
			return // the next start drops it
		}
	}
}
