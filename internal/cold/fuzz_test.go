package cold

import (
	"bytes"
	"encoding/json"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"kalamdb/internal/schema"
)

// FuzzManifest: whatever files are named and their statistics say, the manifest
// is JSON that says so, and reads back as the same manifest.
func FuzzManifest(f *testing.F) {
	f.Add("app/notes/batch-7.parquet", `{"1":{"min":1,"max":9},"2":[]}`, "alice", uint64(1), uint64(9), int64(100), int64(1_700_000_000_000_000))
	f.Add("batch-9223372036854775807.parquet", `{"1":`, "", uint64(0), ^uint64(0), int64(-1), int64(-1))
	f.Add("../batch--1.parquet", "null", "\xff", uint64(5), uint64(2), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, name, statistics, scope string, from, to uint64, size, at int64) {
		def := notes()
		def.Kind = schema.User
		window := SegmentFile{
			Segment: schema.Segment{Scope: schema.Scope(scope), From: from, To: to, MinSeq: from, MaxSeq: to},
			File:    schema.File{Path: name, Size: size, Rows: to, Statistics: statistics, CreatedAt: at, Scope: schema.Scope(scope)},
		}
		text, err := ManifestOf(def, schema.Scope(scope), []SegmentFile{window, window}).JSON()
		if err != nil {
			t.Fatalf("%q and %q: %v", name, statistics, err)
		}
		var back Manifest
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := back.JSON()
		if err != nil || utf8.ValidString(name) && utf8.ValidString(statistics) && utf8.ValidString(scope) && !bytes.Equal(text, again) {
			t.Fatalf("%s is read as %s, %v", text, again, err)
		}
		if back.LastSequence < -1 || len(back.Segments) != 2 || back.UserID == nil {
			t.Fatalf("%s", text)
		}
		// Readers of manifests parse their numbers, and join their paths.
		if strings.ContainsRune(back.Segments[0].Path, '/') && name != "/" && path.Base(name) != "/" {
			t.Fatalf("the path %q leads out of its folder", back.Segments[0].Path)
		}
	})
}

// FuzzFolder: no names of namespaces, tables, users or templates lead out of a
// storage, and two users never share a folder.
func FuzzFolder(f *testing.F) {
	f.Add("{namespace}/{tableName}/{userId}", "app", "notes", "alice", "bob", true)
	f.Add("../../{user_id}x/..//./{shard}", "..", "a/b", "a%2F", "a/", false)
	f.Add("", ".", "", strings.Repeat("ü", 100), strings.Repeat("ü", 101), true)
	f.Add("{userId}{tableName}", "a", "b", "1", "1b", true)
	f.Fuzz(func(t *testing.T, template, namespace, name, one, two string, own bool) {
		def := &schema.Table{Namespace: namespace, Name: name, Kind: schema.User}
		storage := schema.Storage{UserTemplate: template}
		if own {
			def.Options.Location = template
		}
		a, b := FolderOf(storage, def, schema.Scope(one)), FolderOf(storage, def, schema.Scope(two))
		for _, folder := range []string{a, b} {
			if path.Clean("/"+folder) != path.Clean("/base/../"+folder) || strings.HasPrefix(folder, "/") || strings.HasPrefix(folder+"/", "../") || strings.Contains("/"+folder+"/", "/../") {
				t.Fatalf("%q for %q gives the folder %q", template, one, folder)
			}
		}
		if (one == two) != (a == b) && one != "" && two != "" {
			t.Fatalf("%q puts %q in %q and %q in %q", template, one, a, two, b)
		}
		if encoded := EncodeName(one); len(encoded) > encodedMost || strings.ContainsAny(encoded, "/\\\x00") || encoded == ".." || encoded == "." {
			t.Fatalf("%q is encoded as %q", one, encoded)
		}
	})
}
