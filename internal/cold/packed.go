package cold

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"

	"kalamdb/internal/schema"
)

// PackedManifest is what the scopes of a USER table have in files that they
// share, as exported for other readers; docs/format/manifest.md.
type PackedManifest struct {
	TableID  string          `json:"table_id"` // namespace:table
	Files    []PackedFile    `json:"files"`
	Segments []PackedSegment `json:"segments"`
}

// PackedFile is one file that scopes share.
type PackedFile struct {
	Path        string          `json:"path"` // below the manifest's folder
	RowCount    uint64          `json:"row_count"`
	SizeBytes   int64           `json:"size_bytes"`
	CreatedAt   int64           `json:"created_at"`
	ColumnStats json.RawMessage `json:"column_stats"`
}

// PackedSegment is the window of one scope: RowCount rows from FirstRow on.
type PackedSegment struct {
	UserID        string `json:"user_id"`
	Path          string `json:"path"`
	FirstRow      uint64 `json:"first_row"`
	RowCount      uint64 `json:"row_count"`
	MinSeq        uint64 `json:"min_seq"`
	MaxSeq        uint64 `json:"max_seq"`
	SchemaVersion uint32 `json:"schema_version"`
}

// PackedManifestOf describes windows in order of scope and file; files holds
// theirs by number.
func PackedManifestOf(def *schema.Table, windows []schema.Segment, files map[uint64]schema.File) PackedManifest {
	m := PackedManifest{TableID: def.Namespace + ":" + def.Name, Files: []PackedFile{}, Segments: []PackedSegment{}}
	named := map[uint64]bool{}
	for _, s := range windows {
		f := files[s.File]
		named[s.File] = true
		m.Segments = append(m.Segments, PackedSegment{
			UserID: string(s.Scope), Path: path.Base(f.Path), FirstRow: s.From, RowCount: s.To - s.From,
			MinSeq: s.MinSeq, MaxSeq: s.MaxSeq, SchemaVersion: s.SchemaVersion,
		})
	}
	for _, number := range slices.Sorted(maps.Keys(named)) {
		f := files[number]
		m.Files = append(m.Files, PackedFile{
			Path: path.Base(f.Path), RowCount: f.Rows, SizeBytes: f.Size, CreatedAt: f.CreatedAt, ColumnStats: keyStats(def, f.Statistics),
		})
	}
	return m
}

// JSON returns the manifest's text.
func (m PackedManifest) JSON() ([]byte, error) {
	out, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write packed manifest: %w", err)
	}
	return out, nil
}
