package catalog

import (
	"cmp"
	"strconv"
	"strings"

	"kalamdb/internal/schema"
)

// overlapping returns a table of the same storage whose folder of cold files
// lies in that of t, or the other way round. Without a LOCATION every table has
// a folder of its own, so one of the two must have one.
func (d *Definitions) overlapping(t *schema.Table) (*schema.Table, bool) {
	folder, storage := folderOf(t), storageOf(t)
	if folder == "" {
		return nil, false
	}
	for other := range d.AllTables() {
		if t.Options.Location == "" && other.Options.Location == "" || other.ID == t.ID || storageOf(other) != storage {
			continue
		}
		if at := folderOf(other); at != "" && (strings.HasPrefix(at, folder) || strings.HasPrefix(folder, at)) {
			return other, true
		}
	}
	return nil, false
}

// ownFolder names a folder after a table's number too, for a table whose name
// another one had when its folder was chosen. No name has a dot.
func ownFolder(t *schema.Table) string {
	folder := t.Namespace + "/" + t.Name + "." + strconv.Itoa(int(t.ID))
	if t.PerUser() {
		folder += "/{userId}"
	}
	return folder
}

func storageOf(t *schema.Table) string { return cmp.Or(t.Options.StorageID, schema.LocalStorage) }

// folderOf returns the folder below which all cold files of a table are, with a
// slash behind it: its template up to the first placeholder. Streams have none.
func folderOf(t *schema.Table) string {
	switch {
	case t.Kind == schema.Stream:
		return ""
	case t.Options.Location == "":
		return t.Namespace + "/" + t.Name + "/"
	}
	fixed, _, _ := strings.Cut(t.Options.Location, "{")
	return strings.TrimSuffix(fixed, "/") + "/"
}
