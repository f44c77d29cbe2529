package logic

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// FuzzScript: no script makes its reader panic; and what is written of one that
// was read is read as the same blocks, so that -rewrite loses nothing.
func FuzzScript(f *testing.F) {
	dir := f.TempDir() // of this process: cases run one after the other
	for _, name := range []string{"example.slt", "live_options.slt", "flush_rows.slt"} {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("configs hot\n\n# a\nonlyif hot\nskipif cold\nuser alice\nquery IT rowsort\nSELECT 1\n----\n1 x\n\n# tail")
	f.Add("onlyif\n\nskipif x\n")
	f.Add("statement ok\n----\n----\n\n \t\nuser\n")
	f.Fuzz(func(t *testing.T, text string) {
		read := func(text string) (*script, error) {
			path := filepath.Join(dir, "x.slt")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return load(path)
		}
		s, err := read(text)
		if err != nil {
			if !strings.Contains(err.Error(), "x.slt:") {
				t.Fatalf("%q: %v names no line", text, err)
			}
			return
		}
		if err := s.save(); err != nil {
			t.Fatal(err)
		}
		again, err := load(s.path)
		if err != nil {
			t.Fatalf("%q was written so that: %v", text, err)
		}
		for i, b := range s.blocks {
			for _, config := range []string{"hot", "cold"} {
				if i < len(again.blocks) && b.applies(config) != again.blocks[i].applies(config) || s.runsUnder(config) != again.runsUnder(config) {
					t.Fatalf("%q: block %d under %s", text, i, config)
				}
			}
		}
		if a, b := meaning(s), meaning(again); !reflect.DeepEqual(a, b) {
			t.Fatalf("%q is read as\n%q\nand, written, as\n%q", text, a, b)
		}
	})
}

// meaning is what the runner looks at in each block.
func meaning(s *script) []string {
	var all []string
	for _, b := range s.blocks {
		if b.head == "" {
			continue
		}
		all = append(all, strings.Join(b.words, " ")+"\x00"+b.sql+"\x00"+strings.Join(b.expect, "\n")+"\x00"+b.only+b.skip)
	}
	return all
}
