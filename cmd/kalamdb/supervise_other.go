//go:build !linux

package main

import "syscall"

// attributes are none here: a supervisor that is killed leaves its child behind.
func attributes() *syscall.SysProcAttr { return nil }
