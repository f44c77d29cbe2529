package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	decoder  = regexp.MustCompile(`(?m)^func (?:\([^)]*\) (?:Decode|Parse|Unmarshal)|(?i:decode|parse|unmarshal))\w*\(`)
	fuzzFunc = regexp.MustCompile(`(?m)^func Fuzz\w+\(`)
)

// TestDecodersAreFuzzed: a package with a function that decodes or parses has a
// fuzz target, and an exported one is named in a file with a target. Methods that
// are not exported are steps of others.
func TestDecodersAreFuzzed(t *testing.T) {
	packages := map[string]*struct {
		decoders []string
		fuzzes   string // the text of the test files that have targets
	}{}
	for _, root := range []string{"../../internal", "../../sdk/go", "../../cmd"} {
		err := filepath.WalkDir(root, func(file string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") {
				return err
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			p := packages[filepath.Dir(file)]
			if p == nil {
				p = &struct {
					decoders []string
					fuzzes   string
				}{}
				packages[filepath.Dir(file)] = p
			}
			switch {
			case !strings.HasSuffix(file, "_test.go"):
				for _, m := range decoder.FindAllString(string(text), -1) {
					words := strings.FieldsFunc(m, func(r rune) bool { return strings.ContainsRune(" (", r) })
					p.decoders = append(p.decoders, words[len(words)-1])
				}
			case fuzzFunc.Match(text):
				p.fuzzes += string(text)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	found := 0
	for dir, p := range packages {
		for _, name := range p.decoders {
			found++
			exported := name[0] >= 'A' && name[0] <= 'Z'
			if p.fuzzes == "" || exported && !regexp.MustCompile(`\b`+name+`\b`).MatchString(p.fuzzes) {
				t.Errorf("%s: no fuzz target calls %s", dir, name)
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d decoders were found", found)
	}
}
