// Command pocketbase runs PocketBase, used as a library, as a peer of the
// benchmark: the same operations on a collection of the same shape, over its
// own REST interface.
//
// The settings are PocketBase's own but for what is a flag here. By default it
// syncs no commit (SQLite in WAL mode with synchronous=NORMAL), and it logs
// each request to a second database. With -sync=full every commit is synced,
// with -logs=false no request is logged. The rules of the collection let
// everybody in, which spares each request a token.
//
// When it answers it prints one line: ready, its address, and the
// settings in force.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/pocketbase/dbx"
	"github.com/pocketbase/pocketbase"
	"github.com/pocketbase/pocketbase/apis"
	"github.com/pocketbase/pocketbase/core"
	"github.com/pocketbase/pocketbase/tools/types"
	_ "modernc.org/sqlite"
)

// collection is where the rows of the benchmark are: id, v and n.
const collection = "bench"

// pragmas are those of core.DefaultDBConnect; SYNC stands for its NORMAL.
const pragmas = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=journal_size_limit(200000000)" +
	"&_pragma=synchronous(SYNC)&_pragma=foreign_keys(ON)&_pragma=temp_store(MEMORY)&_pragma=cache_size(-32000)&_defensive=1"

func main() {
	dir := flag.String("dir", "", "directory of the data; required")
	addr := flag.String("addr", "127.0.0.1:0", "address to listen on")
	sync := flag.String("sync", "normal", "synchronous of SQLite: normal or full")
	logs := flag.Bool("logs", true, "log each request, as PocketBase does by default")
	flag.Parse()
	if err := run(*dir, *addr, *sync, *logs); err != nil {
		fmt.Fprintln(os.Stderr, "pocketbase:", err)
		os.Exit(1)
	}
}

// run serves until the process is killed.
func run(dir, addr, sync string, logs bool) error {
	if dir == "" {
		return errors.New("-dir is required")
	}
	config := pocketbase.Config{HideStartBanner: true, DefaultDataDir: dir}
	switch sync {
	case "normal":
	case "full":
		config.DBConnect = connectFull
	default:
		return fmt.Errorf("-sync=%s: expected normal or full", sync)
	}
	app := pocketbase.NewWithConfig(config)
	if err := app.Bootstrap(); err != nil {
		return fmt.Errorf("bootstrap in %s: %w", dir, err)
	}
	app.OnServe().BindFunc(func(e *core.ServeEvent) error {
		e.InstallerFunc = nil // it would open a browser
		if err := prepare(e.App, logs); err != nil {
			return err
		}
		listener, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		e.Listener = listener
		if err := e.Next(); err != nil {
			return err
		}
		mode, err := synchronous(e.App)
		if err != nil {
			return err
		}
		// The listener queues who connects before the server accepts.
		fmt.Printf("ready %s version=%s synchronous=%s logs=%t\n", listener.Addr(), version(), mode, logs)
		return nil
	})
	return apis.Serve(app, apis.ServeConfig{HttpAddr: addr})
}

// connectFull opens a database that syncs each commit.
func connectFull(path string) (*dbx.DB, error) {
	return dbx.Open("sqlite", path+strings.Replace(pragmas, "SYNC", "FULL", 1))
}

// prepare makes the collection where it is not there yet.
func prepare(app core.App, logs bool) error {
	if !logs {
		app.Settings().Logs.MaxDays = 0
		if err := app.Save(app.Settings()); err != nil {
			return fmt.Errorf("switch off logs: %w", err)
		}
	}
	if _, err := app.FindCollectionByNameOrId(collection); err == nil {
		return nil
	}
	c := core.NewBaseCollection(collection)
	c.Fields.Add(&core.TextField{Name: "v"}, &core.NumberField{Name: "n", OnlyInt: true})
	anybody := types.Pointer("")
	c.ListRule, c.ViewRule, c.CreateRule, c.UpdateRule, c.DeleteRule = anybody, anybody, anybody, anybody, anybody
	if err := app.Save(c); err != nil {
		return fmt.Errorf("create collection %s: %w", collection, err)
	}
	return nil
}

// synchronous asks the connection that writes how it syncs.
func synchronous(app core.App) (string, error) {
	var mode string
	if err := app.NonconcurrentDB().NewQuery("PRAGMA synchronous").Row(&mode); err != nil {
		return "", fmt.Errorf("ask for synchronous: %w", err)
	}
	switch mode {
	case "1":
		return "normal", nil
	case "2":
		return "full", nil
	}
	return "", fmt.Errorf("synchronous is %q", mode)
}
