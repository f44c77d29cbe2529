// Package datum holds SQL values: their types, what they mean, and their bytes.
//
// A Value is one immutable cell of at most 32 bytes that knows its kind; the
// zero Value is NULL. The room promises the meaning of PostgreSQL (comparison,
// casts, arithmetic, texts) except where the types differ on purpose: lengths
// of VARCHAR are ignored, decimals hold at most 38 digits, numbers written to
// temporal columns are raw units, and every floating point number is printed
// with a fraction or an exponent.
//
// Three byte forms exist. AppendKey keeps the order of values and is used in
// keys, AppendValue is compact and is used in rows; both are on disk, fixed by
// golden tests and described in docs/format/values.md. AppendHash gives equal
// bytes to equal values across numeric kinds and lives in memory only. Every
// decoder survives hostile bytes: it returns an error, never panics, and never
// allocates more than its input is long.
//
// Faults for users carry a code of package fault and a sentence naming the
// offending text, shortened to 64 bytes.
//
// Goroutines: none. Locks: none; values may be shared freely.
package datum
