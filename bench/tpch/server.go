package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// answer is what one side says to a query.
type answer struct {
	rows [][]any
	took time.Duration
}

// server is a KalamDB that runs for the comparison.
type server struct {
	cmd   *exec.Cmd
	url   string
	token string
}

// namespace holds the tables.
const namespace = "tpch"

// batchBytes is how long a statement with rows gets; a text may have 1 MiB.
const batchBytes = 900 << 10

func startServer(ctx context.Context, o *options) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return nil, err
	}
	password := fmt.Sprintf("tpch-%d-%d", os.Getpid(), time.Now().UnixNano())
	s := &server{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	s.cmd = exec.CommandContext(ctx, o.binary, "--set", fmt.Sprintf("server.port=%d", port),
		"--set", "storage.data_path="+filepath.Join(o.dir, "data"))
	s.cmd.Dir = o.dir
	s.cmd.Env = append(os.Environ(), "KALAMDB_ROOT_PASSWORD="+password)
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	log, err := os.Create(filepath.Join(o.dir, "server.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	login, err := json.Marshal(map[string]string{"user": "root", "password": password})
	if err != nil {
		return nil, err
	}
	for range 300 {
		var reply struct {
			Token string `json:"access_token"`
		}
		if err = s.post(ctx, "/v1/api/auth/login", login, &reply); err == nil {
			s.token = reply.Token
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	s.stop()
	return nil, fmt.Errorf("the server does not answer, see server.log: %w", err)
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// post sends JSON and decodes the answer, numbers as they are written.
func (s *server) post(ctx context.Context, path string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 2000))
		return fmt.Errorf("%s: %s", response.Status, text)
	}
	decoder := json.NewDecoder(response.Body)
	decoder.UseNumber()
	return decoder.Decode(into)
}

// ask runs a statement.
func (s *server) ask(ctx context.Context, sql string) (answer, error) {
	body, err := json.Marshal(map[string]string{"sql": sql, "namespace_id": namespace})
	if err != nil {
		return answer{}, err
	}
	var reply struct {
		Results []struct {
			Rows [][]any `json:"rows"`
		} `json:"results"`
	}
	start := time.Now()
	if err := s.post(ctx, "/v1/api/sql", body, &reply); err != nil {
		return answer{}, err
	}
	if len(reply.Results) != 1 {
		return answer{}, fmt.Errorf("%d results", len(reply.Results))
	}
	return answer{reply.Results[0].Rows, time.Since(start)}, nil
}

// fill makes the tables and inserts the generated rows. It returns how many.
func (s *server) fill(ctx context.Context, schema []string, folder string) (int, error) {
	if _, err := s.ask(ctx, "CREATE NAMESPACE "+namespace); err != nil {
		return 0, err
	}
	total := 0
	for _, statement := range schema {
		if _, err := s.ask(ctx, statement); err != nil {
			return 0, err
		}
		table := strings.Fields(statement)[2]
		n, err := s.insert(ctx, table, filepath.Join(folder, table+".csv"))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", table, err)
		}
		total += n
	}
	return total, nil
}

// insert loads one file, a statement of many rows after the other.
func (s *server) insert(ctx context.Context, table, path string) (int, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	rows := csv.NewReader(file)
	if _, err := rows.Read(); err != nil { // the names of the columns
		return 0, err
	}
	begin := "INSERT INTO " + table + " VALUES "
	n, text := 0, []byte(begin)
	flush := func() error {
		if len(text) == len(begin) {
			return nil
		}
		_, err := s.ask(ctx, string(text[:len(text)-1]))
		text = text[:len(begin)]
		return err
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return n, flush()
		}
		if err != nil {
			return n, err
		}
		text = append(text, '(')
		for i, cell := range row {
			if i > 0 {
				text = append(text, ',')
			}
			text = append(text, '\'')
			text = append(text, strings.ReplaceAll(cell, "'", "''")...)
			text = append(text, '\'')
		}
		text = append(text, "),"...)
		if n++; len(text) > batchBytes {
			if err := flush(); err != nil {
				return n, err
			}
		}
	}
}
