package cold

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"kalamdb/internal/cold/internal/iceberg"
	"kalamdb/internal/cold/internal/parquet"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
)

// PublishedName is the last element of the folder with the Iceberg metadata of a
// table; no name of a table or user is encoded so.
const PublishedName = "_iceberg"

// expiringName is our own list of the objects that newer ones have replaced.
const expiringName = iceberg.MetadataFolder + "/expiring.json"

// PublishedFolder returns the folder of a table's Iceberg metadata below the base
// of its storage.
func PublishedFolder(st schema.Storage, def *schema.Table) string {
	return path.Join(path.Dir(PackedFolderOf(st, def)), PublishedName)
}

// PublishedFile is a cold file as Iceberg metadata names it.
type PublishedFile = iceberg.File

// ReadsAlone reports whether a file that was written under one version of a
// table shows other readers what a later version of the table means.
func ReadsAlone(def, written *schema.Table) bool { return iceberg.Shows(def, written) }

// Publication is a table as other engines find it in its folder. It belongs to
// one goroutine, and no two may be at work on one folder.
type Publication struct {
	tier    *Tier
	storage schema.Storage
	def     *schema.Table
	folder  *Folder
	below   string // the folder
	uri     string // of the folder
	names   map[string]struct{}
	used    map[string]struct{} // names below the folder that stay
	number  int64               // of the newest metadata file, counting those that were never made known
	current struct {
		number int64 // 0 when nothing is published
		iceberg.Published
	}
}

// Publication looks at what is published of a table.
func (t *Tier) Publication(st schema.Storage, def *schema.Table) (*Publication, error) {
	return t.publication(st, def, PublishedFolder(st, def))
}

func (t *Tier) publication(st schema.Storage, def *schema.Table, below string) (*Publication, error) {
	folder, err := t.Folder(st, below)
	if err != nil {
		return nil, err
	}
	p := &Publication{
		tier: t, storage: st, def: def, folder: folder, below: below, uri: t.uriOf(st) + "/" + below,
		names: map[string]struct{}{}, used: map[string]struct{}{},
	}
	for _, in := range []string{iceberg.MetadataFolder, iceberg.DataFolder} {
		names, err := folder.List(in)
		if err != nil {
			return nil, fmt.Errorf("list what is published in %s: %w", below, err)
		}
		for _, name := range names {
			name = in + "/" + name
			p.names[name] = struct{}{}
			p.number = max(p.number, iceberg.NumberOf(name))
		}
	}
	return p, p.read()
}

// read reads the newest metadata file that was made known. One that cannot be
// read is replaced like any other.
func (p *Publication) read() error {
	if !p.has(iceberg.HintName) {
		return nil
	}
	hint, err := p.folder.Get(iceberg.HintName)
	if err != nil && !disk.IsNotExist(err) {
		return fmt.Errorf("read what is published in %s: %w", p.below, err)
	}
	number, err := strconv.ParseInt(strings.TrimSpace(string(hint)), 10, 64)
	if err != nil || number <= 0 {
		return nil
	}
	text, err := p.folder.Get(iceberg.MetadataName(number))
	if disk.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what is published in %s: %w", p.below, err)
	}
	if published, err := iceberg.Read(text); err == nil {
		p.current.number, p.current.Published = number, published
		p.number = max(p.number, number)
	}
	return nil
}

func (p *Publication) has(name string) bool { _, ok := p.names[name]; return ok }

// Own reports whether what is published is of this table, and not of another one
// that had the folder before.
func (p *Publication) Own() bool {
	return p.current.number > 0 && p.current.UUID == iceberg.UUID(p.def)
}

// Location returns the URI of what is published.
func (p *Publication) Location() string { return p.uri }

// uriOf returns the URI of a storage's base, as other engines spell it.
func (t *Tier) uriOf(st schema.Storage) string {
	switch st.Type {
	case "", "filesystem":
		base := t.Base(st)
		if abs, err := filepath.Abs(base); err == nil {
			base = abs
		}
		return "file://" + base
	case "azure":
		o, err := cloudOf(st)
		if err != nil || o.Account == "" || o.Endpoint != "" {
			break
		}
		uri := "abfss://" + o.Bucket + "@" + o.Account + ".dfs.core.windows.net"
		if o.Prefix != "" {
			uri += "/" + o.Prefix
		}
		return uri
	}
	return strings.TrimSuffix(st.BaseDirectory, "/")
}

// File describes a cold file. Bounds of its columns are told when it lies in the
// storage of the metadata: who may read these may read it too.
func (p *Publication) File(st schema.Storage, f *schema.File, written *schema.Table) PublishedFile {
	out := PublishedFile{Path: p.tier.uriOf(st) + "/" + f.Path, Size: f.Size, Rows: f.Rows}
	if st.ID == p.storage.ID {
		p.describe(&out, f, written)
	}
	return out
}

// describe adds bounds and counts of NULLs.
func (p *Publication) describe(out *PublishedFile, f *schema.File, written *schema.Table) {
	columns := p.tier.statistics.of(f)
	out.Low, out.High, out.Nulls = map[int][]byte{}, map[int][]byte{}, map[int]int64{}
	for i := range p.def.Columns {
		c := &p.def.Columns[i]
		at := written.ColumnByID(c.ID)
		s, ok := spanOf(columns, c, f.Rows)
		if !ok || at < 0 || c.System == schema.DeletedColumn {
			continue
		}
		out.Nulls[int(c.ID)] = int64(columns[columnName(c.ID)].Nulls)
		if c.Type.Kind == datum.Text && written.Columns[at].Type.Kind != datum.Text {
			continue // its values had another order
		}
		low, lowOK := iceberg.AppendBound(nil, s.Low, c.Type)
		high, highOK := iceberg.AppendBound(nil, s.High, c.Type)
		if lowOK && highOK {
			out.Low[int(c.ID)], out.High[int(c.ID)] = low, high
		}
	}
}

// Delete makes sure that a file of the rows of f that do not count stands beside
// the metadata. each visits them in ascending order, as often as it is called.
func (p *Publication) Delete(f *PublishedFile, number uint64, each func(func(row uint64) error) error) error {
	sum := sha256.New()
	sum.Write([]byte(f.Path))
	rows := uint64(0)
	if err := each(func(row uint64) error {
		rows++
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], row)
		_, err := sum.Write(b[:])
		return err
	}); err != nil || rows == 0 {
		return err
	}
	if rows == f.Rows { // the file is not published at all
		f.Deletes = &iceberg.Deletes{Rows: rows}
		return nil
	}
	name := fmt.Sprintf("%s/deletes-%d-%s.parquet", iceberg.DataFolder, number, hex.EncodeToString(sum.Sum(nil)[:8]))
	if !p.has(name) {
		if err := p.writeDeletes(name, f.Path, each); err != nil {
			return err
		}
	}
	size, err := p.size(name)
	if err != nil {
		return err
	}
	p.used[name] = struct{}{}
	f.Deletes = &iceberg.Deletes{Path: p.uri + "/" + name, Size: size, Rows: rows}
	return nil
}

func (p *Publication) writeDeletes(name, of string, each func(func(row uint64) error) error) error {
	out, err := p.folder.Create(name)
	if err != nil {
		return err
	}
	w := parquet.NewPositionsWriter(out, of, iceberg.DeletedPathID, iceberg.DeletedRowID)
	err = each(w.Append)
	if err == nil {
		_, err = w.Close()
	}
	if err != nil {
		out.Abort()
		return fmt.Errorf("write %s: %w", name, err)
	}
	return out.Finish()
}

// size returns the length of an object of the folder.
func (p *Publication) size(name string) (int64, error) {
	object, size, err := p.folder.Open(name)
	if err != nil {
		return 0, err
	}
	return size, object.Close()
}

// CopyOf is the definition under which copies of cold files are written: the
// table's, with the user of each row where there are users.
func CopyOf(def *schema.Table) *schema.Table {
	c := def.Clone()
	if def.Kind == schema.User {
		c.Columns = append(c.Columns, schema.Column{ID: iceberg.UserID, Name: iceberg.UserColumn, Type: datum.Type{Kind: datum.Text}})
	}
	return c
}

// Copy makes sure that a copy of a cold file that other engines cannot read
// stands beside the metadata, with the same rows under the same numbers. mark
// tells copies of one file apart; write appends the rows.
func (p *Publication) Copy(f *schema.File, mark []byte, write func(*Writer) error) (PublishedFile, error) {
	sum := sha256.New()
	for i := range p.def.Columns {
		c := &p.def.Columns[i]
		fmt.Fprintf(sum, "%d %s %s %d %x\n", c.ID, c.Name, c.Type, c.Since, c.Missing)
	}
	sum.Write(mark)
	name := fmt.Sprintf("%s/copy-%d-%s.parquet", iceberg.DataFolder, f.Number, hex.EncodeToString(sum.Sum(nil)[:8]))
	if !p.has(name) {
		w, err := p.tier.Create(p.storage, path.Join(p.below, name), CopyOf(p.def), CreateOptions{Compression: p.def.Options.Compression, Rows: int64(f.Rows)})
		if err != nil {
			return PublishedFile{}, err
		}
		if err := write(w); err != nil {
			w.Abort()
			return PublishedFile{}, fmt.Errorf("write %s: %w", name, err)
		}
		if _, err := w.Finish(); err != nil {
			return PublishedFile{}, err
		}
	}
	size, err := p.size(name)
	p.used[name] = struct{}{}
	return PublishedFile{Path: p.uri + "/" + name, Size: size, Rows: f.Rows}, err
}

// Commit makes files known as the rows of the table at a position, unless that is
// what is known already.
func (p *Publication) Commit(files []PublishedFile, position uint64, now time.Time) (changed bool, err error) {
	s := iceberg.Snapshot{
		Table: p.def, Location: p.uri, Number: p.number + 1, ID: int64(position), Position: position, Time: now.UnixMilli(), Files: files,
	}
	if s.Digest, err = s.Sum(); err != nil {
		return false, err
	}
	if p.Own() {
		if p.current.Digest == s.Digest {
			return false, nil
		}
		s.ID, s.Time = max(s.ID, p.current.ID+1), max(s.Time, p.current.Time)
		for _, f := range p.current.Former {
			if p.has(strings.TrimPrefix(f.File, p.uri+"/")) {
				s.Former = append(s.Former, f)
			}
		}
		s.Former = append(s.Former, iceberg.FormerMetadata{Time: p.current.Time, File: p.uri + "/" + iceberg.MetadataName(p.current.number)})
	}
	names, err := s.Write(p.folder.Put)
	if err == nil {
		err = p.folder.Put(iceberg.HintName, strconv.AppendInt(nil, s.Number, 10))
	}
	if err != nil {
		return false, fmt.Errorf("publish %s: %w", p.def.QualifiedName(), err)
	}
	for _, name := range append(names, iceberg.HintName) {
		p.names[name] = struct{}{}
	}
	p.number, p.current.number = s.Number, s.Number
	p.current.Published = iceberg.Published{UUID: iceberg.UUID(p.def), Owner: p.def.ID, ID: s.ID, Time: s.Time, Digest: s.Digest, Former: s.Former}
	return true, nil
}

// Sweep removes what nobody names since a grace, and returns how many objects
// wait for it. It is called behind Commit.
func (p *Publication) Sweep(now time.Time, grace time.Duration) (waiting int, err error) {
	since := map[string]int64{}
	if p.has(expiringName) {
		text, err := p.folder.Get(expiringName)
		if err != nil || json.Unmarshal(text, &since) != nil {
			since = map[string]int64{} // each waits its grace once more
		}
	}
	next := map[string]int64{}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(p.names)) {
		if p.stays(name) {
			continue
		}
		begun, known := since[name]
		if !known {
			begun = now.UnixMilli()
		}
		if now.UnixMilli()-begun < grace.Milliseconds() {
			next[name] = begun
		} else if err := p.folder.Remove(name); err != nil {
			errs = append(errs, err)
			next[name] = begun
		}
	}
	if !maps.Equal(since, next) {
		text, err := json.Marshal(next)
		if err == nil {
			err = p.folder.Put(expiringName, text)
		}
		errs = append(errs, err)
	}
	return len(next), errors.Join(errs...)
}

// stays reports whether an object of the folder is part of what is published now.
func (p *Publication) stays(name string) bool {
	if _, ok := p.used[name]; ok || name == iceberg.HintName || name == expiringName {
		return true
	}
	return iceberg.Belongs(name, p.current.number)
}

// Withdraw removes all that is published in a folder of a storage when it is of a
// table, or what somebody has left there who was cut off and never made it known.
// It reports whether there was anything. What says whose it is goes last.
func (t *Tier) Withdraw(st schema.Storage, folder string, of schema.TableID) (bool, error) {
	p, err := t.publication(st, &schema.Table{ID: of}, folder)
	if err != nil || len(p.names) == 0 || p.current.number > 0 && p.current.Owner != of {
		return false, err
	}
	names := slices.Sorted(maps.Keys(p.names))
	names = slices.DeleteFunc(names, func(name string) bool {
		return name == iceberg.HintName || name == iceberg.MetadataName(p.current.number)
	})
	if p.current.number > 0 {
		names = append(names, iceberg.MetadataName(p.current.number))
	}
	for _, name := range append(names, iceberg.HintName) {
		if err := p.folder.Remove(name); err != nil {
			return true, fmt.Errorf("remove what is published in %s: %w", folder, err)
		}
	}
	return true, nil
}
