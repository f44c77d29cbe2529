package apply_test

import (
	"strings"
	"testing"

	"kalamdb/internal/command"
	"kalamdb/internal/core/apply"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
)

// TestTrail: entries come with the change they tell of and not with one that is
// refused, share a group, are numbered on after a restart, and the oldest ones
// go when there are more than the bound.
func TestTrail(t *testing.T) {
	mem := disk.NewMem()
	open := func() (*store.Store, *apply.Machine) {
		s, err := store.Open(store.Options{FS: mem, Dir: "data"})
		if err != nil {
			t.Fatal(err)
		}
		m, err := apply.NewMachine(s.Reader(), 7)
		if err != nil {
			t.Fatal(err)
		}
		return s, m
	}
	tell := func(body command.Body, keep uint64, actions ...string) *command.Command {
		c := &command.Command{Time: moment0, Body: body, Trail: &command.Trail{Keep: keep}}
		for _, a := range actions {
			c.Trail.Entries = append(c.Trail.Entries, schema.AuditEntry{Time: moment0, Actor: "root", Action: a})
		}
		return c
	}
	s, m := open()
	want := func(actions string) {
		t.Helper()
		entries, err := catalog.Audits().List(s.Reader(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, catalog.AuditID(e.Number)[10:]+e.Action)
		}
		if text := strings.Join(got, " "); text != actions {
			t.Errorf("the log is %q, want %q", text, actions)
		}
	}
	app := command.PutNamespace{Create: true, Namespace: schema.Namespace{Name: "app"}}
	applyGroup(t, s, m, []*command.Command{tell(app, 0, "A", "B")})
	applyGroup(t, s, m, []*command.Command{tell(app, 0, "REFUSED")})
	applyGroup(t, s, m, []*command.Command{tell(command.PutAudit{}, 0, "C"), tell(&command.PutAudit{}, 0, "D")})
	want("00001A 00002B 00003C 00004D")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, m = open()
	applyGroup(t, s, m, []*command.Command{tell(command.PutAudit{}, 3, "E")})
	want("00003C 00004D 00005E")
	applyGroup(t, s, m, []*command.Command{tell(command.PutAudit{}, 1, "F", "G")})
	want("00007G")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
