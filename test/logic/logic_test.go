// Package logic runs the SQL corpus, testdata-like scripts *.slt in this folder,
// under every configuration; README.md describes their language. Scripts *.test
// of others, in the public form of sqllogictest, run too.
package logic

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"kalamdb/internal/core"
)

var (
	configFlag  = flag.String("config", "hot", "configurations divided by comma, or all")
	filesFlag   = flag.String("files", "*", "which scripts, as globs divided by comma, without .slt or with .test for foreign ones")
	keepFlag    = flag.Bool("keep", false, "go on after a block that fails")
	rewriteFlag = flag.Bool("rewrite", false, "rewrite expectations; read that diff")
)

// foreignSuffix ends the names of scripts in the public form.
const foreignSuffix = ".test"

// configurations are those that `all` stands for.
var configurations = []string{"hot", "cold", s3Config, "restart", "duck", "http"}

// TestCorpus runs each script once per configuration.
func TestCorpus(t *testing.T) {
	paths := scripts(t, *filesFlag)
	configs := strings.Split(*configFlag, ",")
	if *configFlag == "all" {
		configs = configurations
	}
	for _, config := range configs {
		t.Run(config, func(t *testing.T) {
			var records atomic.Int64
			var s3 *s3Server
			if config == s3Config {
				s3 = startS3(t)
			}
			t.Run("scripts", func(t *testing.T) {
				for _, path := range paths {
					t.Run(strings.TrimSuffix(path, ".slt"), func(t *testing.T) {
						if !*rewriteFlag {
							t.Parallel()
						}
						records.Add(int64(runScript(t, config, path, s3)))
					})
				}
			})
			if s3 != nil && *filesFlag == "*" {
				s3.checkUsed(t)
			}
			fmt.Printf("corpus: configuration %s: %d records\n", config, records.Load())
		})
	}
}

// scripts returns the paths that globs divided by comma match.
func scripts(t *testing.T, globs string) []string {
	var paths []string
	for glob := range strings.SplitSeq(globs, ",") {
		if !strings.HasSuffix(glob, foreignSuffix) {
			glob += ".slt"
		}
		found, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			t.Fatalf("no script matches %s", glob)
		}
		paths = append(paths, found...)
	}
	return paths
}

// runScript runs one script under one configuration and returns the number of
// records that were checked.
func runScript(t *testing.T, config, path string, s3 *s3Server) int {
	if strings.HasSuffix(path, foreignSuffix) {
		return runForeign(t, config, path, s3)
	}
	s, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	if !s.runsUnder(config) {
		return 0
	}
	db, err := open(t, config, s3)
	if err != nil {
		t.Fatal(err)
	}
	defer db.close()
	n := newRunner(t, config, s, db, *rewriteFlag).run()
	if *rewriteFlag {
		if err := s.save(); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// open makes the database of a configuration.
func open(t *testing.T, config string, s3 *s3Server) (backend, error) {
	switch config {
	case "hot", "cold", "restart":
		return newLocal(t.Context(), nil)
	case "duck":
		return newLocal(t.Context(), func(o *core.Options) { o.Analytics.Always = true })
	case s3Config:
		return s3.open(t.Context())
	case "http":
		return newRemote(t.Context(), t.TempDir())
	}
	return nil, fmt.Errorf("unknown configuration %q; use %s", config, strings.Join(configurations, ", "))
}
