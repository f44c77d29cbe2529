#include "bridge.h"
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

// Of DuckDB's C interface; the caller keeps to UTF-8 for texts.
extern void duckdb_unsafe_vector_assign_string_element_len(void *vector, uint64_t row, const char *bytes, uint64_t n);

void *kduck_cell_new(uintptr_t instance, uint64_t run, uint64_t index) {
	kduck_cell *cell = malloc(sizeof(kduck_cell));
	if (cell == NULL) {
		abort();
	}
	cell->instance = instance;
	cell->run = run;
	cell->index = index;
	return cell;
}

void *kduck_cell_copy(void *cell) {
	kduck_cell *from = cell;
	return kduck_cell_new(from->instance, from->run, from->index);
}

void kduck_cell_free(void *cell) {
	free(cell);
}

void kduck_assign(void *vector, const uint32_t *rows, const uint64_t *ends, uint64_t n, const char *bytes) {
	uint64_t start = 0;
	for (uint64_t i = 0; i < n; i++) {
		duckdb_unsafe_vector_assign_string_element_len(vector, rows[i], bytes + start, ends[i] - start);
		start = ends[i];
	}
}

void kduck_trim(void) {
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
