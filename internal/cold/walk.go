package cold

import (
	"context"
	"path"
	"strconv"
	"strings"
	"time"

	"kalamdb/internal/cold/internal/objstore"
	"kalamdb/internal/schema"
)

// Found is an object that a walk has met.
type Found struct {
	Path     string // below the storage's base
	Size     int64
	Modified time.Time
}

// Walk visits every object of a storage.
func (t *Tier) Walk(ctx context.Context, st schema.Storage, visit func(Found) error) error {
	s, err := t.storage(st)
	if err != nil {
		return err
	}
	return s.Walk(".", func(e objstore.Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return visit(Found{e.Name, e.Size, e.Modified})
	})
}

// NumberOf returns the number in the name of a cold file, batch-N.parquet or
// pack-N.parquet in a folder of packed files. No other name is that of a file of
// rows.
func NumberOf(place string) (uint64, bool) {
	base, ok := strings.CutSuffix(path.Base(place), ".parquet")
	prefix := "batch-"
	if path.Base(path.Dir(place)) == schema.PackedFolder {
		prefix = "pack-"
	}
	digits, named := strings.CutPrefix(base, prefix)
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && named && err == nil && strconv.FormatUint(n, 10) == digits
}
