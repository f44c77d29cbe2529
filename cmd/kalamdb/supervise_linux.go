package main

import "syscall"

// attributes make the child end when its supervisor is killed, and keep signals
// of a terminal from reaching it twice.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
}
