package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"

	"kalamdb/bench/load"
	"kalamdb/bench/sql"
)

// postgresPrograms is where Debian's package has the programs of version 15.
const postgresPrograms = "/usr/lib/postgresql/15/bin"

// errNoPostgres says how to get the server.
var errNoPostgres = errors.New("PostgreSQL 15 is not installed; apt-get install postgresql-15 brings it")

var postgresReady = regexp.MustCompile(`(database system is ready to accept connections)`)

// postgres is a server with the settings it comes with, fsync among them.
type postgres struct {
	dir     string
	address string
	client  string // program that runs jobs
	version string
}

// startPostgres makes a cluster and starts it. PostgreSQL refuses to run as root,
// so root runs it as the user of the package.
func (b *bench) startPostgres(ctx context.Context) (*postgres, error) {
	program, err := exec.LookPath(filepath.Join(postgresPrograms, "postgres"))
	if err != nil {
		if program, err = exec.LookPath("postgres"); err != nil {
			return nil, errNoPostgres
		}
	}
	p := &postgres{client: filepath.Join(b.data, "postgres-client")}
	build := exec.CommandContext(ctx, "go", "build", "-o", p.client, ".")
	build.Dir = filepath.Join("bench", "peers", "postgres")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build in %s: %w: %.500s", build.Dir, err, text)
	}
	if p.dir, err = os.MkdirTemp(b.dir, "kalamdb-bench-postgres-"); err != nil {
		return nil, err
	}
	as, err := p.owner()
	if err != nil {
		return nil, err
	}
	version := exec.CommandContext(ctx, program, "--version")
	if text, err := version.Output(); err == nil {
		p.version = string(text[:max(len(text)-1, 0)])
	}
	make := exec.CommandContext(ctx, filepath.Join(filepath.Dir(program), "initdb"), "-D", filepath.Join(p.dir, "data"), "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
	make.SysProcAttr, make.Dir = as, p.dir
	if text, err := make.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %.500s", err, text)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	command := exec.Command(program, "-D", filepath.Join(p.dir, "data"), "-k", p.dir, "-c", "listen_addresses=127.0.0.1", "-p", port, "-c", "max_connections=200")
	command.SysProcAttr, command.Dir = as, p.dir
	command.Env = append(os.Environ(), "LC_MESSAGES=C")
	if _, err := b.start(ctx, "postgres", command, postgresReady); err != nil {
		return nil, err
	}
	p.address = "host=127.0.0.1 port=" + port + " user=bench dbname=postgres sslmode=disable"
	return p, nil
}

// owner hands the directory to the user of the package where we are root.
func (p *postgres) owner() (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoPostgres, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, os.Chown(p.dir, uid, gid)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// run runs a job in PostgreSQL, in pieces of one connection or more.
func (p *postgres) run(ctx context.Context, connections int, statements []sql.Statement) (sql.Result, error) {
	return load.Remote[sql.Job, sql.Result](ctx, exec.CommandContext(ctx, p.client),
		sql.Job{Address: p.address, Connection: connections, Statements: slices.Clone(statements)})
}

// remove removes the cluster; the server is stopped before.
func (p *postgres) remove() error { return os.RemoveAll(p.dir) }
