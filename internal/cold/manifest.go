package cold

import (
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"

	"kalamdb/internal/schema"
)

// SegmentFile is a window with the file it belongs to.
type SegmentFile struct {
	Segment schema.Segment
	File    schema.File
}

// Manifest is what a scope has in the cold tier, as exported for other
// readers; docs/format/manifest.md. Times are microseconds since the Unix
// epoch.
type Manifest struct {
	TableID       string            `json:"table_id"` // namespace:table
	UserID        *string           `json:"user_id,omitempty"`
	Version       uint64            `json:"version"`
	CreatedAt     int64             `json:"created_at"`
	UpdatedAt     int64             `json:"updated_at"`
	Segments      []ManifestSegment `json:"segments"`
	LastSequence  int64             `json:"last_sequence_number"` // of batch files; -1 for none
	Files         *struct{}         `json:"files"`                // FILE blobs, not there yet
	VectorIndexes struct{}          `json:"vector_indexes"`
}

// ManifestSegment is one window.
type ManifestSegment struct {
	ID            string          `json:"id"`
	Path          string          `json:"path"` // below the manifest's folder
	MinSeq        uint64          `json:"min_seq"`
	MaxSeq        uint64          `json:"max_seq"`
	FirstRow      uint64          `json:"first_row,omitempty"` // in a file that scopes share
	RowCount      uint64          `json:"row_count"`
	SizeBytes     int64           `json:"size_bytes"`
	CreatedAt     int64           `json:"created_at"`
	SchemaVersion uint32          `json:"schema_version"`
	Status        string          `json:"status"` // in_progress while rows still move
	ColumnStats   json.RawMessage `json:"column_stats"`
}

// ManifestOf describes the windows of one scope, in order of file number.
func ManifestOf(def *schema.Table, scope schema.Scope, windows []SegmentFile) Manifest {
	m := Manifest{TableID: def.Namespace + ":" + def.Name, Segments: []ManifestSegment{}, LastSequence: -1}
	if def.PerUser() {
		user := string(scope)
		m.UserID = &user
	}
	m.CreatedAt, m.UpdatedAt = def.CreatedAt, def.CreatedAt
	for i, w := range windows {
		if i == 0 {
			m.CreatedAt = w.File.CreatedAt
		}
		m.UpdatedAt = max(m.UpdatedAt, w.File.CreatedAt)
		m.LastSequence = max(m.LastSequence, batchNumber(w.File.Path))
		m.Segments = append(m.Segments, segmentOf(def, w))
	}
	m.Version = uint64(m.LastSequence + 1)
	return m
}

func segmentOf(def *schema.Table, w SegmentFile) ManifestSegment {
	name := path.Base(w.File.Path)
	id := strings.TrimSuffix(name, path.Ext(name))
	if w.File.Packed() {
		name = path.Join(schema.PackedFolder, name)
	}
	status := "committed"
	if w.Segment.To < w.File.Rows && w.File.Scope == w.Segment.Scope {
		status = "in_progress"
	}
	return ManifestSegment{
		ID: id, Path: name,
		MinSeq: w.Segment.MinSeq, MaxSeq: w.Segment.MaxSeq, FirstRow: w.Segment.From, RowCount: w.Segment.To - w.Segment.From,
		SizeBytes: w.File.Size, CreatedAt: w.File.CreatedAt, SchemaVersion: w.Segment.SchemaVersion,
		Status: status, ColumnStats: keyStats(def, w.File.Statistics),
	}
}

// keyStats leaves the statistics of the key columns and _seq, which is what
// manifests show.
func keyStats(def *schema.Table, statistics string) json.RawMessage {
	var all map[string]json.RawMessage
	if json.Unmarshal([]byte(statistics), &all) != nil {
		return json.RawMessage("{}")
	}
	kept := map[string]json.RawMessage{}
	for i := range def.Columns {
		c := &def.Columns[i]
		id := strconv.Itoa(int(c.ID))
		if stats, ok := all[id]; ok && (c.System == schema.SeqColumn || def.IsKey(i)) {
			kept[id] = stats
		}
	}
	out, err := json.Marshal(kept)
	if err != nil {
		return json.RawMessage("{}")
	}
	return out
}

// batchNumber returns the N of a path that ends in batch-N.parquet, else -1.
func batchNumber(name string) int64 {
	digits, ok := strings.CutPrefix(path.Base(name), "batch-")
	if !ok {
		return -1
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(digits, ".parquet"), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// JSON returns the manifest's text.
func (m Manifest) JSON() ([]byte, error) {
	out, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	return out, nil
}
