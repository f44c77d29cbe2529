package metamorphic

import (
	"flag"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"kalamdb/test/torture/faults"
)

var plantedFlag = flag.String("planted", "", "build with the planted faults of these names, a glob, and show that programs find them")

// TestPlanted shows that every planted fault still finds its place in the
// sources and, when asked to, that random programs find every one of them.
func TestPlanted(t *testing.T) {
	planted, err := faults.Load("testdata/faults")
	if err != nil || len(planted) == 0 {
		t.Fatalf("%d faults, %v", len(planted), err)
	}
	caught, tried := 0, 0
	for _, f := range planted {
		dir := t.TempDir()
		overlay, err := f.Overlay("../..", dir)
		if err != nil {
			t.Error(err)
			continue
		}
		if chosen, err := path.Match(*plantedFlag, f.Name); err != nil {
			t.Fatal(err)
		} else if !chosen {
			continue
		}
		tried++
		binary := filepath.Join(dir, "planted.test")
		if text, err := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
			t.Errorf("%s does not build: %v\n%s", f.Name, err, text)
			continue
		}
		run := exec.Command(binary, "-test.run=TestPrograms", "-test.timeout=10m", "-seed=1", "-duration=3m")
		run.Env = os.Environ()
		text, err := run.CombinedOutput()
		if err == nil {
			t.Errorf("%s (%s) was not found", f.Name, f.What)
			continue
		}
		caught++
		found, script := string(text), ""
		if at := strings.Index(found, "metamorphic_test.go:"); at >= 0 {
			found = found[at:]
		}
		if before, rest, ok := strings.Cut(found, "save this"); ok {
			found, script = before, rest
		}
		t.Logf("torture: fault=%s run=tier classes=wrong after=%d", f.Name, strings.Count(script, "\n")-3)
		t.Logf("%s (%s): caught; program of %d lines\n%.600s", f.Name, f.What, strings.Count(script, "\n")-3, found)
	}
	if tried > 0 {
		t.Logf("planted faults caught: %d of %d", caught, tried)
	}
}
