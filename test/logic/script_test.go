package logic

import (
	"fmt"
	"os"
	"strings"
)

// block is one directive of a script with the lines that belong to it.
type block struct {
	line    int      // of the directive, from 1
	prefix  []string // comments and conditions above the directive, as written
	words   []string // the directive
	head    string   // the directive as written
	sql     string   // the lines between the directive and "----"
	expect  []string // the lines after "----"
	divided bool     // there is a "----"
	only    string   // onlyif CONFIG
	skip    string   // skipif CONFIG
	joined  bool     // the next block follows without a blank line
}

// script is one parsed .slt file.
type script struct {
	path    string
	configs []string // nil for all
	blocks  []*block
	tail    []string // trailing comments
}

// load reads a script.
func load(path string) (*script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &script{path: path}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	for i := 0; i < len(lines); {
		if strings.TrimSpace(lines[i]) == "" {
			i++
			continue
		}
		start := i
		for i < len(lines) && strings.TrimSpace(lines[i]) != "" {
			i++
		}
		if err := s.add(lines[start:i], start+1); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, start+1, err)
		}
	}
	return s, nil
}

// add parses the lines of one paragraph.
func (s *script) add(lines []string, line int) error {
	b := &block{}
	for len(lines) > 0 {
		words := strings.Fields(lines[0])
		switch {
		case strings.HasPrefix(words[0], "#"):
		case words[0] == "onlyif" && len(words) >= 2:
			b.only = words[1]
		case words[0] == "skipif" && len(words) >= 2:
			b.skip = words[1]
		case words[0] == "configs":
			s.configs = words[1:]
		case (words[0] == "user" || words[0] == "namespace") && len(lines) > 1:
			// These stand above what they change, without a blank line.
			b.line, b.head, b.words, b.joined = line, lines[0], words, true
			s.blocks = append(s.blocks, b)
			b = &block{}
			lines, line = lines[1:], line+1
			continue
		default:
			b.line, b.head, b.words = line, lines[0], words
			b.body(lines[1:])
			s.blocks = append(s.blocks, b)
			return nil
		}
		b.prefix = append(b.prefix, lines[0])
		lines, line = lines[1:], line+1
	}
	if b.only != "" || b.skip != "" {
		return fmt.Errorf("a condition without a block")
	}
	// A paragraph of comments stands by itself.
	s.blocks = append(s.blocks, b)
	return nil
}

func (b *block) body(lines []string) {
	for i, l := range lines {
		if l == "----" {
			b.divided = true
			b.sql = strings.Join(lines[:i], "\n")
			b.expect = lines[i+1:]
			return
		}
	}
	b.sql = strings.Join(lines, "\n")
}

// applies reports whether a block runs under a configuration.
func (b *block) applies(config string) bool {
	return (b.only == "" || means(b.only, config)) && (b.skip == "" || !means(b.skip, config))
}

// means reports whether a name in a script stands for a configuration: cold is
// also the one on an S3 server.
func means(name, config string) bool {
	return name == config || name == "cold" && config == s3Config
}

// runsUnder reports whether a script runs under a configuration.
func (s *script) runsUnder(config string) bool {
	if s.configs == nil {
		return true
	}
	for _, c := range s.configs {
		if means(c, config) {
			return true
		}
	}
	return false
}

// save writes the script with the expectations that its blocks hold now.
func (s *script) save() error {
	var out strings.Builder
	for i, b := range s.blocks {
		if i > 0 && !s.blocks[i-1].joined {
			out.WriteString("\n")
		}
		for _, l := range b.prefix {
			out.WriteString(l + "\n")
		}
		if b.head == "" {
			continue
		}
		out.WriteString(b.head + "\n")
		if b.sql != "" {
			out.WriteString(b.sql + "\n")
		}
		if b.divided {
			out.WriteString("----\n")
			for _, l := range b.expect {
				out.WriteString(l + "\n")
			}
		}
	}
	return os.WriteFile(s.path, []byte(out.String()), 0o644)
}
