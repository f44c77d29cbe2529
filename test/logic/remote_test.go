package logic

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/golang-jwt/jwt/v5"

	"kalamdb/internal/config"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/server"
	"kalamdb/internal/testkit"
)

// secret signs the tokens of the corpus.
const secret = "the corpus mints its own tokens with this secret"

// remote is a server with a real listener on loopback.
type remote struct {
	clock  *testkit.Clock
	disk   *disk.Mem
	logs   string // folder of the server's log, the one thing on a real disk
	url    string
	client *http.Client
	tokens map[string]string
	ctx    context.Context // ends with the test
	cancel context.CancelFunc
	done   chan error
}

func newRemote(ctx context.Context, logs string) (*remote, error) {
	r := &remote{logs: logs, clock: testkit.NewClock(), disk: disk.NewMem(), tokens: map[string]string{}, ctx: ctx, client: &http.Client{Transport: &http.Transport{}}}
	return r, r.start()
}

// start opens a server on the disk and waits until it answers.
func (r *remote) start() error {
	o := config.Defaults()
	o.Server.Port = 0
	o.Storage.DataPath = "data"
	o.Storage.Reserve = 0
	o.Auth.JWTSecret = secret
	o.Auth.RootPassword = "Corpus-root-1"
	o.Auth.BcryptCost = 4
	o.RateLimit.MaxQueries = 1 << 20
	o.RateLimit.MaxMessages = 1 << 20
	o.RateLimit.MaxSubscriptionsPerUser = 1000
	o.RateLimit.MaxAuthRequestsPerIP = 1 << 20
	o.Logging.LogToConsole = false
	o.Analytics.Threads = threads
	o.DBA.Tables = false // a database by itself has none
	o.Logging.LogsPath = r.logs
	s, err := server.Open(server.Options{
		Config: o, FS: r.disk, Now: r.clock.Now, Version: "corpus",
		Fatal: func(format string, args ...any) { panic(fmt.Sprintf(format, args...)) },
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.ctx))
	r.cancel, r.done, r.url = cancel, make(chan error, 1), s.URL()
	go func() { r.done <- s.Run(ctx) }()
	deadline := time.Now().Add(frameBound)
	for {
		response, err := r.client.Get(r.url + "/health")
		if err == nil {
			response.Body.Close()
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

func (r *remote) token(a account) string {
	if t, ok := r.tokens[a.name]; ok {
		return t
	}
	now := r.clock.Now()
	claims := jwt.MapClaims{"sub": a.name, "iss": "kalamdb", "iat": now.Unix(), "exp": now.Add(10000 * time.Hour).Unix(), "email": nil, "role": a.role.String(), "token_type": "access"}
	t, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		panic(err)
	}
	r.tokens[a.name] = t
	return t
}

func (r *remote) addUser(a account) error {
	// anonymous has no spelling in SQL; the corpus runs it in process only.
	if a.role == schema.RoleAnonymous {
		return errors.New("role anonymous exists in process only; use skipif http")
	}
	out := r.execute(root, "default", "CREATE USER '"+strings.ReplaceAll(a.name, "'", "''")+"' WITH INTERNAL ROLE "+a.role.String())
	if out.err != nil {
		return errors.New(out.err.sentence)
	}
	return nil
}

func (r *remote) execute(a account, namespace, sql string) outcome {
	body, err := json.Marshal(map[string]string{"sql": sql, "namespace_id": namespace})
	if err != nil {
		return broken(err)
	}
	request, err := http.NewRequestWithContext(r.ctx, http.MethodPost, r.url+"/v1/api/sql", bytes.NewReader(body))
	if err != nil {
		return broken(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+r.token(a))
	response, err := r.client.Do(request)
	if err != nil {
		return broken(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return broken(err)
	}
	return decodeAnswer(a, sql, response.StatusCode, text)
}

func broken(err error) outcome {
	return outcome{err: &refusal{code: "TRANSPORT", sentence: err.Error()}}
}

// decodeAnswer reads the envelope.
func decodeAnswer(a account, sql string, status int, text []byte) outcome {
	var answer struct {
		Status  string `json:"status"`
		Results []struct {
			Schema []struct {
				Name string          `json:"name"`
				Type json.RawMessage `json:"data_type"`
			} `json:"schema"`
			Rows    [][]json.RawMessage `json:"rows"`
			Count   int64               `json:"row_count"`
			Message string              `json:"message"`
			AsUser  string              `json:"as_user"`
		} `json:"results"`
		Took  float64 `json:"took"`
		Error *struct {
			Code    string  `json:"code"`
			Message string  `json:"message"`
			Details *string `json:"details"`
		} `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return broken(fmt.Errorf("answer %d %q: %w", status, text, err))
	}
	if answer.Took <= 0 {
		return broken(fmt.Errorf("took is %v", answer.Took))
	}
	if answer.Status != "success" {
		if answer.Error == nil {
			return broken(fmt.Errorf("answer %d %q has no error", status, text))
		}
		e := answer.Error
		return outcome{err: &refusal{sentence: e.Message, check: func(want fault.Code) error {
			return checkWire(a, want, sql, status, e.Code, e.Message, e.Details != nil)
		}}}
	}
	var out outcome
	for _, r := range answer.Results {
		if r.AsUser != effective(a, sql) {
			return broken(fmt.Errorf("as_user is %q", r.AsUser))
		}
		res := result{count: r.Count, message: r.Message}
		for _, c := range r.Schema {
			res.columns = append(res.columns, c.Name)
			res.types = append(res.types, typeLetter(c.Type))
		}
		for _, row := range r.Rows {
			cells := make([]string, len(row))
			for i, raw := range row {
				cells[i] = cell(raw)
			}
			res.rows = append(res.rows, cells)
		}
		out.results = append(out.results, res)
	}
	return out
}

// executeAs matches the beginning of EXECUTE AS.
var executeAs = regexp.MustCompile(`(?i)^\s*execute\s+as\s+(?:user\s+)?(?:'([^']*)'|(\w+))`)

// effective is the user that a result must name.
func effective(a account, sql string) string {
	if m := executeAs.FindStringSubmatch(sql); m != nil {
		return m[1] + m[2]
	}
	return a.name
}

// checkWire holds an error answer against docs/protocol/http.md: status, code
// and words for the caller's role.
func checkWire(a account, want fault.Code, sql string, status int, code, message string, details bool) error {
	wantStatus, wantCode, generic := wireOf(want)
	if want == fault.BatchParseError && !strings.Contains(strings.TrimRight(sql, "; \n"), ";") {
		wantCode, generic = "SQL_EXECUTION_ERROR", "SQL statement failed" // an unterminated quote in a lone statement
	}
	admin := a.role.Admin()
	switch {
	case status != wantStatus || code != wantCode:
		return fmt.Errorf("the wire says %d %s (%s), want %d %s", status, code, message, wantStatus, wantCode)
	case details && !admin:
		return fmt.Errorf("details went to role %s", a.role)
	case !admin && !want.Info().Shown && message != generic:
		return fmt.Errorf("role %s read %q, want the generic %q", a.role, message, generic)
	case !admin && wantCode == "INVALID_SQL" && !strings.Contains(message, "SQL statement is invalid or not allowed: "):
		return fmt.Errorf("role %s read %q without the generic beginning", a.role, message)
	case admin && !strings.Contains(message, want.Info().Prefix):
		return fmt.Errorf("message %q lacks the prefix %q", message, want.Info().Prefix)
	}
	return nil
}

// wireOf is the table of statuses, wire codes and generic words.
func wireOf(c fault.Code) (status int, code, generic string) {
	switch c {
	case fault.Syntax, fault.InvalidDefinition:
		return 400, "INVALID_SQL", "SQL statement is invalid or not allowed"
	case fault.PermissionDenied:
		return 403, "PERMISSION_DENIED", ""
	case fault.ServerBusy, fault.DiskFull, fault.ReadOnly, fault.ShuttingDown:
		return 503, string(c), ""
	case fault.Conflict:
		return 409, string(c), ""
	case fault.Internal:
		return 500, "INTERNAL_ERROR", "SQL request failed"
	case fault.EmptySQL, fault.InvalidInput, fault.FileTooLarge, fault.TooManyFiles, fault.MissingFile, fault.ExtraFile, fault.InvalidMIMEType, fault.InvalidParameter, fault.ParamsWithBatch:
		return 400, string(c), ""
	case fault.BatchParseError:
		return 400, "BATCH_PARSE_ERROR", "Failed to parse SQL batch"
	}
	return 400, "SQL_EXECUTION_ERROR", "SQL statement failed"
}

// flush starts the job and waits for its end.
func (r *remote) flush(namespace, table string) error {
	out := r.execute(root, "default", "STORAGE FLUSH TABLE "+namespace+"."+table)
	if out.err != nil {
		return errors.New(out.err.sentence)
	}
	_, id, found := strings.Cut(out.results[0].message, "Job ID: ")
	if !found {
		return nil // nothing to flush
	}
	deadline := time.Now().Add(frameBound)
	for {
		job := r.execute(root, "default", "SELECT status, message FROM system.jobs WHERE job_id = '"+id+"'")
		if job.err != nil {
			return errors.New(job.err.sentence)
		}
		switch status := job.results[0].rows[0][0]; status {
		case "completed", "skipped":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("flush %s: %s", status, job.results[0].rows[0][1])
		}
		if time.Now().After(deadline) {
			return errors.New("the flush did not end")
		}
	}
}

func (r *remote) restart(bool) error {
	r.close()
	return r.start()
}

func (r *remote) advance(d time.Duration) error {
	r.clock.Advance(d)
	return nil
}

func (r *remote) userTables() []string { return nil }

func (r *remote) close() {
	r.client.CloseIdleConnections()
	r.cancel()
	<-r.done
}

func (r *remote) connect(a account) (connection, error) {
	dialer := ws.Dialer{Header: ws.HandshakeHeaderHTTP(http.Header{"Authorization": {"Bearer " + r.token(a)}})}
	conn, reader, _, err := dialer.Dial(r.ctx, "ws"+strings.TrimPrefix(r.url, "http")+"/v1/ws")
	if err != nil {
		return nil, err
	}
	c := &remoteConnection{conn: conn, source: conn}
	if reader != nil {
		c.source = reader
	}
	text, err := c.receive()
	if err != nil {
		return nil, err
	}
	if !strings.Contains(string(text), "auth_success") {
		return nil, fmt.Errorf("first frame is %s", text)
	}
	return c, nil
}

// remoteConnection is a real WebSocket.
type remoteConnection struct {
	conn   net.Conn
	source io.Reader
}

func (c *remoteConnection) send(message string) error {
	return wsutil.WriteClientText(c.conn, []byte(message))
}

func (c *remoteConnection) receive() ([]byte, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(frameBound)); err != nil {
		return nil, err
	}
	for {
		text, op, err := wsutil.ReadServerData(struct {
			io.Reader
			io.Writer
		}{c.source, c.conn})
		if err != nil {
			return nil, err
		}
		if op == ws.OpBinary {
			z, err := gzip.NewReader(bytes.NewReader(text))
			if err != nil {
				return nil, err
			}
			return io.ReadAll(z)
		}
		return text, nil
	}
}

func (c *remoteConnection) close() { _ = c.conn.Close() }
