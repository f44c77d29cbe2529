// What C++ does for package duck: cells that name things of Go by number, loops
// that would cost a call each from Go, and calls that may throw. DuckDB throws
// when its memory is used up, and what is thrown must not reach a frame of Go:
// that would end the process.
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// A cell is what DuckDB holds for us: numbers only, never a pointer into Go.
typedef struct {
	uintptr_t instance; // handle of the instance
	uint64_t run;       // number of the running statement
	uint64_t index;     // place of the scan or call, or number of the open scan
} kduck_cell;

void *kduck_cell_new(uintptr_t instance, uint64_t run, uint64_t index);
void *kduck_cell_copy(void *cell);
void kduck_cell_free(void *cell);

// A thrown error is returned as its text, which begins with its class as the
// messages of DuckDB do, and which the caller frees; NULL means that all is well.

// kduck_assign gives n rows of a vector their bytes: row rows[i] ends in bytes
// where ends[i] says and begins where the one before ended.
char *kduck_assign(void *vector, const uint32_t *rows, const uint64_t *ends, uint64_t n, const char *bytes);

// kduck_begin makes a streaming execution of a prepared statement, and
// kduck_execute runs it up to its first chunk. Their state is 0 if that went
// well; if not, the library has the error.
char *kduck_begin(void *prepared, void **pending, int *state);
char *kduck_execute(void *pending, void *result, int *state);

// kduck_fetch stores the next chunk of a result, NULL at the end and at an error.
char *kduck_fetch(void *result, void **chunk);

// kduck_tasks_new names the tasks of a database; kduck_tasks_run executes them
// until kduck_tasks_stop has been called, which wakes it.
void *kduck_tasks_new(void *database);
void kduck_tasks_run(void *tasks);
void kduck_tasks_stop(void *tasks);
void kduck_tasks_free(void *tasks);

// kduck_trim gives freed memory back to the system: that of the allocator of C, and
// that of DuckDB's own, which keeps what was freed until it is used again.
void kduck_trim(void);

// Written in Go.
void kduckScanBind(void *info);
void kduckScanInit(void *info);
void kduckScanLocal(void *info);
void kduckScanFill(void *info, void *chunk);
void kduckScanDrop(void *cell);
void kduckCallBind(void *info);
void kduckCallRun(void *info, void *chunk, void *vector);

#ifdef __cplusplus
}
#endif
