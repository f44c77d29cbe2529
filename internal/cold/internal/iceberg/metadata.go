package iceberg

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/apache/iceberg-go"

	"kalamdb/internal/schema"
)

// ownerKey is the property that holds the number of the table.
const ownerKey = "kalamdb.id"

// Keys of the summary of a snapshot.
const (
	PositionKey = "kalamdb.position"
	DigestKey   = "kalamdb.digest"
)

// metadata is a metadata file of format version 2.
type metadata struct {
	FormatVersion     int                     `json:"format-version"`
	UUID              string                  `json:"table-uuid"`
	Location          string                  `json:"location"`
	LastSequence      int64                   `json:"last-sequence-number"`
	LastUpdated       int64                   `json:"last-updated-ms"`
	LastColumnID      int                     `json:"last-column-id"`
	Schemas           []*iceberg.Schema       `json:"schemas"`
	CurrentSchemaID   int                     `json:"current-schema-id"`
	PartitionSpecs    []iceberg.PartitionSpec `json:"partition-specs"`
	DefaultSpecID     int                     `json:"default-spec-id"`
	LastPartitionID   int                     `json:"last-partition-id"`
	SortOrders        json.RawMessage         `json:"sort-orders"`
	DefaultSortOrder  int                     `json:"default-sort-order-id"`
	Properties        map[string]string       `json:"properties"`
	CurrentSnapshotID int64                   `json:"current-snapshot-id"`
	Snapshots         []metadataSnapshot      `json:"snapshots"`
	SnapshotLog       []snapshotLog           `json:"snapshot-log"`
	MetadataLog       []FormerMetadata        `json:"metadata-log"`
	Refs              map[string]snapshotRef  `json:"refs"`
}

type metadataSnapshot struct {
	ID           int64             `json:"snapshot-id"`
	Sequence     int64             `json:"sequence-number"`
	Time         int64             `json:"timestamp-ms"`
	ManifestList string            `json:"manifest-list"`
	Summary      map[string]string `json:"summary"`
	SchemaID     int               `json:"schema-id"`
}

type snapshotLog struct {
	ID   int64 `json:"snapshot-id"`
	Time int64 `json:"timestamp-ms"`
}

type snapshotRef struct {
	ID   int64  `json:"snapshot-id"`
	Type string `json:"type"`
}

// metadata writes the metadata file: one schema and one snapshot, those of the
// moment. Earlier ones name files that may have gone.
func (s *Snapshot) metadata(columns *iceberg.Schema, specs []iceberg.PartitionSpec, list string) ([]byte, error) {
	last := 0
	for _, f := range columns.Fields() {
		last = max(last, f.ID)
		if l, ok := f.Type.(*iceberg.ListType); ok {
			last = max(last, l.ElementID)
		}
	}
	lastPartition := partitionID - 1
	if len(specs) > 1 {
		lastPartition = partitionID
	}
	former := s.Former
	if former == nil {
		former = []FormerMetadata{}
	}
	text, err := json.MarshalIndent(metadata{
		FormatVersion: 2, UUID: UUID(s.Table), Location: s.Location, LastSequence: s.Number, LastUpdated: s.Time, LastColumnID: last,
		Schemas: []*iceberg.Schema{columns}, CurrentSchemaID: columns.ID, PartitionSpecs: specs, DefaultSpecID: len(specs) - 1,
		LastPartitionID: lastPartition, SortOrders: json.RawMessage(`[{"order-id":0,"fields":[]}]`),
		Properties:        map[string]string{ownerKey: strconv.FormatUint(uint64(s.Table.ID), 10), "kalamdb.table": s.Table.QualifiedName(), "kalamdb.rows": "cold"},
		CurrentSnapshotID: s.ID, SnapshotLog: []snapshotLog{{s.ID, s.Time}}, MetadataLog: former,
		Refs: map[string]snapshotRef{"main": {s.ID, "branch"}},
		Snapshots: []metadataSnapshot{{
			ID: s.ID, Sequence: s.Number, Time: s.Time, ManifestList: list, Summary: s.summary(), SchemaID: columns.ID,
		}},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the metadata of %s: %w", s.Table.QualifiedName(), err)
	}
	return text, nil
}

// Published is what a metadata file says, as far as the next one needs it.
type Published struct {
	UUID   string
	Owner  schema.TableID
	ID     int64 // of the snapshot
	Time   int64
	Digest string
	Former []FormerMetadata
}

// Read reads a metadata file that this room has written.
func Read(text []byte) (Published, error) {
	// Schemas and specs are made anew each time; the library need not take them
	// apart.
	var raw struct {
		UUID        string             `json:"table-uuid"`
		LastUpdated int64              `json:"last-updated-ms"`
		Properties  map[string]string  `json:"properties"`
		Snapshots   []metadataSnapshot `json:"snapshots"`
		MetadataLog []FormerMetadata   `json:"metadata-log"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return Published{}, fmt.Errorf("read iceberg metadata: %w", err)
	}
	if len(raw.Snapshots) != 1 {
		return Published{}, fmt.Errorf("read iceberg metadata: it has %d snapshots instead of 1", len(raw.Snapshots))
	}
	owner, err := strconv.ParseUint(raw.Properties[ownerKey], 10, 32)
	if err != nil {
		return Published{}, fmt.Errorf("read iceberg metadata: the number of the table: %w", err)
	}
	s := raw.Snapshots[0]
	return Published{UUID: raw.UUID, Owner: schema.TableID(owner), ID: s.ID, Time: raw.LastUpdated, Digest: s.Summary[DigestKey], Former: raw.MetadataLog}, nil
}
