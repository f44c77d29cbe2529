package maint

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"time"

	"kalamdb/internal/cold"
	"kalamdb/internal/core/job"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
)

// exportsFolder holds the archives of users, below the data directory.
const exportsFolder = "exports"

// exportVersion is that of manifest.json in an archive; docs/user-data.md.
const exportVersion = 1

// DefaultExportRetention is how long archives stay by default.
const DefaultExportRetention = 7 * 24 * time.Hour

// exportName is what an export is called: one for each day.
var exportName = regexp.MustCompile(`^export-\d{4}-\d\d-\d\d$`)

// exported is what manifest.json of an archive says.
type exported struct {
	Version   int             `json:"version"`
	UserID    schema.UserID   `json:"user_id"`
	ExportID  string          `json:"export_id"`
	CreatedAt string          `json:"created_at"` // RFC 3339, UTC
	Position  uint64          `json:"position"`   // of the commit log that all tables are shown at
	Account   *exportedUser   `json:"account,omitempty"`
	Tables    []exportedTable `json:"tables"`
}

type exportedUser struct {
	Email     string `json:"email,omitempty"`
	Role      string `json:"role"`
	CreatedAt string `json:"created_at"`
}

type exportedTable struct {
	Namespace string           `json:"namespace"`
	Table     string           `json:"table"`
	Path      string           `json:"path"` // of the Parquet file
	Rows      int64            `json:"rows"`
	Columns   []exportedColumn `json:"columns"`
	Files     []exportedFile   `json:"files,omitempty"`
}

type exportedColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Key  bool   `json:"key,omitempty"`
}

type exportedFile struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	MIME   string `json:"mime"`
	SHA256 string `json:"sha256"`
}

// exportJob are the parameters of such a job.
type exportJob struct {
	UserID   schema.UserID `json:"user_id"`
	ExportID string        `json:"export_id"`
}

// exports is where archives lie.
func (m *Maintainer) exports() (*cold.Folder, error) {
	return m.o.Cold.Folder(schema.Storage{BaseDirectory: path.Join(m.o.Store.Dir(), exportsFolder)}, "")
}

// archiveOf is the place of an archive below the folder of exports.
func archiveOf(user schema.UserID, export string) string {
	return path.Join(cold.EncodeName(string(user)), export+".zip")
}

// StartExport starts the export of what a user has and returns what the statement
// answers. There is one for each user and day.
func (m *Maintainer) StartExport(ctx context.Context, user, actor schema.UserID) (string, error) {
	e := exportJob{UserID: user, ExportID: "export-" + m.o.Now().UTC().Format(time.DateOnly)}
	done, err := m.Exports(ctx, user, 1)
	if err != nil {
		return "", err
	}
	if len(done) > 0 && done[0].ExportID == e.ExportID {
		switch last := &done[0]; last.Job.Status {
		case schema.JobCompleted:
			if last.Kept {
				return "", fault.New(fault.InvalidOperation, "there is an export of today already; the next one can be made tomorrow. Job ID: %s", last.Job.ID)
			}
		case schema.JobQueued, schema.JobRunning, schema.JobRetrying: // it may end before the next is submitted
			return "", errExporting(last.Job.ID)
		}
	}
	j, started, err := m.o.Jobs.Submit(ctx, m.exportSpec(e, actor))
	if err != nil {
		return "", err
	}
	if !started {
		return "", errExporting(j.ID)
	}
	return "User data export started. Job ID: " + j.ID, nil
}

func errExporting(job string) error {
	return fault.New(fault.InvalidOperation, "an export of your data is already queued or running. Job ID: %s", job)
}

func (m *Maintainer) exportSpec(e exportJob, actor schema.UserID) job.Spec {
	text, err := json.Marshal(e)
	if err != nil {
		text = []byte("{}")
	}
	return job.Spec{
		Type: "user_export", Prefix: "UE", Key: "user_export:" + string(e.UserID), Parameters: string(text), Actor: actor, Retries: job.MaxRetries,
		Run: func(ctx context.Context) (string, error) { return m.exportUser(ctx, e) },
	}
}

// resumeExport says how an export goes on that a crash has interrupted: from its
// beginning.
func (m *Maintainer) resumeExport(j schema.Job) (job.Spec, bool) {
	var e exportJob
	if json.Unmarshal([]byte(j.Parameters), &e) != nil || e.UserID == "" || !exportName.MatchString(e.ExportID) {
		return job.Spec{}, false
	}
	return m.exportSpec(e, j.Actor), true
}

// Export is an export as its job shows it. Kept says that its archive is there.
type Export struct {
	Job      schema.Job
	ExportID string
	Kept     bool
}

// Exports returns the newest exports of a user, the newest first, at most limit.
func (m *Maintainer) Exports(ctx context.Context, user schema.UserID, limit int) ([]Export, error) {
	view := m.o.View()
	defer view.Release()
	var found []Export // the oldest first
	for after := "UE-"; ; {
		jobs, err := catalog.Jobs().List(view.Reader(), after, 1000)
		if err != nil {
			return nil, err
		}
		for i := range jobs {
			var e exportJob
			if !strings.HasPrefix(jobs[i].ID, "UE-") {
				break
			}
			if json.Unmarshal([]byte(jobs[i].Parameters), &e) == nil && e.UserID == user {
				found = append(found, Export{Job: jobs[i], ExportID: e.ExportID})
			}
			if len(found) > limit {
				found = found[1:]
			}
		}
		if len(jobs) < 1000 || !strings.HasPrefix(jobs[len(jobs)-1].ID, "UE-") {
			break
		}
		if after = jobs[len(jobs)-1].ID; ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	for i, j := 0, len(found)-1; i < j; i, j = i+1, j-1 {
		found[i], found[j] = found[j], found[i]
	}
	for i := range found {
		if found[i].Job.Status == schema.JobCompleted {
			_, err := m.ExportSize(user, found[i].ExportID)
			found[i].Kept = err == nil
		}
	}
	return found, nil
}

// ErrNoExport says that there is no such archive.
var ErrNoExport = errors.New("there is no such export")

// ExportSize returns the length of an archive.
func (m *Maintainer) ExportSize(user schema.UserID, export string) (int64, error) {
	r, size, err := m.openExport(user, export)
	if err != nil {
		return 0, err
	}
	return size, r.Close()
}

// OpenExport reads n bytes of an archive from an offset on.
func (m *Maintainer) OpenExport(user schema.UserID, export string, offset, n int64) (io.ReadCloser, error) {
	r, _, err := m.openExport(user, export)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(r, offset, n), r}, nil
}

func (m *Maintainer) openExport(user schema.UserID, export string) (cold.Object, int64, error) {
	if !exportName.MatchString(export) {
		return nil, 0, ErrNoExport
	}
	folder, err := m.exports()
	if err != nil {
		return nil, 0, err
	}
	r, size, err := folder.Open(archiveOf(user, export))
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNoExport
	}
	return r, size, err
}

// exporter writes one archive.
type exporter struct {
	m        *Maintainer
	user     schema.UserID
	folder   *cold.Folder
	zip      *zip.Writer
	manifest exported
}

// exportUser writes the archive of a user: a Parquet file of each USER table that has
// rows of his, as they were at one moment, their files, and a manifest.
func (m *Maintainer) exportUser(ctx context.Context, e exportJob) (message string, err error) {
	folder, err := m.exports()
	if err != nil {
		return "", err
	}
	out, err := folder.Create(archiveOf(e.UserID, e.ExportID))
	if err != nil {
		return "", err
	}
	defer out.Abort()
	x := &exporter{m: m, user: e.UserID, folder: folder, zip: zip.NewWriter(out)}
	x.manifest = exported{Version: exportVersion, UserID: e.UserID, ExportID: e.ExportID, CreatedAt: m.o.Now().UTC().Format(time.RFC3339), Tables: []exportedTable{}}
	rows, files, err := x.write(ctx)
	if err == nil {
		err = x.zip.Close()
	}
	if err == nil {
		err = out.Finish()
	}
	if err != nil {
		return "", fmt.Errorf("write the export: %w", err)
	}
	return fmt.Sprintf("Exported %d row(s) of %d table(s) and %d file(s)", rows, len(x.manifest.Tables), files), nil
}

// write adds everything and returns how many rows and files there were.
func (x *exporter) write(ctx context.Context) (rows, files int64, err error) {
	release := x.m.hold() // files that are deleted meanwhile stay until they are copied
	defer release()
	view := x.m.o.Relations.View()
	defer view.Release()
	x.manifest.Position = view.Position()
	moment := x.m.o.View()
	defer moment.Release()
	account, ok, err := catalog.Users().Get(moment.Reader(), string(x.user))
	if err != nil {
		return 0, 0, err
	}
	if ok {
		x.manifest.Account = &exportedUser{Email: account.Email, Role: account.Role.String(), CreatedAt: time.UnixMicro(account.CreatedAt).UTC().Format(time.RFC3339)}
	}
	var tables []schema.TableID
	for t := range moment.Definitions().AllTables() {
		if t.Kind == schema.User {
			tables = append(tables, t.ID)
		}
	}
	for i, id := range tables {
		job.Progress(ctx, int64(i), int64(len(tables)))
		if err := x.m.o.Store.Full(); fault.Is(err, fault.DiskFull) {
			return rows, files, err
		}
		t, ok := view.TableByID(id)
		if !ok {
			continue // younger than the view
		}
		entry := exportedTable{Namespace: t.Namespace, Table: t.Name, Path: path.Join("tables", cold.EncodeName(t.Namespace), cold.EncodeName(t.Name)+".parquet")}
		entry.Rows, err = x.table(ctx, t, entry.Path, func(each func([]datum.Value) error) error {
			return view.EachRowBySeq(ctx, t, schema.UserScope(x.user), each)
		})
		if err != nil {
			return rows, files, err
		}
		if t.HasFiles() {
			if entry.Files, err = x.files(ctx, moment, t); err != nil {
				return rows, files, err
			}
		}
		if entry.Rows == 0 && len(entry.Files) == 0 {
			continue
		}
		for i := range t.Columns {
			c := &t.Columns[i]
			entry.Columns = append(entry.Columns, exportedColumn{Name: c.Name, Type: c.Type.String(), Key: t.IsKey(i)})
		}
		rows, files = rows+entry.Rows, files+int64(len(entry.Files))
		x.manifest.Tables = append(x.manifest.Tables, entry)
	}
	text, err := json.MarshalIndent(x.manifest, "", "  ")
	if err != nil {
		return rows, files, err
	}
	w, err := x.entry("manifest.json", zip.Deflate)
	if err == nil {
		_, err = w.Write(append(text, '\n'))
	}
	return rows, files, err
}

// entry begins a file of the archive.
func (x *exporter) entry(name string, method uint16) (io.Writer, error) {
	return x.zip.CreateHeader(&zip.FileHeader{Name: name, Method: method, Modified: x.m.o.Now().UTC()})
}

// table adds the rows of one table as a Parquet file, which is written beside the
// archive first; nothing is added when there are none.
func (x *exporter) table(ctx context.Context, t *schema.Table, name string, each func(func([]datum.Value) error) error) (rows int64, err error) {
	place := path.Join(cold.EncodeName(string(x.user)), "table.parquet")
	w, err := x.m.o.Cold.Create(schema.Storage{BaseDirectory: path.Join(x.m.o.Store.Dir(), exportsFolder)}, place, t, cold.CreateOptions{Compression: t.Options.Compression})
	if err != nil {
		return 0, err
	}
	if err := each(func(row []datum.Value) error {
		rows++
		_, err := w.Append(row)
		return err
	}); err != nil || rows == 0 {
		w.Abort()
		return 0, err
	}
	if _, err := w.Finish(); err != nil {
		return 0, err
	}
	defer func() {
		if removing := x.folder.Remove(place); err == nil {
			err = removing
		}
	}()
	r, _, err := x.folder.Read(place)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	to, err := x.entry(name, zip.Store)
	if err == nil {
		_, err = io.Copy(to, r)
	}
	return rows, err
}

// files adds the files of one table that rows of the user refer to.
func (x *exporter) files(ctx context.Context, moment *catalog.View, t *schema.Table) (list []exportedFile, err error) {
	prefix := schema.BlobScope(t.ID, schema.UserScope(x.user))
	for after := ""; ; {
		after, err = catalog.EachBlob(moment.Reader(), prefix, after, blobPage, func(b schema.Blob) error {
			if b.Removed || b.References <= 0 {
				return nil
			}
			f, err := x.file(&b, t)
			list = append(list, f)
			return errors.Join(err, ctx.Err())
		})
		if err != nil || after == "" {
			return list, err
		}
	}
}

func (x *exporter) file(b *schema.Blob, t *schema.Table) (exportedFile, error) {
	f := exportedFile{
		ID: fmt.Sprint(b.ID), Name: b.Name, Size: b.Size, MIME: b.MIME, SHA256: b.SHA256,
		Path: path.Join("files", cold.EncodeName(t.Namespace), cold.EncodeName(t.Name), b.Sub, b.Stored),
	}
	st, ok := x.m.o.Definitions().Storage(b.StorageID)
	if !ok {
		return f, fmt.Errorf("the storage %q of the file %s is unknown", b.StorageID, b.Path)
	}
	r, err := x.m.o.Cold.OpenBlob(*st, b, 0, b.Size)
	if err != nil {
		return f, err
	}
	defer r.Close()
	to, err := x.entry(f.Path, zip.Store)
	if err == nil {
		_, err = io.Copy(to, r)
	}
	return f, err
}

// RemoveExports starts a job that removes the archives whose time is over, if
// there are any.
func (m *Maintainer) RemoveExports(ctx context.Context) error {
	if old, err := m.oldExports(); err != nil || len(old) == 0 {
		return err
	}
	_, _, err := m.o.Jobs.Submit(ctx, m.exportCleanup())
	return err
}

func (m *Maintainer) exportCleanup() job.Spec {
	return job.Spec{
		Type: "export_cleanup", Prefix: "XC", Key: "export_cleanup", Parameters: "{}", Retries: job.MaxRetries,
		Run: func(context.Context) (string, error) {
			old, err := m.oldExports()
			if err != nil {
				return "", err
			}
			folder, err := m.exports()
			for _, name := range old {
				if err == nil {
					err = folder.Remove(name)
				}
			}
			return fmt.Sprintf("Removed %d export(s) older than %s", len(old), m.o.ExportRetention), err
		},
	}
}

// oldExports returns the archives that are to go: the day in their name is what
// counts.
func (m *Maintainer) oldExports() (old []string, err error) {
	folder, err := m.exports()
	if err != nil {
		return nil, err
	}
	users, err := folder.List(".")
	if err != nil {
		return nil, err
	}
	first := m.o.Now().UTC().Add(-m.o.ExportRetention).Format(time.DateOnly)
	for _, user := range users {
		names, err := folder.List(user)
		if err != nil {
			continue // no folder of ours
		}
		for _, name := range names {
			name = strings.TrimSuffix(name, ".tmp") // of an interrupted one, which goes with it
			day, ours := strings.CutPrefix(strings.TrimSuffix(name, ".zip"), "export-")
			if ours && exportName.MatchString("export-"+day) && day < first {
				old = append(old, path.Join(user, name))
			}
		}
	}
	return old, nil
}
