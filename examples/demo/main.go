// Command demo shows KalamDB's main job on real data: it starts a server on a
// fresh directory, lets three users, an administrator and a sensor load open
// data sets over HTTP while client processes follow live queries, kills the
// server with SIGKILL in mid-load, starts it again, and proves that every
// acknowledged row is there, that each user sees only his own, and that each
// follower holds exactly the table.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	kalam "kalamdb/sdk/go"
)

// password is that of every account of the demo.
const password = "Demo-data-2026"

// users own the partitions of the USER table.
var users = []string{"alice", "bob", "carol"}

func main() {
	bin := flag.String("bin", "bin", "folder of the built binaries")
	rounds := flag.Int("rounds", 1, "how often the server is killed and resumed")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of the changes and of the moment of the kill")
	keep := flag.Bool("keep", false, "keep the data directory")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *bin, *rounds, *seed, *keep); err != nil {
		fmt.Fprintf(os.Stderr, "demo: FAILED (seed %d): %v\n", *seed, err)
		stop()
		os.Exit(1)
	}
}

// demo is the state of one run.
type demo struct {
	ctx       context.Context // ends with the run
	bin, dir  string
	server    *server
	root      *kalam.Client
	clients   map[string]*kalam.Client
	followers []*follower
	expected  *expectation
	seed      uint64
}

func run(ctx context.Context, bin string, rounds int, seed uint64, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "kalamdb-demo-")
	if err != nil {
		return err
	}
	if keep {
		fmt.Printf("data directory: %s\n", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	d := &demo{ctx: ctx, bin: bin, dir: dir, clients: map[string]*kalam.Client{}, expected: newExpectation(), seed: seed}
	defer d.end()
	for _, step := range []func() error{d.start, d.define, d.follow, d.load} {
		if err := step(); err != nil {
			return err
		}
	}
	for round := 1; round <= rounds; round++ {
		if err := d.killAndResume(round); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	if err := d.report(); err != nil {
		return err
	}
	fmt.Printf("\nPASS: nothing acknowledged was lost, nobody saw another's rows, and every\nfollower holds exactly its table after %d kill(s).\n", rounds)
	return nil
}

// start runs the server on an empty directory.
func (d *demo) start() error {
	s, err := newServer(filepath.Join(d.bin, "kalamdb"), filepath.Join(d.dir, "data"))
	if err != nil {
		return err
	}
	d.server = s
	took, err := s.start(d.ctx)
	if err != nil {
		return err
	}
	fmt.Printf("server       started on %s in %d ms, empty directory\n", s.url, took.Milliseconds())
	fmt.Printf("             limits raised for loading: %s\n", raisedLimits)
	for _, name := range append([]string{"root"}, users...) {
		c, err := kalam.New(kalam.Options{URL: s.url, User: name, Password: password})
		if err != nil {
			return err
		}
		d.clients[name] = c
	}
	d.root = d.clients["root"]
	return nil
}

// define makes the accounts and the three kinds of tables.
func (d *demo) define() error {
	for _, sql := range []string{
		`CREATE NAMESPACE demo`,
		`CREATE USER 'alice' WITH PASSWORD '` + password + `' ROLE user`,
		`CREATE USER 'bob' WITH PASSWORD '` + password + `' ROLE user`,
		`CREATE USER 'carol' WITH PASSWORD '` + password + `' ROLE user`,
		`CREATE USER TABLE demo.weather (day DATE PRIMARY KEY, precipitation DECIMAL(5,1), temp_max DOUBLE, temp_min DOUBLE, wind DOUBLE, weather TEXT NOT NULL)`,
		`CREATE SHARED TABLE demo.country (code TEXT, lang TEXT, name TEXT NOT NULL, also TEXT, PRIMARY KEY (code, lang)) WITH (ACCESS_LEVEL = 'PUBLIC')`,
		`CREATE STREAM TABLE demo.sighting (id BIGINT, species TEXT, island TEXT, beak_mm DOUBLE, mass_g INT, sex TEXT) WITH (TTL_SECONDS = 86400)`,
	} {
		if _, err := d.root.Query(d.ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	fmt.Println("tables       demo.weather (USER), demo.country (SHARED), demo.sighting (STREAM)")
	return nil
}

// follow starts a client process for each live query.
func (d *demo) follow() error {
	add := func(user, table, sql string, key ...string) error {
		f, err := startFollower(d.ctx, filepath.Join(d.bin, "kalam"), d.server.url, user, table, sql, key)
		if err != nil {
			return err
		}
		d.followers = append(d.followers, f)
		return f.waitReady(d.ctx)
	}
	for _, user := range users {
		if err := add(user, "demo.weather", `SELECT * FROM demo.weather`, "day"); err != nil {
			return err
		}
	}
	if err := add("alice", "demo.weather", `SELECT day, weather FROM demo.weather WHERE weather = 'snow'`, "day"); err != nil {
		return err
	}
	if err := add("bob", "demo.country", `SELECT * FROM demo.country WHERE lang = 'ja'`, "code", "lang"); err != nil {
		return err
	}
	if err := add("carol", "demo.country", `SELECT * FROM demo.country`, "code", "lang"); err != nil {
		return err
	}
	if err := add("root", "demo.sighting", `SELECT id, species, island, beak_mm, mass_g, sex FROM demo.sighting`, "id"); err != nil {
		return err
	}
	fmt.Printf("followers    %d processes of `kalam live`, each its own socket\n", len(d.followers))
	return nil
}

// end stops the followers and the server.
func (d *demo) end() {
	for _, f := range d.followers {
		f.stop()
	}
	if d.server != nil {
		d.server.stop()
	}
}
