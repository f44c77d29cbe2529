//go:build !linux

package proc

import "errors"

// Pin exists on Linux only.
func Pin(int) error { return errors.ErrUnsupported }

// Unpin exists on Linux only.
func Unpin() error { return nil }
