#include "bridge.h"
#include <cstdlib>
#include <cstring>
#include <exception>
#ifdef __GLIBC__
#include <malloc.h>
#endif

// The result of DuckDB's C interface, as its header has it.
struct duckdb_result {
	uint64_t columns;
	uint64_t rows;
	uint64_t changed;
	void *column;
	char *message;
	void *internal;
};

extern "C" {
void duckdb_unsafe_vector_assign_string_element_len(void *vector, uint64_t row, const char *bytes, uint64_t n);
int duckdb_pending_prepared_streaming(void *prepared, void **pending);
int duckdb_execute_pending(void *pending, duckdb_result *result);
void *duckdb_fetch_chunk(duckdb_result result);
void *duckdb_create_task_state(void *database);
void duckdb_execute_tasks_state(void *state);
void duckdb_finish_execution(void *state);
void duckdb_destroy_task_state(void *state);
#ifdef __linux__
// The allocator that DuckDB brings with it on some systems.
__attribute__((weak)) int duckdb_je_mallctl(const char *name, void *old, size_t *n, void *fresh, size_t m);
#endif
}

namespace {

// caught runs f and returns the text of what it throws.
template <class F>
char *caught(F f) {
	try {
		f();
		return nullptr;
	} catch (std::exception &e) {
		char *text = strdup(e.what());
		return text != nullptr ? text : strdup("unknown");
	} catch (...) {
		return strdup("unknown");
	}
}

} // namespace

void *kduck_cell_new(uintptr_t instance, uint64_t run, uint64_t index) {
	kduck_cell *cell = static_cast<kduck_cell *>(malloc(sizeof(kduck_cell)));
	if (cell == nullptr) {
		abort();
	}
	cell->instance = instance;
	cell->run = run;
	cell->index = index;
	return cell;
}

void *kduck_cell_copy(void *cell) {
	kduck_cell *from = static_cast<kduck_cell *>(cell);
	return kduck_cell_new(from->instance, from->run, from->index);
}

void kduck_cell_free(void *cell) {
	free(cell);
}

char *kduck_assign(void *vector, const uint32_t *rows, const uint64_t *ends, uint64_t n, const char *bytes) {
	return caught([&] {
		uint64_t start = 0;
		for (uint64_t i = 0; i < n; i++) {
			duckdb_unsafe_vector_assign_string_element_len(vector, rows[i], bytes + start, ends[i] - start);
			start = ends[i];
		}
	});
}

char *kduck_begin(void *prepared, void **pending, int *state) {
	return caught([&] { *state = duckdb_pending_prepared_streaming(prepared, pending); });
}

char *kduck_execute(void *pending, void *result, int *state) {
	return caught([&] { *state = duckdb_execute_pending(pending, static_cast<duckdb_result *>(result)); });
}

char *kduck_fetch(void *result, void **chunk) {
	return caught([&] { *chunk = duckdb_fetch_chunk(*static_cast<duckdb_result *>(result)); });
}

void *kduck_tasks_new(void *database) {
	return duckdb_create_task_state(database);
}

void kduck_tasks_run(void *tasks) {
	// What a task throws is kept by its statement.
	free(caught([&] { duckdb_execute_tasks_state(tasks); }));
}

void kduck_tasks_stop(void *tasks) {
	duckdb_finish_execution(tasks);
}

void kduck_tasks_free(void *tasks) {
	duckdb_destroy_task_state(tasks);
}

void kduck_trim(void) {
#ifdef __GLIBC__
	malloc_trim(0);
#endif
#ifdef __linux__
	if (duckdb_je_mallctl != nullptr) {
		duckdb_je_mallctl("arena.4096.purge", nullptr, nullptr, nullptr, 0); // 4096 stands for all
	}
#endif
}
