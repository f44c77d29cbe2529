package duck

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"kalamdb/internal/fault"
)

// faultMark begins the text of an error that stands for a kept one; its number
// follows.
const faultMark = "kalamdb fault "

// engineError is what DuckDB said, for the operator.
type engineError struct {
	class string // what DuckDB calls the class of the error, such as Conversion
	text  string
}

func (e *engineError) Error() string { return "duckdb: " + e.class + " error: " + e.text }

// newEngineError takes apart a message, which begins with its class. What quotes
// the statement is cut off, because it may hold what a user wrote.
func newEngineError(message string) *engineError {
	// What is thrown and not caught by the library itself is told as JSON.
	var thrown struct {
		Type    string `json:"exception_type"`
		Message string `json:"exception_message"`
	}
	if strings.HasPrefix(message, "{") && json.Unmarshal([]byte(message), &thrown) == nil {
		message = thrown.Type + " Error: " + thrown.Message
	}
	message, _, _ = strings.Cut(message, "\n\nLINE ")
	class, text, ok := strings.Cut(message, " Error: ")
	if !ok {
		return &engineError{"unknown", message}
	}
	return &engineError{class, text}
}

// broken reports whether the instance must not be used again.
func (e *engineError) broken() bool {
	return e.class == "INTERNAL" || e.class == "FATAL"
}

// asFault gives an error of DuckDB the code and sentence that users may see. What
// no user can cause is internal.
func (e *engineError) asFault() error {
	switch e.class {
	case "Out of Memory":
		return fault.Wrap(fault.LimitExceeded, e, "the statement needs more memory than it may use; ask for fewer rows or columns, or group by less")
	case "Out of Range":
		return fault.Wrap(fault.OutOfRange, e, "a number is out of the range of its type")
	case "Conversion":
		return fault.Wrap(fault.InvalidValue, e, "a value cannot be converted to the type asked for")
	case "IO":
		if strings.Contains(e.text, "No space left") {
			return fault.Wrap(fault.DiskFull, e, "there is no room left on the disk for what the statement sets aside")
		}
	case "Invalid Input":
		if strings.HasPrefix(e.text, "More than one row returned by a subquery") {
			return fault.Wrap(fault.InvalidOperation, e, "a subquery used as an expression returned more than one row")
		}
	}
	if strings.Contains(strings.ToLower(e.text), "max expression depth") || e.class == "Parser" && strings.HasPrefix(e.text, "memory exhausted") {
		return fault.Wrap(fault.LimitExceeded, e, "the statement is nested too deeply")
	}
	return internal(e)
}

// internal returns a fault whose sentence says nothing and whose cause is kept.
func internal(cause error) error {
	return fault.Wrap(fault.Internal, cause, "an internal error occurred")
}

// asIs returns a fault as it is, and makes any other error internal.
func asIs(err error) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	return internal(err)
}

// interrupted is the class of an error of DuckDB that an interrupt caused.
const interrupted = "INTERRUPT"

// keepMost is how many errors of callbacks a statement keeps. DuckDB swallows
// those of expressions that it tries to fold, so there can be several.
const keepMost = 4096

// keep stores an error of a callback and returns the text that stands for it.
func (r *run) keep(err error) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.mu.kept) == keepMost {
		r.mu.kept = r.mu.kept[:0]
	}
	r.mu.kept = append(r.mu.kept, err)
	return faultMark + strconv.Itoa(len(r.mu.kept)-1)
}

// keptBy returns the error that the text of e stands for, or nil.
func (r *run) keptBy(e *engineError) error {
	_, number, ok := strings.Cut(e.text, faultMark)
	if !ok {
		return nil
	}
	n, err := strconv.Atoi(number)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || n < 0 || n >= len(r.mu.kept) {
		return nil
	}
	return r.mu.kept[n]
}

// explain returns what a message of DuckDB means to the caller: the error of a
// callback as it was, the end of the context, or a fault.
func (r *run) explain(message string) error {
	e := newEngineError(message)
	if e.broken() {
		r.broken = true
	}
	if kept := r.keptBy(e); kept != nil {
		var f *fault.Error
		if errors.As(kept, &f) || r.ctx.Err() == nil {
			return kept
		}
	}
	if err := r.ended(); err != nil {
		return err
	}
	if e.class == interrupted {
		return internal(fmt.Errorf("interrupted without a reason: %w", e))
	}
	return e.asFault()
}
