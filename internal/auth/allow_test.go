package auth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// records reads a text table: fields by blanks, at most n of them, the last one
// keeping its blanks. Lines with # are comments.
func records(t *testing.T, file string, n int) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		var fields []string
		for len(fields) < n-1 {
			field, rest, _ := strings.Cut(line, " ")
			fields, line = append(fields, field), strings.TrimSpace(rest)
		}
		out = append(out, append(fields, line))
	}
	return out
}

func session(t *testing.T, role string) *Session {
	t.Helper()
	r, err := schema.ParseRole(role)
	if err != nil {
		t.Fatal(err)
	}
	return &Session{UserID: "someone", Actor: "someone", Role: r}
}

func table(t *testing.T, column string) *schema.Table {
	t.Helper()
	tbl := &schema.Table{Namespace: "app", Name: "t", Kind: schema.Shared}
	switch column {
	case "user":
		tbl.Kind = schema.User
	case "stream":
		tbl.Kind = schema.Stream
	case "system":
		tbl.Kind = schema.System
	case "unset":
	case "public", "private", "restricted", "dba":
		tbl.Options.Access = schema.Access(column)
	default:
		t.Fatalf("unknown kind of table %q", column)
	}
	return tbl
}

var letters = map[byte]Action{'R': Read, 'W': Write, 'C': CreateTable, 'A': AlterTable, 'D': DropTable}

func TestMatrix(t *testing.T) {
	rows := records(t, "matrix.txt", 8)
	columns := rows[0][1:]
	for _, row := range rows[1:] {
		s := session(t, row[0])
		for i, cell := range row[1:] {
			tbl := table(t, columns[i])
			for letter, action := range letters {
				err := Allow(s, action, tbl.Kind, tbl.Options.Access)
				if want := strings.IndexByte(cell, letter) >= 0; want != (err == nil) {
					t.Errorf("%s on %s table, %c: %v, want allowed %v", row[0], columns[i], letter, err, want)
				}
				if err != nil && !fault.Is(err, fault.PermissionDenied) {
					t.Errorf("refusal is %v", err)
				}
				if (AllowTable(s, action, tbl) == nil) != (err == nil) {
					t.Errorf("%s on %s table, %c: Allow and AllowTable differ", row[0], columns[i], letter)
				}
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	actions := map[string]Action{
		"read": Read, "write": Write, "create": CreateTable, "alter": AlterTable, "drop": DropTable,
	}
	for _, r := range records(t, "refusals.txt", 4) {
		err := AllowTable(session(t, r[0]), actions[r[2]], table(t, r[1]))
		if err == nil || fault.Of(err).Sentence() != r[3] {
			t.Errorf("%s %s %s:\ngot  %v\nwant %s", r[0], r[1], r[2], err, r[3])
		}
	}
}

func TestClasses(t *testing.T) {
	names := map[string]Action{
		"select": Select, "modify": Modify, "show": Show, "inspect": Inspect, "subscribe": Subscribe,
		"transact": Transact, "export-user": ExportUser, "manage-namespaces": ManageNamespaces,
		"manage-views": ManageViews, "manage-storages": ManageStorages, "flush": Flush,
		"manage-jobs": ManageJobs, "manage-live": ManageLive, "manage-topics": ManageTopics,
		"reset-consumers": ResetConsumers, "consume": Consume, "manage-users": ManageUsers,
		"backup": Backup, "restore": Restore, "manage-cluster": ManageCluster,
		"manage-policies": ManagePolicies, "manage-routines": ManageRoutines,
		"manage-schedules": ManageSchedules,
	}
	rows := records(t, "classes.txt", 3)
	if len(rows) != len(classRules) {
		t.Errorf("the table has %d classes, the rules %d", len(rows), len(classRules))
	}
	for _, row := range rows {
		weakest := session(t, row[1]).Role
		for role := schema.RoleAnonymous; role <= schema.RoleSystem; role++ {
			err := Allow(&Session{Role: role}, names[row[0]], 0, "")
			if (err == nil) != (role >= weakest) {
				t.Errorf("%s as %s: %v", row[0], role, err)
			}
			if role+1 == weakest && fault.Of(err).Sentence() != row[2] {
				t.Errorf("%s as %s: got %v, want %s", row[0], role, err, row[2])
			}
		}
	}
	if Allow(session(t, "system"), 0, 0, "") == nil || Allow(session(t, "system"), 250, 0, "") == nil {
		t.Error("an unknown action is allowed")
	}
}

func TestActAs(t *testing.T) {
	rows := records(t, "actas.txt", 5)
	for _, row := range rows[1:] {
		s := session(t, row[0])
		for i, cell := range row[1:] {
			target := session(t, rows[0][1+i]).Role
			err := AllowActAs(s, "other", target)
			if (err == nil) != (cell == "yes") {
				t.Errorf("%s as %s: %v, want %s", row[0], target, err, cell)
			}
			if err != nil && !strings.Contains(err.Error(), "not authorized") {
				t.Errorf("refusal reads %v", err)
			}
			if err := AllowActAs(s, s.UserID, target); err != nil {
				t.Errorf("%s as himself: %v", row[0], err)
			}
		}
	}
	s := &Session{UserID: "a", Actor: "a", Role: schema.RoleDBA, Email: "a@b", IP: "1.2.3.4", RequestID: "r"}
	got := *s.As("b")
	want := Session{UserID: "b", Actor: "a", Role: schema.RoleUser, IP: "1.2.3.4", RequestID: "r"}
	if got != want || s.UserID != "a" {
		t.Errorf("As gave %+v", got)
	}
}

func TestCheckUserID(t *testing.T) {
	f := func(id string, ok bool) {
		t.Helper()
		if err := CheckUserID(schema.UserID(id)); (err == nil) != ok {
			t.Errorf("CheckUserID(%q) = %v", id, err)
		}
	}
	f("alice", true)
	f("auth0|65f1", true)
	f("a.b@example.com", true)
	f("ünïcode", true)
	f(strings.Repeat("x", 128), true)
	f("", false)
	f(strings.Repeat("x", 129), false)
	f("a..b", false)
	f("a/b", false)
	f(`a\b`, false)
	f("a\x00b", false)
}
