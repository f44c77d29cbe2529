// Package fault holds the one list of errors that users of KalamDB can meet.
//
// A fault has a code (what tests, logs and metrics name), a sentence for the
// person who caused it, and a wrapped cause for the operator. An error without
// a code is INTERNAL: its text is for the log only.
package fault

import (
	"errors"
	"fmt"
)

// Code names one kind of fault. The list is closed: see the constants.
type Code string

// Error is a fault: a code, a sentence for users, and a cause for operators.
type Error struct {
	// Code says which fault it is.
	Code Code
	// Message is the sentence without the prefix of its code.
	Message string
	// Detail is an addition that only administrators see.
	Detail string
	// Offset is the byte offset in the user's SQL text where the fault was
	// found, or -1.
	Offset int
	// Statement is the place of the statement in its batch, counted from 1; 0
	// for a lone statement.
	Statement int
	cause     error
}

// New returns a fault with a formatted sentence.
func New(code Code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Offset: -1}
}

// At returns a fault that points at a byte offset of the user's SQL text.
func At(code Code, offset int, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Offset: offset}
}

// Wrap returns a fault that keeps cause for errors.Is, errors.As and the log.
func Wrap(code Code, cause error, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Offset: -1, cause: cause}
}

// Error returns the code's prefix, the sentence and the cause.
func (e *Error) Error() string {
	text := e.Sentence()
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Sentence returns what a user may read: the prefix of the code and the
// message, without the cause.
func (e *Error) Sentence() string {
	text := e.Code.Info().Prefix + e.Message
	if e.Statement > 0 {
		text = fmt.Sprintf("Statement %d failed: %s", e.Statement, text)
	}
	return text
}

// InStatement returns the fault of err as that of the n-th statement of a
// batch, whose text only administrators see.
func InStatement(err error, n int, text string) error {
	f := *Of(err)
	f.Statement, f.Detail = n, text
	return &f
}

// CodeOf returns the code of the first fault in the chain of err, or Internal.
func CodeOf(err error) Code {
	var f *Error
	if errors.As(err, &f) {
		return f.Code
	}
	return Internal
}

// Is reports whether the first fault in the chain of err has the given code.
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }

// Of returns the first fault in the chain of err. An error without a fault
// becomes an Internal one with err as its cause.
func Of(err error) *Error {
	var f *Error
	if errors.As(err, &f) {
		return f
	}
	return &Error{Code: Internal, Message: "an internal error occurred", Offset: -1, cause: err}
}

// Assert panics when an invariant of the program itself is broken.
func Assert(ok bool, format string, args ...any) {
	if !ok {
		panic("broken invariant: " + fmt.Sprintf(format, args...))
	}
}
