package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts run this program as kalamdb.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kalamdb": main})
}

// TestScripts runs testdata/script: the program as operators call it. Data
// directories are $WORK/… and ports are free ones.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("KALAMDB_SERVER_PORT", "0")
			return nil
		},
	})
}
