package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	kalam "kalamdb/sdk/go"
)

//go:embed data
var data embed.FS

// writersPerUser is how many statements each user has in flight.
const writersPerUser = 4

// statement is one write and what its acknowledgement proves.
type statement struct {
	user   string
	sql    string
	params []any
	effect func(*expectation)
}

// weather returns the inserts of the USER table: a third of the days for each
// user.
func weather() ([]statement, error) {
	text, err := data.ReadFile("data/seattle-weather.csv")
	if err != nil {
		return nil, err
	}
	records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, err
	}
	var all []statement
	for i, r := range records[1:] {
		user := users[i%len(users)]
		day := r[0]
		all = append(all, statement{
			user:   user,
			sql:    `INSERT INTO demo.weather (day, precipitation, temp_max, temp_min, wind, weather) VALUES ($1, $2, $3, $4, $5, $6)`,
			params: []any{day, r[1], number(r[2]), number(r[3]), number(r[4]), r[5]},
			effect: func(e *expectation) { e.put("demo.weather", user, dayNumber(day), r[5]) },
		})
	}
	return all, nil
}

func number(text string) any {
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return f
	}
	return nil
}

// dayNumber is a date as it travels: days since 1970-01-01.
func dayNumber(day string) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	return strconv.FormatInt(t.Unix()/86400, 10)
}

// countries returns the inserts of the SHARED table.
func countries() ([]statement, error) {
	var rows []struct {
		Code, Lang, Name string
		Also             *string
	}
	if err := decode("data/countries.json", &rows); err != nil {
		return nil, err
	}
	var all []statement
	for _, r := range rows {
		var also any
		if r.Also != nil {
			also = *r.Also
		}
		all = append(all, statement{
			user:   "root",
			sql:    `INSERT INTO demo.country VALUES ($1, $2, $3, $4)`,
			params: []any{r.Code, r.Lang, r.Name, also},
			effect: func(e *expectation) { e.put("demo.country", "", quoted(r.Code)+" "+quoted(r.Lang), r.Name) },
		})
	}
	return all, nil
}

func quoted(text string) string { return `"` + text + `"` }

// sightings returns the inserts of the STREAM table.
func sightings() ([]statement, error) {
	var rows []map[string]any
	if err := decode("data/penguins.json", &rows); err != nil {
		return nil, err
	}
	var all []statement
	for i, r := range rows {
		all = append(all, statement{
			user:   "root",
			sql:    `INSERT INTO demo.sighting (id, species, island, beak_mm, mass_g, sex) VALUES ($1, $2, $3, $4, $5, $6)`,
			params: []any{i, r["Species"], r["Island"], r["Beak Length (mm)"], r["Body Mass (g)"], r["Sex"]},
			effect: func(e *expectation) {
				e.put("demo.sighting", "root", quoted(strconv.Itoa(i)), fmt.Sprint(r["Species"]))
			},
		})
	}
	return all, nil
}

func decode(name string, rows any) error {
	text, err := data.ReadFile(name)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, rows)
}

// load imports the data sets.
func (d *demo) load() error {
	for _, set := range []struct {
		what string
		make func() ([]statement, error)
	}{
		{"seattle-weather → demo.weather, by three users", weather},
		{"country names → demo.country", countries},
		{"penguins → demo.sighting", sightings},
	} {
		all, err := set.make()
		if err != nil {
			return err
		}
		begin := time.Now()
		if n := d.write(d.ctx, all, nil); n != int64(len(all)) {
			return fmt.Errorf("%s: %d of %d rows were acknowledged", set.what, n, len(all))
		}
		took := time.Since(begin)
		fmt.Printf("loaded       %5d rows in %5.2f s, %6.0f rows/s: %s\n", len(all), took.Seconds(), float64(len(all))/took.Seconds(), set.what)
	}
	return d.verify()
}

// write sends statements, those of one user in order per key's lane, and notes
// the acknowledged ones. It returns how many were acknowledged. answered, if
// not nil, is called after each answer.
func (d *demo) write(ctx context.Context, all []statement, answered func(int64)) int64 {
	lanes := map[string]chan statement{}
	var wait sync.WaitGroup
	var acknowledged atomic.Int64
	for _, user := range append([]string{"root"}, users...) {
		lane := make(chan statement, 64)
		lanes[user] = lane
		for range writersPerUser {
			wait.Go(func() {
				for s := range lane {
					if d.send(ctx, s) {
						n := acknowledged.Add(1)
						if answered != nil {
							answered(n)
						}
					}
				}
			})
		}
	}
	for _, s := range all {
		lanes[s.user] <- s
	}
	for _, lane := range lanes {
		close(lane)
	}
	wait.Wait()
	return acknowledged.Load()
}

// send runs one statement. A statement whose answer is lost with the server
// may or may not have happened; the expectation knows it as such.
func (d *demo) send(ctx context.Context, s statement) bool {
	d.expected.begin(s)
	_, err := d.clients[s.user].Query(ctx, s.sql, s.params...)
	var refused *kalam.Error
	switch {
	case err == nil:
		d.expected.acknowledge(s)
		return true
	case errors.As(err, &refused) && refused.Status != 503:
		d.expected.fail(fmt.Errorf("%s %v: %w", s.sql, s.params, err))
	}
	return false
}

// changes makes a mix of inserts, updates and deletes for one round. Each key
// is written once, so that the order of the writers does not matter.
func (d *demo) changes(round int) []statement {
	random := rand.New(rand.NewPCG(d.seed, uint64(round)))
	var all []statement
	for _, user := range users {
		for i, key := range d.expected.keys("demo.weather", user) {
			days, err := strconv.Atoi(key)
			if err != nil {
				continue
			}
			day := time.Unix(int64(days)*86400, 0).UTC().Format(time.DateOnly)
			switch random.IntN(4) {
			case 0:
				all = append(all, statement{user: user, sql: `DELETE FROM demo.weather WHERE day = $1`, params: []any{day},
					effect: func(e *expectation) { e.remove("demo.weather", user, key) }})
			case 1, 2:
				word := []string{"snow", "rain", "fog", "sun"}[random.IntN(4)] + "-" + strconv.Itoa(round)
				word = strings.TrimSuffix(word, "-"+strconv.Itoa(i%2*round))
				all = append(all, statement{user: user, sql: `UPDATE demo.weather SET weather = $1 WHERE day = $2`, params: []any{word, day},
					effect: func(e *expectation) { e.put("demo.weather", user, key, word) }})
			}
		}
		for i := range 200 {
			day := time.Date(2030+round, 1, 1+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
			all = append(all, statement{user: user, sql: `INSERT INTO demo.weather (day, precipitation, weather) VALUES ($1, $2, 'snow')`, params: []any{day, "0.5"},
				effect: func(e *expectation) { e.put("demo.weather", user, dayNumber(day), "snow") }})
		}
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// killAndResume kills the server in mid-load, starts it again and compares.
func (d *demo) killAndResume(round int) error {
	all := d.changes(round)
	random := rand.New(rand.NewPCG(d.seed, uint64(round)<<32))
	after := int64(len(all)/4 + random.IntN(len(all)/2))
	killed := make(chan error, 1)
	var once sync.Once
	n := d.write(d.ctx, all, func(n int64) {
		if n >= after {
			once.Do(func() { killed <- d.server.kill() })
		}
	})
	if err := <-killed; err != nil {
		return fmt.Errorf("kill the server: %w", err)
	}
	if err := d.expected.failure(); err != nil {
		return err
	}
	took, err := d.server.start(d.ctx)
	if err != nil {
		return err
	}
	fmt.Printf("round %-2d     SIGKILL after %d of %d changes were acknowledged; restarted in %d ms\n", round, n, len(all), took.Milliseconds())
	return d.verify()
}
