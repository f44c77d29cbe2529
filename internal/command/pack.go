package command

import "kalamdb/internal/schema"

// AdoptPacked moves hot rows of many scopes into their windows of one file, at
// most SliceRows rows together.
type AdoptPacked struct {
	File  schema.File // complete
	Parts []AdoptedPart
}

// AdoptedPart is a slice of one scope, as in Adopt.
type AdoptedPart struct {
	Scope  schema.Scope
	From   uint64
	Rows   []AdoptedRow
	Window schema.Segment // the window once all rows of the scope have been adopted
	Sizes  []int32        // as those of Adopt
}

func (AdoptPacked) body() {}

func (w *writer) adoptPacked(b *AdoptPacked) {
	w.json(&b.File)
	w.uvarint(uint64(len(b.Parts)))
	for i := range b.Parts {
		p := &b.Parts[i]
		w.string(string(p.Scope))
		w.uvarint(p.From)
		w.json(&p.Window)
		w.adopted(p.Rows)
	}
}

func (r *reader) adoptPacked() Body {
	var b AdoptPacked
	r.json(&b.File)
	b.Parts = make([]AdoptedPart, r.count(4))
	for i := range b.Parts {
		p := &b.Parts[i]
		p.Scope = schema.Scope(r.string())
		p.From = r.uvarint()
		r.json(&p.Window)
		p.Rows = r.adopted()
	}
	return b
}

func (w *writer) adopted(rows []AdoptedRow) {
	w.uvarint(uint64(len(rows)))
	for i := range rows {
		w.bytes(rows[i].Key)
		w.uvarint(rows[i].Seq)
	}
}

func (r *reader) adopted() []AdoptedRow {
	rows := make([]AdoptedRow, r.count(2))
	for i := range rows {
		rows[i] = AdoptedRow{Key: r.bytes(), Seq: r.uvarint()}
	}
	return rows
}
