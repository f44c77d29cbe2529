//go:build !unix

package server

import "time"

// processorTime is not known here.
func processorTime() time.Duration { return 0 }

func openFilesLimit() uint64 { return 0 }
