package iceberg

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"kalamdb/internal/schema"
)

// Names of objects below the location of a table.
const (
	MetadataFolder = "metadata"
	DataFolder     = "data"
	HintName       = MetadataFolder + "/version-hint.text"
)

// The ids of the two columns of a file of positional deletes, which the format
// keeps for them.
const (
	DeletedPathID = 2147483546
	DeletedRowID  = 2147483545
)

// File is a Parquet file of a table.
type File struct {
	Path string // URI
	Size int64
	Rows uint64
	// Scope is whose rows the file has where its rows do not tell.
	Scope *string
	// Low and High are encoded bounds, Nulls counts, by column id.
	Low, High map[int][]byte
	Nulls     map[int]int64
	// Deletes names the rows of the file that do not count; nil when all do.
	Deletes *Deletes
}

// Deletes is a file of positional deletes of one File.
type Deletes struct {
	Path string // URI
	Size int64
	Rows uint64
}

// Snapshot is one moment of a table.
type Snapshot struct {
	Table    *schema.Table
	Location string // URI
	// Number counts the metadata files of the location, ID names the moment.
	Number, ID int64
	Position   uint64 // of the moment
	Time       int64  // milliseconds since the Unix epoch
	Files      []File
	// Digest tells this content from another.
	Digest string
	// Former are the metadata files before this one that may still be read.
	Former []FormerMetadata
}

// FormerMetadata is an entry of the metadata log.
type FormerMetadata struct {
	Time int64  `json:"timestamp-ms"`
	File string `json:"metadata-file"`
}

// MetadataName returns the name of the n-th metadata file of a location.
func MetadataName(n int64) string { return fmt.Sprintf("%s/v%d.metadata.json", MetadataFolder, n) }

// NumberOf returns the number of a metadata file, 0 for what is none.
func NumberOf(name string) int64 {
	var n int64
	if _, err := fmt.Sscanf(name, MetadataFolder+"/v%d.metadata.json", &n); err != nil || n <= 0 || name != MetadataName(n) {
		return 0
	}
	return n
}

// UUID returns the UUID of a table, the same at every time: it is made of its
// number and the moment it was created.
func UUID(t *schema.Table) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "kalamdb/table/%d/%d/%d", t.ID, t.CreatedSeq, t.CreatedAt))
	return uuid.NewHash(sha256.New(), uuid.Nil, sum[:], 8).String()
}

// Sum returns the digest of what a snapshot says: location, columns and files.
func (s *Snapshot) Sum() (string, error) {
	columns, err := schemaOf(s.Table)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(struct {
		Location, Name string
		Columns        *iceberg.Schema
		Files          []File
	}{s.Location, s.Table.QualifiedName(), columns, s.Files})
	if err != nil {
		return "", fmt.Errorf("describe the files of %s: %w", s.Table.QualifiedName(), err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// Write hands over the objects of a snapshot, by their names below the location.
// The metadata file comes last, but for the hint, which is the caller's to write.
// It returns the names.
func (s *Snapshot) Write(put func(name string, data []byte) error) ([]string, error) {
	columns, err := schemaOf(s.Table)
	if err != nil {
		return nil, err
	}
	var names []string
	write := func(name string, data []byte) error {
		names = append(names, name)
		return put(name, data)
	}
	specs := specsOf(s.Table)
	var manifests []iceberg.ManifestFile
	for _, content := range []iceberg.ManifestContent{iceberg.ManifestContentData, iceberg.ManifestContentDeletes} {
		for i := range specs {
			m, err := s.manifest(columns, specs[i], content, write)
			if err != nil {
				return nil, err
			}
			if m != nil {
				manifests = append(manifests, m)
			}
		}
	}
	var list bytes.Buffer
	if err := iceberg.WriteManifestList(2, &list, s.ID, nil, &s.Number, 0, manifests); err != nil {
		return nil, fmt.Errorf("write the manifest list of %s: %w", s.Table.QualifiedName(), err)
	}
	listName := fmt.Sprintf("%s/snap-%d.avro", MetadataFolder, s.Number)
	if err := write(listName, list.Bytes()); err != nil {
		return nil, err
	}
	text, err := s.metadata(columns, specs, s.uri(listName))
	if err != nil {
		return nil, err
	}
	return names, write(MetadataName(s.Number), text)
}

// uri returns the URI of an object of the location.
func (s *Snapshot) uri(name string) string { return s.Location + "/" + name }

// manifest writes the manifest of the files or deletes of one spec; nil when
// there are none.
func (s *Snapshot) manifest(columns *iceberg.Schema, spec iceberg.PartitionSpec, content iceberg.ManifestContent, write func(string, []byte) error) (iceberg.ManifestFile, error) {
	files := slices.DeleteFunc(slices.Clone(s.Files), func(f File) bool {
		return (f.Scope != nil) != (spec.ID() == userSpec) || content == iceberg.ManifestContentDeletes && f.Deletes == nil
	})
	if len(files) == 0 {
		return nil, nil
	}
	what := map[iceberg.ManifestContent]string{iceberg.ManifestContentData: "data", iceberg.ManifestContentDeletes: "deletes"}[content]
	var out bytes.Buffer
	w, err := iceberg.NewManifestWriter(2, &out, spec, columns, s.ID, iceberg.WithManifestWriterContent(content))
	if err != nil {
		return nil, fmt.Errorf("write a manifest of %s: %w", s.Table.QualifiedName(), err)
	}
	for i := range files {
		entry, err := s.entry(&files[i], spec, content)
		if err == nil {
			err = w.Add(entry)
		}
		if err != nil {
			return nil, fmt.Errorf("write a manifest of %s: %w", s.Table.QualifiedName(), err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write a manifest of %s: %w", s.Table.QualifiedName(), err)
	}
	name := path.Join(MetadataFolder, fmt.Sprintf("manifest-%d-%s-%d.avro", s.Number, what, spec.ID()))
	if err := write(name, out.Bytes()); err != nil {
		return nil, err
	}
	m, err := w.ToManifestFile(s.uri(name), int64(out.Len()), iceberg.WithManifestFileContent(content))
	if err != nil {
		return nil, fmt.Errorf("write a manifest of %s: %w", s.Table.QualifiedName(), err)
	}
	return m, nil
}

// entry describes a file, or its deletes.
func (s *Snapshot) entry(f *File, spec iceberg.PartitionSpec, content iceberg.ManifestContent) (iceberg.ManifestEntry, error) {
	partition := map[int]any{}
	if f.Scope != nil {
		partition[partitionID] = *f.Scope
	}
	kind, name, rows, size := iceberg.EntryContentData, f.Path, f.Rows, f.Size
	if content == iceberg.ManifestContentDeletes {
		kind, name, rows, size = iceberg.EntryContentPosDeletes, f.Deletes.Path, f.Deletes.Rows, f.Deletes.Size
	}
	b, err := iceberg.NewDataFileBuilder(spec, kind, name, iceberg.ParquetFile, partition, nil, nil, int64(rows), size)
	if err != nil {
		return nil, err
	}
	if content == iceberg.ManifestContentDeletes {
		bound := map[int][]byte{DeletedPathID: []byte(f.Path)}
		b.LowerBoundValues(bound).UpperBoundValues(bound).ReferencedDataFile(f.Path)
	} else {
		values := map[int]int64{}
		for id := range f.Nulls {
			values[id] = int64(f.Rows)
		}
		b.LowerBoundValues(f.Low).UpperBoundValues(f.High).NullValueCounts(f.Nulls).ValueCounts(values)
	}
	return iceberg.NewManifestEntryBuilder(iceberg.EntryStatusADDED, &s.ID, b.Build()).SequenceNum(s.Number).FileSequenceNum(s.Number).Build(), nil
}

// summary is what the snapshot says of itself.
func (s *Snapshot) summary() map[string]string {
	var rows, deleted, deletes uint64
	for i := range s.Files {
		rows += s.Files[i].Rows
		if d := s.Files[i].Deletes; d != nil {
			deleted, deletes = deleted+d.Rows, deletes+1
		}
	}
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	return map[string]string{
		"operation": "overwrite", PositionKey: number(s.Position), DigestKey: s.Digest,
		"total-data-files": strconv.Itoa(len(s.Files)), "total-records": number(rows), "total-delete-files": number(deletes),
		"total-position-deletes": number(deleted), "total-equality-deletes": "0",
	}
}

// Belongs reports whether an object is part of the n-th metadata file or is it.
func Belongs(name string, n int64) bool {
	return name == MetadataName(n) || name == fmt.Sprintf("%s/snap-%d.avro", MetadataFolder, n) ||
		strings.HasPrefix(name, fmt.Sprintf("%s/manifest-%d-", MetadataFolder, n))
}
