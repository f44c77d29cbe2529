package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
)

// The names in a backup. docs/format/backup.md describes them.
const (
	manifestName   = "backup.json"
	engineFolder   = "engine"
	segmentsFolder = "segments"
	formatName     = "FORMAT"

	manifestKind    = "kalamdb-backup"
	manifestVersion = 1
	// manifestMost bounds what is read of a manifest: about two million files.
	manifestMost = 1 << 30
)

// errManifest is what a manifest that cannot be read comes down to.
var errManifest = errors.New("the manifest is damaged")

// Manifest describes a backup.
type Manifest struct {
	// Kind is "kalamdb-backup", Version the form of all else.
	Kind    string `json:"kind"`
	Version int    `json:"version"`
	// ID names the backup, and the folder of its engine files.
	ID string `json:"id"`
	// CreatedAt is in microseconds since the Unix epoch.
	CreatedAt int64 `json:"created_at"`
	// Server is the version of the server that has written it.
	Server string `json:"server,omitempty"`
	// Position is that of the last commit in it.
	Position uint64 `json:"position"`
	// Engine are FORMAT and the files of hot.
	Engine []Object `json:"engine"`
	// Segments are the cold files.
	Segments []Segment `json:"segments,omitempty"`
	// Tables say what is in it; a restore does not read them.
	Tables []Table `json:"tables,omitempty"`
	// Checksum is the SHA-256 in hex of the manifest with an empty Checksum.
	Checksum string `json:"checksum"`
}

// Object is a file of a backup.
type Object struct {
	Name     string `json:"name"`
	Size     int64  `json:"size"`
	Checksum string `json:"sha256"`

	segment *Segment // of which it is the bytes, or nil
}

// Segment is a cold file, or a file of a FILE column, whose number is 0.
type Segment struct {
	File     uint64 `json:"file"`
	Storage  string `json:"storage"`
	Path     string `json:"path"` // below the storage's base
	Size     int64  `json:"size"`
	Checksum string `json:"sha256"`
}

// Table is what a backup holds of a table.
type Table struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Version   uint32 `json:"version"`
	HotRows   int64  `json:"hot_rows"`
	ColdRows  int64  `json:"cold_rows"`
	Files     int64  `json:"files"`
	Bytes     int64  `json:"bytes"` // of the files
}

// label names an object to people.
func (o *Object) label() string {
	if o.segment != nil {
		return fmt.Sprintf("cold file %s of storage '%s'", o.segment.Path, o.segment.Storage)
	}
	return "engine file " + o.Name
}

// unique returns the segments without those that hold the same bytes as one
// before them.
func (m *Manifest) unique() []*Segment {
	seen := make(map[string]struct{}, len(m.Segments))
	list := make([]*Segment, 0, len(m.Segments))
	for i := range m.Segments {
		s := &m.Segments[i]
		if _, known := seen[s.Checksum]; known {
			continue
		}
		seen[s.Checksum] = struct{}{}
		list = append(list, s)
	}
	return list
}

// objects returns all that a backup holds but for its manifest.
func (m *Manifest) objects() []Object {
	list := append(make([]Object, 0, len(m.Engine)+len(m.Segments)), m.Engine...)
	for _, s := range m.unique() {
		list = append(list, Object{Name: s.Checksum, Size: s.Size, Checksum: s.Checksum, segment: s})
	}
	return list
}

// place returns the name of an object in a folder or an archive.
func (m *Manifest) place(o Object) string {
	if o.segment != nil {
		return path.Join(segmentsFolder, o.Checksum)
	}
	return path.Join(engineFolder, m.ID, o.Name)
}

// Bytes is the size of all files of the backup.
func (m *Manifest) Bytes() int64 {
	var n int64
	for _, o := range m.objects() {
		n += o.Size
	}
	return n
}

// encode returns the text of the manifest and fills in its checksum.
func (m *Manifest) encode() ([]byte, error) {
	sum, err := m.sum()
	if err != nil {
		return nil, err
	}
	m.Checksum = sum
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	return text, nil
}

// sum returns the checksum of a manifest.
func (m *Manifest) sum() (string, error) {
	plain := *m
	plain.Checksum = ""
	text, err := json.Marshal(&plain)
	if err != nil {
		return "", fmt.Errorf("encode the manifest: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// decode reads a manifest, and refuses one whose names lead anywhere else.
func decode(text []byte) (*Manifest, error) {
	var head struct {
		Kind    string `json:"kind"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(text, &head); err != nil || head.Kind != manifestKind {
		return nil, errManifest
	}
	if head.Version != manifestVersion {
		return nil, fmt.Errorf("the backup has version %d; this server reads version %d", head.Version, manifestVersion)
	}
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return nil, errManifest
	}
	if sum, err := m.sum(); err != nil || sum != m.Checksum {
		return nil, errManifest
	}
	return &m, m.check()
}

// check refuses names that are no plain ones.
func (m *Manifest) check() error {
	hasFormat := false
	if !plain(m.ID) {
		return errManifest
	}
	for _, o := range m.Engine {
		name, inside := strings.CutPrefix(o.Name, "hot/")
		hasFormat = hasFormat || o.Name == formatName
		if !inside && name != formatName || !plain(name) || !isSum(o.Checksum) || o.Size < 0 {
			return errManifest
		}
	}
	for i := range m.Segments {
		s := &m.Segments[i]
		if s.Path != path.Clean(s.Path) || path.IsAbs(s.Path) || s.Path == "." || s.Path == ".." || strings.HasPrefix(s.Path, "../") ||
			!isSum(s.Checksum) || s.Size < 0 {
			return errManifest
		}
	}
	if !hasFormat {
		return errManifest
	}
	return nil
}

// plain reports whether a name is that of a file in a folder.
func plain(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\\\x00")
}

// isSum reports whether a text is a SHA-256 in hex.
func isSum(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == sha256.Size && strings.ToLower(text) == text
}
