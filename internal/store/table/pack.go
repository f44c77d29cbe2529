package table

import (
	"kalamdb/internal/schema"
	"kalamdb/internal/store/internal/engine"
)

// AdoptPacked adopts slices of several partitions into windows of one file and
// counts its windows. It refuses before it writes. A slice that is not the last
// of its window may be: what is behind it stays hot.
func (w *Writer) AdoptPacked(parts []Adoption) (adopted int64, err error) {
	file := parts[0].File
	stored, _, err := File(w.reader, file.Number)
	if err != nil {
		return 0, err
	}
	file.State, file.RemovedAt, file.Windows = schema.FileLive, 0, stored.Windows
	for i := range parts {
		a := &parts[i]
		if err := w.checkAdoption(a); err != nil {
			return 0, err
		}
		_, known, err := engine.Get(w.reader, appendSeg(w.key[:0], a.Table.ID, a.Scope, a.File.Number))
		if err != nil {
			return 0, err
		}
		if !known {
			file.Windows++
		}
	}
	for i := range parts {
		n, err := w.adoptSlice(&parts[i])
		if err != nil {
			return 0, err
		}
		adopted += n
	}
	if last := &parts[len(parts)-1]; last.From+uint64(last.Rows) == file.Rows {
		w.watches.end(file.Number)
	}
	return adopted, w.putFile(&file)
}

// leaveFile tells a file that one window less names it, and removes it at a
// position when that was the last one.
func leaveFile(f *schema.File, position uint64) {
	if f.Windows > 1 {
		f.Windows--
		return
	}
	f.State, f.RemovedAt, f.Windows = schema.FileRemoved, position, 0
}
