package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/golang-jwt/jwt/v5"

	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/disk"
)

const secret = "a secret of at least thirty-two characters"

// edge is a server on a port of its own.
type edge struct {
	*Server
	url     string
	disk    *disk.Mem
	log     *bytes.Buffer
	cookies string // of the last answer
	bodies  map[string]string
	stop    context.CancelFunc
	ended   chan error // of Run
}

// serve runs a server over a fresh database until the test ends.
func serve(t testing.TB, change func(*Options)) *edge {
	t.Helper()
	mem := disk.NewMem()
	db, accounts := openOn(t, mem)
	return serveDB(t, mem, db, accounts, change)
}

// serveDB is serve for a database that is open.
func serveDB(t testing.TB, mem *disk.Mem, db, accounts *core.DB, change func(*Options)) *edge {
	t.Helper()
	passwords, err := auth.NewPasswords(auth.PasswordOptions{Cost: 4})
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{disk: mem, log: &bytes.Buffer{}, bodies: map[string]string{}}
	logger := slog.New(slog.NewTextHandler(e.log, nil))
	users, err := auth.New(auth.Options{
		Users: accounts, Accounts: accounts.Accounts(), Passwords: passwords, Secret: []byte(secret), AttemptsPerSecond: 1000, Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := users.Bootstrap(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	o := Options{
		Address: "127.0.0.1:0", DB: db, Auth: users, Version: "1.2.3", BuildDate: "2026-01-01", Logger: logger,
		ShutdownGrace: time.Second, QueriesPerSecond: 10_000, CookieSecure: true,
		Node: func() Node { return Node{ID: 1, Address: "http://here", Hostname: "host", Uptime: 61 * time.Second} },
	}
	if change != nil {
		change(&o)
	}
	if e.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	address, err := e.Listen()
	if err != nil {
		t.Fatal(err)
	}
	e.url = "http://" + address.String()
	var ctx context.Context
	ctx, e.stop = context.WithCancel(context.Background())
	e.ended = make(chan error, 1)
	go func() { e.ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		e.stop()
		if err := <-e.ended; err != nil {
			t.Error(err)
		}
	})
	return e
}

// token signs an access token for a user.
func token(t testing.TB, user, role string, change jwt.MapClaims) string {
	t.Helper()
	c := jwt.MapClaims{"sub": user, "iss": "kalamdb", "role": role, "token_type": "access", "email": nil,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	for k, v := range change {
		c[k] = v
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestScenarios runs testdata/http, on a server that is set up but for the file
// of that name: requests one after the other, and what is
// seen of the answers. "METHOD path" is followed by arguments: as= signs a
// token (root is a system user, admin a dba, everybody else a user), header=
// adds Name:value, cookies sends the cookies of the last answer, show= adds
// response headers, save= keeps a member of the answer for ${member}.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/http", func(t *testing.T, file string) {
		e := serve(t, nil)
		if filepath.Base(file) != "setup" {
			if err := e.o.Auth.Bootstrap(context.Background(), "root's password"); err != nil {
				t.Fatal(err)
			}
		}
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "log" {
				defer e.log.Reset()
				return hideVarying(e.log.String())
			}
			return e.run(t, d)
		})
	})
}

func (e *edge) run(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	body := regexp.MustCompile(`\$\{(\w+)\}`).ReplaceAllStringFunc(d.Input, func(m string) string {
		return e.bodies[m[2:len(m)-1]]
	})
	r, err := http.NewRequest(strings.ToUpper(d.Cmd), e.url+d.CmdArgs[0].Key, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var show, save []string
	for _, arg := range d.CmdArgs[1:] {
		switch arg.Key {
		case "as":
			role := map[string]string{"root": "system", "admin": "dba"}[arg.Vals[0]]
			r.Header.Set("Authorization", "Bearer "+token(t, arg.Vals[0], or(role, "user"), nil))
		case "bearer":
			r.Header.Set("Authorization", "Bearer "+e.bodies[arg.Vals[0]])
		case "header":
			for _, h := range arg.Vals {
				name, value, _ := strings.Cut(h, ":")
				r.Header.Set(name, strings.ReplaceAll(value, "_", " "))
			}
		case "cookies":
			r.Header.Set("Cookie", e.cookies)
		case "show":
			show = arg.Vals
		case "save":
			save = arg.Vals
		}
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Sprintf("%d, cut off: %v\n", answer.StatusCode, err)
	}
	var members map[string]any
	if json.Unmarshal(text, &members) == nil {
		for _, name := range save {
			e.bodies[name] = fmt.Sprint(members[name])
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s\n", answer.StatusCode, answer.Header.Get("Content-Type"))
	sort.Strings(show)
	for _, name := range show {
		fmt.Fprintf(&b, "%s: %s\n", name, hideVarying(strings.Join(answer.Header.Values(name), "\n  ")))
	}
	if len(answer.Cookies()) > 0 {
		e.cookies = ""
	}
	for _, c := range answer.Cookies() {
		e.cookies += c.Name + "=" + c.Value + "; "
	}
	b.WriteString(hideVarying(string(text)))
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// varying are parts of answers that differ from run to run.
var varying = []struct{ pattern, replacement string }{
	{`"took":\d+\.\d{3}\b`, `"took":T`},
	{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00`, `TIME`},
	{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*`, `TIME`},
	{`(?i)expires=\w+, \d\d \w+ 20\d\d \d\d:\d\d:\d\d GMT`, `expires=TIME`},
	{`eyJ[\w-]+\.[\w-]+\.[\w-]+`, `TOKEN`},
	{`[0-9a-f]{8}-[0-9a-f]+`, `ID`},
	{`"\d{18,19}"`, `"SEQ"`},
}

func hideVarying(s string) string {
	for _, v := range varying {
		s = regexp.MustCompile(v.pattern).ReplaceAllString(s, v.replacement)
	}
	return s
}
