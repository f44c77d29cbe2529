//go:build !linux

package disk

import "os"

func syncData(f *os.File) error { return f.Sync() }

func preallocate(uintptr, int64, int64) error { return nil }

func prefetch(uintptr, int64, int64) error { return nil }

func writeBack(uintptr, int64) error { return nil }
