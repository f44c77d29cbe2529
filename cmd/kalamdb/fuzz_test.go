package main

import (
	"strings"
	"testing"
)

// FuzzFlags: no command line makes the reader panic; one that was read, written
// in the plainest way, is read as the same.
func FuzzFlags(f *testing.F) {
	f.Add("--set\x00server.port=1\x00x.toml\x00--print-config")
	f.Add("-set=a=b\x00--\x00--version")
	f.Add("--accept-clock=false\x00--set")
	f.Add("a\x00b")
	f.Add("\x00-")
	f.Fuzz(func(t *testing.T, line string) {
		first, err := parse(strings.Split(line, "\x00"))
		if err != nil {
			return
		}
		var args []string
		for _, s := range first.set {
			args = append(args, "--set="+s)
		}
		for name, on := range map[string]bool{"--print-config": first.printConfig, "--accept-clock": first.acceptClock, "--version": first.version} {
			if on {
				args = append(args, name)
			}
		}
		if args = append(args, "--"); first.file != "" {
			args = append(args, first.file)
		}
		second, err := parse(args)
		if err != nil || second.file != first.file || strings.Join(second.set, "\x00") != strings.Join(first.set, "\x00") ||
			second.printConfig != first.printConfig || second.acceptClock != first.acceptClock || second.version != first.version {
			t.Fatalf("%q is %+v, and %q is %+v, %v", line, first, args, second, err)
		}
	})
}
