// What C does for package duck: cells that name things of Go by number, and
// loops that would cost a call each from Go.
#pragma once
#include <stdint.h>

// A cell is what DuckDB holds for us: numbers only, never a pointer into Go.
typedef struct {
	uintptr_t instance; // handle of the instance
	uint64_t run;       // number of the running statement
	uint64_t index;     // place of the scan or call, or number of the open scan
} kduck_cell;

void *kduck_cell_new(uintptr_t instance, uint64_t run, uint64_t index);
void *kduck_cell_copy(void *cell);
void kduck_cell_free(void *cell);

// kduck_assign gives n rows of a vector their bytes: row rows[i] ends in bytes
// where ends[i] says and begins where the one before ended.
void kduck_assign(void *vector, const uint32_t *rows, const uint64_t *ends, uint64_t n, const char *bytes);

// kduck_trim gives freed memory back to the system.
void kduck_trim(void);

// Written in Go.
void kduckScanBind(void *info);
void kduckScanInit(void *info);
void kduckScanFill(void *info, void *chunk);
void kduckScanDrop(void *cell);
void kduckCallBind(void *info);
void kduckCallRun(void *info, void *chunk, void *vector);
