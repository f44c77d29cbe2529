// Package protocol replays WebSocket dialogues against a server.
//
// A dialogue is a txtar archive. Its sections are steps, done in order:
//
//	-- config --            lines key=value for this server, before it starts
//	-- users --             lines name role; each may log in
//	-- sql USER --          statements over HTTP that must succeed
//	-- open NAME ... --     a connection: user=U sends U's token as header,
//	                        protocol=U as sub-protocol, query=Q adds to the URL,
//	                        origin=O is the page's origin, refused=S expects
//	                        this status instead of the upgrade
//	-- on NAME --           goes on with a connection
//
// Within open and on, a line "> {…}" sends a message, "< {…}" expects the next
// message to have at least these members, and "! 1008" expects a close with
// that code, and the reason behind it if there is one. In what is expected "*"
// matches anything and "$x" is bound on first sight and equal afterwards; in
// what is sent "$x" stands for what was bound and "$token:U" for a token of U.
// ">> text" sends a binary message, "># N" a text of N bytes.
package protocol

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"kalamdb/internal/config"
	"kalamdb/internal/server"
	"kalamdb/internal/testkit"
)

const (
	rootPassword = "the password of root"
	userPassword = "the password of a user"
	// patience is how long a frame may take.
	patience = 20 * time.Second
)

func TestDialogues(t *testing.T) {
	files, err := filepath.Glob("*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d dialogues, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".txtar"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			newDialogue(t, file).play(txtar.Parse(text))
		})
	}
}

// dialogue is one archive being played.
type dialogue struct {
	t      *testing.T
	file   string
	step   string
	url    string
	tokens map[string]string
	conns  map[string]*testkit.Socket
	bound  map[string]any
}

func newDialogue(t *testing.T, file string) *dialogue {
	return &dialogue{t: t, file: file, tokens: map[string]string{}, conns: map[string]*testkit.Socket{}, bound: map[string]any{}}
}

func (d *dialogue) fatal(format string, args ...any) {
	d.t.Helper()
	d.t.Fatalf("%s: %s: %s", d.file, d.step, fmt.Sprintf(format, args...))
}

func (d *dialogue) play(a *txtar.Archive) {
	var settings []string
	sections := a.Files
	if len(sections) > 0 && sections[0].Name == "config" {
		settings = strings.Fields(string(sections[0].Data))
		sections = sections[1:]
	}
	d.start(settings)
	for _, s := range sections {
		d.step = s.Name
		words := strings.Fields(s.Name)
		switch words[0] {
		case "users":
			d.users(string(s.Data))
		case "sql":
			d.sql(words[1], string(s.Data))
		case "open":
			if c := d.open(words[2:]); c != nil {
				d.conns[words[1]] = c
				d.talk(c, string(s.Data))
			}
		case "on":
			d.talk(d.conns[words[1]], string(s.Data))
		default:
			d.fatal("unknown step")
		}
	}
	for _, c := range d.conns {
		_ = c.Close() // the dialogue is over
	}
}

// start runs a server until the test ends.
func (d *dialogue) start(settings []string) {
	dir := d.t.TempDir()
	loaded, err := config.Load(config.Source{WorkDir: dir, BinaryDir: dir, Set: append([]string{
		"server.port=0", "storage.data_path=" + dir, "storage.reserve=0", "auth.bcrypt_cost=4",
		"auth.root_password=" + rootPassword, "rate_limit.max_auth_requests_per_ip_per_sec=1000",
	}, settings...)})
	if err != nil {
		d.fatal("%v", err)
	}
	listening, told := io.Pipe()
	s, err := server.Open(server.Options{Config: loaded.Options, Stdout: told, Fatal: func(format string, args ...any) {
		panic(fmt.Sprintf(format, args...))
	}})
	if err != nil {
		d.fatal("%v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Run(ctx)
		_ = told.Close()
	}()
	d.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			d.t.Error(err)
		}
	})
	if _, err := listening.Read(make([]byte, 200)); err != nil {
		d.fatal("the server does not listen: %v", err)
	}
	d.url = s.URL()
	d.login("root", rootPassword)
}

// post sends JSON and decodes the answer.
func (d *dialogue) post(path, token string, body, into any) {
	d.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		d.fatal("%v", err)
	}
	request, err := http.NewRequest(http.MethodPost, d.url+path, bytes.NewReader(text))
	if err != nil {
		d.fatal("%v", err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		d.fatal("%v", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		d.fatal("%s: %d %s %v", path, response.StatusCode, answer, err)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		d.fatal("%s: %v", answer, err)
	}
}

func (d *dialogue) login(user, password string) {
	d.t.Helper()
	var grant struct {
		AccessToken string `json:"access_token"`
	}
	d.post("/v1/api/auth/login", "", map[string]string{"user": user, "password": password}, &grant)
	d.tokens[user] = grant.AccessToken
}

func (d *dialogue) sql(user, text string) {
	d.t.Helper()
	var answer any
	d.post("/v1/api/sql", d.tokens[user], map[string]string{"sql": text}, &answer)
}

func (d *dialogue) users(text string) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		d.sql("root", fmt.Sprintf("CREATE USER '%s' WITH PASSWORD '%s' ROLE %s", words[0], userPassword, words[1]))
		d.login(words[0], userPassword)
	}
}

// open connects as the words say; it returns nil for an expected refusal.
func (d *dialogue) open(words []string) *testkit.Socket {
	header, query, refused := http.Header{}, "", http.StatusSwitchingProtocols
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "user":
			header.Set("Authorization", "Bearer "+d.token(value))
		case "protocol":
			header.Set("Sec-Websocket-Protocol", "kalamdb.jwt."+d.token(value))
		case "query":
			query = "?" + value
		case "origin":
			header.Set("Origin", value)
		case "version":
			header["Sec-WebSocket-Version"] = []string{value}
		case "refused":
			refused, _ = strconv.Atoi(value)
		default:
			d.fatal("unknown word %s", w)
		}
	}
	c, response, err := testkit.DialSocket(d.url+"/v1/ws"+query, header)
	if err != nil || response.StatusCode != refused {
		d.fatal("the upgrade is answered %v, %v", response, err)
	}
	if c != nil {
		if got, want := response.Header.Get("Sec-Websocket-Protocol"), header.Get("Sec-Websocket-Protocol"); got != want {
			d.fatal("the sub-protocol is %q, not %q", got, want)
		}
	}
	return c
}

// token returns the token of a user; a name without one is sent as it stands.
func (d *dialogue) token(user string) string {
	if t, ok := d.tokens[user]; ok {
		return t
	}
	return user
}

// talk sends and expects what the lines say.
func (d *dialogue) talk(c *testkit.Socket, text string) {
	d.t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		head, rest, _ := strings.Cut(line, " ")
		var err error
		switch head {
		case ">":
			err = c.Text(d.filled(rest))
		case ">>":
			err = c.Frame(true, testkit.SocketBinary, []byte(rest))
		case ">#":
			var n int
			if n, err = strconv.Atoi(rest); err == nil {
				err = c.Text(strings.Repeat("x", n))
			}
		case "<":
			d.expect(c, rest)
		case "!":
			d.expectClose(c, rest)
		default:
			d.fatal("%s: unknown line", line)
		}
		if err != nil {
			d.fatal("%s: %v", line, err)
		}
	}
}

var placeholder = regexp.MustCompile(`"\$(token:)?(\w+)"`)

// filled puts bound values and tokens into a message.
func (d *dialogue) filled(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(found string) string {
		parts := placeholder.FindStringSubmatch(found)
		var value any = d.tokens[parts[2]]
		if parts[1] == "" {
			value = d.bound[parts[2]]
		}
		out, err := json.Marshal(value)
		if err != nil {
			d.fatal("%s: %v", found, err)
		}
		return string(out)
	})
}

func (d *dialogue) receive(c *testkit.Socket) testkit.Received {
	d.t.Helper()
	if err := c.Conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		d.fatal("%v", err)
	}
	m, err := c.Receive()
	if err != nil {
		d.fatal("receive: %v", err)
	}
	return m
}

// decoded reads JSON with its numbers as they are written.
func decoded(text []byte) (any, error) {
	r := json.NewDecoder(bytes.NewReader(text))
	r.UseNumber()
	var v any
	err := r.Decode(&v)
	return v, err
}

func (d *dialogue) expect(c *testkit.Socket, text string) {
	d.t.Helper()
	want, err := decoded([]byte(text))
	if err != nil {
		d.fatal("%s: %v", text, err)
	}
	m := d.receive(c)
	got, err := decoded(m.Payload)
	if err != nil || m.Kind == testkit.SocketClose {
		d.fatal("received %.500q, close %d %s, want %s", m.Payload, m.Code, m.Reason, text)
	}
	if why := d.match(want, got, "the message"); why != "" {
		d.fatal("received %.1000s\nwant at least %s\n%s", m.Payload, text, why)
	}
}

func (d *dialogue) expectClose(c *testkit.Socket, text string) {
	d.t.Helper()
	code, reason, _ := strings.Cut(text, " ")
	m := d.receive(c)
	if m.Kind != testkit.SocketClose || strconv.Itoa(int(m.Code)) != code || !strings.HasPrefix(m.Reason, reason) {
		d.fatal("received %.500q, close %d %s, want close %s", m.Payload, m.Code, m.Reason, text)
	}
	_ = c.Close() // nothing more can be said
}

// match says where got lacks something of want, or nothing.
func (d *dialogue) match(want, got any, where string) string {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return where + " is no object"
		}
		for name, v := range want {
			member, ok := object[name]
			if !ok {
				return where + " has no " + name
			}
			if why := d.match(v, member, name); why != "" {
				return why
			}
		}
		return ""
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Sprintf("%s is no list of %d", where, len(want))
		}
		for i := range want {
			if why := d.match(want[i], list[i], fmt.Sprintf("%s[%d]", where, i)); why != "" {
				return why
			}
		}
		return ""
	case string:
		if want == "*" {
			return ""
		}
		if name, ok := strings.CutPrefix(want, "$"); ok {
			if bound, ok := d.bound[name]; ok {
				return differ(bound, got, where)
			}
			d.bound[name] = got
			return ""
		}
	}
	return differ(want, got, where)
}

func differ(want, got any, where string) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return fmt.Sprintf("%s is %v, not %v", where, got, want)
}
