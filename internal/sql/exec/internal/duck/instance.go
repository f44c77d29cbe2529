package duck

/*
#include "bridge.h"
void kduckScanBind(void *info);
void kduckScanInit(void *info);
void kduckScanLocal(void *info);
void kduckScanFill(void *info, void *chunk);
void kduckScanDrop(void *cell);
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/cgo"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	bindings "github.com/duckdb/duckdb-go-bindings"
)

// instance is one open DuckDB without tables, and its connections.
type instance struct {
	db      bindings.Database
	handle  cgo.Handle // of the instance itself, for callbacks
	temp    string     // its spill directory, "" for none
	folders []string   // that it may read
	threads int        // on which a scan may run
	helpers helpers    // all but one of them
	refs    int        // statements that use it; guarded by Engine.mu
	mu      struct {
		sync.Mutex
		free     []*connection     // at most as many as may run at once
		running  map[uint64]*run   // by connection
		numbered map[uint64]*run   // by number
		number   uint64            // of the last run
		calls    map[callForm]bool // registered functions
	}
}

// connection is one connection, used by one statement at a time.
type connection struct {
	library bindings.Connection
	id      uint64
}

// callForm names one registered function.
type callForm struct {
	shape    shape
	volatile bool
}

func (f callForm) name() string {
	if f.volatile {
		return "kvf_" + f.shape.suffix()
	}
	return "kfn_" + f.shape.suffix()
}

// number and callFormOf carry a callForm through a cell.
func (f callForm) number() uint64 {
	n := uint64(f.shape.form)<<16 | uint64(f.shape.precision)<<8 | uint64(f.shape.scale)
	if f.volatile {
		n |= 1 << 32
	}
	return n
}

func callFormOf(n uint64) callForm {
	return callForm{shape{form(n >> 16), uint8(n >> 8), uint8(n)}, n>>32 != 0}
}

// openInstance opens an instance in memory and locks it down before any
// statement sees it.
func openInstance(o Options, temp string, folders []string) (*instance, error) {
	i := &instance{temp: temp, folders: folders, threads: o.Threads, helpers: helpers{count: o.Threads - 1}}
	i.mu.running, i.mu.numbered, i.mu.calls = map[uint64]*run{}, map[uint64]*run{}, map[callForm]bool{}
	if temp != "" {
		if err := os.MkdirAll(temp, 0o700); err != nil {
			return nil, fmt.Errorf("make spill directory: %w", err)
		}
	}
	var message string
	var config bindings.Config
	if bindings.CreateConfig(&config) == bindings.StateError {
		return nil, errors.New("duckdb: make configuration")
	}
	defer bindings.DestroyConfig(&config)
	if bindings.OpenExt(":memory:", &i.db, config, &message) == bindings.StateError {
		return nil, errors.Join(fmt.Errorf("duckdb: open: %s", message), i.removeTemp())
	}
	i.handle = cgo.NewHandle(i)
	if err := i.prepare(o); err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

// prepare registers the functions and locks the instance down.
func (i *instance) prepare(o Options) error {
	c, err := i.connect()
	if err != nil {
		return err
	}
	defer i.disconnect(c)
	if err := i.registerScan(c); err != nil {
		return err
	}
	for f := formBool; f <= formInterval; f++ {
		if f == formDecimal {
			continue // one for each precision and scale, when it is needed
		}
		for _, volatile := range []bool{false, true} {
			if err := i.registerCall(c, callForm{shape{form: f}, volatile}); err != nil {
				return err
			}
		}
	}
	for _, text := range lockdown(o, i.temp, i.folders) {
		if err := command(c, text); err != nil {
			return err
		}
	}
	return nil
}

// lockdown returns the statements that open every instance: limits, what brings
// DuckDB nearest to PostgreSQL, then what takes away the way out, and last the
// way back.
func lockdown(o Options, temp string, folders []string) []string {
	size := func(n int64) string { return quoted(strconv.FormatInt(n, 10) + "B") }
	readable := make([]string, len(folders))
	for i, f := range folders {
		readable[i] = quoted(f)
	}
	return []string{
		"SET GLOBAL memory_limit = " + size(o.Memory),
		"SET GLOBAL threads = " + strconv.Itoa(o.Threads),
		"SET GLOBAL external_threads = " + strconv.Itoa(o.Threads), // the goroutines of statements, and helpers
		"SET GLOBAL temp_directory = " + quoted(temp),
		"SET GLOBAL max_temp_directory_size = " + size(o.TempBytes),
		"SET GLOBAL default_null_order = 'nulls_last_on_asc_first_on_desc'",
		"SET GLOBAL integer_division = true",
		"SET GLOBAL ieee_floating_point_ops = true",
		"SET GLOBAL max_expression_depth = " + strconv.Itoa(mostDepth),
		"SET GLOBAL TimeZone = 'UTC'",
		"SET GLOBAL parquet_metadata_cache = true", // files stay as they are
		"SET GLOBAL allowed_directories = [" + strings.Join(readable, ", ") + "]",
		"SET GLOBAL autoinstall_known_extensions = false",
		"SET GLOBAL autoload_known_extensions = false",
		"SET GLOBAL allow_community_extensions = false",
		"SET GLOBAL allow_unsigned_extensions = false",
		"SET GLOBAL allow_persistent_secrets = false",
		"SET GLOBAL enable_external_access = false",
		"SET GLOBAL lock_configuration = true",
	}
}

// command runs a statement without a result.
func command(c *connection, text string) error {
	var result bindings.Result
	defer bindings.DestroyResult(&result)
	if bindings.Query(c.library, text, &result) == bindings.StateError {
		return fmt.Errorf("run %s: %w", text, newEngineError(bindings.ResultError(&result)))
	}
	return nil
}

func (i *instance) registerScan(c *connection) error {
	f := bindings.CreateTableFunction()
	defer bindings.DestroyTableFunction(&f)
	number := bindings.CreateLogicalType(bindings.TypeBigInt)
	defer bindings.DestroyLogicalType(&number)
	bindings.TableFunctionSetName(f, "kscan")
	bindings.TableFunctionAddParameter(f, number)
	bindings.TableFunctionSetExtraInfo(f, i.cell(0, 0), C.kduck_cell_free)
	bindings.TableFunctionSetBind(f, C.kduckScanBind)
	bindings.TableFunctionSetInit(f, C.kduckScanInit)
	bindings.TableFunctionSetLocalInit(f, C.kduckScanLocal)
	bindings.TableFunctionSetFunction(f, C.kduckScanFill)
	bindings.TableFunctionSupportsProjectionPushdown(f, true)
	if bindings.RegisterTableFunction(c.library, f) == bindings.StateError {
		return errors.New("duckdb: register kscan")
	}
	return nil
}

// registerCall registers a function unless it is there. The lock is held by who
// shares the instance.
func (i *instance) registerCall(c *connection, call callForm) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.mu.calls[call] {
		return nil
	}
	f := bindings.CreateScalarFunction()
	defer bindings.DestroyScalarFunction(&f)
	anything := bindings.CreateLogicalType(bindings.TypeAny)
	defer bindings.DestroyLogicalType(&anything)
	result := call.shape.logical()
	defer bindings.DestroyLogicalType(&result)
	bindings.ScalarFunctionSetName(f, call.name())
	bindings.ScalarFunctionSetVarargs(f, anything)
	bindings.ScalarFunctionSetReturnType(f, result)
	bindings.ScalarFunctionSetSpecialHandling(f)
	if call.volatile {
		bindings.ScalarFunctionSetVolatile(f)
	}
	bindings.ScalarFunctionSetExtraInfo(f, i.cell(0, call.number()), C.kduck_cell_free)
	bindings.ScalarFunctionSetBind(f, C.kduckCallBind)
	bindings.ScalarFunctionSetFunction(f, C.kduckCallRun)
	if bindings.RegisterScalarFunction(c.library, f) == bindings.StateError {
		return fmt.Errorf("duckdb: register %s", call.name())
	}
	i.mu.calls[call] = true
	return nil
}

// cell returns what DuckDB holds for something of this instance.
func (i *instance) cell(run, index uint64) unsafe.Pointer {
	return C.kduck_cell_new(C.uintptr_t(i.handle), C.uint64_t(run), C.uint64_t(index))
}

// connect returns an idle connection or a new one.
func (i *instance) connect() (*connection, error) {
	i.mu.Lock()
	if n := len(i.mu.free); n > 0 {
		c := i.mu.free[n-1]
		i.mu.free = i.mu.free[:n-1]
		i.mu.Unlock()
		return c, nil
	}
	i.mu.Unlock()
	c := &connection{}
	if bindings.Connect(i.db, &c.library) == bindings.StateError {
		return nil, errors.New("duckdb: connect")
	}
	var context bindings.ClientContext
	bindings.ConnectionGetClientContext(c.library, &context)
	c.id = uint64(bindings.ClientContextGetConnectionId(context))
	bindings.DestroyClientContext(&context)
	return c, nil
}

func (i *instance) disconnect(c *connection) { bindings.Disconnect(&c.library) }

// keep takes back a connection on which a statement ended as it should.
func (i *instance) keep(c *connection) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mu.free = append(i.mu.free, c)
}

// attach makes r what runs on its connection.
func (i *instance) attach(r *run) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mu.number++
	r.number = i.mu.number
	i.mu.running[r.connection.id], i.mu.numbered[r.number] = r, r
}

func (i *instance) detach(r *run) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.mu.running, r.connection.id)
	delete(i.mu.numbered, r.number)
}

// runOn returns what runs on a connection, or nil.
func (i *instance) runOn(connection uint64) *run {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.mu.running[connection]
}

// runNumbered returns the running statement of that number, or nil.
func (i *instance) runNumbered(number uint64) *run {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.mu.numbered[number]
}

// close closes an instance that nothing runs in.
func (i *instance) close() error {
	for _, c := range i.mu.free {
		i.disconnect(c)
	}
	i.mu.free = nil
	i.helpers.gone.Wait()
	bindings.Close(&i.db)
	i.handle.Delete()
	C.kduck_trim()
	return i.removeTemp()
}

func (i *instance) removeTemp() error {
	if i.temp == "" {
		return nil
	}
	if err := os.RemoveAll(i.temp); err != nil {
		return fmt.Errorf("remove spill directory: %w", err)
	}
	return nil
}

// spillPrefix begins the name of the spill directory of an instance.
const spillPrefix = "instance-"

// removeSpilled removes what instances of an earlier process left in dir.
func removeSpilled(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, spillPrefix+"*"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}
