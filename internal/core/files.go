package core

import (
	"context"
	"errors"
	"io"
	"mime"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"kalamdb/internal/auth"
	"kalamdb/internal/cold"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// Bounds of what is kept of a file beside its bytes.
const (
	fileNameMost = 255
	fileTypeMost = 127
	fileKeyMost  = 128
)

// anyType is the type of a file whose sender named none that can be read.
const anyType = "application/octet-stream"

// FileOptions bound the files of FILE columns; zero means the default.
type FileOptions struct {
	MaxBytes int64    // 25 MiB of one file
	MaxFiles int      // 20 of one request
	Types    []string // all; entries such as image/png and image/*
	Uploads  int      // 16 requests with files at one time
}

func (o FileOptions) withDefaults() FileOptions {
	if o.MaxBytes == 0 {
		o.MaxBytes = 25 << 20
	}
	if o.MaxFiles == 0 {
		o.MaxFiles = 20
	}
	if o.Uploads == 0 {
		o.Uploads = 16
	}
	return o
}

// Upload is the files of one request on their way into rows. It is used by one
// goroutine and must be closed, after the request has run.
type Upload struct {
	db     *DB
	keys   []string
	files  []maint.NewBlob
	stored *maint.StoredBlobs // once the statement has run
	table  schema.TableID     // theirs
	scope  schema.Scope
	placed bool // it has one of the places for requests with files
}

// NewUpload returns an upload without files.
func (db *DB) NewUpload() *Upload { return &Upload{db: db} }

// place takes one of the places for requests with files.
func (u *Upload) place() error {
	if u.placed {
		return nil
	}
	select {
	case u.db.uploads <- struct{}{}:
		u.placed = true
		return nil
	default:
		return fault.New(fault.ServerBusy, "%d requests with files are running already; try again in a moment", cap(u.db.uploads))
	}
}

// Add takes a file to the local disk. Its name and type are those that the sender
// gave.
func (u *Upload) Add(key, name, contentType string, from io.Reader) error {
	o := u.db.o.Files
	switch {
	case len(u.files) == o.MaxFiles:
		return fault.New(fault.TooManyFiles, "a request may bring at most %d files", o.MaxFiles)
	case key == "" || len(key) > fileKeyMost || !utf8.ValidString(key):
		return fault.New(fault.InvalidInput, "the key of a file must have 1 to %d bytes of UTF-8", fileKeyMost)
	}
	for _, known := range u.keys {
		if known == key {
			return fault.New(fault.InvalidInput, "the file '%s' is sent twice", key)
		}
	}
	kind, err := fileType(contentType)
	if err != nil {
		return err
	}
	if !allowedType(o.Types, kind) {
		return fault.New(fault.InvalidMIMEType, "files of type '%s' are not allowed; files.allowed_mime_types names those that are", kind)
	}
	if err := u.place(); err != nil {
		return err
	}
	if err := u.db.o.Store.Full(); fault.Is(err, fault.DiskFull) {
		return err
	}
	staged, err := u.db.o.Cold.Stage(from, o.MaxBytes)
	switch {
	case errors.Is(err, cold.ErrTooLarge):
		return fault.New(fault.FileTooLarge, "the file '%s' is larger than %d bytes", key, o.MaxBytes)
	case err != nil:
		return err
	}
	u.keys = append(u.keys, key)
	u.files = append(u.files, maint.NewBlob{Name: fileName(name, key), MIME: kind, Content: staged})
	return nil
}

// Files returns how many files have come.
func (u *Upload) Files() int { return len(u.files) }

// Close ends the upload: files that no row has taken are removed.
func (u *Upload) Close() {
	for i := range u.files {
		u.files[i].Content.Discard()
	}
	if u.stored != nil {
		u.stored.Release(context.Background()) // the request may be over already
	}
	if u.placed {
		<-u.db.uploads
	}
}

// check compares the placeholders of a statement with the files that came.
func (u *Upload) check(sql string) error {
	named := parse.FileKeys(sql)
	for _, key := range named {
		if u.at(key) < 0 {
			return fault.New(fault.MissingFile, "the statement names FILE(\"%s\"), but the request has no part file:%s", key, key)
		}
	}
	for _, key := range u.keys {
		found := false
		for _, n := range named {
			found = found || n == key
		}
		if !found {
			return fault.New(fault.ExtraFile, "the part file:%s is not named by FILE(\"%s\") in the statement", key, key)
		}
	}
	return nil
}

// at returns the place of a key, or -1.
func (u *Upload) at(key string) int {
	for i := range u.keys {
		if u.keys[i] == key {
			return i
		}
	}
	return -1
}

// store keeps the files for the rows of a table, before the statement looks at
// any row. A statement that runs again finds them kept.
func (u *Upload) store(ctx context.Context, t *schema.Table, scope schema.Scope) error {
	if len(u.files) == 0 {
		return nil
	}
	if t.Kind != schema.User && t.Kind != schema.Shared {
		return fault.New(fault.InvalidInput, "File uploads are not supported for stream or system tables")
	}
	if !t.HasFiles() {
		return fault.New(fault.InvalidInput, "table %s has no FILE column", t.QualifiedName())
	}
	if u.stored != nil && u.table == t.ID && u.scope == scope {
		return nil
	}
	if u.stored != nil {
		u.stored.Release(context.WithoutCancel(ctx))
		u.stored = nil
	}
	stored, err := u.db.maint.StoreBlobs(ctx, t, scope, u.files)
	if err != nil {
		return err
	}
	u.stored, u.table, u.scope = stored, t.ID, scope
	return nil
}

// File returns the value of FILE("key"); it fulfils plan.Files.
func (u *Upload) File(key string) (string, error) {
	i := u.at(key)
	if i < 0 || u.stored == nil {
		return "", fault.New(fault.InvalidInput, "FILE(\"%s\") belongs into INSERT or UPDATE of a FILE column", key)
	}
	return u.stored.Blobs[i].Reference()
}

// fileType returns a content type in its short form.
func fileType(given string) (string, error) {
	if strings.TrimSpace(given) == "" {
		return anyType, nil
	}
	kind, _, err := mime.ParseMediaType(given)
	main, sub, slash := strings.Cut(kind, "/")
	if err != nil || !slash || main == "" || sub == "" || main == "*" || sub == "*" || len(kind) > fileTypeMost {
		return "", fault.New(fault.InvalidMIMEType, "the Content-Type of a file must be like image/png")
	}
	return kind, nil
}

// allowedType reports whether a list allows a type; an empty one allows all.
func allowedType(list []string, kind string) bool {
	if len(list) == 0 {
		return true
	}
	for _, entry := range list {
		entry = strings.ToLower(strings.TrimSpace(entry))
		main, all := strings.CutSuffix(entry, "/*")
		if entry == kind || entry == "*" || entry == "*/*" || all && strings.HasPrefix(kind, main+"/") {
			return true
		}
	}
	return false
}

// fileName is what is kept of the name that a sender gave: its last element,
// without what no screen or path can bear. The key stands for an empty one.
func fileName(given, key string) string {
	name := strings.ToValidUTF8(given, "")
	name = name[strings.LastIndexAny(name, "/\\")+1:]
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, name)
	name = strings.TrimSpace(name)
	if name == "" || name == "." || name == ".." {
		return key
	}
	for len(name) > fileNameMost {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}

// FileAddress is where a caller asks for a file.
type FileAddress struct {
	Namespace, Table string
	// Folder and Name are the sub and the stored name of the reference; ByID takes
	// the id alone as Name.
	Folder, Name string
	ByID         bool
	// Owner is whose file of a USER table it is; "" is the caller's.
	Owner schema.UserID
}

// File is a file that may be downloaded.
type File struct {
	schema.Blob
	storage schema.Storage
	tier    *cold.Tier
}

// Open reads n bytes from an offset on.
func (f *File) Open(offset, n int64) (io.ReadCloser, error) {
	return f.tier.OpenBlob(f.storage, &f.Blob, offset, n)
}

// ErrNoTable says that an address names no table.
var ErrNoTable = errors.New("there is no such table")

// File finds a file for a caller who may read its table. Another's file of a USER
// table is for those who may act as him, and the audit log hears of it.
func (db *DB) File(ctx context.Context, s *auth.Session, a FileAddress) (*File, error) {
	select {
	case <-db.ready:
	case <-ctx.Done():
		return nil, asFault(ctx.Err(), db.o.Limits)
	}
	id, err := a.id()
	if err != nil {
		return nil, err
	}
	if a.Namespace == schema.SystemNamespace {
		return nil, fault.New(fault.InvalidInput, "System tables have no files")
	}
	t, ok := db.apply.Definitions().Table(a.Namespace, a.Table)
	if !ok {
		return nil, ErrNoTable
	}
	scope := schema.SharedScope
	switch t.Kind {
	case schema.User:
		if a.Owner == "" {
			a.Owner = s.UserID
		}
		if a.Owner != s.UserID {
			if err := db.allowActAs(ctx, s, a.Owner); err != nil {
				return nil, err
			}
		}
		scope = schema.UserScope(a.Owner)
	case schema.Shared:
		if a.Owner != "" {
			return nil, fault.New(fault.InvalidInput, "user_id is for files of USER tables")
		}
	default:
		return nil, fault.New(fault.InvalidInput, "stream and system tables have no files")
	}
	if err := auth.AllowTable(s, auth.Read, t); err != nil {
		return nil, err
	}
	blob, storage, err := db.maint.Blob(schema.BlobKey{Table: t.ID, Scope: scope, ID: id})
	if err != nil {
		return nil, err
	}
	if blob.Sub != a.Folder || !a.ByID && blob.Stored != a.Name {
		return nil, maint.ErrNoBlob
	}
	if scope != schema.SharedScope && a.Owner != s.UserID {
		db.tell(ctx, s, schema.AuditEntry{Action: "EXECUTE_AS_USER", Target: string(a.Owner), Details: "FILE " + t.QualifiedName() + " " + blob.Stored, Subject: a.Owner})
	}
	return &File{Blob: blob, storage: storage, tier: db.o.Cold}, nil
}

// id checks the form of an address and returns the id of its file.
func (a *FileAddress) id() (uint64, error) {
	invalid := func() (uint64, error) { return 0, fault.New(fault.InvalidInput, "Invalid file path") }
	if len(a.Folder) != 5 || a.Folder[0] != 'f' || strings.Trim(a.Folder[1:], "0123456789") != "" {
		return invalid()
	}
	for _, part := range []string{a.Namespace, a.Table, a.Name} {
		if part == "" || part == "." || strings.Contains(part, "..") || strings.ContainsAny(part, "/\\\x00") {
			return invalid()
		}
	}
	digits := len(a.Name) - len(strings.TrimLeft(a.Name, "0123456789"))
	id, err := strconv.ParseUint(a.Name[:digits], 10, 64)
	if err != nil {
		return 0, maint.ErrNoBlob
	}
	return id, nil
}

// allowActAs decides whether a session may reach what is another user's.
func (db *DB) allowActAs(ctx context.Context, s *auth.Session, target schema.UserID) error {
	role := schema.RoleUser
	record, known, err := db.apply.User(ctx, target)
	if err != nil {
		return err
	}
	if known {
		role = record.Role
	}
	return auth.AllowActAs(s, target, role)
}
