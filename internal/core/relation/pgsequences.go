package relation

import (
	"context"
	"slices"
	"strconv"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
)

func sequenceOID(s *schema.Sequence) int64 { return nameOID("sequence", s.QualifiedName()) }

// sequences returns those that a caller may know: all that stand for themselves,
// and those of columns whose tables he may read.
func (v *View) sequences(c Caller) []*schema.Sequence {
	var all []*schema.Sequence
	d := v.moment.Definitions()
	for n := range d.Namespaces() {
		all = slices.AppendSeq(all, d.Sequences(n.Name))
	}
	return slices.DeleteFunc(all, func(s *schema.Sequence) bool {
		if s.Table == 0 {
			return false
		}
		t, ok := d.TableByID(s.Table)
		return !ok || !c.mayRead(t)
	})
}

// SequenceState returns how far a sequence has come.
func (v *View) SequenceState(s *schema.Sequence) (schema.SequenceState, error) {
	state, ok, err := catalog.SequenceStates().Get(v.reader(), s.QualifiedName())
	if err == nil && !ok {
		err = fault.New(fault.Internal, "sequence %s has no state", s.QualifiedName())
	}
	return state, err
}

func pgSequenceRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, s := range v.sequences(c) {
		rows = append(rows, []datum.Value{
			bigOf(sequenceOID(s)), bigOf(pgTypes[datum.BigInt].oid), bigOf(s.Start), bigOf(s.Increment), bigOf(s.Max), bigOf(s.Min),
			bigOf(1), boolOf(s.Cycle),
		})
	}
	return rows, nil
}

func pgSequencesRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, s := range v.sequences(c) {
		rows = append(rows, []datum.Value{
			textOf(s.Namespace), textOf(s.Name), textOf("root"), textOf("bigint"), bigOf(s.Start), bigOf(s.Min), bigOf(s.Max),
			bigOf(s.Increment), boolOf(s.Cycle), bigOf(1), {},
		})
	}
	return rows, nil
}

func infoSequenceRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	number := func(n int64) datum.Value { return textOf(strconv.FormatInt(n, 10)) }
	for _, s := range v.sequences(c) {
		rows = append(rows, []datum.Value{
			textOf(catalogName), textOf(s.Namespace), textOf(s.Name), textOf("bigint"), intOf(64), intOf(2), intOf(0), number(s.Start),
			number(s.Min), number(s.Max), number(s.Increment), textOf(yesNo(s.Cycle)),
		})
	}
	return rows, nil
}

// sequenceRows are the rows of system.sequences. Numbers are handed out in
// blocks: the next one is that of the next block.
func sequenceRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	d := v.moment.Definitions()
	for _, s := range v.sequences(c) {
		state, err := v.SequenceState(s)
		if err != nil {
			return nil, err
		}
		row := []datum.Value{
			textOf(s.Namespace), textOf(s.Name), bigOf(s.Start), bigOf(s.Min), bigOf(s.Max), bigOf(s.Increment), boolOf(s.Cycle),
			bigOf(state.Next), {}, {}, timeOf(s.CreatedAt),
		}
		if state.Ended {
			row[7] = datum.Value{}
		}
		if t, ok := d.TableByID(s.Table); ok {
			row[8] = textOf(t.Name)
			if i := t.ColumnByID(s.Column); i >= 0 {
				row[9] = textOf(t.Columns[i].Name)
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}
