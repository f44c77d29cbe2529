package live_test

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kalamdb/internal/auth"
	"kalamdb/internal/cold"
	"kalamdb/internal/core"
	"kalamdb/internal/core/live"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
)

const dataDir = "data"

// database is a database on a disk in memory.
type database struct {
	*core.DB
	t     testing.TB
	fs    disk.FS
	clock *clock
	close func()
}

// openDB opens one that ends with the test.
func openDB(t testing.TB, fs disk.FS, turned *clock, change func(*core.Options)) *database {
	t.Helper()
	s, err := store.Open(store.Options{FS: fs, Dir: dataDir, Now: turned.Now, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	passwords, err := auth.NewPasswords(auth.PasswordOptions{Cost: 4})
	if err != nil {
		t.Fatal(err)
	}
	tier := cold.New(cold.Options{FS: fs, DataDir: dataDir})
	o := core.Options{
		Store: s, Cold: tier, Passwords: passwords, Now: turned.Now, Logger: slog.New(slog.DiscardHandler),
		Live: live.Options{MaxPerUser: 1000},
	}
	if change != nil {
		change(&o)
	}
	db, err := core.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- db.Run(ctx) }()
	<-db.Ready()
	d := &database{DB: db, t: t, fs: fs, clock: turned}
	d.close = func() {
		if stop == nil {
			return
		}
		db.Hub().Close()
		stop()
		stop = nil
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := tier.Close(); err != nil {
			t.Errorf("close the cold tier: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	}
	t.Cleanup(d.close)
	return d
}

// session returns a session of a user; "root" has the role system, names that
// begin with "dba" and "service" the role of that name.
func session(user string) *auth.Session {
	s := &auth.Session{UserID: schema.UserID(user), Actor: schema.UserID(user), Role: schema.RoleUser}
	switch {
	case user == "root":
		s.Role = schema.RoleSystem
	case strings.HasPrefix(user, "dba"):
		s.Role = schema.RoleDBA
	case strings.HasPrefix(user, "service"):
		s.Role = schema.RoleService
	}
	return s
}

// try runs SQL as a user.
func (d *database) try(user, sql string) error {
	results, err := d.Execute(context.Background(), session(user), core.Request{SQL: sql})
	for _, r := range results {
		r.Close()
	}
	return err
}

// exec runs SQL that must succeed.
func (d *database) exec(user, sql string) {
	d.t.Helper()
	if err := d.try(user, sql); err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
}

// rows runs a SELECT and returns its cells, "NULL" for NULL.
func (d *database) rows(user, sql string) [][]string {
	d.t.Helper()
	results, err := d.Execute(context.Background(), session(user), core.Request{SQL: sql})
	if err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
	var all [][]string
	for {
		batch, err := results[0].Next(context.Background())
		if err != nil {
			d.t.Fatalf("%s: %v", sql, err)
		}
		if batch == nil {
			break
		}
		for _, values := range batch {
			row := make([]string, len(values))
			for i, v := range values {
				row[i] = v.String()
			}
			all = append(all, row)
		}
	}
	results[0].Close()
	return all
}

// settle waits until the hub has handed out all that was committed.
func (d *database) settle() {
	for !d.Hub().Idle() {
		runtime.Gosched()
	}
}

// connect opens a connection of a user.
func (d *database) connect(id, user string, features ...string) *client {
	o := core.LiveConnOptions{ID: id, User: schema.UserID(user), Encoder: textFrames{}}
	for _, f := range features {
		o.Lagging = o.Lagging || f == "lagging"
		o.Commits = o.Commits || f == "commits"
	}
	ready := make(chan struct{}, 1)
	o.Ready = func() {
		select {
		case ready <- struct{}{}:
		default:
		}
	}
	return &client{db: d, user: user, ready: ready, conn: d.Hub().Connect(o)}
}

// client is a connection and its user.
type client struct {
	db   *database
	user string
	// ready holds a token when there may be something to take.
	ready chan struct{}
	conn  *core.LiveConn
}

// subscribe opens a subscription; the error is the refusal.
func (c *client) subscribe(id, sql string, o *core.LiveSnapshot, params ...datum.Value) error {
	return c.db.Subscribe(context.Background(), session(c.user), c.conn, core.LiveRequest{ID: id, SQL: sql, Params: params, Options: o})
}

// take returns all frames that are due.
func (c *client) take() []string {
	var lines []string
	for {
		c.db.settle()
		if !c.conn.Waiting() {
			return lines
		}
		frames, err := c.conn.Take(context.Background(), nil, 1<<20)
		if err != nil {
			return append(lines, "closed")
		}
		for _, f := range frames {
			lines = append(lines, string(f.Head)+string(f.Body))
		}
	}
}

// textFrames writes frames as lines for people.
type textFrames struct{}

func (textFrames) AppendAck(dst []byte, a *core.LiveAck) []byte {
	names := make([]string, len(a.Columns))
	for i, c := range a.Columns {
		names[i] = c.Name
	}
	dst = fmt.Appendf(dst, "ack %s", a.ID)
	dst = fmt.Appendf(appendControl(dst, a.Control), " columns=%s", strings.Join(names, ","))
	if a.Result {
		var key []string
		for _, c := range a.Columns {
			if c.PrimaryKey {
				key = append(key, c.Name)
			}
		}
		dst = fmt.Appendf(dst, " result key=%s", strings.Join(key, ","))
	}
	return dst
}

func appendControl(dst []byte, c core.LiveBatchControl) []byte {
	dst = fmt.Appendf(dst, " %d %s", c.Number, c.Status)
	if c.HasMore {
		dst = append(dst, " more"...)
	}
	if c.HasLast {
		dst = fmt.Appendf(dst, " last=#%d", c.LastSeq)
	}
	return dst
}

func (textFrames) AppendRow(dst []byte, r *core.LiveRow) ([]byte, error) {
	for i, name := range r.Names {
		v := r.Values[i].String()
		if name == "_seq" {
			v = "#" + v
		}
		dst = fmt.Appendf(dst, " %s=%s", name, v)
	}
	return dst, nil
}

func (textFrames) AppendBatch(dst []byte, b *core.LiveBatch) []byte {
	dst = appendControl(fmt.Appendf(dst, "batch %s", b.ID), b.Control)
	start := 0
	for _, end := range b.Ends {
		dst = append(append(dst, "\n "...), b.Rows[start:end]...)
		start = end
	}
	return dst
}

func (textFrames) AppendHead(dst []byte, id string) []byte { return fmt.Appendf(dst, "%s: ", id) }

func (e textFrames) AppendBody(dst []byte, c *core.LiveChange) ([]byte, error) {
	dst = append(dst, c.Kind...)
	if c.Row != nil {
		dst, _ = e.AppendRow(dst, c.Row)
	}
	if c.Old != nil {
		dst = append(dst, " |"...)
		dst, _ = e.AppendRow(dst, c.Old)
	}
	return dst, nil
}

func (textFrames) AppendError(dst []byte, id string, err error) []byte {
	return fmt.Appendf(dst, "error %s %s: %s", id, fault.CodeOf(err), fault.Of(err).Sentence())
}

func (textFrames) AppendNotice(dst []byte, n *core.LiveNotice) []byte {
	return fmt.Appendf(dst, "%s %s #%d", n.Kind, n.ID, n.Position)
}

// positions names positions by the order in which they are met, because the
// real ones depend on the clock.
type positions struct{ names map[string]string }

var positionText = regexp.MustCompile(`#\d+|position \d+|one, \d+|from \d+ on`)

func (p *positions) name(text string) string {
	if p.names == nil {
		p.names = make(map[string]string)
	}
	return positionText.ReplaceAllStringFunc(text, func(found string) string {
		digits := strings.Trim(found, "abcdefghijklmnopqrstuvwxyz #,")
		name, ok := p.names[digits]
		if !ok {
			name = "#" + strconv.Itoa(len(p.names)+1)
			p.names[digits] = name
		}
		return strings.Replace(strings.Replace(found, "#"+digits, digits, 1), digits, name, 1)
	})
}

// clock is turned by hand.
type clock struct{ micros atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.micros.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixMicro())
	return c
}

// Now returns what the clock shows.
func (c *clock) Now() time.Time { return time.UnixMicro(c.micros.Load()) }

// Advance turns the clock.
func (c *clock) Advance(d time.Duration) { c.micros.Add(d.Microseconds()) }
