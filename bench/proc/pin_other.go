//go:build !linux

package proc

import "errors"

// Pin exists on Linux only.
func Pin(int) error { return errors.ErrUnsupported }

// Unpin exists on Linux only.
func Unpin() error { return nil }

// PinProcess exists on Linux only.
func PinProcess(int, int) error { return errors.ErrUnsupported }

// UnpinProcess exists on Linux only.
func UnpinProcess(int) error { return errors.ErrUnsupported }
