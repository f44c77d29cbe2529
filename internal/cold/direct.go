package cold

import (
	"fmt"
	"path/filepath"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
)

// Place returns where the operating system has a file, and the folder of its
// storage, both absolute; ok is false when it has none, or when the name would
// be taken for a pattern.
func (t *Tier) Place(st schema.Storage, f schema.File) (folder, path string, ok bool) {
	if t.options.FS != disk.Real() || st.Type != "" && st.Type != "filesystem" {
		return "", "", false
	}
	folder, err := filepath.Abs(t.Base(st))
	if err != nil {
		return "", "", false
	}
	path = filepath.Join(folder, f.Path)
	return folder, path, strings.HasPrefix(path, folder+"/") && !strings.ContainsAny(path, "*?[]{}\\") && !strings.Contains(path, "://")
}

// Direct reports whether another reader of Parquet, which matches columns by
// field id, converts numbers only to wider ones and knows no types but those of
// the format, finds in the file what the definition means. Values of absent are
// those of wanted columns that the file does not have, by position.
func (r *Reader) Direct(def *schema.Table, columns []int) (absent map[int]datum.Value, ok bool, err error) {
	absent = map[int]datum.Value{}
	for _, place := range columns {
		c := &def.Columns[place]
		in := r.file.Column(c.ID)
		if in < 0 {
			if absent[place], err = c.Absent(r.version); err != nil {
				return nil, false, fmt.Errorf("cold file %s: column %q: %w", r.path, c.Name, err)
			}
			continue
		}
		if !alike(r.file.Type(in), c.Type) {
			return nil, false, nil
		}
	}
	return absent, true, nil
}

// alike reports whether values of a stored type mean the same as those of the
// type of the column once they are widened.
func alike(stored, t datum.Type) bool {
	switch t.Kind {
	case datum.Embedding, datum.Interval, datum.Array, datum.Null:
		return false
	case datum.Decimal:
		return stored.Kind == datum.Decimal && t.Precision > 0 && stored.Scale <= t.Scale && stored.Precision-stored.Scale <= t.Precision-t.Scale
	case datum.Int:
		return stored.Kind == datum.SmallInt || stored.Kind == datum.Int
	case datum.BigInt:
		return stored.Kind == datum.SmallInt || stored.Kind == datum.Int || stored.Kind == datum.BigInt
	case datum.Double:
		return stored.Kind == datum.Float || stored.Kind == datum.Double
	}
	return stored.Kind == t.Kind
}
