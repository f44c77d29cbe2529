package server

import (
	"strings"
	"testing"
)

// TestAuditOfLogins: what administrators do at the door is in the audit log, a
// flood of wrong passwords only as far as it counts, and no secret is.
func TestAuditOfLogins(t *testing.T) {
	r := start(t, t.TempDir(), "rate_limit.max_auth_requests_per_ip_per_sec=100000")
	r.rows(t, "CREATE USER 'boss' WITH PASSWORD 'Tulip-48291' ROLE dba")
	r.rows(t, "CREATE USER 'mia' WITH PASSWORD 'Crocus-48291' ROLE user")
	login := func(user, password string, want int) {
		t.Helper()
		if status, text := r.do(t, "POST", "/v1/api/auth/login", `{"user":"`+user+`","password":"`+password+`"}`); status != want {
			t.Fatalf("%s: %d %s", user, status, text)
		}
	}
	login("boss", "Tulip-48291", 200)
	login("mia", "Crocus-48291", 200)
	for range 50 {
		login("boss", "Guess-48291", 401)
		login("mia", "Guess-48291", 401)
		login("nobody", "Guess-48291", 401)
	}
	want := []string{"LOGIN root root Role: system 127.0.0.1 root", "LOGIN boss boss Role: dba 127.0.0.1 boss"}
	for range 4 {
		want = append(want, "LOGIN_FAILED boss boss Role: dba 127.0.0.1 boss")
	}
	want = append(want, "ACCOUNT_LOCKED boss boss Role: dba, 5 wrong passwords 127.0.0.1 boss",
		"ACCOUNT_LOCKED mia mia Role: user, 5 wrong passwords 127.0.0.1 mia")
	got := r.rows(t, "SELECT action, actor_user_id, target, details, ip_address, subject_user_id FROM system.audit_log WHERE action LIKE '%LOG%' OR action LIKE '%LOCK%' ORDER BY audit_id")
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := r.rows(t, "SELECT COUNT(*) FROM system.audit_log WHERE details LIKE '%48291%'"); len(n) != 1 || n[0] != "0" {
		t.Errorf("%s entries have a password", n)
	}
}
