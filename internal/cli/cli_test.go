package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	kalam "kalamdb/sdk/go"
)

// clearEnvironment keeps the account of who runs the tests out of them.
func clearEnvironment(t *testing.T) {
	t.Helper()
	for _, name := range []string{"KALAM_URL", "KALAM_USER", "KALAM_PASSWORD", "KALAM_TOKEN", "KALAM_NAMESPACE"} {
		t.Setenv(name, "")
	}
}

// run runs the shell and shows what it printed and its exit code.
func run(ctx context.Context, in string, args ...string) string {
	var out, errOut bytes.Buffer
	code := Run(ctx, "1.2.3", args, strings.NewReader(in), &out, &errOut)
	text := out.String()
	if errOut.Len() > 0 {
		text += "stderr: " + errOut.String()
	}
	return text + fmt.Sprintf("exit %d\n", code)
}

// TestSQL runs testdata/sql: the first line of a case are the arguments, the
// rest is the status and the body that the server answers with.
func TestSQL(t *testing.T) {
	clearEnvironment(t)
	var status int
	var answer, asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = r.Header.Get("Authorization") + " " + string(body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	datadriven.RunTest(t, "testdata/sql", func(t *testing.T, d *datadriven.TestData) string {
		first, rest, _ := strings.Cut(d.Input, "\n")
		line, body, _ := strings.Cut(rest, "\n")
		if _, err := fmt.Sscan(line, &status); err != nil {
			t.Fatalf("%s: the second line must be a status: %v", d.Pos, err)
		}
		answer, asked = body, ""
		out := run(context.Background(), "SELECT 1; -- of standard input", append([]string{"--url", server.URL}, strings.Fields(first)...)...)
		if d.Cmd == "request" {
			return asked + "\n"
		}
		return strings.ReplaceAll(out, server.URL, "http://server")
	})
}

// TestUsage: what is wrong with the command line is told on standard error and
// ends with code 2; help goes to standard output and ends with 0.
func TestUsage(t *testing.T) {
	clearEnvironment(t)
	f := func(want string, args ...string) {
		t.Helper()
		got := run(context.Background(), "", args...)
		if !strings.HasPrefix(got, "stderr: kalam: wrong usage: ") || !strings.Contains(got, want) || !strings.HasSuffix(got, "exit 2\n") {
			t.Errorf("kalam %s:\n%swant code 2 and %q", strings.Join(args, " "), got, want)
		}
	}
	f("there is no command \"dance\"", "dance")
	f("--no-such-flag", "--no-such-flag")
	f("--no-such-flag", "sql", "--no-such-flag")
	f("kalam sql [statements]", "sql", "one", "two")
	f("kalam live <select>", "live")
	f("kalam live <select>", "live", "one", "two")
	f("name an account", "sql", "SELECT 1")
	f("must begin with http", "sql", "--token", "t", "--url", "localhost", "SELECT 1")
	f("invalid argument", "live", "--last", "many", "--token", "t", "SELECT 1")

	for _, args := range [][]string{{}, {"--help"}, {"sql", "--help"}, {"live", "-h"}, {"--version"}} {
		if got := run(context.Background(), "", args...); strings.Contains(got, "stderr:") || !strings.HasSuffix(got, "\nexit 0\n") {
			t.Errorf("kalam %s:\n%s", strings.Join(args, " "), got)
		}
	}
	long := strings.Repeat("x", maxScript+1)
	if got := run(context.Background(), long, "sql", "--token", "t"); !strings.Contains(got, "standard input is longer") || !strings.HasSuffix(got, "exit 2\n") {
		t.Errorf("a long script: %s", got)
	}
}

// TestUnreachable: a server that is not there is code 1 and a sentence.
func TestUnreachable(t *testing.T) {
	clearEnvironment(t)
	server := httptest.NewServer(nil)
	url := server.URL
	server.Close()
	for _, command := range []string{"sql", "live"} {
		got := run(context.Background(), "", command, "--token", "t", "--url", url, "SELECT 1")
		if !strings.HasPrefix(got, "stderr: kalam: ") || !strings.HasSuffix(got, "exit 1\n") || strings.Count(got, "\n") != 2 {
			t.Errorf("kalam %s: %s", command, got)
		}
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if got := run(cancelled, "", "sql", "--token", "t", "--url", url, "SELECT 1"); !strings.HasSuffix(got, "exit 1\n") {
		t.Errorf("an interrupted statement: %s", got)
	}
}

// TestEvents: how each kind of event looks, for people and for programs.
func TestEvents(t *testing.T) {
	row := func(text string) (m map[string]json.RawMessage) {
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	f := func(e kalam.Event, plain, asJSON string) {
		t.Helper()
		for i, want := range []string{plain, asJSON} {
			var out bytes.Buffer
			s := &shell{out: &out, json: i == 1}
			if err := s.printEvent(&e); err != nil || out.String() != want+"\n" {
				t.Errorf("%v: %q, want %q", err, out.String(), want)
			}
		}
	}
	f(kalam.Event{Kind: kalam.Ready, Resume: 7}, "SUBSCRIBED", `{"event":"ready","old":null,"position":"7","row":null}`)
	f(kalam.Event{Kind: kalam.Snapshot, Row: row(`{"n":null,"id":"7","body":"a\tb\u001b[31m","_seq":"9"}`), Seq: 9, Resume: 9},
		"SNAPSHOT   body=a·b·[31m id=7 n=NULL",
		`{"event":"snapshot","old":null,"position":"9","row":{"_seq":"9","body":"a\tb\u001b[31m","id":"7","n":null}}`)
	f(kalam.Event{Kind: kalam.Update, Row: row(`{"id":"7","v":[1,2]}`), Old: row(`{"v":{"a":"x"}}`)},
		`UPDATE     id=7 v=[1,2]  was v={"a":"x"}`,
		`{"event":"update","old":{"v":{"a":"x"}},"position":"0","row":{"id":"7","v":[1,2]}}`)
	f(kalam.Event{Kind: kalam.Delete, Row: row(`{"bad\u0007name":true}`)}, "DELETE     bad·name=true", `{"event":"delete","old":null,"position":"0","row":{"bad\u0007name":true}}`)
}
