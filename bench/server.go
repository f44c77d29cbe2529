package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"kalamdb/bench/proc"
)

const (
	password = "Bench-secret-1"
	apiBound = 60 * time.Second // of one request outside of the load client
)

// server is a KalamDB process with a token of root.
type server struct {
	*proc.Process
	Dir   string
	Token string
}

// raised are the limits that would measure themselves; all else is default.
var raised = []string{
	"rate_limit.max_queries_per_sec=1000000000",
	"rate_limit.max_messages_per_sec=1000000000",
	"rate_limit.max_requests_per_ip_per_sec=1000000000",
	"rate_limit.max_auth_requests_per_ip_per_sec=1000000000",
	"rate_limit.max_connections_per_ip=100000",
	"rate_limit.max_subscriptions_per_user=1000000000",
	"websocket.max_subscriptions_per_connection=1000000000",
}

// kalam returns the KalamDB that scenarios share, started on first use.
func (b *bench) kalam(ctx context.Context) (*server, error) {
	if b.server != nil {
		return b.server, nil
	}
	s, err := b.startKalam(ctx, filepath.Join(b.data, "kalamdb-data"))
	if err != nil {
		return nil, err
	}
	if _, err := s.sql(ctx, "CREATE NAMESPACE bench"); err != nil {
		return nil, err
	}
	b.server = s
	return s, nil
}

// startKalam starts a KalamDB of its own on a data directory and logs in. Keys
// of the configuration can be set as section.key=value.
func (b *bench) startKalam(ctx context.Context, dir string, set ...string) (*server, error) {
	s := &server{Dir: dir}
	var err error
	if s.Process, err = b.start(ctx, "kalamdb", b.kalamCommand(dir, set...), listening); err != nil {
		return nil, err
	}
	s.Token, err = s.login(ctx)
	return s, err
}

func (b *bench) kalamCommand(dir string, set ...string) *exec.Cmd {
	args := []string{"--set", "server.port=0", "--set", "storage.data_path=" + dir}
	for _, s := range append(raised, set...) {
		args = append(args, "--set", s)
	}
	command := exec.Command(b.binary, args...)
	command.Dir = b.data
	command.Env = append(os.Environ(), "KALAMDB_AUTH_ROOT_PASSWORD="+password)
	return command
}

func (s *server) login(ctx context.Context) (string, error) {
	var answer struct {
		Token string `json:"access_token"`
	}
	err := s.post(ctx, "/v1/api/auth/login", map[string]string{"user": "root", "password": password}, &answer)
	if err == nil && answer.Token == "" {
		err = errors.New("login gave no token")
	}
	return answer.Token, err
}

// sql runs statements as root and returns the rows of the last one.
func (s *server) sql(ctx context.Context, text string) ([][]any, error) {
	var answer struct {
		Status string `json:"status"`
		Error  *struct {
			Message string `json:"message"`
		} `json:"error"`
		Results []struct {
			Rows [][]any `json:"rows"`
		} `json:"results"`
	}
	if err := s.post(ctx, "/v1/api/sql", map[string]string{"sql": text}, &answer); err != nil {
		return nil, fmt.Errorf("run %.80q: %w", text, err)
	}
	if answer.Status != "success" || len(answer.Results) == 0 {
		return nil, fmt.Errorf("run %.80q: %s %+v", text, answer.Status, answer.Error)
	}
	return answer.Results[len(answer.Results)-1].Rows, nil
}

// number is sql for a statement with one integer as its answer.
func (s *server) number(ctx context.Context, text string) (int64, error) {
	rows, err := s.sql(ctx, text)
	if err != nil {
		return 0, err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return 0, fmt.Errorf("%q answers %v", text, rows)
	}
	var n int64
	if _, err := fmt.Sscan(fmt.Sprint(rows[0][0]), &n); err != nil {
		return 0, fmt.Errorf("%q answers %v", text, rows)
	}
	return n, nil
}

func (s *server) post(ctx context.Context, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, apiBound)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.Addr+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if s.Token != "" {
		r.Header.Set("Authorization", "Bearer "+s.Token)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if text, err = io.ReadAll(response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d: %.300s", path, response.StatusCode, text)
	}
	return json.Unmarshal(text, answer)
}
