package core

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strings"

	"kalamdb/internal/auth"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// exportsShown is how many exports SHOW EXPORT lists.
const exportsShown = 20

// export starts the job of EXPORT USER DATA.
func (db *DB) export(ctx context.Context, s *auth.Session) (*Result, error) {
	message, err := db.maint.StartExport(ctx, s.UserID, s.Actor)
	if err == nil {
		db.tell(ctx, s, schema.AuditEntry{Action: "EXPORT_USER_DATA", Target: string(s.UserID)})
	}
	return done(message, err)
}

// showExports lists the newest exports of a caller.
func (db *DB) showExports(ctx context.Context, s *auth.Session) (*Result, error) {
	list, err := db.maint.Exports(ctx, s.UserID, exportsShown)
	if err != nil {
		return nil, err
	}
	text := datum.Type{Kind: datum.Text}
	columns := []Column{
		{Name: "job_id", Type: text}, {Name: "status", Type: text}, {Name: "created_at", Type: datum.Type{Kind: datum.Timestamp}},
		{Name: "message", Type: text}, {Name: "download_url", Type: text},
	}
	rows := make([][]datum.Value, len(list))
	for i := range list {
		e, where := &list[i], ""
		if e.Kept {
			where = "/v1/exports/" + url.PathEscape(string(s.UserID)) + "/" + e.ExportID
		}
		rows[i] = []datum.Value{
			datum.NewText(e.Job.ID), datum.NewText(string(e.Job.Status)), datum.NewInt(datum.Timestamp, e.Job.CreatedAt),
			datum.NewText(e.Job.Message), datum.NewText(where),
		}
	}
	return buffered(columns, rows), nil
}

// ErrNoExport says that there is no such archive.
var ErrNoExport = maint.ErrNoExport

// Archive is an archive of EXPORT USER DATA that may be downloaded.
type Archive struct {
	Size int64
	Open func(offset, n int64) (io.ReadCloser, error)
}

// Archive finds an archive for its owner, or for an administrator, of whom the
// audit log hears then.
func (db *DB) Archive(ctx context.Context, s *auth.Session, user schema.UserID, export string) (Archive, error) {
	if strings.ContainsAny(export, "/\\\x00") || strings.Contains(export, "..") {
		return Archive{}, fault.New(fault.InvalidInput, "Invalid export path")
	}
	if user != s.UserID && !s.Role.Admin() {
		return Archive{}, fault.New(fault.PermissionDenied, "You can only download your own exports")
	}
	size, err := db.maint.ExportSize(user, export)
	if err != nil {
		return Archive{}, err
	}
	if user != s.UserID {
		db.tell(ctx, s, schema.AuditEntry{Action: "DOWNLOAD_EXPORT", Target: string(user), Details: export, Subject: user})
	}
	return Archive{Size: size, Open: func(offset, n int64) (io.ReadCloser, error) {
		r, err := db.maint.OpenExport(user, export, offset, n)
		if errors.Is(err, ErrNoExport) {
			err = fault.Wrap(fault.FileNotFound, err, "Export not found")
		}
		return r, err
	}}, nil
}
